"""The files of an interrupted or damaged study, and how it resumes."""

import errno
import json
import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

import noisegate as ng
from _asserts import assert_sentence
from _study_runs import (
    NET,
    SMALL,
    numbers,
    on_the_terminal,
    runs_in,
    seen,
    small,
    unfinished,
    without_pictures,
    write_table,
)
from noisegate import cli
from noisegate.study import Source, files
from noisegate.study.train import pool

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished small study, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        small(folder)
    return folder


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.fixture
def folder(finished: Path, tmp_path: Path, plain: None) -> Path:
    """A copy of the finished small study: `d.csv`, and `out`."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


# Interrupted ------------------------------------------------------------------------------------


def test_ctrl_c_in_a_single_process(finished, tmp_path, plain, monkeypatch, capsys):
    done = []

    def interrupted(*call: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(call)
        return execute(*call)

    execute = pool.execute
    monkeypatch.chdir(tmp_path)
    write_table(Path("d.csv"))
    call = [*SMALL, "--out", "out"]
    with monkeypatch.context() as patch:
        patch.setattr(pool, "execute", interrupted)
        assert cli.main(call) == 130
    assert capsys.readouterr() == (
        "",
        "noisegate: interrupted. What has finished is saved: go on with --resume.\n",
    )
    before = runs_in(tmp_path / "out")
    assert len(before) == 3
    assert not unfinished(tmp_path)
    assert cli.main([*call, "--resume", "--json"]) == 0
    assert before.items() <= runs_in(tmp_path / "out").items()
    assert numbers(tmp_path / "out") == numbers(finished / "out")


# A full disk ------------------------------------------------------------------------------------

# The writes of a small study, in order: settings; weights and numbers of six runs; the test's
# scores; study.json, two pictures, the report.
WRITES = {1: "settings.json", 2: "none-0.pt", 3: "none-0.json", 8: "none-1.pt"}
WRITES |= {13: "gaussian-1.json", 14: "test-mlp.json", 15: "study.json", 18: "report.html"}
WRITES |= {19: "pipeline-mlp.noisegate"}


def failing(number: int, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Let the disk be full at one of the writes: when it is opened, when filled, when renamed."""
    count = 0
    owner, name = {
        "fsync": (files.os, "fsync"),
        "open": (Path, "open"),
        "replace": (Path, "replace"),
    }[what]
    real = getattr(owner, name)

    def full(first: Any, *others: Any, **more: Any) -> Any:
        nonlocal count
        if what == "fsync" or str(first).endswith(".tmp"):
            count += 1
            if count == number:
                raise FULL
        return real(first, *others, **more)

    monkeypatch.setattr(owner, name, full)


@pytest.mark.parametrize(
    ("number", "what"),
    [*((number, "fsync") for number in WRITES), (3, "open"), (15, "open"), (8, "replace")],
)
def test_a_full_disk_is_told_and_nothing_is_lost(
    number, what, finished, tmp_path, plain, monkeypatch
):
    with monkeypatch.context() as patch:
        failing(number, patch, what)
        with pytest.raises(ng.NoisegateError) as caught:
            small(tmp_path)
    assert type(caught.value) is ng.NoisegateError  # exit code 1, not 2
    place = next(iter((finished / "out").rglob(WRITES[number]))).relative_to(finished)
    assert str(caught.value) == (
        f"study: cannot write '{tmp_path / place}': No space left on device. Every run that had "
        "finished before is saved; mend that, and go on with --resume."
    )
    assert not unfinished(tmp_path)
    assert not (tmp_path / place).exists()
    before = runs_in(tmp_path / "out")
    assert len(before) == min((number - 2) // 2, 6) if number > 1 else not before
    again = small(tmp_path, resume=True)
    assert numbers(again) == numbers(finished / "out")
    assert before.items() <= runs_in(tmp_path / "out").items()


def test_a_full_disk_at_a_folder_of_runs_is_no_wrong_call(tmp_path, plain, monkeypatch, capsys):
    real = Path.mkdir

    def full(self: Path, *others: Any, **more: Any) -> None:
        if self.name == "mlp":
            raise FULL
        real(self, *others, **more)

    monkeypatch.chdir(tmp_path)
    write_table(Path("d.csv"))
    monkeypatch.setattr(Path, "mkdir", full)
    code, out, err = on_the_terminal([*SMALL, "--out", "out"], capsys)
    assert (code, out) == (1, "")
    assert "No space left on device" in err
    assert "out/runs/mlp" in err


# Damaged ----------------------------------------------------------------------------------------

Damage = Callable[[bytes], bytes]


def _flipped(data: bytes) -> bytes:
    """Change one digit, and nothing else."""
    at = next(i for i in range(len(data) // 2, len(data)) if data[i : i + 1].isdigit())
    return data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :]


DAMAGES: dict[str, Damage] = {
    "truncated": lambda data: data[: len(data) // 2],
    "a digit": _flipped,
    "empty": lambda data: b"",
    "another JSON": lambda data: b'{"format": 2}\n',
    "a list": lambda data: b"[1, 2]\n",
    "a number": lambda data: b"7\n",
    "null": lambda data: b"null\n",
    "no text": lambda data: b"\xff\x00\xfe" * 50,
    "nested": lambda data: b"[" * 100_000,
}


def _corrupt(path: Path) -> str:
    return (
        f"study: '{path}' is not what was written there, and is left as it is. "
        "Move it away, and go on with --resume: what was in it is made anew."
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name", ["runs/mlp/hidden-1.json", "runs/settings.json", "runs/test-mlp.json"]
)
def test_a_damaged_file_is_named_and_left_as_it_is(name, damage, folder):
    path = folder / "out" / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = seen(folder)
    with pytest.raises(ng.NoisegateError) as caught:
        small(folder, resume=True)
    assert type(caught.value) is ng.NoisegateError
    assert str(caught.value) == _corrupt(path)
    assert seen(folder) == before
    path.rename(folder / "away.json")
    expected = numbers(folder / "out")
    assert numbers(small(folder, resume=True)) == expected


@pytest.mark.parametrize("other", ["none-1", "hidden-0"])
def test_the_file_of_another_run_is_not_taken_for_this_one(other, folder):
    runs = folder / "out" / "runs" / "mlp"
    shutil.copy(runs / f"{other}.json", runs / "hidden-1.json")
    shutil.copy(runs / f"{other}.pt", runs / "hidden-1.pt")
    before = seen(folder)
    with pytest.raises(ng.NoisegateError) as caught:
        small(folder, resume=True)
    assert str(runs / "hidden-1.json") in str(caught.value)
    assert seen(folder) == before


@pytest.mark.parametrize("damage", ["truncated", "a digit", "empty", "no text"])
def test_damaged_weights_are_named_when_they_are_needed(damage, folder, capsys):
    path = folder / "out" / "runs" / "mlp" / "none-1.pt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = seen(folder)
    with chdir(folder):
        call = [*SMALL, "--seeds", "3", "--out", folder / "out", "--resume"]
        assert on_the_terminal(call, capsys) == (1, "", f"noisegate: {_corrupt(path)}\n")
    after = seen(folder)
    assert {name: after[name] for name in before} == before
    path.rename(folder / "away.pt")
    again = small(folder, seeds=3, resume=True)
    assert numbers(again) == numbers(small(folder, seeds=3, out=None))


def test_a_run_without_its_weights_is_made_anew(folder):
    (folder / "out" / "runs" / "mlp" / "hidden-0.pt").unlink()
    expected = numbers(folder / "out")
    assert numbers(small(folder, resume=True)) == expected
    assert (folder / "out" / "runs" / "mlp" / "hidden-0.pt").is_file()


# Gone on with otherwise -------------------------------------------------------------------------


def test_a_folder_with_runs_is_refused_without_resume(folder):
    before = seen(folder)
    sentence = (
        f"study: '{folder / 'out'}' has runs already. Go on with them by --resume, "
        "or name another folder with --out."
    )
    for changes in ({}, {"epochs": 7}):
        with assert_sentence(ng.InvalidValue, sentence):
            small(folder, **changes)
    assert seen(folder) == before


def test_a_folder_with_runs_is_refused_even_if_their_settings_have_gone(folder):
    (folder / "out" / "runs" / "settings.json").unlink()
    before = seen(folder)
    with pytest.raises(ng.NoisegateError):
        small(folder, epochs=7)
    assert seen(folder) == before


def test_runs_whose_settings_have_gone_are_not_taken_for_others(folder):
    """Moving a damaged settings.json away is what its sentence advises."""
    (folder / "out" / "runs" / "settings.json").unlink()
    runs = runs_in(folder / "out")
    with pytest.raises(ng.NoisegateError):
        small(folder, epochs=7, resume=True)
    assert runs_in(folder / "out") == runs


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 3}, "`epochs` must be what it was .*; it was 2, and is 3"),
        ({"learning_rate": 0.1}, "`learning_rate` must be .*; it was 0.002, and is 0.1"),
        ({"batch_size": 7}, "`batch_size` must be .*; it was None, and is 7"),
        ({"recipes": ["hidden=hid*:out=0.3"]}, "it was 'hid[*]:out=0.5', and is 'hid[*]:out=0.3'"),
    ],
)
def test_other_settings_are_refused_and_told(changes, sentence, folder):
    _refused(folder, sentence, **changes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"target": "who", "ignore": ("y",), "task": "classification"},
            "`data.target` must be .* it was 'y', and is 'who'",
        ),
        ({"ignore": ("who", "c")}, r"`data.inputs` must be .*, and is \['a', 'b'\]"),
        ({"split": "who", "ignore": ()}, "`data.groups` must be .* it was None, and is 'who'"),
        ({"test_seed": 1}, "`test.seed` must be .* it was 0, and is 1"),
        ({"test_share": 0.3}, "`test.share` must be .*|`test.rows` must be .*"),
        ({"validation_share": 0.3}, "`validation_share` must be .* it was 0.25, and is 0.3"),
    ],
)
def test_other_rows_are_refused_and_told(change, sentence, folder):
    call = {"target": "y", "ignore": ("who",), **change}
    _refused(folder, sentence, source=Source("d.csv", **call))


def test_other_data_are_refused_and_told(folder):
    data = folder / "d.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:-1], "1.5" + lines[-1][lines[-1].index(",") :]]) + "\n")
    _refused(folder, "`data.digest` must be what it was|`test.digest` must be what it was")


def test_a_changed_model_is_refused_and_told(tmp_path, plain, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "net_of_resume.py").write_text(NET)
    first = {"models": "net_of_resume:make", "recipes": ["hidden"]}
    small(tmp_path, **first)
    (tmp_path / "net_of_resume.py").write_text(NET.replace("8", "9"))
    _refused(tmp_path, "`model_source` must be what it was for the runs in '.*json'", **first)


def test_more_seeds_and_recipes_repeat_nothing(folder):
    out = folder / "out"
    before = seen(folder, "out/runs/mlp/*")
    more = ["hidden", "gaussian", "mine=hid1:out=gaussian(0.3)"]
    assert _scored(out) == {"mlp": 1}
    found = small(folder, resume=True)
    assert _scored(out) == {"mlp": 1}, "nothing had changed"
    found = small(folder, seeds=3, recipes=more, resume=True)
    assert before.items() <= seen(folder, "out/runs/mlp/*").items()
    assert _scored(out) == {"mlp": 2}, "there are more seeds to score"
    assert numbers(found) == numbers(small(folder, seeds=3, recipes=more, out=None))
    assert len(runs_in(out)) == 3 * 4
    small(folder, resume=True)
    assert _scored(out) == {"mlp": 3}, "fewer seeds have been scored before, but were not kept"
    assert numbers(out)["settings"]["seeds"] == 2


def test_uncertainty_is_measured_on_runs_that_were_kept(folder):
    before = seen(folder, "out/runs/mlp/*")
    found = numbers(small(folder, uncertainty=True, resume=True))
    assert seen(folder, "out/runs/mlp/*") == before
    assert _scored(folder / "out") == {"mlp": 2}  # another look at the test rows
    assert found == numbers(small(folder, uncertainty=True, out=None))
    assert found["uncertainty"]["mlp"]


def test_another_model_is_added(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    (folder / "net_added.py").write_text(NET)
    before = runs_in(folder / "out")
    both = {"models": ["mlp", "net_added:make"], "recipes": ["hidden"]}
    found = small(folder, **both, resume=True)
    assert before.items() <= runs_in(folder / "out").items()
    assert _scored(folder / "out")["net_added:make"] == 1
    assert numbers(found) == numbers(small(folder, **both, out=None))


def test_an_empty_folder_may_be_gone_on_with(tmp_path, plain, finished):
    (tmp_path / "out").mkdir()
    found = small(tmp_path, resume=True)
    assert numbers(found) == numbers(finished / "out")


def _refused(folder: Path, sentence: str, **changes: Any) -> None:
    before = seen(folder)
    with pytest.raises(ng.InvalidValue, match=sentence) as caught:
        small(folder, resume=True, **changes)
    way_out = r"(Give the same --[a-z-]+ as then, or name|Name) another folder with --out\."
    assert re.search(rf"\. {way_out}$", str(caught.value))
    assert seen(folder) == before


def _scored(out: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((out / "study.json").read_text())["execution"]["scored"]
    return found
