"""SpanMask: spans along axes removed, or boxes where there are several axes."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import axes as named
from .. import checks
from ..draws import Draws, Field
from ..engine import Array
from ..errors import InvalidValue
from ..kind import Check, Kind
from ..philox import threshold
from ..schedule import Schedule
from ..spatial import check_extents, cover, draw_places, draw_unit, find_extents, find_spatial
from ..window import Window
from ..words import got


def check_spans(name: str, value: Any) -> int:
    """Return a number of spans, at least 1."""
    count = checks.check_whole(name, value, 16)
    if count < 1:
        raise InvalidValue(f"`{name}` must be a whole number >= 1; {got(value)}.")
    return count


@dataclass(frozen=True, slots=True)
class SpanMask(Kind):
    """Removes spans of neighbours along an axis; along several axes, boxes.

    A span has a random length from 0 to `size` and lies inside, as SpecAugment masks time and
    frequency. Without `vary` it has the length `size` and its middle is anywhere, so that the
    edges cut it, as cutout does. Survivors are not scaled.

    Parameters
    ----------
    p : float or Schedule
        Probability that a span is removed at all, in [0, 1]. 0 returns the input itself.
    size : int or sequence of int
        The greatest length of a span, one for all of `axes` or one for each; at least 1.
    count : int
        The number of spans, which may overlap; at least 1.
    vary : bool
        Whether lengths are random.
    fill : float
        What removed elements become.
    axes : int, sequence of int, or slice
        The axes of the spans: -1 for the last; ``slice(2, None)`` for squares in channels-first
        images. None of them may be the sample axis.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Other axes along which one span is shared: 1 for all frequencies of (samples, frequencies,
        times), or for all channels of images. Along the rest, each index has its own spans.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is of the wrong type or out of bounds; at the call, if an axis of the spans
        is shared or the sample axis, or x is integer and cannot hold `fill`.

    Notes
    -----
    Tier: exact. A removed element has gradient 0.

    References
    ----------
    Park et al. (2019), SpecAugment. DeVries, Taylor (2017), Improved regularization of
    convolutional neural networks with cutout.

    Examples
    --------
    >>> import noisegate as ng
    >>> key = ng.Stream(13).site(":in").at(0)
    >>> times = ng.SpanMask(1.0, size=4, count=2, shared_axes=1)
    >>> ng.mask(times, (2, 80, 12), key)[:, 0].astype(int)
    array([[1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1],
           [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]])
    """

    p: float | Schedule
    size: int | tuple[int, ...]
    count: int = 1
    _: KW_ONLY
    vary: bool = True
    fill: float = 0.0
    axes: Any = (-1,)
    shared_axes: Any = ()

    RATE = "p"
    CHECKS: ClassVar[Mapping[str, Check]] = {
        "size": check_extents,
        "count": check_spans,
        "vary": checks.check_flag,
        "fill": checks.check_finite,
        "axes": named.store,
    }
    removes = True

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The value that may replace an integer: the fill, if it is whole."""
        return (self.fill,) if self.fill.is_integer() else None

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that nothing is ever removed."""
        return threshold(rate) == 0

    def check_window(self, window: Window) -> None:
        """Raise if there are no axes for the spans, or if `size` has another number of extents."""
        self._find_sizes(window)

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the elements outside of all spans."""
        sizes = self._find_sizes(draws.window)
        places = draw_places(draws, list(sizes))
        keep = None
        for span in range(self.count):
            number = span * (1 + 2 * len(sizes))
            spans = {
                axis: self._draw_span(places, number + 1 + 2 * i, size, draws.window.shape[axis])
                for i, (axis, size) in enumerate(sizes.items())
            }
            outside = places.keep(rate, number) | ~cover(draws, spans)
            keep = outside if keep is None else keep & outside
        return Field(keep=keep, gain=draws.unit_gain(rate), fill=self.fill)

    def _draw_span(self, places: Draws, number: int, size: int, extent: int) -> tuple[Array, Any]:
        """Return the first index of a span along an axis, and its length."""
        if not self.vary:
            middle = draw_unit(places, number + 1) * float(extent) // 1
            return middle - float(size // 2), float(size)
        length = draw_unit(places, number) * float(min(size, extent) + 1) // 1
        return draw_unit(places, number + 1) * (float(extent + 1) - length) // 1, length

    def _find_sizes(self, window: Window) -> dict[int, int]:
        """Return the greatest length of a span on each of its axes."""
        return find_extents("size", self.size, find_spatial(self.axes, self.shared, window))
