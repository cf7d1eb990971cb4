"""Give checkpointed segments the same noise when torch computes them again.

Counters of noise are saved when a segment begins, and restored while it is computed again. torch
has no public hook for this, so private functions of `torch.utils.checkpoint` are wrapped when the
first counter registers. If a torch version lacks these names, a recomputation raises, as it does
under other libraries' checkpointing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol
from weakref import WeakSet, ref

import torch
from torch import Tensor
from torch.utils import checkpoint as torch_checkpoint

from noisegate.core.errors import RecomputationError
from noisegate.core.local import Local
from noisegate.core.survey import TAG

from .compiler_options import set_option
from .generators import resume_others, save_seeded


class Counting(Protocol):
    """Something whose noise depends on how often it was called."""

    def snapshot(self) -> Any:
        """Return the state that its next noise depends on."""

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot; None is that before it was there."""


class Marking(Protocol):
    """Something whose noise depends on which tensors it has acted on."""

    def find_marks(self, x: Tensor) -> Any:
        """Return what is noted of a tensor; None if nothing is."""

    def set_marks(self, x: Tensor, marks: Any) -> None:
        """Note of a tensor what was noted of another one."""


# The state of each counter, with a weak reference to the counter.
Counters = list[tuple[Any, Any]]
# What a segment began with: its counters, and the other generators if its forward has seeded them.
Segment = tuple[Counters, Any]

# Weak, so that a model with noise is freed as any other.
_counting: WeakSet[Any] = WeakSet()
_marking: WeakSet[Any] = WeakSet()
_lock = Lock()
# How many segments, one nested in the other, are being computed again in this thread.
_replaying: Local[int] = Local(0)


def register(counting: Counting, marking: Marking | None = None) -> None:
    """Save and restore a counter's state with every segment from now on, and marks of tensors."""
    with _lock:
        _counting.add(counting)
        if marking is not None:
            _marking.add(marking)
    _wrap_torch()


def list_registered() -> list[Any]:
    """Return every counter that is registered."""
    with _lock:
        return list(_counting)


def refuse_backward() -> None:
    """Raise inside a backward pass, unless it computes a known segment again."""
    # torch's own checkpointing uses this private function too; -1 is outside of a backward pass.
    if torch._C._current_graph_task_id() != -1 and not _replaying.get():
        raise RecomputationError(
            "a seeded noise was called inside a backward pass that torch.utils.checkpoint does "
            "not know, where its step is unknown, and another mask would make the gradient wrong. "
            "Use torch.utils.checkpoint, leave the noise out of that part, or call a kind there "
            "with a key of your own."
        )


def is_replaying() -> bool:
    """Return whether a segment is being computed again in this thread."""
    return _replaying.get() > 0


def _snapshot() -> Segment:
    counting = list_registered()
    return [(ref(one), one.snapshot()) for one in counting], save_seeded()


def _restore(counters: Counters) -> None:
    """Restore all counters to a segment's beginning."""
    states = {reference(): state for reference, state in counters}
    counting = list_registered()
    for one in counting:
        one.restore(states.get(one))


def _keep_marks(run: Callable[..., Any], inputs: Sequence[Any]) -> Callable[..., Any]:
    """Return a segment's function that notes of its inputs what is noted of these ones now.

    torch may compute a segment again with other tensors: detached ones, or copies that were saved
    elsewhere.
    """
    known = _find_marks(inputs)

    def run_with_marks(*inputs: Any) -> Any:
        bare = [x for x in inputs if isinstance(x, Tensor) and not hasattr(x, TAG)]
        _set_marks(known, inputs)
        try:
            return run(*inputs)
        finally:
            for x in bare:  # a user may hold it
                vars(x).pop(TAG, None)

    return run_with_marks if known else run


def _view_marked(output: Any, inputs: Sequence[Any]) -> Any:
    """Return a segment's output; if it is a tensor that it was given, a view with its marks.

    torch would replace it by a view in any case, without marks.
    """
    if not any(output is value for value in inputs if isinstance(value, Tensor)):
        return output
    view = output.view_as(output)
    _set_marks(_find_marks([output]), [view])
    return view


def _find_marks(inputs: Sequence[Any]) -> list[tuple[Any, int, Any]]:
    """Return what is noted of a segment's inputs: by whom, of which one, and what."""
    with _lock:
        marking = list(_marking)
    tensors = [(i, value) for i, value in enumerate(inputs) if isinstance(value, Tensor)]
    found = [(ref(one), i, one.find_marks(value)) for one in marking for i, value in tensors]
    return [each for each in found if each[2] is not None]


def _set_marks(known: Sequence[tuple[Any, int, Any]], inputs: Sequence[Any]) -> None:
    for reference, i, marks in known:
        if (one := reference()) is not None:
            one.set_marks(inputs[i], marks)


@contextmanager
def keep_counters() -> Iterator[None]:
    """Restore all counters after a block."""
    counters, _ = _snapshot()
    try:
        yield
    finally:
        _restore(counters)


@contextmanager
def _replay(segment: Segment) -> Iterator[None]:
    """Restore everything to a segment's beginning for a block, and back after it."""
    counters, others = segment
    before, _ = _snapshot()
    _replaying.set(_replaying.get() + 1)
    try:
        _restore(counters)
        with resume_others(others):
            yield
    finally:
        _replaying.set(_replaying.get() - 1)
        _restore(before)


def _wrap_torch() -> None:
    """Wrap torch's functions that begin a segment and compute it again; do so only once."""
    names = ("_CheckpointFrame", "_recomputation_hook", "CheckpointFunction")
    found = [getattr(torch_checkpoint, name, None) for name in names]
    if None in found or hasattr(found[0], "_noisegate"):
        return
    # By default the compiler refuses what a segment changes outside of itself, since it would not
    # be changed again in the backward pass. A counter must not be.
    set_option("skip_fwd_side_effects_in_bwd_under_checkpoint", True)
    frame, hook, reentrant = found
    setattr(frame, "_noisegate", True)  # noqa: B010  a name that torch does not have
    _wrap_frames(frame, hook)
    _wrap_reentrant(reentrant)


def _wrap_frames(frame: Any, hook: Any) -> None:
    # use_reentrant=False: a frame is made when a segment begins; the hook surrounds recomputation.
    begin, create, enter, leave = frame.__init__, hook.__init__, hook.__enter__, hook.__exit__
    save: Any = getattr(frame, "save_inputs", None)  # older versions have another way

    def frame_init(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self.noisegate_segment = _snapshot()

    def save_inputs(self: Any, *args: Any) -> None:
        save(self, *args)
        self.recompute_fn = _keep_marks(self.recompute_fn, args)

    def hook_init(self: Any, target: Any, *args: Any, **kwargs: Any) -> None:
        create(self, target, *args, **kwargs)
        self.noisegate_frame = target

    def hook_enter(self: Any) -> Any:
        of = self.noisegate_frame()
        self.noisegate_replay = _replay(getattr(of, "noisegate_segment", ([], None)))
        self.noisegate_replay.__enter__()
        return enter(self)

    def hook_exit(self: Any, *args: Any) -> Any:
        try:
            return leave(self, *args)
        finally:
            self.noisegate_replay.__exit__(None, None, None)

    frame.__init__, hook.__init__ = frame_init, hook_init
    hook.__enter__, hook.__exit__ = hook_enter, hook_exit
    if save is not None:
        frame.save_inputs = save_inputs


def _wrap_reentrant(function: Any) -> None:
    # use_reentrant=True: the segment is an autograd function, and its backward recomputes it.
    forward, backward = function.forward, function.backward

    def remember(ctx: Any, run: Any, preserve: bool, *inputs: Any) -> Any:
        ctx.noisegate_segment, again = _snapshot(), _keep_marks(run, inputs)
        outputs = forward(ctx, run, preserve, *inputs)
        ctx.run_function = again
        if isinstance(outputs, tuple):
            return tuple(_view_marked(output, inputs) for output in outputs)
        return _view_marked(outputs, inputs)

    def recompute(ctx: Any, *args: Any) -> Any:
        with _replay(getattr(ctx, "noisegate_segment", ([], None))):
            return backward(ctx, *args)

    function.forward, function.backward = staticmethod(remember), staticmethod(recompute)
