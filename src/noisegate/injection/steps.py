"""Give each forward of a model its step and rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any
from weakref import ref

from noisegate.core import checks, patterns
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import STEP_BITS, check_step
from noisegate.core.local import Local
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.survey import TAG
from noisegate.core.window import rows_of

from .graph_state import GraphState, Mark

# Rules that are words, not patterns of sites.
WORDS = {*SHORTHANDS, EXISTING}

# Threads that train one model share its counter, so no two of their forwards have the same step.
_counting = Lock()


class NotTogether(Exception):
    """Raised where one forward cannot compute several steps."""


@dataclass(slots=True, eq=False)
class Forward:
    """One forward of the model: its step, its rows, and the noises that acted in it."""

    step: int = 0
    # The row of the first sample, the number of samples if known, and their ids if given.
    first: int = 0
    batch: int | None = None
    ids: Sequence[int] | None = None
    # Whether its step is known; not for modules called outside of the model's forward and of `at`.
    has_step: bool = False
    # Whether its noise acts, so that it uses up a step.
    counted: bool = False
    # Whether every sample has row 0; whether any sample's row differs from its place in the batch.
    shared: bool = False
    numbered: bool = False
    # Whether its rows follow those of a forward before, in each member of a map.
    follows: bool = False
    # The steps of a forward of several steps, each on an equal part of the batch; and the part that
    # is muted, as a probe for the influence of samples on each other.
    together: tuple[int, ...] = ()
    muted: int | None = None
    # Within a block that leaves samples out: the places of those that it keeps, and of how many.
    kept: tuple[tuple[int, ...], int] | None = None
    # How often each noise has acted, and the noises whose site was reached, acting or not.
    calls: dict[Any, int] = field(default_factory=dict)
    reached: set[Any] = field(default_factory=set)
    # By the id of a tensor with noise: the tensor, and the site where each rule has acted on it.
    made: dict[int, tuple["ref[Any]", dict[str, str]]] = field(default_factory=dict)
    # How many calls of the model that it made itself are running.
    within: int = 0
    # The states of the generators that were seeded for it.
    states: Any = None
    # The step as graphs see it, if it is the next one.
    cursor: Any = None
    # How tensors with noise know it, if graphs may run in it.
    mark: Mark | None = None

    @property
    def rows(self) -> Sequence[int]:
        """The row of each sample."""
        return range(self.first, self.first + (self.batch or 0)) if self.ids is None else self.ids

    def copy(self) -> "Forward":
        """Return a copy with counts of its own."""
        return replace(self, calls=dict(self.calls), reached=set(self.reached))


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Ids of samples as the user gave them: for all sites, or by rule for some sites."""

    samples: Sequence[int] | None = None
    by_rule: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, value: Any) -> "Ids":
        """Return the ids in a sequence, a mapping of rule to sequence, or None."""
        by_rule = value if isinstance(value, Mapping) else {}
        with prefix_errors("inject"):
            for rule in by_rule:
                if rule not in WORDS:
                    patterns.check_pattern(rule)
            samples = None if value is None or value is by_rule else rows_of(value)
            return cls(samples, {rule: rows_of(ids) for rule, ids in by_rule.items()})

    def find(self, site: str, rule: str) -> Sequence[int] | None:
        """Return the ids for a site by its rule or by a pattern that matches it, or None."""
        for name, ids in self.by_rule.items():
            if name == rule or (name not in WORDS and patterns.matches(name, [site])):
                return ids
        return None


@dataclass(slots=True, eq=False)
class Pin:
    """A block in which every forward is part of one step."""

    step: int
    ids: Ids
    # The value of `Steps.rows` when `ids` were taken: a later assignment replaces `ids`.
    assigned: Ids
    # The forward for modules that are called outside of the model's forward.
    loose: Forward
    # The row of the next sample if no ids are given, and how many ids are used up.
    first: int = 0
    taken: int = 0
    # As in `Forward`.
    together: tuple[int, ...] = ()
    muted: int | None = None
    # The block with its former ids, until it is checked that they were used up.
    before: "Pin | None" = None
    # What recorded the operations where the block began.
    trace: Any = None

    def copy(self) -> "Pin":
        """Return a copy with counts of its own."""
        return replace(self, loose=self.loose.copy())

    def check_used_up(self) -> None:
        """Raise if forwards have used some of the ids and left others over."""
        given = self.ids.samples
        if given is not None and 0 < self.taken < len(given):
            raise InvalidValue(
                f"inject: `rows` must name each sample of the block at step {self.step} once; got "
                f"{len(given)} rows, and its forwards have {self.taken} samples."
            )

    def take(self, count: int) -> Sequence[int] | None:
        """Return the ids of the next samples, and use them up."""
        given, taken = self.ids.samples, self.taken + count
        if given is not None and taken > len(given):
            raise InvalidValue(
                f"inject: `rows` must name each sample of the block at step {self.step} once; got "
                f"{len(given)} rows, and its forwards have {taken} samples by now. Name all of "
                "them, or set `noise.rows` before each forward."
            )
        ids = None if given is None else given[self.taken : taken]
        self.first, self.taken = self.first + count, taken
        return ids


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
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | None:
        """The ids of the samples of the next forwards, for all sites or by rule for some."""
        return self._ids.by_rule or self._ids.samples

    @rows.setter
    def rows(self, value: Any) -> None:
        self._ids, self._used = Ids.read(value), False
        self.graphs.set_ids(self._ids.samples, bool(self._ids.by_rule))
        pin = self._pin.get()
        if pin is not None:  # graphs must know now; what is wrong is told at the next forward
            self._replace_ids(pin)

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
            if pin.loose.calls:
                self.last = pin.loose
            if type(step) is not int:  # a tensor that is mapped must not outlive its map
                self.last.step = 0

    def _make_loose(self, step: int, ids: Ids) -> Forward:
        """Return the forward for modules called outside of the model's forward in a pinned step."""
        loose = Forward(step, ids=ids.samples, has_step=True, counted=True, shared=self.shared)
        loose.numbered = self.shared or ids.samples is not None or bool(ids.by_rule)
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
        with_ids = forward.ids is not None or bool(given.by_rule)
        forward.numbered = forward.first > 0 or self.shared or with_ids
        self._running.set(forward)
        if self._outside.calls:
            self._outside = Forward()
        return forward

    def end(self, forward: Forward) -> None:
        """End the forward that runs in this thread."""
        self._running.set(None)
        self.graphs.end()
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
        ids = Ids() if self._used else self._ids
        return {**self.__dict__, "last": last, "_outside": Forward(), "_ids": ids}


def _check_step(value: Any) -> int:
    with prefix_errors("inject"):
        return checks.check_whole("step", value, STEP_BITS)


def _copy(value: Any) -> Any:
    return None if value is None else value.copy()
