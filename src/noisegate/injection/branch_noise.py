"""Stochastic depth: which samples of a residual block are kept, and their rows inside of it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import numpy as np

from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement
from noisegate.core.survey import Call
from noisegate.core.window import resolve_shared
from noisegate.numpy import noise

from .module_noise import ModuleSiteNoise
from .running_forward import Forward


@dataclass(frozen=True, slots=True)
class Survivors:
    """Which samples of a block are kept in one call of it.

    Attributes
    ----------
    kept : tuple of int
        The places of the kept samples, along `axis`.
    count : int
        How many samples there are.
    axis : int
        The axis of the samples.
    whole : bool
        Whether the kept samples take the block's output as it is.
    """

    kept: tuple[int, ...]
    count: int
    axis: int
    whole: bool
    noise: "BranchNoise"
    kind: Kind
    key: Key
    rows: Any

    def scale(self, branch: Any) -> Any:
        """Return the branch of the kept samples with their noise."""
        rows = self.kept if self.rows is None else [self.rows[place] for place in self.kept]
        host = self.noise.injection.host
        return host.apply(self.kind, branch, self.key, rows, self.axis, {})

    @contextmanager
    def narrow(self) -> Iterator[None]:
        """Let all noise in a block see the rows of the kept samples."""
        host = self.noise.injection.host
        steps = (getattr(one, "steps", None) for one in host.list_registered())
        with ExitStack() as narrowed:
            narrowed.enter_context(host.use_kept(self.kept))
            for one in steps:
                if one is not None and one.forward.has_step:
                    narrowed.enter_context(_narrow(one, self.kept, self.count))
            yield


class BranchNoise(ModuleSiteNoise):
    """The noise on a residual block's branch, which need not compute what it drops."""

    def __init__(self, injection: Any, placement: Placement) -> None:
        super().__init__(injection, placement)
        self.idle = placement.kind.rate == 0

    def set_placement(self, placement: Placement) -> None:
        """Replace the placement, for eager code and for graphs."""
        super().set_placement(placement)
        self.idle = placement.kind.rate == 0

    def acts(self, training: bool, call: Call | None = None) -> bool:
        """Note that its site is reached; return whether it would change anything there."""
        if not super().acts(training, call):
            return False
        kind, forward = self.placement.kind, self.injection.steps.forward
        step = forward.step if forward.has_step else 0
        return type(step) is not int or not kind.is_identity(kind.rate_at(step, {}))

    def acts_in_graph(self, training: bool, rate: Any = None) -> bool:
        """Return whether it would change anything, in code that a compiler traces."""
        return not self.idle and super().acts_in_graph(training, rate)

    def choose(self, x: Any) -> Survivors | None:
        """Return which samples of x are kept, and count the call; None if it has to act on x.

        That is where its kind does not decide for whole samples, and where the decision is not
        known on the host, or not one for each sample: in a map of torch.func, in several steps
        computed together, and outside of a forward. A prediction computes all samples.
        """
        injection, placement = self.injection, self.placement
        forward, kind = injection.steps.forward, placement.kind
        self.refuse_elsewhere(x)
        axis = placement.sample_axis
        if axis is None or not -x.ndim <= axis < x.ndim or not kind.removes:
            return None
        axis %= x.ndim
        shape = tuple(x.shape)
        if not _is_of_samples(kind, shape, axis) or not self._knows_rows(forward):
            return None
        self.check_samples(x, axis)
        number = forward.calls.get(self, 0)
        rows, _ = self.find_rows(x, axis, forward, number)
        key = Key(injection.seed, placement.site, placement.slot, number, forward.step)
        field = noise(kind, shape, key, rows, axis)
        place = tuple(slice(None) if i == axis else 0 for i in range(len(shape)))
        keep, gain, shift, fill = (np.asarray(part)[place] for part in field)
        if shift.any() or fill.any():  # what is removed does not become 0
            return None
        kept = tuple(np.flatnonzero(keep).tolist())
        if not kept and rows is not None and injection.host.find_rank()[1] > 1:
            return None  # other ranks run the block, and may wait for this one in it
        forward.calls[self] = number + 1
        self._seen = kind, key, shape, rows, axis, {}, number + 1, perf_counter_ns()
        return Survivors(kept, shape[axis], axis, bool((gain == 1).all()), self, kind, key, rows)

    def _knows_rows(self, forward: Forward) -> bool:
        host = self.injection.host
        known = forward.has_step and type(forward.step) is int and not forward.together
        elsewhere = self.injection.always or host.transforms_act() or host.times_in_use()
        return known and not elsewhere


def _is_of_samples(kind: Kind, shape: Sequence[int], axis: int) -> bool:
    """Return whether a kind decides once for each sample, or once for all of them."""
    shared = resolve_shared(kind.shared, shape, axis)
    return all(other in shared for other in range(len(shape)) if other != axis)


@contextmanager
def _narrow(steps: Any, kept: Sequence[int], count: int) -> Iterator[None]:
    """Let a forward have the rows of some of its samples only, for a block."""
    forward = steps.forward
    names = ("ids", "first", "batch", "numbered", "kept")
    before = {name: getattr(forward, name) for name in names}
    rows = forward.rows
    if len(rows) != count:
        rows = forward.count_rows(count) if forward.takes_any() else range(count)
    outer = range(count) if forward.kept is None else forward.kept[0]
    whole = count if forward.kept is None else forward.kept[1]
    forward.ids, forward.first = tuple(rows[place] for place in kept), 0
    forward.batch, forward.numbered = len(kept), True
    forward.kept = tuple(outer[place] for place in kept), whole
    published = steps.graphs.renumber(forward)
    try:
        yield
    finally:
        # Not `forward` itself: a segment that was computed again may have put a copy in its place.
        for name, value in before.items():
            setattr(steps.forward, name, value)
        steps.graphs.put_back(published)
