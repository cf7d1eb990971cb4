"""DropBlock: contiguous blocks removed. Rules: `spec/kinds.md`."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any, ClassVar

from .. import axes as named
from .. import checks, decimals
from ..draws import ALL, Draws, Field
from ..engine import Array
from ..kind import Check, Kind
from ..schedule import Schedule
from ..spatial import SPATIAL, check_extents, find_extents, find_spatial
from ..window import Window


@dataclass(frozen=True, slots=True)
class DropBlock(Kind):
    """Removes contiguous blocks of feature maps and scales the survivors.

    Each of the ``b^d`` blocks that could cover a position is removed with probability
    ``γ = 1 − (1 − p)^(1/b^d)``, also if it reaches over an edge. So every position, corners
    included, is removed with probability p, and keeps its mean.

    Parameters
    ----------
    p : float or Schedule
        Share of positions that is removed, in [0, 1]; the keep probability of the paper and of
        NeuPy is 1 − p. 0 returns the input itself; 1 returns zeros. Never an array.
    block_size : int or sequence of int
        Extent of a block, one for all spatial axes or one for each; at least 1, odd or even,
        smaller or larger than the map.
    axes : int, sequence of int, or slice
        The spatial axes; ``slice(2, None)`` for channels-first data, ``slice(1, -1)`` for
        channels-last. None of them may be the sample axis.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared; the channel axis for blocks through all channels.
    normalize : {"expected", "sample"}
        "expected" divides survivors by their expected share, which preserves the mean at every
        position. "sample" divides by each sample's own share, as the paper does for a batch. Then
        each sample's scaled mask has mean 1, and the mean at a position is biased.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is of the wrong type or out of bounds; at the call, if the input has no
        spatial axis, or a spatial axis is shared or the sample axis.

    Notes
    -----
    Tier: exact. No sample depends on another, whatever `normalize` is. A sample without survivors
    is zeros.

    References
    ----------
    Ghiasi, Lin, Le (2018), DropBlock: a regularization method for convolutional networks.

    Examples
    --------
    >>> import noisegate as ng
    >>> key = ng.Stream(13).site("conv1:out").at(0)
    >>> ng.mask(ng.DropBlock(0.3, block_size=3), (1, 1, 6, 12), key)[0, 0].astype(int)
    array([[1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]])
    """

    p: float | Schedule
    block_size: int | tuple[int, ...]
    axes: Any = SPATIAL
    _: KW_ONLY
    shared_axes: Any = ()
    normalize: str = "expected"

    RATE = "p"
    CHECKS: ClassVar[Mapping[str, Check]] = {
        "block_size": check_extents,
        "axes": named.store,
        "normalize": checks.make_choice_check("expected", "sample"),
    }
    removes = True
    takes_live = False

    def check_window(self, window: Window) -> None:
        """Raise if there are no spatial axes, or if the block has another number of extents."""
        self._sizes(window)

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the survivors and their scale."""
        sizes = self._sizes(draws.window)
        t = decimals.any_of(rate, prod(sizes.values()))
        if self.normalize == "expected":
            keep = self._keep(draws, t, sizes)
            positions = prod(sizes.values())
            scales = 0 < t < ALL
            gain = decimals.inverse_power(t, positions, draws.digits) if scales else None
            return Field(keep=keep, gain=gain)
        # A sample's own share counts all of it, though the array may hold a part.
        whole = self._keep(draws.over(draws.window.whole()), t, sizes)
        counted = tuple(axis for axis in range(whole.ndim) if axis != draws.window.sample_axis)
        kept = draws.engine.sum(whole, counted)
        every = float(prod(whole.shape[axis] for axis in counted))
        kept = draws.engine.clip(kept, 1.0, float("inf"))
        # Array over array: for a number over an array, libraries may multiply by the inverse, which
        # rounds twice.
        gain = draws.round((kept * 0 + every) / kept)
        return Field(keep=_part(whole, draws.window), gain=gain)

    def _keep(self, draws: Draws, t: int, sizes: Mapping[int, int]) -> Array:
        """Return where no block removes an element: a seed at s removes s − block + 1 … s."""
        # Seeds beyond the far edge remove elements before it, so the window is padded.
        more = {axis: size - 1 for axis, size in sizes.items()}
        keep = draws.over(draws.window.pad(more)).keep(t / ALL)
        for axis, size in sizes.items():
            keep = draws.all_of_next(keep, axis, size)
        return keep

    def _sizes(self, window: Window) -> dict[int, int]:
        """Return the extent of a block on each spatial axis."""
        spatial = find_spatial(self.axes, self.shared, window)
        return find_extents("block_size", self.block_size, spatial)


def _cut(values: Array, axis: int, part: slice) -> Array:
    return values[(slice(None),) * axis + (part,)]


def _part(whole: Array, window: Window) -> Array:
    """Return a window's part of whole samples."""
    for axis in window.offset_axes:
        start, extent = window.start[axis], window.extent[axis]
        whole = _cut(whole, axis, slice(start, start + extent))
    return whole
