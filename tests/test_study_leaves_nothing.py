"""A wrong call leaves no file behind."""

import shlex
from pathlib import Path
from unittest import mock

import pytest

from noisegate import cli
from noisegate.study.train import pool
from noisegate.study.train.run import execute

DATA = "--data d.csv --target k"
WORK = "--seeds 2 --epochs 1 --jobs 1"

WRONG = [
    f"study --data typo.csv --target k {WORK}",
    f"study --data d.csv --target typo {WORK}",
    f"study {DATA} --recipe a=typo:out=0.5 {WORK}",
    f"study {DATA} --recipe typo {WORK}",
    f"study {DATA} --model typo {WORK}",
    f"study {DATA} --ood typo.csv --uncertainty {WORK}",
    f"study {DATA} --test typo.csv {WORK}",
    f"study {DATA} {WORK} --epochs 0",
    f"tune --data typo.csv --target k {WORK}",
    f"tune {DATA} --rules typo:out=0..0.5 {WORK}",
    f"tune {DATA} --rules in:out=0.5..0.1 {WORK}",
    f"tune {DATA} {WORK} --trials 0",
    f"tune {DATA} {WORK} --storage nowhere",
    f"tune {DATA} {WORK} --storage sqlite://",
    "compare d.csv d.csv",
    "compare typo.json d.csv",
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in a folder with some rows, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("d.csv").write_text("x,k\n" + "1.5,a\n2.5,b\n" * 20)


def tree() -> list[Path]:
    return sorted(Path().rglob("*"))


def called(command: str) -> int:
    words = shlex.split(command)
    return cli.main(words if words[0] == "compare" else [*words, "--out", "some/where/out"])


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_call_leaves_nothing(command):
    before = tree()
    assert called(command) == 2
    assert tree() == before


def test_a_folder_that_was_there_stays():
    Path("some/where").mkdir(parents=True)
    before = tree()
    assert called(WRONG[0]) == 2
    assert tree() == before


@pytest.mark.parametrize(("error", "code"), [(RuntimeError("no"), 1), (KeyboardInterrupt(), 130)])
def test_work_of_which_nothing_is_kept_leaves_nothing(error, code):
    before = tree()
    with mock.patch.object(pool, "execute", side_effect=error):
        assert called(f"study {DATA} {WORK}") == code
    assert tree() == before


def test_what_has_finished_is_kept():
    with mock.patch.object(pool, "execute", side_effect=[KeyboardInterrupt]):
        called(f"study {DATA} {WORK}")
    done = []

    def second(*words, **more):
        if done:
            raise KeyboardInterrupt
        done.append(execute(*words, **more))
        return done[0]

    with mock.patch.object(pool, "execute", second):
        assert called(f"study {DATA} {WORK}") == 130
    assert len(list(Path("some/where/out/runs/mlp").glob("*.json"))) == 1
    assert called(f"study {DATA} {WORK} --resume") == 0
    assert Path("some/where/out/report.html").is_file()
