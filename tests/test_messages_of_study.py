"""Every sentence of a study about bad input and failed work, word for word."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import _bad_study_compare
import _bad_study_data
import _bad_study_models
import _bad_study_recipes
import _bad_study_running
import _bad_study_uncertainty
import _bad_tune
from _asserts import assert_sentence

CASES = [
    *_bad_study_running.CASES,
    *_bad_study_data.CASES,
    *_bad_study_models.CASES,
    *_bad_study_recipes.CASES,
    *_bad_study_compare.CASES,
    *_bad_study_uncertainty.CASES,
    *_bad_tune.CASES,
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty folder, and let modules of it be no other test's."""
    monkeypatch.chdir(tmp_path)
    path, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.mark.parametrize(("call", "error", "sentence"), CASES, ids=[case[2][:70] for case in CASES])
def test_bad_input_is_answered_in_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str
) -> None:
    with assert_sentence(error, sentence):
        call()
