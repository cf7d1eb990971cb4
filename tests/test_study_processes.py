"""The processes of a study: copies of one that has imported torch and has run nothing."""

import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from _study_runs import (
    DIGITS,
    assert_alone,
    fork_server,
    kill_group,
    runs_in,
    started,
    until,
    workers,
)
from noisegate.study.train import processes
from noisegate.study.train.pool import _collect_results

pytestmark = pytest.mark.skipif(
    processes.START != "forkserver", reason="elsewhere each process imports everything itself"
)


# Of pyarrow's allocator, which pandas brings in; it prepares itself for a copy.
HARMLESS = {"jemalloc_bg_thd"}


def threads_of(pid: int) -> list[str]:
    """Return the names of a process's threads."""
    return [path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")]


def test_workers_are_copies_of_a_process_without_threads(tmp_path):
    """A lock that another thread holds would stay locked for ever in a copy."""
    study = started(*DIGITS, "--epochs", "60", "--out", "out", folder=tmp_path)
    until(lambda: len(workers(study)) == 2, study)
    server = fork_server(study)
    assert server is not None
    assert len([name for name in threads_of(server) if name not in HARMLESS]) == 1
    assert "libtorch" in Path(f"/proc/{server}/maps").read_text(), "it has imported torch"
    study.kill()
    study.communicate()
    assert_alone(study)


def test_a_study_that_is_killed_before_its_work_leaves_no_process(tmp_path):
    study = started(*DIGITS, "--out", tmp_path / "out", folder=tmp_path)
    until(lambda: fork_server(study), study)
    study.kill()
    study.communicate()
    assert_alone(study)
    assert not runs_in(tmp_path / "out")


NET = """\
import os
from torch import nn

def make(shape, outputs):
    assert "GONE" not in os.environ
    width = int(os.environ["WIDTH"])
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, outputs))
"""
SCRIPT = """\
import os
from pathlib import Path
import noisegate.study
from noisegate.study.train import processes

if __name__ == "__main__":
    os.environ["GONE"] = "1"
    processes.start_fork_server()
    del os.environ["GONE"]
    os.environ["WIDTH"] = "4"
    os.makedirs("elsewhere")
    os.chdir("elsewhere")
    Path("late_net.py").write_text(NET)
    noisegate.study.run("late_net:make", "a=in:out=0.1", seeds=2, epochs=1, jobs=2)
"""


def test_workers_have_the_folder_and_the_variables_of_the_call(tmp_path):
    """Both may have changed since the fork server was started."""
    script = tmp_path / "script.py"
    script.write_text(f"NET = {NET!r}\n{SCRIPT}", "utf-8")
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, env=dict(os.environ))


def test_files_of_the_current_folder_do_not_hide_what_the_server_imports(tmp_path):
    for name in ("random", "queue", "logging", "numbers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported by mistake')\n")
    study = started(*DIGITS, "--out", "out", folder=tmp_path, program=SAFELY)
    try:
        until(lambda: len(workers(study)) == 2, study)
    finally:
        kill_group(study)
        study.communicate()


# As the installed command: the current folder is no place of modules yet.
SAFELY = (
    "import sys; sys.path.remove('')\n"
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from noisegate import cli; sys.exit(cli.main())"
)


def test_of_calls_that_fail_the_first_in_order_is_told_whichever_failed_first():
    first, kept, last, later = futures = [Future() for _ in range(4)]
    for future in (first, kept, last):
        future.set_running_or_notify_cancel()
    last.set_exception(ValueError("the last"))

    def finish(_):
        kept.set_result("kept")
        first.set_exception(ValueError("the first"))

    later.add_done_callback(finish)  # it is cancelled, for nothing is begun after a failure
    results = _collect_results({future: (n,) for n, future in enumerate(futures)})
    with pytest.raises(ValueError, match="the first"):
        next(results)
    assert later.cancelled()


def test_results_before_a_call_that_fails_are_kept():
    done, failed = Future(), Future()
    failed.set_exception(ValueError("the last"))
    done.set_result("kept")
    results = _collect_results({done: (0,), failed: (1,)})
    assert next(results) == ((0,), "kept")
    with pytest.raises(ValueError, match="the last"):
        next(results)
