"""Which step a forward of the model is, and which rows its samples are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any
from weakref import ref

from noisegate.core import checks, messages, patterns
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import STEP_BITS
from noisegate.core.local import Local
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.window import rows_of

# Threads that train one model share its counter, and no two of their forwards a step.
_counting = Lock()


class NotTogether(Exception):
    """Several steps cannot be made in one forward."""


@dataclass(slots=True, eq=False)
class Forward:
    """One forward of the model: which part of which step it is, and what has acted in it.

    `first` is the row of its first sample; `ids` are the rows of its samples where they are
    given; with `shared` every sample is row 0. Outside of a forward `running` is False. `counted`
    says that its noise acts, `numbered` that rows are other than 0, 1, 2 …. `together` are the
    steps of a forward of several, each of which has an equal part of the batch; `muted` is the part
    among them that is a probe of what samples do to each other.

    `calls` counts how often each noise acted, `reached` are those whose place was reached, `made`
    are the tensors that bear noise, by their identity, and `within` counts calls of the model by
    itself.
    """

    step: int = 0
    first: int = 0
    batch: int | None = None
    ids: Sequence[int] | None = None
    running: bool = False
    counted: bool = False
    shared: bool = False
    numbered: bool = False
    together: tuple[int, ...] = ()
    muted: int | None = None
    calls: dict[Any, int] = field(default_factory=dict)
    reached: set[Any] = field(default_factory=set)
    made: dict[int, tuple["ref[Any]", dict[str, str]]] = field(default_factory=dict)
    within: int = 0

    def copy(self) -> "Forward":
        """Return a copy that counts on its own."""
        return replace(self, calls=dict(self.calls), reached=set(self.reached))


def _check_ids(value: Any) -> Sequence[int]:
    with prefix_errors("inject"):
        return rows_of(value)


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Ids of samples as they were given: of the model's samples, or by rule for some sites."""

    samples: Sequence[int] | None = None
    by_rule: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> "Ids":
        """Return the ids that a user gives: a sequence, a mapping of rule to sequence, or None."""
        if not isinstance(value, Mapping):
            return cls(None if value is None else _check_ids(value))
        for rule in value:
            if rule not in (*SHORTHANDS, EXISTING):
                patterns.check_pattern(rule)
        return cls(by_rule={rule: _check_ids(ids) for rule, ids in value.items()})

    def of_site(self, site: str, rule: str) -> Sequence[int] | None:
        """Return the ids that a site has by its rule or by a pattern that names it."""
        for name, ids in self.by_rule.items():
            named = name not in (*SHORTHANDS, EXISTING) and patterns.matches(name, [site])
            if name == rule or named:
                return ids
        return None


@dataclass(slots=True, eq=False)
class Pin:
    """A block in which every forward is part of one step.

    `first` is the row of the next sample. `ids` are those that were given, for the block or by
    the assignment `assigned`, of which `taken` are used up. `loose` is the forward that parts of
    the model have which are called without it.
    """

    step: int
    ids: Ids
    assigned: Ids
    loose: Forward
    first: int = 0
    taken: int = 0
    together: tuple[int, ...] = ()
    muted: int | None = None

    def copy(self) -> "Pin":
        """Return a copy that counts on its own."""
        return replace(self, loose=self.loose.copy())

    def check_used_up(self) -> None:
        """Raise if forwards have used some of the ids, and others are left over."""
        given = self.ids.samples
        if given is not None and 0 < self.taken < len(given):
            raise InvalidValue(messages.rows_left_over(self.step, len(given), self.taken))

    def take(self, count: int) -> Sequence[int] | None:
        """Return the ids of the next samples, and use them up."""
        given, taken = self.ids.samples, self.taken + count
        if given is not None and taken > len(given):
            raise InvalidValue(messages.rows_used_up(self.step, len(given), taken))
        ids = None if given is None else given[self.taken : taken]
        self.first, self.taken = self.first + count, taken
        return ids


class Steps:
    """Counts forwards, or parts of one step that is pinned.

    Which forward runs and which step is pinned belong to the thread, or the task, that runs it.
    With `shared` every sample is row 0.
    """

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        self.last = Forward()
        self._outside = Forward()
        self._running: Local[Forward | None] = Local(None)
        self._pin: Local[Pin | None] = Local(None)
        self._next = 0
        # What `rows` says, and whether a forward has had it.
        self._ids, self._used = Ids(), False

    @property
    def running(self) -> Forward | None:
        """The forward of the model that runs here, if one does."""
        return self._running.get()

    @property
    def forward(self) -> Forward:
        """The forward that runs here: the model's, or that of its parts in a pinned step."""
        forward = self._running.get()
        if forward is not None:
            return forward
        pin = self._pin.get()
        if pin is None:
            return self._outside
        self._follow(pin)
        return pin.loose

    @property
    def next(self) -> int:
        """The step that the next training forward uses."""
        return self._next

    @next.setter
    def next(self, value: int) -> None:
        with prefix_errors("inject"):
            self._next = checks.whole("step", value, STEP_BITS)
        forward = self._running.get()
        if forward is not None:
            forward.step = self._next

    @property
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | None:
        """The ids of the samples of the next forwards, of all sites or of those of some rules."""
        return self._ids.by_rule or self._ids.samples

    @rows.setter
    def rows(self, value: Any) -> None:
        self._ids, self._used = Ids.of(value), False

    def rows_of_its_own(self, site: str, rule: str) -> Sequence[int] | None:
        """Return the ids that were given for a site, by its rule or by a pattern that names it."""
        return self._given.of_site(site, rule)

    @property
    def _given(self) -> Ids:
        """The ids that hold here."""
        pin = self._pin.get()
        return self._ids if pin is None else pin.ids

    @contextmanager
    def at(
        self, step: int, rows: Any, together: Sequence[int] = (), muted: int | None = None
    ) -> Iterator[None]:
        """Make every forward of a block part of one step.

        With `together` the one forward of the block is several steps, for the same samples each.

        Raises
        ------
        InvalidValue
            At the end of the block, if forwards have used some of the ids and left others over.
        """
        with prefix_errors("inject"):
            step = checks.whole("step", step, STEP_BITS)
        ids = self._ids if rows is None else Ids.of(rows)
        pin = Pin(step, ids, self._ids, self._loose(step, ids))
        pin.together, pin.muted = tuple(together), muted
        before = self._pin.get()
        self._pin.set(pin)
        try:
            yield
            # Not as it was, where a segment was computed again meanwhile.
            pin = self._pin.get() or pin
            pin.check_used_up()
        finally:
            self._pin.set(before)
            if pin.loose.calls:
                self.last = pin.loose

    def _loose(self, step: int, ids: Ids) -> Forward:
        """Return the forward that parts of the model have in a pinned step."""
        loose = Forward(step, ids=ids.samples, running=True, counted=True, shared=self.shared)
        loose.numbered = self.shared or ids.samples is not None or bool(ids.by_rule)
        return loose

    def _follow(self, pin: Pin) -> None:
        """Let ids that were set in a block be those of its next forward, whole or of parts."""
        if pin.assigned is self._ids:
            return
        before = pin.copy()
        pin.ids = pin.assigned = self._ids
        pin.taken, pin.loose = 0, self._loose(pin.step, self._ids)
        before.check_used_up()

    def together(
        self, steps: Sequence[int], rows: Sequence[int] | None, muted: int | None = None
    ) -> AbstractContextManager[None]:
        """Make the one forward of a block several steps, for the same samples each."""
        return self.at(steps[0], rows, steps, muted)

    @contextmanager
    def looking(self) -> Iterator[Forward]:
        """Note what is reached in a block in which nothing acts."""
        seen = Forward()
        self._running.set(seen)
        try:
            yield seen
        finally:
            self._running.set(None)

    def begin(self, counted: bool, batch: int | None) -> Forward:
        """Take the next step, or the next part of a pinned one; return the forward that begins."""
        pin = self._pin.get()
        if pin is None:
            forward, given = self._of_next(counted, batch), self._ids
        else:
            forward = self._of_pin(pin, counted, batch)
            given = pin.ids
        with_ids = forward.ids is not None or bool(given.by_rule)
        forward.numbered = forward.first > 0 or self.shared or with_ids
        self._running.set(forward)
        if self._outside.calls:
            self._outside = Forward()
        return forward

    def _of_next(self, counted: bool, batch: int | None) -> Forward:
        with _counting:
            step = self._next
            self._next += counted
            self._used |= counted
        return Forward(step, 0, batch, self._ids.samples, True, counted, self.shared)

    def _of_pin(self, pin: Pin, counted: bool, batch: int | None) -> Forward:
        self._follow(pin)
        steps = pin.together
        batch = batch // len(steps) if batch and steps else batch
        forward = Forward(pin.step, pin.first, batch, None, True, counted, self.shared)
        forward.together, forward.muted = steps, pin.muted
        if counted:
            forward.ids = pin.take(batch or 0)
            self._used = True
        return forward

    def end(self, forward: Forward) -> None:
        """End the forward that runs here."""
        self._running.set(None)
        forward.running = False
        forward.made.clear()
        self.last = forward

    def uncount(self, forward: Forward) -> None:
        """Let a forward not have counted."""
        if self._pin.get() is None:
            self._next = forward.step

    def snapshot(self) -> Any:
        """Return which forward runs, and which is next."""
        return _copied(self._running.get()), _copied(self._pin.get()), self._next

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says; it may be asked for again."""
        running, pin, self._next = state
        self._running.set(_copied(running))
        self._pin.set(_copied(pin))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: not the ids of forwards that have passed."""
        last = replace(self.last, ids=None, made={}, reached=set())
        ids = Ids() if self._used else self._ids
        return {**self.__dict__, "last": last, "_outside": Forward(), "_ids": ids}


def _copied(value: Any) -> Any:
    return None if value is None else value.copy()
