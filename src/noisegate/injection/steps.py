"""Give each forward of a model its step and rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any
from weakref import ref

from noisegate.core import checks
from noisegate.core.errors import prefix_errors
from noisegate.core.keys import STEP_BITS, check_step
from noisegate.core.local import Local
from noisegate.core.rank_rows import REPLICA, UNKNOWN, RankRows
from noisegate.core.survey import TAG

from .graph_state import GraphState
from .running_forward import Forward, Ids, Pin

# Threads that train one model share its counter, so no two of their forwards have the same step.
_counting = Lock()


class Steps:
    """Gives each forward its step and rows: the next step, or the next part of a pinned step.

    The running forward and the pinned step belong to the thread or task that runs them.
    """

    def __init__(self, graphs: GraphState) -> None:
        self.graphs = graphs
        # Whether every sample has row 0.
        self.shared = False
        # The last forward that has ended, and the one for modules called outside of a forward.
        self.last, self._outside = Forward(), Forward()
        self._running: Local[Forward | None] = Local(None)
        self._pin: Local[Pin | None] = Local(None)
        # The value of `rows`, and whether a forward has used it.
        self._ids, self._used = Ids(), False

    @property
    def running(self) -> Forward | None:
        """The forward of the model that runs in this thread, or None."""
        return self._running.get()

    @property
    def pin(self) -> Pin | None:
        """The block of one step that this thread is in, or None."""
        return self._pin.get()

    @property
    def forward(self) -> Forward:
        """The forward that a noise called in this thread belongs to."""
        forward = self._running.get()
        if forward is not None:
            return forward
        pin = self._pin.get()
        if pin is None:
            return self._outside
        self._take_assigned(pin)
        return pin.loose

    @property
    def next(self) -> int:
        """The step of the next training forward."""
        return int(self.graphs.counter.number)

    @next.setter
    def next(self, value: int) -> None:
        self.graphs.counter.number = value

    @property
    def trace_of_step(self) -> Any:
        """What recorded the operations where a block chose the step; None if it was counted."""
        pin = self._pin.get()
        return None if pin is None else pin.trace

    def set_next(self, value: int) -> None:
        """Set the step of the next training forward, and of a forward that runs in this thread."""
        self.next = _check_step(value)
        forward = self._running.get()
        if forward is not None:
            forward.step = self.next

    @property
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | RankRows | None:
        """The ids of the samples of the next forwards, by rule for some sites, or by rank."""
        return self._ids.by_rule or self._ids.ranks or self._ids.samples

    @rows.setter
    def rows(self, value: Any) -> None:
        self._ids, self._used = Ids.read(value), False
        self.graphs.set_ids(self._ids.samples, bool(self._ids.by_rule))
        self.find_ranks()
        pin = self._pin.get()
        if pin is not None:  # graphs must know now; what is wrong is told at the next forward
            self._replace_ids(pin)

    def find_ranks(self, given: Ids | None = None) -> RankRows | None:
        """Return what the samples of this process are among those of all; None if it is alone.

        Undeclared, ranks are replicas: so they never draw the same by accident.
        """
        given = self._ids if given is None else given
        ranks = given.ranks
        if given.samples is not None:
            return None
        if ranks is None or ranks.rank is None:
            rank, world = self.graphs.find_rank()
            policy = REPLICA if ranks is None else ranks.policy
            ranks = None if world == 1 else RankRows(policy, rank, world)
        self.graphs.set_ranks(ranks)
        return ranks

    def find_ids(self, site: str, rule: str) -> Sequence[int] | None:
        """Return the ids given for a site by its rule or by a pattern that matches it, or None."""
        pin = self._pin.get()
        return (self._ids if pin is None else pin.ids).find(site, rule)

    @contextmanager
    def at(
        self, step: int, rows: Any, together: Sequence[int] = (), muted: int | None = None
    ) -> Iterator[None]:
        """Make every forward of a block part of one step.

        With `together`, the block has one forward, which computes each of these steps for the same
        samples; the part with index `muted` is a probe.

        Raises
        ------
        InvalidValue
            At the end of the block, if forwards have used some of the ids and left others over.
        """
        with prefix_errors("inject"):
            step = check_step(step)
        ids = self._ids if rows is None else Ids.read(rows)
        pin = Pin(step, ids, self._ids, self._make_loose(step, ids), 0, 0, tuple(together), muted)
        pin.trace, before = self.graphs.find_trace(), self._pin.get()
        self._pin.set(pin)
        self.graphs.pin(pin, ids.samples)
        try:
            yield
            # If a segment was computed again meanwhile, a copy has taken the pin's place.
            pin = self._pin.get() or pin
            self.graphs.count_graphs(pin)
            if pin.before is not None:
                pin.before.check_used_up()
            pin.check_used_up()
        finally:
            self._pin.set(before)
            self.graphs.pin(before, None if before is None else before.ids.samples)
            self.find_ranks(None if before is None else before.ids)
            if pin.loose.calls:
                self.last = pin.loose
            if type(step) is not int:  # a tensor that is mapped must not outlive its map
                self.last.step = 0

    def _make_loose(self, step: int, ids: Ids) -> Forward:
        """Return the forward for modules called outside of the model's forward in a pinned step."""
        loose = Forward(step, ids=ids.samples, has_step=True, counted=True, shared=self.shared)
        loose.ranks = self.find_ranks(ids)
        with_ids = ids.samples is not None or bool(ids.by_rule) or loose.ranks is not None
        loose.numbered = self.shared or with_ids
        return loose

    def _take_assigned(self, pin: Pin) -> None:
        """Use ids that were assigned to `rows` within a block for the rest of the block."""
        if pin.assigned is not self._ids:
            self._replace_ids(pin)
        before, pin.before = pin.before, None
        if before is not None:
            before.check_used_up()

    def _replace_ids(self, pin: Pin) -> None:
        self.graphs.count_graphs(pin)
        pin.before = pin.copy()
        pin.ids = pin.assigned = self._ids
        pin.taken, pin.loose = 0, self._make_loose(pin.step, self._ids)
        self.graphs.pin(pin, self._ids.samples)

    @contextmanager
    def looking(self) -> Iterator[Forward]:
        """Yield a forward that records which noises are reached in a block in which none acts."""
        seen = Forward()
        self._running.set(seen)
        try:
            yield seen
        finally:
            self._running.set(None)

    def begin(self, counted: bool, batch: int | None) -> Forward:
        """Begin a forward at the next step, or as the next part of a pinned step; return it."""
        pin = self._pin.get()
        if pin is None:
            given = self._ids
            with _counting:
                step, cursor = self.next, self.graphs.counter.tensor
                if counted and step >> STEP_BITS:
                    _check_step(step)
                if counted:
                    self.next = step + 1
            forward = Forward(step, 0, batch, given.samples, True, counted, self.shared)
            forward.cursor = cursor
        else:
            self._take_assigned(pin)
            self.graphs.count_graphs(pin)
            given = pin.ids
            if pin.together and batch:
                batch //= len(pin.together)
            forward = Forward(pin.step, pin.first, batch, None, True, counted, self.shared)
            forward.together, forward.muted = pin.together, pin.muted
            if counted:
                members = 0 if given.samples is not None else self.graphs.count_members(pin.step)
                forward.ids = pin.take((batch or 0) * (members or 1))
                forward.follows = members > 0 and forward.first > 0 and not given.by_rule
                self.graphs.pin(pin, given.samples)
        if counted:
            self._used = True
        forward.ranks = self.find_ranks(given)
        if forward.ranks is not None and counted:
            forward.largest = self.graphs.note_largest(batch or 0)
            forward.follows = self.graphs.check_members(forward.ranks, forward.step)
        with_ids = forward.ids is not None or bool(given.by_rule) or forward.ranks is not None
        forward.numbered = forward.first > 0 or self.shared or with_ids
        self._running.set(forward)
        if self._outside.calls:
            self._outside = Forward()
        return forward

    def end(self, forward: Forward) -> None:
        """End the forward that runs in this thread."""
        self._running.set(None)
        self.graphs.end()
        pin = self._pin.get()
        if pin is not None and forward.counted and forward.batch is None and forward.ids is None:
            # The samples of the next one follow those that the sites have seen.
            members = self.graphs.count_members(pin.step)
            pin.count(UNKNOWN if members or forward.seen is None else forward.seen)
            self.graphs.pin(pin, pin.ids.samples)
        forward.has_step = False
        forward.made = {}  # a segment may need the former one
        self.last = forward

    def uncount(self, forward: Forward) -> None:
        """Give back the step that a forward has used up."""
        if self._pin.get() is None:
            self.next = forward.step

    def find_marks(self, x: Any) -> Any:
        """Return the rules that have acted on a tensor in this thread's forward; None if none."""
        made = self._find_made().get(id(x))
        rules = made[1] if made is not None and made[0]() is x else None
        tag = getattr(x, TAG, None)
        return (rules, tag) if rules or tag else None

    def set_marks(self, x: Any, marks: Any) -> None:
        """Note rules as having acted on a tensor in this thread's forward."""
        rules, tag = marks
        if rules:
            self._find_made()[id(x)] = ref(x), rules
        if tag:
            setattr(x, TAG, tag)

    def _find_made(self) -> dict[int, Any]:
        pin = self._pin.get()
        return (self._running.get() or (self._outside if pin is None else pin.loose)).made

    def snapshot(self) -> Any:
        """Return the running forward, the pinned step, the next step, and the ids of samples."""
        graphs, counter = self.graphs.snapshot(), self.graphs.counter.snapshot()
        ids = self._ids, self._used
        return _copy(self._running.get()), _copy(self._pin.get()), ids, graphs, counter

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot."""
        # Copies, since a snapshot may be restored again later.
        running, pin, (self._ids, self._used), graphs, counter = state
        self.graphs.restore(graphs)
        self.graphs.counter.restore(counter)
        self._running.set(_copy(running))
        self._pin.set(_copy(pin))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy of the model, without ids that past forwards have used."""
        last = replace(self.last, ids=None, made={}, reached=set())
        ids = Ids(ranks=self._ids.ranks) if self._used else self._ids
        return {**self.__dict__, "last": last, "_outside": Forward(), "_ids": ids}


def _check_step(value: Any) -> int:
    with prefix_errors("inject"):
        return checks.check_whole("step", value, STEP_BITS)


def _copy(value: Any) -> Any:
    return None if value is None else value.copy()
