"""Every sentence of a study about bad input and failed work, word for word."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
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
from _study_files import csv, like, table, target
from noisegate.study import messages

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


# What is said of data that are fit to learn from.
NOTES: list[Callable[[], Any]] = [
    lambda: csv(target([0.5, 2, 3])),
    lambda: csv(table("x,y", "1,a", "2,b", "3,a", "NA,b"), drop_missing=True),
    lambda: csv(table("x,z,y", "1,1,a", "2,1,b", "3,1,a", "4,1,b"), ignore=["z"]),
    lambda: like(table("x,c,y,more", "1,red,no,7")),
    lambda: csv(table("x,y", *(f"{cell},{i % 2}" for i, cell in enumerate("12AB12AB")))),
]


def test_no_sentence_is_without_its_test(tmp_path: Path) -> None:
    said: set[str] = set()
    sentences = {
        name: function
        for name, function in inspect.getmembers(messages, inspect.isfunction)
        if not name.startswith("_") and function.__module__.startswith(messages.__name__)
    }
    assert {"no_file"} <= set(sentences)
    with pytest.MonkeyPatch.context() as patch:
        for name, function in sentences.items():

            def counted(*args: Any, name: str = name, function: Any = function, **more: Any) -> str:
                said.add(name)
                return str(function(*args, **more))

            patch.setattr(messages, name, counted)
        for number, (call, error, _) in enumerate(CASES):
            (folder := tmp_path / str(number)).mkdir()
            with chdir(folder), pytest.raises(error):
                call()
        for call in NOTES:
            call()
    assert set(sentences) - said == set()
