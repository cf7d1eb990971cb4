"""How worker processes start: as copies of a process that has imported torch and run nothing.

On Linux a fork server imports what a run needs, once and while the caller still reads its data;
every worker is a copy of it. A copy of the caller itself could hang, since the caller may have used
torch's threads. Elsewhere copies are unsafe or unknown, so each worker imports everything itself.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

START = "forkserver" if sys.platform == "linux" else "spawn"


def start_fork_server() -> None:
    """Start the process that workers are copied from, unless it runs already.

    It ends with this process. Where another library has started one, that is used, and workers
    import what it lacks.
    """
    if START == "forkserver" and multiprocessing.parent_process() is None:
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([f"{__package__}.preload"])
        with hold_interrupts(), _keep_variable("PYTHONSAFEPATH"):
            # Else it would look for modules in the current folder first. Workers get the caller's
            # variables and its path.
            os.environ["PYTHONSAFEPATH"] = "1"
            forkserver.ensure_running()


@contextmanager
def _keep_variable(name: str) -> Iterator[None]:
    """Restore a variable of the environment after a block."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while processes start; they inherit that for their whole life.

    Ctrl-C reaches every process of a terminal; the parent answers it, and ends its workers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # A process that multiprocessing starts first of all, and then lets Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process when its parent has ended: a killed parent cannot say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
