"""Which step a forward of the model is, and which rows its samples are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from noisegate.core import checks, patterns
from noisegate.core.keys import STEP_BITS
from noisegate.core.plan import EXISTING, SHORTHANDS
from noisegate.core.window import rows_of


class NotTogether(Exception):
    """Several steps cannot be made in one forward."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Which part of which step the model's forward is.

    `first` is the row of its first sample; `ids` are the rows of its samples where they are
    given; with `shared` every sample is row 0. Outside of a forward `running` is False. `counted`
    says that its noise acts, `numbered` that rows are other than 0, 1, 2 …. `together` are the
    steps of a forward of several, each of which has an equal part of the batch.
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


class Steps:
    """Counts forwards, or parts of one step that is pinned.

    With `shared` every sample is row 0.
    """

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        self.forward = Forward()
        self._next = 0
        self._pinned: Forward | None = None
        self._rows: Sequence[int] | None = None
        self._rows_by_rule: dict[str, Sequence[int]] = {}

    @property
    def next(self) -> int:
        """The step that the next training forward uses."""
        return self._next

    @next.setter
    def next(self, value: int) -> None:
        self._next = checks.whole("inject", "step", value, STEP_BITS)
        self.forward = replace(self.forward, step=self._next)

    @property
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | None:
        """The ids of the samples of the next forwards, of all sites or of those of some rules."""
        return self._rows_by_rule or self._rows

    @rows.setter
    def rows(self, value: Any) -> None:
        by_rule = value if isinstance(value, Mapping) else {}
        for rule in by_rule:
            if rule not in (*SHORTHANDS, EXISTING):
                patterns.checked(rule)
        self._rows_by_rule = {rule: rows_of("inject", ids) for rule, ids in by_rule.items()}
        whole = value is not None and not isinstance(value, Mapping)
        self._rows = rows_of("inject", value) if whole else None

    def rows_of_its_own(self, site: str, rule: str) -> Sequence[int] | None:
        """Return the ids that were given for a site, by its rule or by a pattern that names it."""
        for name, ids in self._rows_by_rule.items():
            named = name not in (*SHORTHANDS, EXISTING) and patterns.matches(name, [site])
            if name == rule or named:
                return ids
        return None

    @contextmanager
    def at(self, step: int, rows: Any) -> Iterator[None]:
        """Make every forward of a block part of one step."""
        step = checks.whole("inject", "step", step, STEP_BITS)
        ids = None if rows is None else rows_of("inject", rows)
        before, self._pinned = self._pinned, Forward(step, batch=0, ids=ids)
        try:
            yield
        finally:
            self._pinned = before

    @contextmanager
    def together(self, steps: Sequence[int], rows: Sequence[int] | None) -> Iterator[None]:
        """Make the one forward of a block several steps, for the same samples each."""
        before = self._pinned
        self._pinned = Forward(steps[0], batch=0, ids=rows, together=tuple(steps))
        try:
            yield
        finally:
            self._pinned = before

    def begin(self, counted: bool, batch: int | None) -> None:
        """Take the next step, or the next part of a pinned one."""
        pinned = self._pinned
        if pinned is None:
            self._begin(Forward(self._next, 0, batch, self._rows), counted)
            self._next += counted
            return
        first, steps = pinned.first, pinned.together
        batch = batch // len(steps) if batch and steps else batch
        ids = None if pinned.ids is None else pinned.ids[first : first + (batch or 0)]
        self._begin(Forward(pinned.step, first, batch, ids, together=steps), counted)
        if counted:
            self._pinned = replace(pinned, first=first + (batch or 0))

    def _begin(self, forward: Forward, counted: bool) -> None:
        some = forward.ids is not None or bool(self._rows_by_rule)
        numbered = forward.first > 0 or self.shared or some
        self.forward = replace(
            forward, running=True, counted=counted, shared=self.shared, numbered=numbered
        )

    def end(self) -> Forward:
        """End a forward, and return which it was."""
        ended, self.forward = self.forward, replace(self.forward, running=False)
        return ended

    def uncount(self, forward: Forward) -> None:
        """Let a forward not have counted."""
        if self._pinned is None:
            self._next = forward.step

    def snapshot(self) -> Any:
        """Return which forward runs, and which is next."""
        return self.forward, self._pinned, self._next

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says."""
        self.forward, self._pinned, self._next = state
