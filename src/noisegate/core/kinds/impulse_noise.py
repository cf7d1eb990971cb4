"""ImpulseNoise: elements replaced by salt or pepper at random."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import checks
from ..draws import Draws, Field
from ..kind import Check, Kind
from ..philox import threshold
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class ImpulseNoise(Kind):
    """Replaces elements at random by one of two values: salt-and-pepper noise.

    ``y = where(u32 < T, low or high, x)`` with ``T = round(p · 2³²)``. A second random number,
    a fair coin, chooses between low and high. The mean is not preserved.

    Parameters
    ----------
    p : float or Schedule
        Probability that an element is replaced, in [0, 1]. 0 returns the input itself.
    low, high : float
        The two values, finite, in the unit of x: 0 and 1 or 0 and 255 for images. For integer
        input they must be whole numbers within the dtype.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared; the channel axis for whole pixels.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is not a number or out of bounds; at the call, if x is complex, or if x is
        integer and its dtype cannot hold low and high.

    Notes
    -----
    Tier: exact. A replaced element has gradient 0. A larger p replaces more elements, and those
    replaced at a smaller p as before.

    References
    ----------
    Gonzalez, Woods (2018), Digital image processing, section 5.2.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site(":in").at(0)
    >>> ng.ImpulseNoise(0.5, 0, 255)(np.full((2, 8), 100, np.uint8), key)
    array([[100,   0, 100, 255, 100, 255, 255, 100],
           [  0, 255, 100,   0, 100, 255,   0,   0]], dtype=uint8)
    """

    p: float | Schedule
    low: float
    high: float
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    CHECKS: ClassVar[Mapping[str, Check]] = dict.fromkeys(("low", "high"), checks.check_finite)
    removes = True
    REMEDY = "Convert it with x.astype('float32') or x.float(), or give whole `low` and `high`."

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The values that may replace an integer: low and high, if both are whole."""
        values = (self.low, self.high)
        return values if all(value.is_integer() for value in values) else None

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no element is ever replaced."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the elements that stay, and the values of the others."""
        fill = draws.where(draws.keep(0.5, number=1), self.high, self.low)
        return Field(keep=draws.keep(rate), gain=draws.unit_gain(rate), fill=fill)
