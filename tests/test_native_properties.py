"""Any kind on any array: the native engine's bits are those of the pure engines."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _native_cases import case_of, chance_by, chance_of
from _native_checks import ACTIONS, check, check_draw, check_part


@pytest.mark.parametrize("action", ACTIONS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_case(action: str, data: st.DataObject) -> None:
    check(case_of(chance_of(data), most=300), action)


@settings(max_examples=60)
@given(data=st.data())
def test_any_part_of_a_field(data: st.DataObject) -> None:
    check_part(case_of(chance_of(data), most=300))


@settings(max_examples=60)
@given(data=st.data())
def test_any_draw_of_a_part_of_a_field(data: st.DataObject) -> None:
    check_draw(case_of(chance_of(data), most=300))


@pytest.mark.parametrize(
    "what", [*ACTIONS, check_part, check_draw], ids=lambda what: getattr(what, "__name__", what)
)
def test_many_cases(what: Any) -> None:
    """More cases than hypothesis has time for, some of them larger than a tile."""
    chance, done = chance_by(11), 0
    for i in range(250):
        case = case_of(chance, most=20_000 if i % 10 == 0 else 2000)
        done += check(case, what) if isinstance(what, str) else what(case)
    assert done > 120
