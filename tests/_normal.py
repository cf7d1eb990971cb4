"""The normal quantile of spec/normal.md, read from its text, in 32-bit NumPy integers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Words = NDArray[np.uint32]
ROWS, OCTAVES, UNIT = 1024, 32, 2.0**-27
TEXT = Path(__file__).resolve().parents[1] / "spec" / "normal_table.txt"


def read_table() -> tuple[Words, Words, Words]:
    """Columns A, D and C of spec/normal_table.txt."""
    table = np.loadtxt(TEXT, dtype=np.uint32, comments="#", ndmin=2)
    if table.shape != (ROWS, 3):
        raise ValueError(f"{TEXT.name}: {ROWS} rows of 3 numbers are due, found {table.shape}")
    a, d, c = table.T.copy()
    return a, d, c


def locate(v: Words) -> tuple[NDArray[np.intp], Words]:
    """Row and fraction of each v. Nothing here or below needs more than 32 bits."""
    octave = (np.frexp(v.astype(np.float64))[1] - 1).astype(np.uint32)
    below_leading_one = (v << (np.uint32(31) - octave)) << np.uint32(1)
    row = np.uint32(32) * octave + (below_leading_one >> np.uint32(27))
    return row.astype(np.intp), (below_leading_one >> np.uint32(11)) & np.uint32(0xFFFF)


def at(row: NDArray[np.intp], f: Words, table: tuple[Words, Words, Words]) -> NDArray[np.int32]:
    """Magnitude, in units of 2**-27, at fraction f of a row."""
    a, d, c = table
    g = (f * (np.uint32(65535) - f)) >> np.uint32(16)
    return (a[row] - ((d[row] * f + c[row] * g) >> np.uint32(10))).view(np.int32)


def magnitude(v: Words, table: tuple[Words, Words, Words]) -> NDArray[np.int32]:
    """Magnitude, in units of 2**-27, of odd v."""
    return at(*locate(v), table)


def epsilon(w: Words, table: tuple[Words, Words, Words]) -> NDArray[np.float32]:
    """Normal number of each 32-bit word."""
    size = magnitude((w << np.uint32(1)) | np.uint32(1), table)
    signed = np.where(w >> np.uint32(31) == 1, -size, size)
    return signed.astype(np.float32) * np.float32(UNIT)


def true_magnitude(v: NDArray[np.generic]) -> NDArray[np.float64]:
    """Quantile at tail probability v / 2**33, from SciPy."""
    return -np.asarray(ndtri(v.astype(np.float64) / 2.0**33))
