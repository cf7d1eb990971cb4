"""RandomErasing: a rectangle of random size, shape and place erased."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import axes as named
from .. import checks
from ..draws import Draws, Field
from ..engine import Array
from ..errors import InvalidType, InvalidValue
from ..kind import Check, Kind
from ..philox import threshold
from ..schedule import Schedule
from ..spatial import SPATIAL, cover, draw_places, draw_unit, find_spatial
from ..window import Window
from ..words import got


def check_interval(name: str, value: Any) -> tuple[float, float]:
    """Return the two ends of an interval of finite numbers > 0, the lower one first."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise InvalidType(f"`{name}` must be a pair (lowest, highest); {got(value)}.")
    low, high = (checks.check_positive(name, end) for end in value)
    if low > high:
        raise InvalidValue(f"`{name}` must have its lowest number first; {got(value)}.")
    return low, high


@dataclass(frozen=True, slots=True)
class RandomErasing(Kind):
    """Erases a rectangle of random area, aspect ratio and place, in a sample with probability p.

    Its area is a share of the image's, uniform in `area`; its height over its width is uniform in
    `aspect`. Both sides are rounded, and held within 1 and the image's. The rectangle lies inside,
    at each such place with the same probability.

    Parameters
    ----------
    p : float or Schedule
        Probability that a rectangle is erased, in [0, 1]. 0 returns the input itself.
    area, aspect : (float, float)
        The lowest and highest share of the image's area, and ratio of height to width.
    fill : float
        What the elements of the rectangle become.
    axes : int, sequence of int, or slice
        The two spatial axes, height and width; ``slice(1, -1)`` for channels-last images. Neither
        may be the sample axis.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one rectangle is shared, besides the spatial ones: by default the channel
        axis 1. With ``shared_axes=()`` each channel has a rectangle of its own.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is of the wrong type or out of bounds; at the call, if x has not two spatial
        axes, one of them is shared or the sample axis, or x is integer and cannot hold `fill`.

    Notes
    -----
    Tier: exact. An erased element has gradient 0, and the others are not scaled. The paper draws
    again until a rectangle fits, while here its sides are held within the image: the same
    wherever all rectangles fit.

    References
    ----------
    Zhong, Zheng, Kang, Li, Yang (2020), Random erasing data augmentation.

    Examples
    --------
    >>> import noisegate as ng
    >>> key = ng.Stream(13).site(":in").at(0)
    >>> ng.mask(ng.RandomErasing(1.0), (1, 3, 6, 12), key)[0, 0].astype(int)
    array([[1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]])
    """

    p: float | Schedule = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    _: KW_ONLY
    fill: float = 0.0
    axes: Any = SPATIAL
    shared_axes: Any = (1,)

    RATE = "p"
    CHECKS: ClassVar[Mapping[str, Check]] = {
        "area": check_interval,
        "aspect": check_interval,
        "fill": checks.check_finite,
        "axes": named.store,
    }
    removes = True

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The value that may replace an integer: the fill, if it is whole."""
        return (self.fill,) if self.fill.is_integer() else None

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that nothing is ever erased."""
        return threshold(rate) == 0

    def check_window(self, window: Window) -> None:
        """Raise if there are not two spatial axes."""
        self._find_sides(window)

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the elements outside of the rectangle."""
        height, width = self._find_sides(draws.window)
        places = draw_places(draws, [height, width])
        extents = [float(draws.window.shape[axis]) for axis in (height, width)]
        area = _draw_between(places, 1, self.area) * (extents[0] * extents[1])
        aspect = _draw_between(places, 2, self.aspect)
        sides = draws.sqrt(area * aspect), draws.sqrt(area / aspect)
        spans = {}
        for i, (axis, extent, side) in enumerate(zip((height, width), extents, sides, strict=True)):
            side = draws.clip(draws.engine.round(side), 1.0, max(extent, 1.0))
            spans[axis] = draw_unit(places, 3 + i) * (extent + 1 - side) // 1, side
        keep = places.keep(rate) | ~cover(draws, spans)
        return Field(keep=keep, gain=draws.unit_gain(rate), fill=self.fill)

    def _find_sides(self, window: Window) -> list[int]:
        """Return the axes of height and width."""
        sides = find_spatial(self.axes, self.shared, window)
        if len(sides) != 2:
            raise InvalidValue(
                f"`axes` must name two spatial axes, height and width; got {tuple(sides)} of an "
                f"input of rank {len(window.shape)}. Use noisegate.SpanMask for other numbers."
            )
        return sides


def _draw_between(places: Draws, number: int, ends: tuple[float, float]) -> Array:
    """Return uniform numbers between two ends, in float64."""
    low, high = ends
    return draw_unit(places, number) * (high - low) + low
