"""Which process does a trial, and whether it is still there."""

import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["has_ended", "this_process"]


def this_process() -> str:
    """Return what tells this process from all others, of other machines too."""
    return f"{_machine()} {os.getpid()} {_began(os.getpid())}"


def has_ended(process: str) -> bool:
    """Return whether a process of this machine is no more; of other machines nobody knows."""
    machine, pid, began = process.rsplit(" ", 2)
    return machine == _machine() and _began(int(pid)) != began


@cache
def _machine() -> str:
    # Names are not unique: there are many localhosts.
    number = Path("/etc/machine-id")
    return f"{socket.gethostname()} {number.read_text().strip() if number.exists() else '-'}"


def _began(pid: int) -> str:
    """Return when a process began, as the system counts; `ended`, or `unknown`."""
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
        pass  # it is somebody else's
    return "unknown"
