"""Searches by several processes, and a search that is killed twenty times."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from _bad_tune import SPACE, rows, search
from _deadline import DEADLINE
from noisegate.study import Source

SOURCE = "import sys; from noisegate.cli import main; sys.exit(main())"
WORDS = ["--data", "d.csv", "--target", "y", "--rules", SPACE, "--seeds", "3", "--epochs", "2"]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows()


def begun(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SOURCE, "tune", *WORDS, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def check_all_are_there(url: str, count: int) -> None:
    """Every trial that counts has ended, none is lost, and none was suggested twice."""
    kept = optuna.load_study(study_name="noisegate", storage=url).trials
    states = [trial.state.name for trial in kept]
    void = [t for t in kept if t.state.name == "FAIL" and "why" not in t.user_attrs]
    assert states.count("COMPLETE") + states.count("PRUNED") == count
    assert states.count("RUNNING") == 0
    assert len(void) + states.count("WAITING") + count == len(kept)
    ended = [t for t in kept if t.state.name in ("COMPLETE", "PRUNED")]
    assert len({json.dumps(trial.params) for trial in ended}) == count


def test_three_processes_of_one_command():
    process = begun("--trials", "30", "--jobs", "3", "--out", "out", "--json")
    assert process.communicate()[1] == b""
    assert process.returncode == 0
    check_all_are_there("sqlite:///out/runs/trials.db", 30)
    kept = optuna.load_study(study_name="noisegate", storage="sqlite:///out/runs/trials.db").trials
    assert {trial.state.name for trial in kept[:30]} == {"COMPLETE", "PRUNED"}, "one was voided"
    told = json.loads(Path("out/study.json").read_text())["tuning"]["trials"]
    assert [trial["number"] for trial in told] == list(range(30))
    assert told[0]["rules"] == ""


def test_three_commands_that_share_a_file():
    shared = ["--storage", "sqlite:///t.db", "--trials", "40"]
    several = [begun(*shared, "--out", f"out{number}") for number in range(3)]
    for process in several:
        assert process.communicate()[1] == b""
        assert process.returncode == 0
    check_all_are_there("sqlite:///t.db", 40)
    begun(*shared, "--out", "out0", "--resume").communicate()
    told = json.loads(Path("out0/study.json").read_text())["tuning"]["trials"]
    assert [trial["number"] for trial in told] == list(range(40))


def test_a_command_makes_up_for_one_that_was_killed():
    shared = ["--storage", "sqlite:///t.db", "--trials", "60"]
    first, second = (begun(*shared, "--out", f"out{number}") for number in range(2))
    while not list(Path("out0").glob("runs/mlp/*.json")):
        time.sleep(0.05)
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.communicate()[1] == b""
    check_all_are_there("sqlite:///t.db", 60)


def test_a_search_killed_twenty_times_is_as_if_it_had_not_been():
    moments, killed = random.Random(0), 0
    for number in range(20):
        process = begun("--trials", "40", "--out", "out", *["--resume"] * (number > 0))
        mark, limit = Path("out/runs/trials.db"), time.monotonic() + DEADLINE
        while process.poll() is None and not mark.exists() and time.monotonic() < limit:
            time.sleep(0.01)
        if number:  # until it has been imported
            time.sleep(5)
        time.sleep(moments.uniform(0, 1.5))
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed > 3
    source = Source(data="d.csv", target="y")
    resumed = search(source=source, trials=40, out="out", resume=True)
    alone = search(source=source, trials=40, out="alone")
    for one, other in zip(resumed.tuning.trials, alone.tuning.trials, strict=True):
        assert (one.number, one.state, one.value) == (other.number, other.state, other.value)
        assert (one.parameters, one.seeds, one.command) == (
            other.parameters,
            other.seeds,
            other.command,
        )
    assert resumed.tests == alone.tests
    assert resumed.tuning.importance == alone.tuning.importance
