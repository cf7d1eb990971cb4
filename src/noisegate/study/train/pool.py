"""Many runs go to processes of one thread each; each run is stored as soon as it has finished."""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch

from noisegate.core.errors import InvalidValue, NoisegateError
from noisegate.estimators import Epoch

from ..models import Model, describe_error
from .board import Board
from .processes import START, end_with_parent, hold_interrupts, start_fork_server
from .run import Job, Run, Setup, digest_start, execute
from .store import Store


class RunFailed(NoisegateError):
    """A run failed; others may not."""


class Worker(Protocol):
    """What is done in a process; it is pickled, once for all of its calls."""

    def do(self, board: Board, place: int, *call: Any) -> Any:
        """Do one call; `place` is where the board has this process."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Executes jobs and stores their runs."""

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
        except BaseException as error:  # a model may even end the process, by SystemExit say
            own = isinstance(error, NoisegateError)
            what = str(error) if own else describe_error(error)
            raise RunFailed(f"study: {job} failed: {what}") from error
        finally:
            board.tell(place, -1, 0)
        self.store.save_run(job, trained)
        return trained.run


def execute_all(
    jobs: Sequence[Job], setup: Setup, store: Store, *, processes: int, board: Board
) -> tuple[Run, ...]:
    """Execute every job that has not finished, and return all runs in the order of `jobs`.

    Every run has one thread, in this process (``processes=1``) as in others, since sums over
    several threads are rounded in another way.
    """
    with use_one_thread():
        done = _find_finished(jobs, setup, store)
    board.finish(pieces=len(done))
    calls = [(number, job) for number, job in enumerate(jobs) if number not in done]
    for (number, _), run in run_calls(Runs(setup, store), calls, processes=processes, board=board):
        done[number] = run
        board.finish()
    return tuple(done[number] for number in range(len(jobs)))


def _find_finished(jobs: Sequence[Job], setup: Setup, store: Store) -> dict[int, Run]:
    """Return the stored runs by their jobs' numbers, if their models still start as they did."""
    found: dict[int, Run] = {}
    starts: dict[tuple[Model, int], tuple[str, str]] = {}
    for number, job in enumerate(jobs):
        run = store.find_run(job)
        if run is None:
            continue
        found[number] = run
        which = (job.model, job.seed)
        if which not in starts:
            starts[which] = digest_start(job, setup)
        if starts[which] != (run.initial_weights, run.initial_outputs):
            raise InvalidValue(
                f"study: the model must be what it was for the runs in '{store.folder}', to go on "
                f"with them; {job} starts otherwise now. Name another folder with --out."
            )
    return found


def run_calls(
    worker: Worker, calls: Sequence[tuple[Any, ...]], *, processes: int, board: Board
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each call of a worker with its result, as they finish.

    With one process, or one call, all of it takes place in this one.
    """
    if min(processes, len(calls)) <= 1:
        with use_one_thread():
            for call in calls:
                yield call, worker.do(board, 0, *call)
        return
    with TemporaryDirectory(prefix="noisegate-") as folder:
        # By a file: sending much to a process that ends at its start would wait for ever.
        shared = Path(folder) / "worker"
        shared.write_bytes(pickle.dumps(worker))
        with _open_pool(min(processes, len(calls)), shared, board) as pool:
            with hold_interrupts():
                futures = {pool.submit(_do_call, call): call for call in calls}
            yield from _collect_results(futures)


def _collect_results(
    futures: dict[Future[Any], tuple[Any, ...]],
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each call with its result, as they finish.

    Of several calls that fail, the error of the first in order is raised, as with one process:
    when one fails, those before it are waited for, and no other is begun.
    """
    for future in as_completed(tuple(futures)):
        if future.exception() is not None:
            order = list(futures)
            before, after = order[: order.index(future)], order[order.index(future) + 1 :]
            for other in after:
                other.cancel()
            for other in before:
                yield futures.pop(other), other.result()
        yield futures.pop(future), future.result()


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Have torch use one thread for a block, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _open_pool(processes: int, shared: Path, board: Board) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end at once if the work is interrupted or fails."""
    start_fork_server()
    context, environment = multiprocessing.get_context(START), dict(os.environ)
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, _start_worker, (str(shared), board, environment))
    try:
        yield pool
    except BaseException as error:
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
        pool.shutdown(cancel_futures=True)
        if not isinstance(error, BrokenProcessPool):
            raise
        if board.has_started:
            raise NoisegateError(
                "study: a process was ended from outside, perhaps for want of memory. Every run "
                "that had finished is saved: go on with --resume, and fewer --jobs."
            ) from None
        raise NoisegateError(
            "study: a worker process ended before its work did. In a script, call "
            'noisegate.study.run below `if __name__ == "__main__":`, or pass jobs=1.'
        ) from None
    pool.shutdown()


# In a worker process: what it does, the board, its place there.
_here: tuple[Worker, Board, int] | None = None


def _start_worker(shared: str, board: Board, environment: dict[str, str]) -> None:
    global _here
    threading.Thread(target=end_with_parent, daemon=True).start()
    # A copy has the variables that were set when the process was started that it is a copy of.
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    place = board.join()
    _here = pickle.loads(Path(shared).read_bytes()), board, place


def _do_call(call: tuple[Any, ...]) -> Any:
    assert _here is not None
    worker, board, place = _here
    return worker.do(board, place, *call)
