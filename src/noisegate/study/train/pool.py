"""Many runs go to processes of one thread each, and each is kept as soon as it has finished."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch

from noisegate.core.errors import InvalidValue, NoisegateError
from noisegate.estimators import Epoch

from .. import messages
from ..models import Model, error_in_a_line
from .run import Job, Run, Setup, execute, started
from .store import Store

__all__ = ["Board", "RunFailed", "Runs", "Worker", "execute_all", "one_thread", "performed"]


class RunFailed(NoisegateError):
    """A run came to nothing; others may not."""


class Board:
    """What each process is at, in memory that all of them share: a job's number and its epoch.

    Nothing waits for it and nothing is locked, so that a process that is killed stops no other.
    """

    def __init__(self, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._cells = context.RawArray("q", [-1, 0] * processes)
        self._finished = context.RawArray("q", processes)
        self._next = context.Value("i", 0)

    def join(self) -> int:
        """Return the place of a process that has just started."""
        with self._next.get_lock():
            self._next.value += 1
            return int(self._next.value) - 1

    @property
    def started(self) -> bool:
        """Whether any process has come as far as its work."""
        return bool(self._next.value)

    def tell(self, place: int, job: int, epoch: int) -> None:
        """Write down how far a job is; -1 is none."""
        # A process that takes the place of one that ended shares it.
        place %= len(self._cells) // 2
        self._cells[2 * place : 2 * place + 2] = [job, epoch]

    def finish(self, place: int) -> None:
        """Count one more finished piece of work."""
        self._finished[place % len(self._finished)] += 1

    @property
    def finished(self) -> int:
        """How many pieces of work all processes have finished."""
        return sum(self._finished)

    def read(self) -> dict[int, int]:
        """Return the epochs done of each job that is in work."""
        cells = list(self._cells)
        return {job: epoch for job, epoch in zip(cells[::2], cells[1::2], strict=True) if job >= 0}


class Worker(Protocol):
    """What is done in a process; it is pickled, once for all of its calls."""

    def do(self, board: Board, place: int, *call: Any) -> Any:
        """Do one call; `place` is where the board has this process."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Executes jobs, and keeps what came of each."""

    setup: Setup
    store: Store

    def do(self, board: Board, place: int, number: int, job: Job, before: int = 0) -> Run:
        """Execute a job; it is `number` on the board, with some epochs done before."""

        def on_epoch(epoch: Epoch) -> None:
            board.tell(place, number, before + epoch.number)

        board.tell(place, number, before)
        try:
            trained = execute(job, self.setup, on_epoch)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a model may do what it likes: end the process, say
            raise _failure(job, error) from error
        finally:
            board.tell(place, -1, 0)
        self.store.save(job, trained)
        return trained.run


def execute_all(
    jobs: Sequence[Job],
    setup: Setup,
    store: Store,
    *,
    processes: int,
    board: Board,
    on_run: Callable[[Run], None],
) -> tuple[Run, ...]:
    """Execute every job that has not finished, and return all runs in the order of `jobs`.

    Every run has one thread, in this process (``processes=1``) as in others, since sums over
    threads are rounded otherwise.

    Raises
    ------
    NoisegateError
        If a run fails or cannot be kept; those that have finished are kept.
    """
    with one_thread():
        done = _finished(jobs, setup, store)
    for run in done.values():
        on_run(run)
    left = {number: job for number, job in enumerate(jobs) if number not in done}
    calls = list(left.items())
    for (number, _), run in performed(Runs(setup, store), calls, processes=processes, board=board):
        done[number] = run
        on_run(run)
    return tuple(done[number] for number in range(len(jobs)))


def _finished(jobs: Sequence[Job], setup: Setup, store: Store) -> dict[int, Run]:
    """Return the kept runs by their jobs' numbers, if their models still start as they did."""
    found: dict[int, Run] = {}
    starts: dict[tuple[Model, int], tuple[str, str]] = {}
    for number, job in enumerate(jobs):
        run = store.finished(job)
        if run is None:
            continue
        found[number] = run
        which = (job.model, job.seed)
        if which not in starts:
            starts[which] = started(job, setup)
        if starts[which] != (run.initial_weights, run.initial_outputs):
            raise InvalidValue(messages.other_start_of_run(store.folder, job))
    return found


def performed(
    worker: Worker, calls: Sequence[tuple[Any, ...]], *, processes: int, board: Board
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each call of a worker and what came of it, as they finish.

    With one process, or one call, all of it takes place in this one.

    Raises
    ------
    NoisegateError
        If a process ends before its work; and whatever a call raises.
    """
    if min(processes, len(calls)) <= 1:
        with one_thread():
            for call in calls:
                yield call, worker.do(board, 0, *call)
        return
    with TemporaryDirectory(prefix="noisegate-") as folder:
        # In a file: a start would wait for ever to hand over much to a process that ends at once.
        shared = Path(folder) / "worker"
        shared.write_bytes(pickle.dumps(worker))
        with _workers(min(processes, len(calls)), shared, board) as pool:
            with _interrupts_held():
                futures = {pool.submit(_do, call): call for call in calls}
            for future in as_completed(futures):
                yield futures[future], future.result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch use one thread, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _workers(processes: int, shared: Path, board: Board) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end at once if the work is interrupted or fails."""
    # Not fork: a forked child of a process that has used torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, _start, (str(shared), board))
    try:
        yield pool
    except BaseException as error:
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.kill()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            what = messages.process_ended() if board.started else messages.needs_main_guard()
            raise NoisegateError(what) from None
        raise
    pool.shutdown()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes start; they inherit that for their whole life.

    Ctrl-C reaches every process of a terminal; the parent answers it, and ends its workers.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# What this process does, if it is one of several: a worker, the board, its place there.
_here: tuple[Worker, Board, int] | None = None


def _start(shared: str, board: Board) -> None:
    global _here
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    place = board.join()
    _here = pickle.loads(Path(shared).read_bytes()), board, place


def _do(call: tuple[Any, ...]) -> Any:
    assert _here is not None
    worker, board, place = _here
    return worker.do(board, place, *call)


def _end_with_parent() -> None:
    """End this process when its parent has ended: a killed parent cannot say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _failure(job: Job, error: BaseException) -> RunFailed:
    if isinstance(error, NoisegateError):
        return RunFailed(messages.run_failed(job, str(error)))
    return RunFailed(messages.run_failed(job, error_in_a_line(error)))
