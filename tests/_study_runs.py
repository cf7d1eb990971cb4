"""Small studies to interrupt, damage and resume; and the parts of them that are compared."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _deadline import DEADLINE
from noisegate import cli
from noisegate.study import Source, Study, run
from noisegate.study.show import figures as plots
from noisegate.study.show import page

# A shell's background jobs ignore Ctrl-C, and would hand that down to the study.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "import sys; from noisegate import cli; sys.exit(cli.main())"
)
# Before any test goes to another folder.
PLACES = os.pathsep.join(
    str(Path(place).resolve())
    for place in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if place
)
# A module of a small model.
NET = """\
from torch import nn

def make(input_shape, n_outputs):
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(input_shape[0], 8))
    model.add_module("out", nn.Linear(8, n_outputs))
    return model
"""
# The same study as `small`, from within its folder.
SMALL = ["study", "--data", "d.csv", "--target", "y", "--ignore", "who", "--model", "mlp"]
SMALL += ["--recipe", "hidden", "gaussian", "--seeds", "2", "--epochs", "2", "--jobs", "1"]
# Of the digits, nine runs: what is killed and interrupted.
DIGITS = ["study", "--model", "mlp", "--recipe", "hidden", "gaussian", "--seeds", "3"]
DIGITS += ["--epochs", "3", "--jobs", "2"]


def write_table(path: Path, rows: int = 90) -> Path:
    """Write two classes told by three columns, and a column of groups of three rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    y = np.where(x[:, 0] - x[:, 1] + rng.normal(size=rows) > 0, "yes", "no")
    cells = (
        f"{a:.4f},{b:.4f},{c:.4f},g{i // 3},{t}"
        for i, ((a, b, c), t) in enumerate(zip(x, y, strict=True))
    )
    path.write_text("\n".join(["a,b,c,who,y", *cells]) + "\n", "utf-8")
    return path


def write_csv(path: str, columns: dict[str, Any]) -> None:
    """Write columns as a CSV file."""
    rows = zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")


def small(folder: Path, **changes: Any) -> Study:
    """Run a study of a second, six runs in this process; its data and results are in `folder`."""
    if not (folder / "d.csv").exists():
        write_table(folder / "d.csv")
    call: dict[str, Any] = {
        "models": "mlp",
        "recipes": ["hidden", "gaussian"],
        "source": Source("d.csv", "y", ignore=("who",)),
        "seeds": 2,
        "epochs": 2,
        "jobs": 1,
        "progress": False,
        "out": folder / "out",
    }
    with chdir(folder):
        return run(**{**call, **changes})


def numbers(found: Study | Path) -> dict[str, Any]:
    """Return everything but what may differ: times, and how many processes there were."""
    text = found.to_json() if isinstance(found, Study) else (found / "study.json").read_text()
    facts: dict[str, Any] = json.loads(text)
    del facts["execution"]
    return facts


def seen(folder: Path, pattern: str = "**/*") -> dict[str, tuple[int, int, bytes]]:
    """Return of each file what changes when it is written: inode, time, content."""
    found = {}
    for path in sorted(folder.glob(pattern)):
        if path.is_file():
            status = path.stat()
            name = path.relative_to(folder).as_posix()
            found[name] = (status.st_ino, status.st_mtime_ns, path.read_bytes())
    return found


def runs_in(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return the files of the runs that had finished."""
    return seen(folder, "runs/*/*.json")


def unfinished(folder: Path) -> list[Path]:
    """Return files that were being written."""
    return sorted(folder.rglob("*.tmp"))


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Leave out pictures and report, which take most of a small study's time."""
    patch.setattr(plots, "draw_overview", lambda study, format: b"a picture")
    patch.setattr(page, "render_report", lambda study: "a report")


def on_the_terminal(
    arguments: Sequence[str | Path], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command in this process."""
    try:
        code: Any = cli.main([str(word) for word in arguments])
    except SystemExit as finished:
        code = finished.code
    out, err = capsys.readouterr()
    assert_plain_words(err)
    return code, out, err


# The command as a process ----------------------------------------------------------------------


def started(*arguments: str | Path, folder: Path, program: str = PROGRAM) -> subprocess.Popen[str]:
    """Start the command in a folder, as the first process of a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(),
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Return this process's environment, for one in another folder."""
    return {**os.environ, **({"PYTHONPATH": PLACES} if PLACES else {}), "OMP_NUM_THREADS": "1"}


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process and for who has its pipes; return exit code, output, errors."""
    try:
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        kill_group(process)
    return process.returncode, out, err


def kill_group(process: subprocess.Popen[str]) -> None:
    """End whatever is left of a process and of what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def until(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait until something is so, and return it; the process must not end before."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        if process.poll() is not None:
            raise AssertionError(f"it ended before: {process.communicate()}")
        time.sleep(0.002)
    kill_group(process)
    raise AssertionError(f"not within {DEADLINE:g} s")


def gone(process: subprocess.Popen[str]) -> bool:
    """Return whether no process of a group runs any more: Python's own end a little later."""
    end = time.monotonic() + DEADLINE
    while group(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not group(process)


def group(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes of a group that still run, by Linux's own table."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = status.read_text().rpartition(") ")[2].split()[:3]
        except OSError:  # ended meanwhile
            continue
        if int(of_group) == process.pid and state != "Z":
            found.append(int(status.parent.name))
    return sorted(found)


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that a study does its runs in: copies of its fork server."""
    return [pid for pid in group(process) if fork_server(process) == parent_of(pid)]


def fork_server(process: subprocess.Popen[str]) -> int | None:
    """Return the process that a study's workers are copies of, once it has started."""
    for pid in group(process):
        with suppress(OSError):  # ended meanwhile
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"forkserver" in command and parent_of(pid) == process.pid:
                return pid
    return None


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None if that has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return None


def assert_alone(process: subprocess.Popen[str]) -> None:
    """Nothing of a group runs any more, or soon will."""
    end = time.monotonic() + DEADLINE
    while left := group(process):
        if time.monotonic() > end:
            kill_group(process)
            raise AssertionError(f"{len(left)} processes are left")
        time.sleep(0.02)


def killed_and_resumed(draw: random.Random, whole: dict[str, Any], out: Path, *, jobs: int) -> None:
    """Kill the study of the digits at a random moment, and go on: as if nothing had been.

    The moment is any time after any number of finished runs; or, as often, in the middle of
    writing a file.
    """
    study = started(*DIGITS, "--out", out, folder=out.parent)
    count, writing, wait = draw.randrange(10), draw.random() < 0.5, draw.uniform(0, 0.6)

    def is_time() -> bool:
        have = len(runs_in(out))
        return have > count or (have == count and (not writing or bool(unfinished(out))))

    until(lambda: study.poll() is not None or is_time(), study)
    if not writing:
        with suppress(subprocess.TimeoutExpired):
            study.wait(wait)
    study.kill()
    study.communicate()
    assert_alone(study)
    before = runs_in(out)
    again = [*DIGITS, "--jobs", str(jobs), "--out", str(out), "--resume", "--json"]
    with redirect_stdout(io.StringIO()) as printed:
        assert cli.main(again) == 0
    assert numbers(out) == whole
    assert json.loads(printed.getvalue()) == json.loads((out / "study.json").read_text())
    assert before.items() <= runs_in(out).items(), "a run that had finished was made again"


def assert_plain_words(text: str) -> None:
    """What a user reads is sentences."""
    assert "Traceback" not in text
    assert not re.search(r'^  File "', text, re.MULTILINE), text
