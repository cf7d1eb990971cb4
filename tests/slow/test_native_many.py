"""A hundred thousand cases: the native engine's bits are those of the pure engines."""

from collections.abc import Callable

import pytest

from _native_cases import Case, case_of, chance_by
from _native_checks import ACTIONS, check, check_draw, check_part

pytestmark = pytest.mark.slow

CASES = 100_000
CHECKS: list[Callable[[Case], bool]] = [
    *(lambda case, action=action: check(case, action) for action in ACTIONS),
    check_part,
    check_draw,
]
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_thousand_cases(part: int) -> None:
    """A tenth of them, each of which has a result that was compared."""
    chance, done, turn = chance_by(1000 + part), 0, 0
    while done < CASES // PARTS:
        case = case_of(chance, most=20_000 if turn % 50 == 0 else 1000)
        done += CHECKS[turn % len(CHECKS)](case)
        turn += 1
        # What is refused, and what has no parts, is not counted; it is not much.
        assert turn < 2 * CASES // PARTS
    assert done == CASES // PARTS
