"""ConcreteDropout: dropout with a smooth mask, so that its rate has a gradient."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import checks
from ..draws import Draws, Field
from ..engine import Array
from ..kind import BELOW_ONE, Check, Kind
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class ConcreteDropout(Kind):
    """Multiplies by a smooth stand-in for dropout's mask, so that p can be learned.

    ``y = x · (1 − z) / (1 − p)`` with ``z = sigmoid((logit p − logit v) / temperature)`` and v
    uniform in (0, 1): z is nearly 1 where ``v < p`` and nearly 0 elsewhere. As the temperature
    goes to 0, the noise becomes Dropout. The mean is preserved only in that limit.

    Parameters
    ----------
    p : float or Schedule
        The rate of the Dropout that it approximates, in [0, 1). 0 returns the input itself. A
        tensor that requires grad gets its gradient; the layer of this name learns p.
    temperature : float
        How soft the decision is, finite and > 0; the paper's is 0.1.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared; ``slice(2, None)`` for feature maps.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is not a number or out of bounds; at p = 1 the gain would be infinite.

    Notes
    -----
    Tier: close. v is exact. The gain is computed in float64, with the platform's exponential and
    logarithm, and rounded once. It is equal within 1 ulp up to float32, and within a relative
    ``(4 + |w|) · 2⁻⁵⁰`` in float64, where w is the argument of the sigmoid.

    References
    ----------
    Gal, Hron, Kendall (2017), Concrete dropout. Maddison, Mnih, Teh (2017), The concrete
    distribution.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.ConcreteDropout(0.5)(np.ones(6), key).round(3)
    array([2.   , 2.   , 2.   , 0.   , 0.002, 1.997])
    """

    p: float | Schedule = 0.1
    temperature: float = 0.1
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    BOUNDS = (0.0, BELOW_ONE)
    CHECKS: ClassVar[Mapping[str, Check]] = {"temperature": checks.check_positive}

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the gain (1 − z) / (1 − p)."""
        return Field(gain=draws.round(self._survival(draws, rate) / (1 - rate)))

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return the derivative of the gain by p."""
        kept = self._survival(draws, rate)
        steep = (1 - kept) / (rate * (1 - rate) * self.temperature)
        return Field(gain=draws.round(kept / (1 - rate) * (1 / (1 - rate) - steep)))

    def _survival(self, draws: Draws, rate: Any) -> Any:
        """Return 1 − z in float64."""
        u = draws.engine.cast(draws.uniform(), "float64")  # v = (1 + u) / 2
        w = (draws.log(rate / (1 - rate)) - draws.log((1 + u) / (1 - u))) / self.temperature
        return 1 / (1 + draws.exp(w))
