"""The table of the normal quantile: spec and module agree, nothing rises, errors are small."""

import importlib
import re

import numpy as np
import pytest

from _normal import ROWS, TEXT, UNIT, at, epsilon, locate, magnitude, read_table, true_magnitude

TABLE = read_table()
WORST = 4.1e-7  # stated in spec/normal.md as 4.03e-7

# w, magnitude in units of 2**-27 before rounding, epsilon. The first four are the extremes.
KNOWN = (
    (0x00000000, 850666290, "0x1.95a11ap+2"),
    (0x7FFFFFFF, 28, "0x1.cp-23"),
    (0x80000000, 850666290, "-0x1.95a11ap+2"),
    (0xFFFFFFFF, 28, "-0x1.cp-23"),
    (0x00000001, 827644160, "0x1.8aa6c8p+2"),
    (0x00000010, 775142345, "0x1.719ddep+2"),
    (0x0000FFFF, 559630367, "0x1.0ada4p+2"),
    (0x00155555, 457602910, "0x1.b46776p+1"),
    (0x12345678, 196973357, "0x1.77b266p+0"),
    (0x3FFFFFFF, 90528505, "0x1.5956bep-1"),
    (0x40000000, 90528441, "0x1.5956aep-1"),
    (0x9E3779B9, 159030855, "-0x1.2f53c8p+0"),
    (0xDEADBEEF, 44597964, "-0x1.544166p-2"),
)


def lowest(table):
    """Value of each row at its last fraction, 65535, where the bow is 0."""
    a, d, _ = (column.astype(np.int64) for column in table)
    return a - ((d * 65535) >> 10)


def rises(table):
    """Rows that start higher than the row before them ends, or that rise inside."""
    a, d, c = (column.astype(np.int64) for column in table)
    return np.flatnonzero(np.r_[False, a[1:] > lowest(table)[:-1]] | (d < c))


def oracle(w):
    """The definition in Python integers: (magnitude, epsilon)."""
    v = (w << 1 | 1) % 2**32
    octave = v.bit_length() - 1
    fraction = (v << 32 - octave) % 2**32
    i, f = 32 * octave + (fraction >> 27), fraction >> 11 & 0xFFFF
    g = f * (65535 - f) >> 16
    a, d, c = (int(column[i]) for column in TABLE)
    size = a - (d * f + c * g >> 10)
    return size, float(np.float32(-size if w >> 31 else size)) * UNIT


def some_fractions(count):
    """Rows and v of the first and last member of `count` classes in every row that occurs."""
    for octave in range(32):
        segments = np.arange(32, dtype=np.int64)
        base = (1 << octave) + (segments << octave >> 5)
        width = max(1, (1 << octave) >> 5)
        classes = min(max(width >> 1, 1), 65536)
        m = np.unique(np.linspace(0, classes - 1, count).round().astype(np.int64))
        first = (base[:, None] + m * (width // classes)) | 1
        last = first if octave < 22 else first + width // classes - 2
        yield first.ravel().astype(np.uint32), last.ravel().astype(np.uint32)


def test_the_module_holds_the_text_of_the_spec():
    module = importlib.import_module("noisegate.core.normal_table")
    for name, column in zip("ADC", TABLE, strict=True):
        numbers = getattr(module, name)
        assert isinstance(numbers, tuple)
        assert numbers == tuple(column.tolist())


def test_everything_fits_32_bits():
    a, d, c = (column.astype(object) for column in TABLE)
    assert max(a) < 2**31
    assert max(d) < 2**16
    assert max(c) < 2**16
    assert max(d * 65535 + c * 16383) < 2**32  # 16383 is the largest g, at f = 32767
    f = np.arange(65536, dtype=np.int64)
    assert (f * (65535 - f)).max() < 2**32
    assert (f * (65535 - f) >> 16).max() == 16383


def test_nothing_rises_by_construction():
    """Within a row f + 1 adds D + C (g(f + 1) - g(f)) >= D - C; at an edge A follows the last."""
    f = np.arange(65536, dtype=np.int64)
    assert np.diff(f * (65535 - f) >> 16).min() >= -1
    assert rises(TABLE).size == 0
    assert lowest(TABLE)[-1] > 0  # so no magnitude is 0 and no sign is lost


@pytest.mark.parametrize("i", [0, 500, 1023])
def test_a_rise_is_seen(i):
    a, d, c = (column.copy() for column in TABLE)
    a[i] += 200
    c[1] = d[1] + 1
    assert rises((a, d, c)).tolist() == sorted({1, i} - {0})


@pytest.mark.parametrize("rows", [range(32), range(500, 516), range(600, 1024, 97), [1023]])
def test_nothing_rises_at_any_fraction_of_some_rows(rows):
    f = np.arange(65536, dtype=np.uint32)
    for i in rows:
        z = at(np.full(f.shape, i), f, TABLE)
        assert np.diff(z).max() <= 0
        assert z[-1] == lowest(TABLE)[i]


def test_no_step_between_rows_is_wide():
    """An edge is a step down of at most 1e-6, so of the order of the error and of f's own steps."""
    steps = lowest(TABLE)[:-1] - TABLE[0][1:].astype(np.int64)
    assert steps.min() >= 0
    assert steps.max() * UNIT < 1e-6


def test_worst_error_on_a_dense_sample():
    worst, seen = 0.0, np.zeros(ROWS, bool)
    for first, last in some_fractions(500):
        row, f = locate(first)
        seen[row] = True
        assert (locate(last)[0] == row).all()
        assert (locate(last)[1] == f).all()
        z = at(row, f, TABLE).astype(np.float32) * np.float32(UNIT)
        for v in (first, last):
            worst = max(worst, np.abs(z - true_magnitude(v)).max())
    # v is odd: octaves 0 to 4 have fewer values than rows, octave 5 reaches every second row.
    assert seen[32 * 6 :].all()
    assert 3e-7 < worst < WORST


@pytest.mark.parametrize(("w", "size", "value"), KNOWN)
def test_known_answers(w, size, value):
    word = np.array([w], np.uint32)
    assert oracle(w) == (size, float.fromhex(value))
    assert magnitude((word << np.uint32(1)) | np.uint32(1), TABLE).tolist() == [size]
    assert epsilon(word, TABLE).tolist() == [float.fromhex(value)]


def test_the_page_states_the_same_answers():
    page = TEXT.with_name("normal.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| 0x(\w{8}) \| ([\d,]+) \| (\S+) \|$", page, flags=re.MULTILINE)
    assert [(int(w, 16), int(m.replace(",", "")), e) for w, m, e in stated] == list(KNOWN)


def test_the_reference_gives_the_known_answers():
    reference = importlib.import_module("noisegate.core.philox")
    table = tuple(tuple(column.tolist()) for column in TABLE)
    for w, _, value in KNOWN:
        assert reference.normal(w, table).hex() == float.fromhex(value).hex()


def test_32_bit_integers_agree_with_python_integers():
    random = np.random.default_rng(20)
    words = random.integers(0, 2**32, 3000, dtype=np.uint32) >> random.integers(
        0, 32, 3000, dtype=np.uint32
    )
    words = np.r_[words, words | np.uint32(1 << 31)]
    assert epsilon(words, TABLE).tolist() == [oracle(int(w))[1] for w in words]


def test_the_sign_bit_only_turns_the_sign():
    words = np.random.default_rng(21).integers(0, 2**31, 10_000, dtype=np.uint32)
    assert (epsilon(words, TABLE) > 0).all()
    assert (epsilon(words | np.uint32(1 << 31), TABLE) == -epsilon(words, TABLE)).all()
