"""From addresses to lanes: Philox blocks for any array library that has 64-bit integers.

Words are int64, and only their low 32 bits count. A product that overflows wraps, which keeps its
low 64 bits. A right shift of int64 copies the sign, so a mask follows it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .engine import Array, Engine
from .keys import Key
from .philox import MULTIPLIERS, ROUNDS, WEYL, WORD
from .window import Window

# Lanes are stored as int16, minus 2¹⁵, since not every library compares uint16.
BIAS = 1 << 15


def philox(
    block: Array, low: Array, high: Array, step: int | Array, key: tuple[int, int]
) -> tuple[Array, Array, Array, Array]:
    """Return the four words of every counter (block, low, high, step), as int64.

    The shapes broadcast. With rows as a column and blocks as a row, the first two rounds work on
    these instead of on all pairs.
    """
    c0, c1, c2, c3 = block, low, high, step
    k0, k1 = key
    for turn in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        even, odd = product1 >> 32, product0 >> 32
        # In place saves memory traffic; in the first rounds shapes still grow by broadcasting.
        if turn < 2:
            even, odd = even ^ c1, odd ^ c3
        else:
            even ^= c1
            odd ^= c3
        even ^= k0
        even &= WORD
        odd ^= k1
        odd &= WORD
        # The low words keep garbage above 32 bits, which the next mask removes, or the packing.
        c0, c1, c2, c3 = even, product1, odd, product0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3


@dataclass(frozen=True, slots=True)
class Chunk:
    """The blocks of one pass: a column of rows by a row of block numbers.

    `low` and `high` are the words of the rows. `step` is one number, or a column beside the rows.
    """

    engine: Engine
    low: Array
    high: Array
    blocks: Array
    step: int | Array
    key: Callable[[int], tuple[int, int]]

    def lanes(self, plane: int) -> Array:
        """Return biased lanes, shape (rows, 8 · blocks)."""
        words = philox(self.blocks, self.low, self.high, self.step, self.key(plane))
        return self.engine.pack(words).reshape(len(self.low), -1)

    def lanes_of(self, plane: int, row: Array, block: Array) -> Array:
        """Return the biased lanes of single blocks, at (row, block): shape (blocks, 8)."""
        counters = self.blocks[0][block], self.low[row, 0], self.high[row, 0]
        step = self.step if isinstance(self.step, int) else self.step[row, 0]
        return self.engine.pack(philox(*counters, step, self.key(plane)))

    def u32(self, number: int) -> Array:
        """Return every element's u32 for its random number `number`, as int64."""
        high = self.engine.cast(self.lanes(2 * number), "int64")
        high += BIAS
        high <<= 16
        low = self.engine.cast(self.lanes(2 * number + 1), "int64")
        low += BIAS
        high |= low
        return high

    def compare(self, number: int, threshold: int) -> Array:
        """Return where u32 < threshold < 2³²; the low plane decides only where high halves tie."""
        top, bottom = threshold >> 16, threshold & 0xFFFF
        if bottom and not self.engine.lazy:
            # To look for ties, the host would have to wait for an accelerator.
            return self.u32(number) < threshold
        lanes = self.lanes(2 * number)
        result = lanes < top - BIAS
        if not bottom:
            return result
        ties = lanes == top - BIAS
        # The eight bools of a block are read as one int64, so the search is eight times shorter.
        row, block = self.engine.nonzero(self.engine.bits(ties))
        if len(row):  # a tie is one element in 65,536
            shape = (len(self.low), -1, 8)
            decided = self.lanes_of(2 * number + 1, row, block) < bottom - BIAS
            result.reshape(shape)[row, block] |= ties.reshape(shape)[row, block] & decided
        return result


def read(
    engine: Engine,
    window: Window,
    key: Key,
    kind: str,
    dtype: str,
    function: Callable[[Chunk], Array],
) -> Array:
    """Apply `function` to every chunk of a window; return the results in the local noise shape."""
    blocks, pick = _find_blocks(engine, window)
    low, high, step = _make_counters(engine, window, key)
    passes = list(_split_passes(len(low), len(blocks), engine.blocks_per_pass))
    parts = (
        Chunk(
            engine,
            low[r],
            high[r],
            blocks[b].reshape(1, -1),
            step if isinstance(step, int) else step[r],
            lambda plane: key.plane(kind, plane),
        )
        for r, b in passes
    )
    if len(passes) == 1:  # saves the copy
        result = function(next(parts))
    else:
        result = engine.empty((len(low), 8 * len(blocks)), dtype)
        for (r, b), chunk in zip(passes, parts, strict=True):
            result[r, 8 * b.start : 8 * b.stop] = function(chunk)
    return _shape_as(engine, window, pick(result))


def _make_counters(engine: Engine, window: Window, key: Key) -> tuple[Array, Array, int | Array]:
    """Return the low and the high words of rows, as columns, and the step, or a column of steps."""
    low, high = make_column(engine, window.rows, 0), make_column(engine, window.rows, 32)
    if not window.steps:
        return low, high, key.step
    # Each step repeats all rows, so that the steps become the first axis of the result.
    count = len(window.rows)
    index = engine.integers(range(count * len(window.steps)))
    row, step = index % count, index // count
    return low[row], high[row], engine.integers(window.steps).reshape(-1, 1)[step]


def make_column(engine: Engine, ids: range | tuple[int, ...], shift: int) -> Array:
    """Return the words of rows, as a column: the low ones for a shift of 0, the high for 32."""
    if not ids:
        return engine.integers(()).reshape(-1, 1)
    # Rows of 2⁶³ or more do not fit int64: Python splits them into words.
    if isinstance(ids, range) and max(ids.start, ids.stop) < 1 << 63:
        return (engine.integers(ids) >> shift & WORD).reshape(-1, 1)
    words = tuple(row >> shift & WORD for row in ids)
    return engine.integers(words).reshape(-1, 1)


def _find_blocks(engine: Engine, window: Window) -> tuple[Array, Callable[[Array], Array]]:
    """Return the blocks of a row of the window, and a function that picks its elements' lanes."""
    first, count, runs = window.first, window.count, window.runs
    if window.contiguous:
        start = first >> 3
        stop = (first + count + 7) >> 3 if count else start
        part = slice(first & 7, (first & 7) + count)
        return engine.integers(range(start, stop)), lambda lanes: lanes[:, part]
    *outer, (begin, extent, step) = runs
    if step == 1 and not any(stride & 7 for _, _, stride in outer):
        # All runs along the last axis lie alike within their blocks, as queries of attention do.
        start, stop = begin >> 3, (begin + extent + 7) >> 3
        width, part = 8 * (stop - start), slice(begin & 7, (begin & 7) + extent)
        blocks = _make_grid(
            engine, [*((i, n, s >> 3) for i, n, s in outer), (start, stop - start, 1)]
        )

        def pick(lanes: Array) -> Array:
            return lanes.reshape(len(lanes), len(blocks) * 8 // width, width)[:, :, part].reshape(
                len(lanes), count
            )

        return blocks, pick
    # Runs that begin anywhere may share blocks: each block is computed once.
    offsets = _make_grid(engine, runs)
    blocks, position = engine.unique(offsets >> 3)
    columns = (position << 3) + (offsets & 7)
    return blocks, lambda lanes: lanes[:, columns]


def _make_grid(engine: Engine, runs: Iterable[tuple[int, int, int]]) -> Array:
    """Return all sums of one (start + i) · stride from each run, with i < extent, in C order."""
    sums = engine.integers((0,))
    for start, extent, stride in runs:
        along = engine.integers(range(start * stride, (start + extent) * stride, stride))
        sums = (sums.reshape(-1, 1) + along).reshape(-1)
    return sums


def _split_passes(rows: int, blocks: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut (rows, blocks) into slices of at most `size` blocks each, whole rows where they fit."""
    if not rows or not blocks:
        return
    wide = min(blocks, size)
    tall = max(1, size // wide)
    for row in range(0, rows, tall):
        for block in range(0, blocks, wide):
            yield (
                slice(row, min(row + tall, rows)),
                slice(block, min(block + wide, blocks)),
            )


def _shape_as(engine: Engine, window: Window, field: Array) -> Array:
    """Return a field of shape (rows, offsets) in the local noise shape, steps first."""
    first = (len(window.steps),) if window.steps else ()
    if window.form is not None:
        return field.reshape((*first, *window.form))
    others = tuple(window.extent[axis] for axis in window.offset_axes)
    if window.sample_axis is None:
        return field.reshape((*first, *others))
    shaped = field.reshape((*first, len(window.rows), *others))
    if window.sample_axis == 0:
        return shaped
    order = list(range(1, len(window.extent)))
    order.insert(window.sample_axis, 0)
    skip = len(first)
    return engine.permute(shaped, [*range(skip), *(skip + axis for axis in order)])
