"""MultiplicativeUniformNoise: multiplication by uniform numbers of mean 1."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..kind import Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class MultiplicativeUniformNoise(Kind):
    """Multiplies by uniform noise of mean 1: ``y = x · (1 + width · u)`` with u in (−1, 1).

    Parameters
    ----------
    width : float or Schedule
        Half the length of the interval of the factor, finite and >= 0. 0 returns the input
        itself; above 1, some elements change their sign.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If width is not a number, negative or infinite; at the call, if x is integer.

    Notes
    -----
    Tier: u is exact, an odd multiple of 2⁻²⁴. The gain is close, within one rounding of width · u.

    References
    ----------
    Fedus, Zoph, Shazeer (2022), Switch transformers, section 2.2: on the input of the router.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.MultiplicativeUniformNoise(0.01)(np.ones(4), key).round(4)
    array([1.0051, 1.0091, 0.9948, 0.9954])
    """

    width: float | Schedule
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "width"
    elementwise = True
    BOUNDS = (0.0, float("inf"))

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the gain 1 + width · u."""
        return Field(gain=draws.uniform() * draws.round(rate) + 1.0)

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return u."""
        return Field(gain=draws.uniform())
