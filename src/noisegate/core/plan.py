"""Rules and a list of sites make a plan: who gets which noise, in which order, and why."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import product
from typing import Any

from . import checks, messages, patterns
from .errors import InvalidType, InvalidValue, UnmatchedRule
from .kind import Kind
from .kinds import Dropout
from .schedule import Schedule


@dataclass(frozen=True, slots=True)
class Placement:
    """One noise at one site, by one rule."""

    site: str
    kind: Kind
    slot: int
    rule: str
    sample_axis: int | None = 0

    @property
    def name(self) -> tuple[str, str, int]:
        """What tells it apart from every other noise of a seed: site, kind and slot."""
        return self.site, type(self.kind).__name__, self.slot


@dataclass(frozen=True, slots=True)
class Plan:
    """Every placement of an injection, in the order of the rules, and what is worth saying."""

    placements: tuple[Placement, ...]
    notes: tuple[str, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that get noise, each once, in the order of the rules."""
        return tuple(dict.fromkeys(placement.site for placement in self.placements))

    def report(self) -> str:
        """Return the plan as a table in plain text."""
        rows = [("site", "noise", "slot", "rule")]
        rows += [(p.site, repr(p.kind), str(p.slot), p.rule) for p in self.placements]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def make_plan(
    rules: Mapping[str, object],
    sites: Sequence[str],
    taken: AbstractSet[tuple[str, str, int]],
    sample_axis: Any = 0,
) -> Plan:
    """Return the plan of rules over a model's sites.

    Parameters
    ----------
    rules : mapping of pattern to number, Schedule, Kind, or a list of them
        A number p, or a schedule of it, means ``Dropout(p)``. Every rule that matches a site
        acts there.
    sites : sequence of str
        The model's sites, ``path:port``.
    taken : set of (site, kind, slot)
        Slots that other noises of the same seed hold on this model.
    sample_axis : int, None, or mapping of rule to int or None
        The axis of the samples, of all rules or of some.

    Raises
    ------
    UnmatchedRule
        If a rule matches no site; the message names the nearest.
    InvalidType, InvalidValue
        If a pattern or a noise is malformed.
    """
    if not isinstance(rules, Mapping):
        raise InvalidType(messages.bad_rules(rules))
    if not rules:
        raise InvalidValue(messages.no_rules())
    used = set(taken)
    placements: list[Placement] = []
    notes: list[str] = []
    axes = _axes(rules, sample_axis)
    for pattern, value in rules.items():
        rule, kinds = patterns.checked(pattern), _kinds(pattern, value)
        matched = patterns.matches(rule, sites)
        if not matched:
            raise UnmatchedRule(messages.unmatched(rule, sites))
        for site, kind in product(matched, kinds):
            slot = _free_slot(site, kind, used)
            placement = Placement(site, kind, slot, rule, axes[rule])
            used.add(placement.name)
            placements.append(placement)
        notes += _notes(rule, matched)
    return Plan(tuple(placements), tuple(notes))


def _axes(rules: Mapping[str, object], sample_axis: Any) -> dict[str, int | None]:
    """Return the sample axis of each rule."""
    given = sample_axis if isinstance(sample_axis, Mapping) else dict.fromkeys(rules, sample_axis)
    for rule, axis in given.items():
        if rule not in rules:
            raise InvalidValue(messages.axis_of_no_rule(rule, list(rules)))
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise InvalidType(messages.bad_sample_axis("inject", axis))
    return {rule: given.get(rule, 0) for rule in rules}


def _kinds(pattern: str, value: object) -> list[Kind]:
    if isinstance(value, list | tuple):
        if not value:
            raise InvalidValue(messages.empty_list(pattern))
        return [_kind(pattern, part) for part in value]
    return [_kind(pattern, value)]


def _kind(pattern: str, value: object) -> Kind:
    if isinstance(value, Kind):
        return value
    if isinstance(value, Schedule) or checks.is_number(value):
        return Dropout(value)  # type: ignore[arg-type]
    raise InvalidType(messages.bad_value(pattern, value))


def _free_slot(site: str, kind: Kind, used: AbstractSet[tuple[str, str, int]]) -> int:
    slot = 0
    while (site, type(kind).__name__, slot) in used:
        slot += 1
    return slot


def _notes(rule: str, matched: Sequence[str]) -> list[str]:
    alias = patterns.ALIASES.get(rule)
    if alias is None:
        return []
    if rule in matched:
        module, whose = rule.partition(":")[0], "input" if alias == ":in" else "output"
        return [f"'{rule}' is this model's module `{module}`; its own {whose} is '{alias}'."]
    return [f"'{rule}' means '{alias}', the model's own {alias[1:]}put."]
