"""The quick part of a table of tests leaves out no entry of an axis, and no pair of entries."""

from itertools import combinations, product

import pytest

from _cells import choose_cells, mark_cells


@pytest.mark.parametrize("sizes", [(19, 4, 14), (22, 19, 4), (4, 4, 4), (5, 2, 2)])
def test_each_pair_of_entries_is_in_some_quick_cell(sizes: tuple[int, ...]) -> None:
    axes, every = [range(size) for size in sizes], min(sizes)
    quick = choose_cells(*axes, every=every)
    for i, j in combinations(range(3), 2):
        assert {(cell[i], cell[j]) for cell in quick} == {*product(axes[i], axes[j])}
    assert len(quick) == len({*quick}) <= -(-sizes[0] * sizes[1] * sizes[2] // every) + every


def test_every_cell_is_a_test_and_those_that_are_not_chosen_are_slow() -> None:
    found = mark_cells("ab", "xyz", every=2)
    assert [cell.values for cell in found] == [*product("ab", "xyz")]
    quick = [cell.values for cell in found if not cell.marks]
    assert quick == choose_cells("ab", "xyz", every=2) == [("a", "x"), ("a", "z"), ("b", "y")]
    assert {mark.name for cell in found for mark in cell.marks} == {"slow"}
