"""The part of the global field that an array holds, and its addresses: rows and offsets."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any, Literal

from . import axes as named
from . import checks
from .axes import ALL_BUT_SAMPLES, Axes
from .errors import InvalidType, InvalidValue
from .words import got

OFFSET_BITS, ROW_BITS = 35, 64

# Attention probabilities (batch, head, query, key) have their own addresses: a query takes
# 2**KEY_BITS offsets. So no element's address changes when queries or keys are added at the end.
ATTENTION: Literal["attention"] = "attention"
QUERY_BITS, KEY_BITS = 18, 17

SampleAxis = int | Literal["attention"] | None


class DefaultAxis(int):
    """The sample axis 0 as a default: arrays of rank 0 and 1 then have no sample axis."""

    __slots__ = ()

    def __reduce__(self) -> str:
        """Return the name of the one object: copies are the same, so that `is` finds them."""
        return "DEFAULT_AXIS"


# Where time steps are samples of their own, step t of a row is the sample row · 2²⁰ + t.
TIME_BITS = 20

DEFAULT_AXIS = DefaultAxis(0)


@dataclass(frozen=True, slots=True)
class Window:
    """A block of the global noise field.

    Attributes
    ----------
    shape : tuple of int
        Global noise shape: the whole input's shape, with every shared axis set to 1.
    sample_axis : int or None
        The axis whose index, or id, is the row; None without a sample axis, or if it is shared.
    rows : range or tuple of int
        Row of each local sample, in [0, 2⁶⁴); ``range(1)`` without a sample axis.
    start : tuple of int
        First global index on each axis; 0 on the sample axis, where `rows` hold the indices.
    extent : tuple of int
        Local noise shape.
    form : tuple of int, optional
        The array's own local noise shape, if several of its axes together are the sample axis.
    steps : tuple of int
        Steps to read at once, along an axis before the others; empty to read the key's step.
    """

    shape: tuple[int, ...]
    sample_axis: int | None
    rows: range | tuple[int, ...]
    start: tuple[int, ...]
    extent: tuple[int, ...]
    form: tuple[int, ...] | None = None
    steps: tuple[int, ...] = ()

    @property
    def offset_axes(self) -> tuple[int, ...]:
        """Return the axes that the offset counts over: all but the sample axis."""
        return tuple(axis for axis in range(len(self.shape)) if axis != self.sample_axis)

    @property
    def strides(self) -> tuple[int, ...]:
        """Return by how much the offset grows along each of the `offset_axes`, in C order."""
        extents = [self.shape[axis] for axis in self.offset_axes]
        return tuple(prod(extents[i + 1 :]) for i in range(len(extents)))

    @property
    def runs(self) -> tuple[tuple[int, int, int], ...]:
        """Return (start, extent, stride) of the offset for each of the `offset_axes`."""
        return tuple(
            (self.start[axis], self.extent[axis], stride)
            for axis, stride in zip(self.offset_axes, self.strides, strict=True)
        )

    @property
    def count(self) -> int:
        """Return the number of local elements of one row."""
        return prod(self.extent[axis] for axis in self.offset_axes)

    @property
    def first(self) -> int:
        """Return the offset of the first local element of a row."""
        return sum(start * stride for start, _, stride in self.runs)

    def pad(self, more: Mapping[int, int]) -> "Window":
        """Return the window with `more[axis]` added to its extents, global and local."""

        def add(extents: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(extent + more.get(axis, 0) for axis, extent in enumerate(extents))

        shape, extent = add(self.shape), add(self.extent)
        return _check_size(Window(shape, self.sample_axis, self.rows, self.start, extent))

    def whole(self) -> "Window":
        """Return the window that holds the same samples in full."""
        extent = tuple(
            local if axis == self.sample_axis else whole
            for axis, (local, whole) in enumerate(zip(self.extent, self.shape, strict=True))
        )
        return Window(self.shape, self.sample_axis, self.rows, (0,) * len(extent), extent)

    @property
    def contiguous(self) -> bool:
        """Return whether the local offsets of a row are consecutive numbers."""
        if self.count == 0:
            return True
        # Offsets are distinct, so they are consecutive if they span no more numbers than there are.
        last = sum(stride * (start + extent - 1) for start, extent, stride in self.runs)
        return last - self.first + 1 == self.count


def resolve_sample_axis(axis: Any, shape: Sequence[int]) -> int | None:
    """Return the sample axis as a number, or None, which is the default for ranks 0 and 1."""
    if axis is None or (isinstance(axis, DefaultAxis) and len(shape) < 2):
        return None
    try:
        if isinstance(axis, bool):
            raise TypeError
        number = index(axis)
    except TypeError:
        raise InvalidType(
            f"`sample_axis` must be a whole number, None or {ATTENTION!r}; {got(axis)}."
        ) from None
    return named.resolve("sample_axis", number, shape)


def resolve_shared(shared_axes: Axes, shape: Sequence[int], sample_axis: Any) -> frozenset[int]:
    """Return the shared axes as numbers >= 0, for an input of this shape."""
    if shared_axes != ALL_BUT_SAMPLES:
        return named.resolve_all("shared_axes", shared_axes, shape)
    # In an array of rank 1 each number is a sample, although the default axis gives it no rows.
    first = sample_axis == ATTENTION or isinstance(sample_axis, DefaultAxis)
    samples = 0 if first else resolve_sample_axis(sample_axis, shape)
    return frozenset(axis for axis in range(len(shape)) if axis != samples)


def window_of(
    shape: tuple[int, ...],
    shared_axes: Axes = (),
    rows: Any = None,
    sample_axis: Any = DEFAULT_AXIS,
    *,
    select: bool = False,
) -> Window:
    """Return the window of an array of the given shape.

    With `select`, `shape` is the whole field's, and `rows` choose or replace its samples.
    Otherwise `shape` is the array's own, and `rows` name its samples.
    """
    shared = resolve_shared(shared_axes, shape, sample_axis)
    if sample_axis == ATTENTION:
        return _attention(shape, shared, rows, select)
    axis = resolve_sample_axis(sample_axis, shape)
    if axis is None and rows is not None:
        raise InvalidValue(
            f"`rows` was given, but the input of shape {tuple(shape)} has no sample axis. "
            "Name one with sample_axis=0, or leave out `rows`."
        )
    ids: range | tuple[int, ...] = range(1)
    if axis is not None:
        ids = _select_rows(rows, shape[axis]) if select else _rows(rows, shape[axis])
        shape = (*shape[:axis], len(ids), *shape[axis + 1 :])
    if axis in shared:
        # The decision that all samples share is at row 0, whichever samples the array holds.
        axis, ids = None, range(1)
    noise_shape = tuple(1 if i in shared else extent for i, extent in enumerate(shape))
    return _check_size(Window(noise_shape, axis, ids, (0,) * len(shape), noise_shape))


def _attention(shape: tuple[int, ...], shared: frozenset[int], rows: Any, select: bool) -> Window:
    """Return the window of attention probabilities: all axes but the last two make the rows."""
    if len(shape) < 3 or shape[-2] > 2**QUERY_BITS or shape[-1] > 2**KEY_BITS:
        raise InvalidValue(
            "what an attention holds must have shape (batch, head, query, key), or the first "
            f"two as one, of at most {2**QUERY_BITS} queries and {2**KEY_BITS} keys; "
            f"got {tuple(shape)}."
        )
    if select:
        ids = _select_rows(rows, shape[0])
        shape, heads = (len(ids), *shape[1:]), shape[1:-2]
    else:
        # Where heads are merged with the batch, the number of ids tells how many heads there are.
        count = len(rows) if len(shape) == 3 and isinstance(rows, Sized) else 0
        split = (count, shape[0] // count) if count and shape[0] % count == 0 else shape[:-2]
        ids, heads = _rows(rows, split[0]), split[1:]
    form = tuple(1 if axis in shared else extent for axis, extent in enumerate(shape))
    heads = form[1:-2] if len(shape) > 3 or 0 in shared else heads
    numbers = rows_of(expand_rows(range(1) if 0 in shared else ids, prod(heads)))
    # The largest field, whatever the array's size, so that padding changes no address.
    whole = (len(numbers), 1 << QUERY_BITS, 1 << KEY_BITS)
    extent = (len(numbers), *form[-2:])
    return _check_size(Window(whole, 0, numbers, (0, 0, 0), extent, form))


def expand_rows(samples: Sequence[int], each: int) -> range | tuple[int, ...]:
    """Return the rows of parts of samples, `each` for a sample: heads, windows or tokens."""
    if isinstance(samples, range) and samples.step == 1:
        # A range stays a range: engines read it as two numbers, however long it is.
        return range(samples.start * each, samples.stop * each)
    return tuple(row * each + place for row in samples for place in range(each))


def _check_size(window: Window) -> Window:
    """Return the window, or raise if a sample has more than 2**35 elements."""
    total = prod(window.shape[axis] for axis in window.offset_axes)
    if total > 2**OFFSET_BITS:
        raise InvalidValue(
            f"a sample must have at most 2**35 elements; got {total}. "
            "Split the input over the sample axis, or name another sample_axis."
        )
    return window


def local_shape(shape: tuple[int, ...], rows: Any, sample_axis: Any) -> tuple[int, ...]:
    """Return the shape of the part of a field that `rows` select."""
    axis = 0 if sample_axis == ATTENTION else resolve_sample_axis(sample_axis, shape)
    if axis is None:
        return shape
    return (*shape[:axis], len(_select_rows(rows, shape[axis])), *shape[axis + 1 :])


def _rows(rows: Any, extent: int) -> range | tuple[int, ...]:
    """Return the row of each of an array's `extent` samples."""
    if rows is None:
        return range(extent)
    ids = rows_of(read_slice(rows, extent) if isinstance(rows, slice) else rows)
    if len(ids) != extent:
        raise InvalidValue(rows_count(len(ids), extent))
    return ids


def read_slice(rows: slice, extent: int) -> range:
    """Return the rows that a slice gives to `extent` samples."""
    start = checks.check_whole("rows", 0 if rows.start is None else rows.start, ROW_BITS)
    step = 1 if rows.step is None else rows.step
    stop = start + step * extent if rows.stop is None else rows.stop
    if step < 1 or stop < 0:
        raise InvalidValue(
            "`rows` as a slice must have a start >= 0 and a step >= 1 at a call; "
            f"{got(rows)}. Write for example slice(32, 64)."
        )
    return range(start, stop, step)


def rows_count(count: int, extent: int) -> str:
    """Return the sentence for a number of ids that differs from the number of samples."""
    return f"`rows` must name each of the {extent} samples of the input once; got {count} rows."


def _select_rows(rows: Any, extent: int) -> range | tuple[int, ...]:
    """Return the rows that `rows` choose from a field of `extent` samples."""
    if rows is None:
        return range(extent)
    if isinstance(rows, slice):
        return range(extent)[rows]
    return rows_of(rows)


def rows_of(rows: Any) -> range | tuple[int, ...]:
    """Return ids of samples as whole numbers in [0, 2⁶⁴)."""
    if isinstance(rows, range):
        # Its two ends bound all of it, so a long range costs no loop.
        ends = (rows[0], rows[-1]) if len(rows) else ()
        for row in ends:
            checks.check_whole("rows", row, ROW_BITS)
        return rows
    # Every array library has `tolist`, which gives Python numbers on the host.
    values = rows.tolist() if hasattr(rows, "tolist") else rows
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidType(
            f"`rows` must be a slice or a sequence of whole numbers in [0, 2**64); {got(rows)}."
        )
    return tuple(checks.check_whole("rows", row, ROW_BITS) for row in values)
