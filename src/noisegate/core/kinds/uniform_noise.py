"""UniformNoise: uniform numbers added."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..kind import Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class UniformNoise(Kind):
    """Adds uniform noise: ``y = x + width · u`` with u in (−1, 1).

    Parameters
    ----------
    width : float or Schedule
        Half the length of the interval, in the unit of x, finite and >= 0. 0 returns the
        input itself.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If width is not a number, negative or infinite; at the call, if x is complex or integer.

    Notes
    -----
    Tier: u is exact, an odd multiple of 2⁻²⁴. The sum is close, within one rounding of the
    product. The noise has the standard deviation width / √3.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.UniformNoise(0.1)(np.zeros(4), key).round(3)
    array([ 0.018, -0.008, -0.074,  0.03 ])
    """

    width: float | Schedule
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "width"
    elementwise = True
    BOUNDS = (0.0, float("inf"))

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the shift width · u."""
        return Field(shift=draws.uniform() * draws.round(rate))

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return u."""
        return Field(shift=draws.uniform())
