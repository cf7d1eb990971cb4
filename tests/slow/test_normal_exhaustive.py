"""All 2**31 magnitudes of the normal table, and a sample of ten million words."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import kolmogorov, ndtr

from _normal import UNIT, epsilon, magnitude, read_table, true_magnitude

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_normal_table.py"
CHUNK = 1 << 21
LOW = np.uint64(0xFFFFFFFF)


def exact_dot(x, y):
    """Sum of the products of non-negative integers below 2**32, as a Python integer."""
    product = x.astype(np.uint64) * y.astype(np.uint64)
    return (int((product >> np.uint64(32)).sum()) << 32) + int((product & LOW).sum())


def runs(table):
    """Yield (first v, last v, rounded magnitude) of every run of equal magnitudes, in order of v.

    Every odd v is computed. The true quantile falls all along a run, so the error within it is
    largest at one of its ends: those two decide for all.
    """
    for start in range(1, 1 << 32, 2 * CHUNK):
        v = np.arange(start, start + 2 * CHUNK, 2, dtype=np.int64).astype(np.uint32)
        z = magnitude(v, table).astype(np.float32)
        ends = np.flatnonzero(np.r_[z[1:] != z[:-1], True])
        first = np.r_[0, ends[:-1] + 1]
        yield v[first], v[ends], z[first].astype(np.int64)


@pytest.mark.slow
def test_all_magnitudes():
    table = read_table()
    previous, worst, squares, second, fourth, count, values = 1 << 31, 0.0, 0.0, 0, 0, 0, 0
    for first, last, z in runs(table):
        assert z[0] <= previous
        assert np.diff(z).max(initial=-1) < 0  # equal neighbours are one run
        values += len(z) - int(z[0] == previous)
        previous = z[-1]

        size = (last.astype(np.int64) - first) // 2 + 1
        high = z * UNIT - true_magnitude(last)
        low = z * UNIT - true_magnitude(first)
        worst = max(worst, high.max(), -low.min())
        # The quantile is a straight line within a run, to far below its error.
        spread = (high - low) ** 2 / 12 * (size + 1) / np.maximum(size - 1, 1)
        squares += (size * (((high + low) / 2) ** 2 + spread)).sum()

        square = z * z
        top, bottom = square >> 30, square & (2**30 - 1)
        times_top, times_bottom = (exact_dot(size, part) for part in (top, bottom))
        second += (times_top << 30) + times_bottom
        fourth += weighted_fourth(size, top, bottom)
        count += int(size.sum())
    assert count == 2**31
    variance = second / 2**85  # 2**31 values in units of 2**-54
    kurtosis = fourth / 2**139 / variance**2
    print(f"\nworst {worst:.4g}, rms {(squares / count) ** 0.5:.4g}, magnitudes {values}")
    print(f"variance - 1 {variance - 1:.3g}, kurtosis - 3 {kurtosis - 3:.3g}")
    assert worst < 4.1e-7
    assert (squares / count) ** 0.5 < 1.1e-7
    assert abs(variance - 1) < 1e-9
    assert abs(kurtosis - 3) < 1e-7
    assert values == 16_768_082


def weighted_fourth(size, top, bottom):
    """Sum of size * (top * 2**30 + bottom)**2, as a Python integer."""
    total = 0
    for x, y, shift in ((top, top, 60), (top, bottom, 31), (bottom, bottom, 0)):
        product = x * y
        high, low = product >> 30, product & (2**30 - 1)
        total += ((exact_dot(size, high) << 30) + exact_dot(size, low)) << shift
    return total


@pytest.mark.slow
def test_ten_million_words():
    n = 10_000_000
    words = np.random.Generator(np.random.Philox(2)).integers(0, 2**32, n, dtype=np.uint32)
    x = np.sort(epsilon(words, read_table()).astype(np.float64))
    uniform = ndtr(x)
    rank = np.arange(n)
    distance = max((uniform - rank / n).max(), ((rank + 1) / n - uniform).max())
    chance = kolmogorov(distance * n**0.5)
    print(f"\nKolmogorov-Smirnov {distance:.3g}, p {chance:.3g}")
    assert chance > 1e-4
    for k, expected, sd in (
        (1, 0, 1),
        (2, 1, 2**0.5),
        (3, 0, 15**0.5),
        (4, 3, 96**0.5),
    ):
        z = ((x**k).mean() - expected) / sd * n**0.5
        print(f"moment {k}: {z:+.2f} sd")
        assert abs(z) < 4
    for bound in (1, 2, 3, 4, 4.5, 5):
        seen, p = int((np.abs(x) > bound).sum()), 2 * ndtr(-bound)
        print(f"beyond {bound}: {seen} of {n * p:.1f} expected")
        assert abs(seen - n * p) < 5 * (n * p * (1 - p)) ** 0.5 + 1


@pytest.mark.slow
def test_the_table_is_what_the_tool_makes():
    done = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
