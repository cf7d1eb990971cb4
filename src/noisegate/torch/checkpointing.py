"""Activation checkpointing: what counts is where it was while a segment is computed again.

torch has no public place for this. Four names in `torch.utils.checkpoint` are wrapped when
something first counts: where a segment begins, and where it is computed again. Where torch has
other names, a recomputation raises, as it does in other libraries' checkpointing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol
from weakref import WeakSet, ref

import torch
from torch.utils import checkpoint as torch_checkpoint

from noisegate.core.errors import RecomputationError
from noisegate.core.local import Local


class Counting(Protocol):
    """Something whose noise depends on how often it was called."""

    def snapshot(self) -> Any:
        """Return what its next noise depends on."""

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says."""


Segment = list[tuple[Any, Any]]

_counting: WeakSet[Any] = WeakSet()
_lock = Lock()
# How many segments are computed again here, one within the other.
_replaying: Local[int] = Local(0)


def register(counting: Counting) -> None:
    """Let segments remember where this is when they begin."""
    with _lock:
        _counting.add(counting)
    _wrap_torch()


def refuse_backward() -> None:
    """Raise if this runs inside a backward pass, and no segment is known to be replayed."""
    # torch's own checkpointing asks the same private question; -1 is outside.
    if torch._C._current_graph_task_id() != -1 and not _replaying.get():
        raise RecomputationError(
            "a seeded noise was called inside a backward pass that torch.utils.checkpoint does "
            "not know, where its step is unknown, and another mask would make the gradient wrong. "
            "Use torch.utils.checkpoint, leave the noise out of that part, or call a kind there "
            "with a key of your own."
        )


def is_replaying() -> bool:
    """Return whether a segment is computed again now."""
    return _replaying.get() > 0


def _snapshot() -> Segment:
    with _lock:
        counting = list(_counting)
    return [(ref(one), one.snapshot()) for one in counting]


def _restore(segment: Segment) -> Segment:
    """Return to where a segment began, and return where all was before."""
    before = []
    for reference, state in segment:
        counting = reference()
        if counting is not None:
            before.append((reference, counting.snapshot()))
            counting.restore(state)
    return before


@contextmanager
def _replay(segment: Segment) -> Iterator[None]:
    """Be where a segment began, for a block."""
    before = _restore(segment)
    _replaying.set(_replaying.get() + 1)
    try:
        yield
    finally:
        _replaying.set(_replaying.get() - 1)
        _restore(before)


def _wrap_torch() -> None:
    """Wrap the places where torch begins a segment and computes it again, once."""
    names = ("_CheckpointFrame", "_recomputation_hook", "CheckpointFunction")
    found = [getattr(torch_checkpoint, name, None) for name in names]
    if None in found or hasattr(found[0], "_noisegate"):
        return
    frame, hook, reentrant = found
    setattr(frame, "_noisegate", True)  # noqa: B010  a name that torch does not have
    _wrap_frames(frame, hook)
    _wrap_reentrant(reentrant)


def _wrap_frames(frame: Any, hook: Any) -> None:
    begin, create, enter, leave = frame.__init__, hook.__init__, hook.__enter__, hook.__exit__

    def frame_init(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self.noisegate_segment = _snapshot()

    def hook_init(self: Any, target: Any, *args: Any, **kwargs: Any) -> None:
        create(self, target, *args, **kwargs)
        self.noisegate_frame = target

    def hook_enter(self: Any) -> Any:
        of = self.noisegate_frame()
        self.noisegate_replay = _replay(getattr(of, "noisegate_segment", []))
        self.noisegate_replay.__enter__()
        return enter(self)

    def hook_exit(self: Any, *args: Any) -> Any:
        try:
            return leave(self, *args)
        finally:
            self.noisegate_replay.__exit__(None, None, None)

    frame.__init__, hook.__init__ = frame_init, hook_init
    hook.__enter__, hook.__exit__ = hook_enter, hook_exit


def _wrap_reentrant(function: Any) -> None:
    forward, backward = function.forward, function.backward

    def remember(ctx: Any, *args: Any) -> Any:
        ctx.noisegate_segment = _snapshot()
        return forward(ctx, *args)

    def recompute(ctx: Any, *args: Any) -> Any:
        with _replay(getattr(ctx, "noisegate_segment", [])):
            return backward(ctx, *args)

    function.forward, function.backward = staticmethod(remember), staticmethod(recompute)
