"""GaussianNoise: normal numbers added."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..kind import Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class GaussianNoise(Kind):
    """Adds normal noise: ``y = x + sigma · ε`` with ε ~ N(0, 1).

    Parameters
    ----------
    sigma : float or Schedule
        Standard deviation in the unit of x, finite and >= 0. 0 returns the input itself.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If sigma is not a number, negative or infinite; at the call, if x is complex or integer.

    Notes
    -----
    Tier: ε is exact, a float32 with |ε| < 6.34 and equal bits on every engine. The sum is close,
    within one rounding of the product, which a compiler may skip.

    References
    ----------
    Bishop (1995), Training with noise is equivalent to Tikhonov regularization.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.GaussianNoise(0.1)(np.zeros(4), key).round(3)
    array([-0.023,  0.052,  0.077,  0.145])
    """

    sigma: float | Schedule = 0.1
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "sigma"
    elementwise = True
    BOUNDS = (0.0, float("inf"))

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the shift sigma · ε."""
        return Field(shift=draws.normal() * draws.round(rate))

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return ε."""
        return Field(shift=draws.normal())
