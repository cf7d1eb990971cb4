"""Run code in its own process, and record the calls of the native engine while a block runs."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from _deadline import DEADLINE
from noisegate.engines import native

SWITCHED_OFF = os.environ.get(native.VARIABLE) == "0"
needs_native = pytest.mark.skipif(SWITCHED_OFF, reason="NOISEGATE_NATIVE=0: the pure engines")


def run(code: str, timeout: float = DEADLINE, **environment: str) -> str:
    """Run code in a process of its own and return what it prints; it must end well, in time."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):  # and what it started
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, f"it ended with {process.returncode}: {out}\n{errors}"
    return out


def instruction_sets() -> list[str]:
    """The names of those that this processor and this build have."""
    if SWITCHED_OFF or native.load_library() is None:
        return []
    before, found = _in_use(), []
    for name in native.SETS:
        try:
            native.load_library().choose(name)
        except ValueError:
            continue
        found.append(name)
    _take(before)
    return found


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Use an instruction set for a block."""
    before = _in_use()
    native.load_library().choose(name)
    try:
        yield
    finally:
        _take(before)


def _in_use() -> str:
    return str(native.load_library().instruction_set())


def _take(label: str) -> None:
    """Take the instruction set that goes by a label, which is not what it is chosen by."""
    for name in native.SETS:
        try:
            native.load_library().choose(name)
        except ValueError:
            continue
        if _in_use() == label:
            return
    raise AssertionError(f"no instruction set is called {label}")
