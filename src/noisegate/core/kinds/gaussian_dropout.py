"""GaussianDropout: multiplication by normal numbers of mean 1."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..kind import BELOW_ONE, Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class GaussianDropout(Kind):
    """Multiplies by normal noise of mean 1: ``y = x · (1 + σ·ε)`` with ``σ = √(p/(1−p))``.

    Mean and variance are as with Dropout(p), but nothing is removed.

    Parameters
    ----------
    p : float or Schedule
        The rate of the Dropout with the same variance, in [0, 1). 0 returns the input itself.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number or outside [0, 1); at 1 the noise would be infinite.

    Notes
    -----
    Tier: ε is exact; the gain is close, within one rounding of σ·ε. A live p that is 1 or more
    is clamped to the largest float64 below 1.

    References
    ----------
    Srivastava et al. (2014), Dropout, section 10.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.GaussianDropout(0.5)(np.ones(4), key).round(3)
    array([0.931, 1.515, 1.893, 0.981])
    """

    p: float | Schedule = 0.5
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    BOUNDS = (0.0, BELOW_ONE)

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the gain 1 + σ · ε."""
        sigma = draws.sqrt(rate / (1 - rate))
        return Field(gain=draws.normal() * draws.round(sigma) + 1.0)

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return ε · dσ/dp, which is infinite at p = 0."""
        rise = 1 / (2 * draws.sqrt(rate * (1 - rate)) * (1 - rate))
        return Field(gain=draws.normal() * draws.round(rise))
