"""Cells of a file: what is missing, what is a number, what is text; and a table of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "MISSING",
    "Cells",
    "Table",
    "Words",
    "as_number",
    "label",
    "labels",
    "numbers",
    "of_numbers",
]

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "None", "?"})


@dataclass(frozen=True, slots=True)
class Cells:
    """One column of a file: numbers (floating, rank >= 1), booleans or text, and what is missing.

    Parameters
    ----------
    values : ndarray
        (rows, ...), floating or bool; or `str` objects, (rows,). Anything where it is missing.
    missing : ndarray
        bool, (rows,).
    """

    values: np.ndarray
    missing: np.ndarray

    @property
    def text(self) -> bool:
        """Whether these are text."""
        return self.values.dtype == object


@dataclass(frozen=True, slots=True)
class Table:
    """What all three kinds of file are read into: columns by name.

    The names are read at once, cells when they are asked for: what is wrong with the names is told
    before a long file is read.

    Parameters
    ----------
    what : str
        How sentences call the file, as "the data file".
    path : str
        As the user gave it.
    names : tuple of str
        The columns, in the file's order.
    cells : callable
        ``cells(name)``, the cells of one column: what is not asked for may be unfit to read.
    lines : callable or None
        Of CSV, ``lines()``, the line where each row begins, from 1.
    arrays : bool
        Whether the columns are arrays, which have any rank.
    """

    what: str
    path: str
    names: tuple[str, ...]
    cells: Callable[[str], Cells]
    lines: Callable[[], np.ndarray] | None = None
    arrays: bool = False

    def place(self, row: int) -> str:
        """Return how a sentence names a row: by its line, or by its number from 0."""
        if self.lines is None:
            return f"row {row} (from 0) of '{self.path}'"
        return f"line {self.lines()[row]} of '{self.path}'"


class Words(dict[str, str]):
    """Cells of text, stripped, each word kept once; what is missing is the empty word."""

    def __missing__(self, cell: str) -> str:
        """Strip a cell that comes for the first time."""
        word = cell.strip()
        self[cell] = word = "" if word in MISSING else word
        return word

    def cells(self, texts: Iterable[str | None]) -> Cells:
        """Return the cells of a column of text; None is missing."""
        words = [self["" if text is None else text] for text in texts]
        values = np.empty(len(words), object)
        values[:] = words
        return Cells(values, values == "")


def of_numbers(values: np.ndarray) -> Cells:
    """Return the cells of a floating or boolean array, (rows, ...); a row with NaN is missing."""
    if values.dtype == bool:
        return Cells(values, np.zeros(len(values), bool))
    return Cells(values, np.isnan(values).any(axis=tuple(range(1, values.ndim))))


def as_number(cell: str) -> float | None:
    """Return the number that a cell shows, or None: a sign, digits, a point, an exponent."""
    # float() would also take 1_000, and the digits of any script.
    if "_" in cell or not cell.isascii():
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Return cells as float64, NaN where missing; None if one of them is text."""
    whole = "".join(cells)
    if whole.isascii() and "_" not in whole:
        try:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
    found = np.empty(len(cells))
    for i, cell in enumerate(cells):
        number = float("nan") if cell.strip() in MISSING else as_number(cell)
        if number is None:
            return None
        found[i] = number
    return found


def labels(values: np.ndarray) -> list[str]:
    """Return values as text: a whole number without its point, False and True as these words."""
    if values.dtype == object:
        return list(values)
    return [label(value) for value in values.tolist()]


def label(value: float | bool) -> str:
    """Return the text of one value."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
