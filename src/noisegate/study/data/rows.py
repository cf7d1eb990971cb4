"""One column of complete rows, and what its values look like."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .cells import as_number

__all__ = ["Rows", "count_numbers", "first_text", "is_codes", "mostly_numbers", "whole"]

CODES = 20
MOSTLY = 0.9


class Rows(NamedTuple):
    """One column without missing cells: its file, its name, and how to name a row of it."""

    path: str
    name: str
    values: np.ndarray
    place: Callable[[int], str]

    @property
    def text(self) -> bool:
        """Whether the values are text."""
        return self.values.dtype == object


def first_text(rows: Rows) -> int | None:
    """Return the first row of a text column that shows no number."""
    return next((i for i, cell in enumerate(rows.values) if as_number(cell) is None), None)


def count_numbers(rows: Rows) -> dict[float, int]:
    """Return the numbers among the cells of a text column, and how many cells are each."""
    counts: dict[float, int] = {}
    for word, count in Counter(rows.values).items():
        number = as_number(word)
        if number is not None:
            counts[number] = counts.get(number, 0) + count
    return counts


def mostly_numbers(rows: Rows) -> int:
    """Return how many cells of a text column are numbers, if nearly all are and no codes; or 0.

    Such a column is one of numbers with a bad row.
    """
    found = count_numbers(rows)
    count = sum(found.values())
    if not MOSTLY * len(rows.values) <= count < len(rows.values):
        return 0
    return 0 if is_codes(np.array(list(found))) else count


def is_codes(numbers: np.ndarray) -> bool:
    """Return whether numbers are few whole ones, as classes and categories are written."""
    return bool(whole(numbers).all()) and len(np.unique(numbers)) <= CODES


def whole(numbers: np.ndarray) -> np.ndarray:
    """Return which numbers are whole, and small enough to be told apart."""
    # From 2^53 on every float is whole, and two integers may have become one.
    return np.asarray((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**53))
