"""Share one model between threads: let one change it while the others wait.

A prediction puts hooks into a model and removes them again. A run on an example changes the mode
of every module. Other threads must not run the model meanwhile.
"""

import _thread
import gc
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from torch import nn

from noisegate.core import forks
from noisegate.core.errors import NoisegateError

from ..compiling import eager_only
from .hooks import count_calls, hook_before

# Seconds after which waiting raises: two threads that wait for each other would wait forever.
PATIENCE = 600.0
# Seconds between two looks at the other threads' frames.
INTERVAL = 0.001

_released = threading.Condition()
# The models that are being changed: the thread, and the ids of the model's modules.
_held: list[tuple[int, frozenset[int]]] = []


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Let one thread at a time change a model, for a block.

    Models that share a module count as one model.

    Raises
    ------
    NoisegateError
        If another thread has not released the model after ten minutes.
    """
    mine = get_ident(), frozenset(map(id, model.modules()))
    with _released:
        if not _released.wait_for(lambda: _is_free(*mine), PATIENCE):
            raise _in_use()
        _held.append(mine)
    try:
        yield
    finally:
        with _released:
            _held.remove(mine)
            _released.notify_all()


def _in_use() -> NoisegateError:
    return NoisegateError(
        "noisegate: the model is in use by another thread, which has not given it back in ten "
        "minutes. Predict with a copy of it: copy.deepcopy(model)."
    )


def _is_free(thread: int, modules: frozenset[int]) -> bool:
    return all(thread == other or modules.isdisjoint(theirs) for other, theirs in _held)


@forks.after_in_child
def _forget_threads() -> None:
    """Release the models of threads that a fork has not copied."""
    global _released
    _released = threading.Condition()
    _held.clear()


@contextmanager
def exclude_others(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep all other threads out of some modules for a block that changes their modes.

    The block begins when the calls that other threads have begun are over. Calls that they begin
    meanwhile wait until the block ends.
    """
    if is_alone():
        yield
        return
    gate = _Gate(list(modules))
    hooks = [hook_before(module, gate, prepend=True) for module in gate.modules]
    try:
        gate.wait_for_others()
        yield
    finally:
        gate.open()
        for hook in hooks:
            hook.remove()


def is_alone() -> bool:
    """Return whether the main thread is Python's only one, but for those that only watch bars."""
    # Not by the threads' frames: reading those while they run is slow, and not always safe.
    others = _thread._count()
    return others == 0 or others == sum(map(_is_of_bars, threading.enumerate()))


def _is_of_bars(thread: threading.Thread) -> bool:
    """Return whether a thread is the one by which tqdm watches its progress bars."""
    return type(thread).__module__ == "tqdm._monitor"


def _frames_of_threads() -> Mapping[int, Any]:
    """Return the current frame of each thread, by the thread's identity."""
    # Before Python 3.11.8 and 3.12.2, a garbage collection inside this call deadlocks.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if enabled:
            gc.enable()


class _Gate:
    """A pre-hook at which every thread but its owner waits."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules, self.ids = modules, frozenset(map(id, modules))
        self.owner, self.waiting = get_ident(), set[int]()
        self.opened = threading.Event()

    @eager_only
    def __call__(self, module: nn.Module, args: Any) -> None:
        # A replica of a module (nn.DataParallel) has a copy of the hook, but modes of its own.
        thread = get_ident()
        if thread == self.owner or self.opened.is_set() or id(module) not in self.ids:
            return
        self.waiting.add(thread)
        if not self.opened.wait(PATIENCE):
            raise _in_use()
        self.waiting.discard(thread)

    def wait_for_others(self) -> None:
        """Wait until no other thread is inside a call of one of the modules."""
        pause = threading.Event()
        for _ in range(int(PATIENCE / INTERVAL)):
            if not self._others():
                return
            pause.wait(INTERVAL)
        raise _in_use()

    def _others(self) -> bool:
        try:
            return any(
                count_calls(frame, self.ids)
                for thread, frame in _frames_of_threads().items()
                if thread != self.owner and thread not in self.waiting
            )
        except AttributeError:  # a call ended while its frame was read: look again
            return True

    def open(self) -> None:
        """Let all waiting threads continue."""
        self.opened.set()
