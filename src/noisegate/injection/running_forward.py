"""A forward of a model, and a block of forwards that are parts of one step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ref

from noisegate.core import patterns
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.rank_rows import POLICIES, UNKNOWN, RankRows, check_known
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.window import rows_of
from noisegate.core.words import got, suggest

from .graph_state import Mark

# Rules that are words, not patterns of sites.
WORDS = {*SHORTHANDS, EXISTING}


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
    # What its samples are among those of all processes, if there are several, and the most that a
    # forward of this one has had.
    ranks: RankRows | None = None
    largest: int = 0
    # Within a block that leaves samples out: the places of those that it keeps, and of how many.
    kept: tuple[tuple[int, ...], int] | None = None
    # How often each noise has acted, and the noises whose site was reached, acting or not.
    calls: dict[Any, int] = field(default_factory=dict)
    reached: set[Any] = field(default_factory=set)
    # By the id of a tensor with noise: the tensor, and the site where each rule has acted on it.
    made: dict[int, tuple["ref[Any]", dict[str, str]]] = field(default_factory=dict)
    # How many calls of the model that it made itself are running; and whether a block began it,
    # which calls the model or its parts.
    within: int = 0
    held: bool = False
    # The states of the generators that were seeded for it.
    states: Any = None
    # The step as graphs see it, if it is the next one.
    cursor: Any = None
    # How tensors with noise know it, if graphs may run in it.
    mark: Mark | None = None
    # How many samples its sites have seen, where `batch` is unknown.
    seen: int | None = None

    @property
    def rows(self) -> Sequence[int]:
        """The row of each sample."""
        return self.count_rows(self.batch or 0) if self.ids is None else self.ids

    def count_rows(self, count: int) -> range:
        """Return the rows of as many samples, where no ids are given."""
        check_known(self.first)
        if self.ranks is None:
            return range(self.first, self.first + count)
        return self.ranks.find(self.first, count, self.largest)

    def takes_any(self, heads_merged: bool = False) -> bool:
        """Return whether a site may have any number of samples, whatever the batch is.

        That is so for a replica, and where the batch is unknown. With heads merged into the
        samples, the batch alone tells how many samples there are.
        """
        if self.ids is not None:
            return False
        replica = self.ranks is not None and self.ranks.is_replica
        return self.batch is None or (replica and not self.first and not heads_merged)

    def see(self, extent: int) -> None:
        """Note how many samples a site sees: where all see as many, it is the batch's number."""
        self.seen = extent if self.seen in (None, extent) else UNKNOWN

    def copy(self) -> "Forward":
        """Return a copy with counts of its own."""
        return replace(self, calls=dict(self.calls), reached=set(self.reached))


@dataclass(frozen=True, slots=True, eq=False)
class Ids:
    """Ids of samples as the user gave them: for all sites, by rule for some sites, or by rank."""

    samples: Sequence[int] | None = None
    by_rule: Mapping[str, Sequence[int]] = field(default_factory=dict)
    ranks: RankRows | None = None

    @classmethod
    def read(cls, value: Any) -> "Ids":
        """Return the ids in a sequence, a mapping of rule to sequence, a policy, or None."""
        by_rule = value if isinstance(value, Mapping) else {}
        with prefix_errors("inject"):
            if isinstance(value, RankRows):
                return cls(ranks=value)
            if isinstance(value, str) and value in POLICIES:
                return cls(ranks=RankRows(value))
            _check_given_ids(value)
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
                "them, or set `noise.rows` before each forward; where the model's input has its "
                "samples on another axis, name that by `sample_axis`."
            )
        ids = None if given is None else given[self.taken : taken]
        self.count(count)
        return ids

    def count(self, samples: int) -> None:
        """Go on after as many samples."""
        self.first, self.taken = min(self.first + samples, UNKNOWN), self.taken + samples


def _check_given_ids(value: Any) -> None:
    """Raise unless a value holds ids of samples: in a sequence, by rule, or none at all."""
    if value is None:
        return
    by_rule = isinstance(value, Mapping)
    for rule in value if by_rule else ():
        if rule not in WORDS:
            patterns.check_pattern(rule)
    for ids in value.values() if by_rule else (value,):
        is_text = isinstance(ids, str)
        if isinstance(ids, Iterable) and not is_text and getattr(ids, "ndim", None) != 0:
            continue
        remedy = suggest(ids, POLICIES) if is_text and not by_rule else ""
        if isinstance(ids, slice) and ids.stop is not None and ids.step is None:
            remedy = f" Write range({ids.start or 0}, {ids.stop})."
        if by_rule:
            raise InvalidType(
                "`rows` by rule must be ids of samples, whole numbers in [0, 2**64), since the "
                f"policy of ranks is that of all rules; {got(value)}.{remedy}"
            )
        raise (InvalidValue if is_text else InvalidType)(
            "`rows` must be ids of samples, whole numbers in [0, 2**64), by rule or not, or the "
            "policy of ranks, 'contiguous', 'interleaved', 'batches' or 'replica'; "
            f"{got(value)}.{remedy}"
        )
