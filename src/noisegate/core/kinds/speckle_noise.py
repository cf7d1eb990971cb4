"""SpeckleNoise: multiplication by normal numbers of mean 1, by their standard deviation."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..kind import Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class SpeckleNoise(Kind):
    """Multiplies by normal noise of mean 1: ``y = x · (1 + sigma · ε)`` with ε ~ N(0, 1).

    GaussianDropout does the same with a sigma that it computes of a rate of removal.

    Parameters
    ----------
    sigma : float or Schedule
        Standard deviation of the factor, finite and >= 0. 0 returns the input itself.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If sigma is not a number, negative or infinite; at the call, if x is integer.

    Notes
    -----
    Tier: ε is exact, with |ε| < 6.34. The gain is close, within one rounding of sigma · ε.

    References
    ----------
    Goodman (1976), Some fundamental properties of speckle. Srivastava et al. (2014), Dropout,
    section 10: multiplicative Gaussian noise.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.SpeckleNoise(0.1)(np.ones(4), key).round(3)
    array([1.081, 0.863, 1.061, 1.05 ])
    """

    sigma: float | Schedule = 0.1
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "sigma"
    elementwise = True
    BOUNDS = (0.0, float("inf"))

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the gain 1 + sigma · ε."""
        return Field(gain=draws.normal() * draws.round(rate) + 1.0)

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return ε."""
        return Field(gain=draws.normal())
