"""A study that is killed at twenty random moments, and one whose process dies at every write."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from _study_runs import (
    killed_and_resumed,
    numbers,
    runs_in,
    small,
    unfinished,
    without_pictures,
)
from noisegate.study import run

pytestmark = pytest.mark.slow

# Of a small study: settings; weights and numbers of six runs; the test's scores; study.json, two
# pictures, the report and the pipeline.
WRITES = 19


class Death(BaseException):
    """The end of the process: nothing answers it, nothing is cleaned up."""


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The numbers of the digits' study, made at one go."""
    return numbers(run("mlp", ["hidden", "gaussian"], seeds=3, epochs=3, jobs=1, progress=False))


@pytest.fixture(scope="module")
def small_whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return numbers(small(tmp_path_factory.mktemp("whole"), out=None))


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.mark.parametrize("seed", range(100, 120))
def test_a_killed_study_goes_on_to_the_same_numbers(seed, whole, tmp_path):
    killed_and_resumed(random.Random(seed), whole, tmp_path / "out", jobs=1 + (seed % 5 == 0))


@pytest.mark.parametrize("number", range(1, WRITES + 1))
@pytest.mark.parametrize("when", ["in the middle of it", "after it"])
def test_death_at_any_write(number, when, small_whole, tmp_path, monkeypatch):
    count = 0

    def counted(real: Any, first: Any, *others: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and when == "in the middle of it":
            os.ftruncate(first, os.fstat(first).st_size // 2)
            raise Death
        found = real(first, *others)
        if count == number:
            raise Death
        return found

    owner, name = (os, "fsync") if when == "in the middle of it" else (Path, "replace")
    real = getattr(owner, name)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda *call: counted(real, *call))
        with pytest.raises(Death):
            small(tmp_path)
    assert count == number
    assert len(unfinished(tmp_path)) == (when == "in the middle of it")
    before = runs_in(tmp_path / "out")
    again = small(tmp_path, resume=True)
    assert numbers(again) == numbers(tmp_path / "out") == small_whole
    assert before.items() <= runs_in(tmp_path / "out").items()


def test_there_are_as_many_writes(tmp_path, monkeypatch):
    written = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: written.append(file) or real(file))
    small(tmp_path)
    assert len(written) == WRITES
