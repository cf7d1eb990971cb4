"""Tables of tests: each cell is a test, and a part of them, spread evenly, is quick."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

Cell = tuple[Any, ...]


def choose_cells(*axes: Iterable[Any], every: int) -> list[Cell]:
    """Return one in `every` cells of a table.

    They are chosen by the sum of their places, as in a Latin square. So each pair of entries of
    two axes is among them if the third axis has at least `every` entries.
    """
    places = product(*(enumerate(axis) for axis in axes))
    return [
        tuple(entry for _, entry in cell)
        for cell in places
        if sum(place for place, _ in cell) % every == 0
    ]


def mark_cells(*axes: Iterable[Any], every: int) -> list[Any]:
    """Return all cells of a table as parameters, of which one in `every` is not slow."""
    lists = [list(axis) for axis in axes]
    quick = choose_cells(*lists, every=every)
    return [
        pytest.param(*cell, marks=() if cell in quick else pytest.mark.slow)
        for cell in product(*lists)
    ]
