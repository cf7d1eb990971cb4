"""Every sentence for bad input, word for word."""

from collections.abc import Callable
from typing import Any

import pytest

import _bad_draws
import _bad_kinds
import _bad_more_kinds
import _bad_numbers
import _bad_old
import _bad_places
import _bad_ports
import noisegate as ng
from _asserts import assert_sentence

FILES = (
    *(_bad_draws, _bad_kinds, _bad_more_kinds, _bad_numbers),
    *(_bad_old, _bad_places, _bad_ports),
)
CASES = [case for file in FILES for case in file.CASES]


@pytest.mark.parametrize(("call", "error", "sentence"), CASES, ids=[case[2][:60] for case in CASES])
def test_bad_input_is_answered_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with assert_sentence(error, sentence):
        call()


def test_every_error_is_a_noisegate_error_and_a_standard_one() -> None:
    assert issubclass(ng.InvalidValue, ng.NoisegateError)
    assert issubclass(ng.InvalidValue, ValueError)
    assert issubclass(ng.InvalidType, TypeError)
    assert issubclass(ng.UnmatchedRule, ng.InvalidValue)
    assert issubclass(ng.RecomputationError, RuntimeError)
    assert issubclass(ng.MissingExtra, ImportError)
