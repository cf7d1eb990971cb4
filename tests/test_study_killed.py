"""A study that is killed or interrupted: its processes end, its finished runs are reused."""

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from _deadline import DEADLINE
from _study_runs import (
    DIGITS,
    assert_plain_words,
    ended,
    environment,
    gone,
    group,
    killed_and_resumed,
    numbers,
    runs_in,
    started,
    until,
    without_pictures,
    workers,
)
from noisegate import cli
from noisegate.study import run

INTERRUPTED = "noisegate: interrupted. What has finished is saved: go on with --resume.\n"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The numbers of the digits' study, made at one go."""
    return numbers(run("mlp", ["hidden", "gaussian"], seeds=3, epochs=3, jobs=1, progress=False))


# Killed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_study_goes_on_to_the_same_numbers(seed, whole, tmp_path):
    killed_and_resumed(random.Random(seed), whole, tmp_path / "out", jobs=1)


def test_a_killed_worker_ends_the_study_and_what_had_finished_is_kept(whole, tmp_path):
    out = tmp_path / "out"
    study = started(*DIGITS, "--out", out, folder=tmp_path)
    until(lambda: runs_in(out), study)
    os.kill(workers(study)[0], signal.SIGKILL)
    assert ended(study) == (
        1,
        "",
        "noisegate: study: a process was ended from outside, perhaps for want of memory. Every run "
        "that had finished is saved: go on with --resume, and fewer --jobs.\n",
    )
    before = runs_in(out)
    assert 0 < len(before) < 9
    again = run("mlp", ["hidden", "gaussian"], seeds=3, epochs=3, jobs=1, out=out, resume=True)
    assert before.items() <= runs_in(out).items()
    assert numbers(again) == whole


# Interrupted ------------------------------------------------------------------------------------


def test_ctrl_c_ends_every_process_and_keeps_what_had_finished(whole, tmp_path):
    out = tmp_path / "out"
    study = started(*DIGITS, "--out", out, folder=tmp_path)
    until(lambda: len(runs_in(out)) >= 2, study)
    assert len(workers(study)) == 2
    os.killpg(study.pid, signal.SIGINT)
    # Workers hold these pipes too: that they end here shows that the workers have ended.
    assert ended(study) == (130, "", INTERRUPTED)
    assert gone(study)
    before = runs_in(out)
    assert len(before) >= 2
    assert cli.main([*DIGITS, "--jobs", "1", "--out", str(out), "--resume", "--json"]) == 0
    assert before.items() <= runs_in(out).items()
    assert numbers(out) == whole


@pytest.mark.parametrize("wait", [0.02, pytest.param(0.3, marks=pytest.mark.slow)])
def test_a_second_ctrl_c_is_no_traceback(wait, tmp_path):
    """Who is impatient presses it again, while processes end or this one does."""
    out = tmp_path / "out"
    study = started(*DIGITS, "--out", out, folder=tmp_path)
    until(lambda: runs_in(out), study)
    for _ in range(3):
        if group(study):
            os.killpg(study.pid, signal.SIGINT)
        time.sleep(wait)
    code, printed, told = ended(study)
    assert_plain_words(told)
    assert (code, printed, told) == (130, "", INTERRUPTED)


@pytest.mark.parametrize(
    "seconds", [0.1, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.2, 0.8)), 0.4]
)
def test_ctrl_c_at_the_very_start_is_no_traceback(seconds, tmp_path):
    """While modules are still imported; before the command has begun nobody can help."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys\n"
        "from noisegate import cli\n"
        "execute = cli.study.execute\n"
        "def begin(parsed):\n"
        "    print('here', flush=True)\n"
        "    execute(parsed)\n"
        "cli.study.execute = begin\n"
        "sys.exit(cli.main())"
    )
    study = started(*DIGITS, "--out", "out", folder=tmp_path, program=program)
    assert study.stdout is not None
    assert study.stdout.readline() == "here\n"
    time.sleep(seconds)
    os.killpg(study.pid, signal.SIGINT)
    code, _, told = ended(study)
    assert_plain_words(told)
    assert (code, told) == (130, INTERRUPTED)


def test_ctrl_c_that_an_import_swallows_is_not_lost(tmp_path):
    """Libraries and Python itself catch any exception in places; the next Ctrl-C is ignored."""
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from noisegate import cli\n"
        "def swallow(parsed):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(9)\n"
        "    except BaseException:\n"
        "        pass\n"
        "cli.study.begin_work = swallow\n"
        "sys.exit(cli.main())"
    )
    study = started(*DIGITS, "--out", "out", folder=tmp_path, program=program)
    assert ended(study) == (130, "", INTERRUPTED)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import noisegate.study\n"
        "noisegate.study.run('mlp', 'gaussian', seeds=2, epochs=1, jobs=2)\n",
        encoding="utf-8",
    )
    found = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=environment(),
    )
    assert found.returncode == 1
    assert found.stderr.rstrip().splitlines()[-1] == (
        "noisegate.core.errors.NoisegateError: study: a worker process ended before its work "
        'did. In a script, call noisegate.study.run below `if __name__ == "__main__":`, or '
        "pass jobs=1."
    )
