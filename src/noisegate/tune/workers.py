"""The processes that do trials: their names, and whether they are still running."""

import os
import socket
from functools import cache
from pathlib import Path


def name_process() -> str:
    """Return a name of this process that no other has, on other machines either."""
    return f"{_machine()} {os.getpid()} {_start_time(os.getpid())}"


def has_ended(process: str) -> bool:
    """Return whether a process of this machine has ended; False for other machines' processes."""
    machine, pid, start = process.rsplit(" ", 2)
    return machine == _machine() and _start_time(int(pid)) != start


@cache
def _machine() -> str:
    # Host names are not unique: many machines are called localhost.
    number = Path("/etc/machine-id")
    return f"{socket.gethostname()} {number.read_text().strip() if number.exists() else '-'}"


def _start_time(pid: int) -> str:
    """Return when a process began, in the system's clock; or `ended`, or `unknown`."""
    if Path("/proc/self/stat").exists():
        try:
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return "ended"
        return "ended" if state in "ZX" else rest[18]  # a zombie does nothing
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "ended"
    except PermissionError:
        pass  # another user's process
    return "unknown"
