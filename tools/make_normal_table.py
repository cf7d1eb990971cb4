"""Make the table of the normal quantile: spec/normal_table.txt and core/normal_table.py.

spec/normal.md says what a row means. This script chooses the three integers of every row so that

* the magnitude never rises with v, across all rows (`lowest(row) >= A of the next row`);
* among such tables, the worst error over the table is as small as the search can make it;
* among these, the sum over rows of the mean square error is least.

Everything after the quantile itself is integer arithmetic, so the choice is reproducible.

    python tools/make_normal_table.py            # write both files
    python tools/make_normal_table.py --check    # exit 1 if either differs
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT / "spec" / "normal_table.txt"
MODULE = ROOT / "src" / "noisegate" / "core" / "normal_table.py"

ROWS = 1024
SAMPLES = 1024  # points of a row that the fit looks at; both ends are among them
FINE = 256  # errors are counted in 1/256 of a table unit (2**-27)
REACH = 96  # how far, in table units, an A may lie from its best value

Ints = NDArray[np.int64]


class Points(NamedTuple):
    """The points of a row: fractions, and the quantile at the first and last v of each."""

    f: Ints
    first: Ints
    last: Ints


class Shapes(NamedTuple):
    """Pairs (D, C) worth considering for one row, and the range that A has to cover."""

    slopes: Ints
    bows: Ints
    high: Ints  # most that A must reach, and least, in 1/FINE table units
    low: Ints
    centre: Ints  # middle of the two, in table units
    points: int  # moments of the points about the centre: their number, sum, sum of squares
    total: Ints
    square: Ints


class Candidates(NamedTuple):
    """Rows (A, D, C) worth considering for one place, their lowest values and their costs."""

    rows: Ints
    lowest: Ints
    cost: Ints


def quantile(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the magnitude of the normal quantile at tail probability v / 2**33, in table units."""
    return np.asarray(ndtri(v / 2.0**33) * -(2.0**27), dtype=np.float64)


def fine_quantile(v: Ints) -> Ints:
    """Return the quantile in 1/FINE table units, as integers."""
    return np.rint(quantile(v.astype(np.float64)) * FINE).astype(np.int64)


def occurring(i: int) -> Points:
    """Return the fractions that odd v reach in row i; the row's start if no v reaches it."""
    octave, segment = divmod(i, 32)
    if octave < 6:
        v = 2.0**octave * (1 + segment / 32)
        at = np.rint(quantile(np.array([v])) * FINE).astype(np.int64)
        return Points(np.zeros(1, np.int64), at, at)
    base = (32 + segment) << (octave - 5)
    count = min(1 << (octave - 6), 65536)
    width = (1 << (octave - 5)) // count
    m = np.rint(np.linspace(0, count - 1, min(count, SAMPLES))).astype(np.int64)
    first, last = base + m * width + 1, base + (m + 1) * width - 1
    f = ((first - base) << 21) >> octave
    return Points(f, fine_quantile(first), fine_quantile(last))


def slopes_and_bows(i: int) -> tuple[range, range]:
    """Return values of D and C around the chord of the row and the height of its bow."""
    octave, segment = divmod(i, 32)
    v = 2.0**octave * (1 + (segment + np.array([0, 0.5, 1])) / 32)
    start, middle, end = quantile(np.minimum(v, 2.0**32))
    slope = int((start - end) // 64)
    bow = max(0, round(((start + end) / 2 - middle) / 16))
    if octave < 7:  # at most one value occurs: nothing to choose
        return range(slope, slope + 1), range(bow, bow + 1)
    return range(slope - 1, slope + 3), range(max(0, bow - 4), bow + 6)


@cache
def shapes(i: int) -> Shapes:
    """Measure every pair of slope and bow on the points of row i."""
    points = occurring(i)
    f = points.f
    g = (f * (65535 - f)) >> 16
    slopes, bows = np.meshgrid(*map(np.array, slopes_and_bows(i)), indexing="ij")
    d, c = slopes.reshape(-1, 1), bows.reshape(-1, 1)
    below = FINE * ((d * f + c * g) >> 10)
    high, low = (below + points.first).max(axis=1), (below + points.last).min(axis=1)
    centre = (high + low) // (2 * FINE)
    aim = below + ((points.first + points.last) >> 1) - FINE * centre[:, None]
    return Shapes(d[:, 0], c[:, 0], high, low, centre, len(f), aim.sum(1), (aim**2).sum(1))


def candidates(i: int, bound: int) -> Candidates:
    """Return all rows for place i within `bound`, which is counted in 1/FINE table units.

    The bound holds for the float32 result, so half a unit of its last place is set aside.
    """
    shape = shapes(i)
    bits = int(shape.centre.max()).bit_length()
    spare = bound - (FINE << bits >> 25)
    offset = np.arange(-REACH, REACH + 1)
    a = shape.centre[:, None] + offset
    kept = (FINE * a >= shape.high[:, None] - spare) & (FINE * a <= shape.low[:, None] + spare)
    pair, place = np.nonzero(kept)
    gap = FINE * offset[place]
    cost = shape.points * gap**2 - 2 * gap * shape.total[pair] + shape.square[pair]
    rows = np.stack([a[pair, place], shape.slopes[pair], shape.bows[pair]], axis=1)
    lowest = rows[:, 0] - ((rows[:, 1] * 65535) >> 10)
    return Candidates(rows, lowest, cost * (SAMPLES // shape.points))


def follow(found: Candidates, ends: Ints, total: Ints) -> tuple[Candidates, Ints]:
    """Append each candidate to the cheapest table so far that ends no lower than it starts.

    `ends` and `total` are the lowest value and the cost of the tables so far. Return the candidates
    that can follow a table, with the cost of the whole, and the index of that table.
    """
    order = np.argsort(-ends, kind="stable")
    cheapest = np.minimum.accumulate(total[order])
    fresh = np.r_[True, cheapest[1:] < cheapest[:-1]]
    holder = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    reach = np.searchsorted(-ends[order], -found.rows[:, 0], side="right") - 1
    possible = reach >= 0
    reach = reach[possible]
    cost = found.cost[possible] + cheapest[reach]
    return Candidates(found.rows[possible], found.lowest[possible], cost), holder[reach]


def choose(bound: int) -> Ints | None:
    """Return the cheapest table that never rises and stays within `bound`, or None.

    Dynamic programming over the rows: the next row depends only on the cost of a table so far and
    on its lowest value.
    """
    steps: list[tuple[Ints, Ints]] = []
    ends, total = np.array([np.iinfo(np.int64).max]), np.zeros(1, np.int64)
    for i in range(ROWS):
        found, before = follow(candidates(i, bound), ends, total)
        steps.append((found.rows, before))
        ends, total = found.lowest, found.cost
        if not len(ends):
            return None
    above_zero = np.flatnonzero(ends > 0)
    if not len(above_zero):
        return None
    return trace(steps, int(above_zero[np.argmin(total[above_zero])]))


def trace(steps: list[tuple[Ints, Ints]], at: int) -> Ints:
    """Follow the predecessors back from candidate `at` of the last row."""
    table = np.empty((ROWS, 3), np.int64)
    for i in range(ROWS - 1, -1, -1):
        rows, before = steps[i]
        table[i], at = rows[at], int(before[at])
    return table


def make_table() -> Ints:
    """Bisect for the smallest bound (in eighths of a table unit) that a table can meet."""
    step = FINE // 8
    low, high = 0, REACH * 8
    best = choose(high * step)
    while high - low > 1:
        middle = (low + high) // 2
        table = choose(middle * step)
        low, high, best = (middle, high, best) if table is None else (low, middle, table)
    if best is None:
        raise RuntimeError("make_normal_table: no monotone table within the reach of the search")
    return best


def as_text(table: Ints) -> str:
    """Return the contents of spec/normal_table.txt."""
    head = (
        "# Normal quantile, 1024 rows `A D C`: row i = 32 * octave + segment, see normal.md.\n"
        "# magnitude * 2**27 = A - ((D * f + C * g) >> 10), g = (f * (65535 - f)) >> 16\n"
        "# Made by tools/make_normal_table.py.\n"
    )
    return head + "".join(f"{a} {d} {c}\n" for a, d, c in table.tolist())


def as_module(table: Ints) -> str:
    """Return the contents of src/noisegate/core/normal_table.py."""
    text = (
        '"""The table of spec/normal_table.txt, row by row.\n\n'
        "Made by tools/make_normal_table.py: do not edit. spec/normal.md says what it means.\n"
        '"""\n\n# fmt: off\n'
    )
    for column, name in enumerate("ADC"):
        numbers = [str(n) for n in table[:, column].tolist()]
        lines = [", ".join(numbers[i : i + 8]) for i in range(0, ROWS, 8)]
        text += f"{name}: tuple[int, ...] = (\n    " + ",\n    ".join(lines) + ",\n)\n"
    return text + "# fmt: on\n"


def main() -> int:
    """Write the two files, or compare them with the new contents."""
    parser = argparse.ArgumentParser(description="make the table of the normal quantile")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if different")
    check = parser.parse_args().check
    table = make_table()
    stale = 0
    for path, text in ((TEXT, as_text(table)), (MODULE, as_module(table))):
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} differs: run tools/make_normal_table.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
