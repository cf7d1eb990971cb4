"""One run is (model, recipe, seed); many runs go to processes of one thread each."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import nn

import noisegate as ng
from noisegate.core.errors import NoisegateError
from noisegate.nets import History, fit, misclassified

from . import messages
from .data import Data, derived_seed, split
from .models import MODELS
from .recipes import RECIPES

__all__ = ["BATCH_SIZE", "LEARNING_RATE", "Job", "Run", "execute", "execute_all"]

# Ten equal batches an epoch. The rate was chosen by the loss without noise, on both models.
BATCH_SIZE = 100
LEARNING_RATE = 2e-3


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: a model's name, a recipe's name, a seed, a budget of epochs."""

    model: str
    recipe: str
    seed: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a job.

    `split` and `initial_weights` are digests: equal for every recipe of a model and seed.
    `matched` is the report of the injection; `seconds` the time the run took.
    """

    job: Job
    history: History
    split: str
    initial_weights: str
    matched: str
    seconds: float


def execute(job: Job, data: Data) -> Run:
    """Train one model with one recipe; seed, and nothing else, decides split, start and order."""
    began = time.perf_counter()
    parts = split(data, job.seed)
    model = _initial_model(job)
    initial_weights = _digest(model)
    rules = RECIPES[job.recipe].rules
    noise = ng.inject(model, dict(rules), seed=job.seed) if rules else None
    history = fit(
        model,
        nn.functional.cross_entropy,
        parts.train,
        parts.validation,
        epochs=job.epochs,
        batch_size=BATCH_SIZE,
        optimizer=torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        order_seed=derived_seed(job.seed, "order"),
        error=misclassified,
    )
    matched = noise.report() if noise is not None else "no rules"
    seconds = time.perf_counter() - began
    return Run(job, history, parts.digest, initial_weights, matched, seconds)


def execute_all(
    jobs: Sequence[Job], data: Data, processes: int, on_run: Callable[[Run], None]
) -> tuple[Run, ...]:
    """Execute every job and return the runs in the order of `jobs`, whatever ended first.

    Every run has one thread, in this process (``processes=1``) as in others, since sums over
    threads are rounded otherwise.
    """
    if processes == 1:
        with _one_thread():
            return tuple(_reported(execute(job, data), on_run) for job in jobs)
    with _workers(processes) as pool:
        with _interrupts_held():
            # The data go with each job: a start would wait for ever to hand over as much to a
            # process that ends at once.
            futures = [pool.submit(execute, job, data) for job in jobs]
        for future in as_completed(futures):
            on_run(future.result())
        return tuple(future.result() for future in futures)


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes end at once if the work is interrupted or fails."""
    # Not fork: a forked child of a process that has used torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, context, _start_worker)
    try:
        yield pool
    except BaseException as error:
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.kill()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise NoisegateError(messages.needs_main_guard()) from None
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


def _start_worker() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent has ended: a killed parent cannot say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _reported(run: Run, on_run: Callable[[Run], None]) -> Run:
    on_run(run)
    return run


def _initial_model(job: Job) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(job.seed, "weights"))
        return MODELS[job.model]()


def _digest(model: nn.Module) -> str:
    digest = blake2b(digest_size=8)
    for weights in model.state_dict().values():
        digest.update(weights.numpy().tobytes())
    return digest.hexdigest()
