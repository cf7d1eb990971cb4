"""Rules and a model's sites make a plan: who gets which noise, in which order, and why."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from . import checks, messages, patterns
from .errors import InvalidType, InvalidValue, UnmatchedRule
from .kind import Kind
from .kinds import Dropout, GaussianNoise
from .schedule import Schedule
from .survey import Call, Draw, Sites

# What the report calls the rule by which a model's own noise is taken over.
EXISTING = "existing"

# theanets' words: where, and what a number means there.
SHORTHANDS: dict[str, tuple[str, Callable[[Any], Kind]]] = {
    f"{role}_{word}": (role, kind)
    for word, kind in (("dropout", Dropout), ("noise", GaussianNoise))
    for role in ("input", "hidden", "output")
}

Taken = AbstractSet[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Placement:
    """One noise at one site, by one rule.

    `own` says that it is a noise of the model's own, with the rate that the model gives it.
    """

    site: str
    kind: Kind
    slot: int
    rule: str
    sample_axis: int | None = 0
    own: bool = False

    @property
    def name(self) -> tuple[str, str, int]:
        """What tells it apart from every other noise of a seed: site, kind and slot."""
        return self.site, type(self.kind).__name__, self.slot


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, checked: its pattern or shorthand, its noises, its sample axis."""

    text: str
    kinds: tuple[Kind, ...]
    sample_axis: int | None

    @property
    def waits(self) -> bool:
        """Whether sites that it names may show in a forward only."""
        return self.text not in SHORTHANDS and patterns.port_of(self.text).own


class Plan:
    """Every placement of an injection, in the order of the rules, and what is worth saying.

    Parameters
    ----------
    rules : mapping of pattern to number, Schedule, Kind, or a list of them
        A number p, or a schedule of it, means ``Dropout(p)``. Every rule that matches a site
        acts there.
    sites : Sites
        The model's sites.
    taken : callable
        Returns the (site, kind, slot) that other noises of the same seed hold on this model.
    sample_axis : int, None, or mapping of rule to int or None
        The axis of the samples, of all rules or of some.
    existing : bool
        Whether the model's own noises are taken over where no rule names them.
    keep : bool
        Whether those that cannot be taken over are left to the model, and not refused.

    Raises
    ------
    UnmatchedRule
        If a rule matches no site, and none can show later; the message names the nearest.
    InvalidType, InvalidValue
        If a pattern or a noise is malformed.
    """

    def __init__(
        self,
        rules: Mapping[str, object],
        sites: Sites,
        taken: Callable[[], Taken],
        sample_axis: Any = 0,
        existing: bool = False,
        keep: bool = False,
    ) -> None:
        self._sites, self._taken, self.existing, self.keep = sites, taken, existing, keep
        self.rules = _checked_rules(rules, sample_axis)
        by_rule = isinstance(sample_axis, Mapping)
        self._axis = _checked_axis(sample_axis.get(EXISTING, 0) if by_rule else sample_axis)
        if not self.rules and not existing:
            raise InvalidValue(messages.no_rules())
        self.placements: list[Placement] = []
        self._held: set[tuple[str, str, int]] = set(taken())
        self.notes: list[str] = []
        self._unreached: list[tuple[str, str]] = []
        self._draws: dict[tuple[str, str], Draw] = {}
        self._left: set[str] = set()
        for rule in self.rules:
            self._place_rule(rule)
        self._place_own(sites.own)
        for site, words in sites.unreached.items() if existing else ():
            self.unreached(site, words)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that have noise, each once, in the order in which they were found."""
        return tuple(dict.fromkeys(placement.site for placement in self.placements))

    @property
    def looks(self) -> bool:
        """Whether a forward has to be looked at for noises that functions make."""
        return self.existing or any(rule.waits for rule in self.rules)

    def found(self, site: str, call: Call) -> list[Placement]:
        """Return what is placed at a site that showed in a forward."""
        count = len(self.placements)
        self._held |= self._taken()
        for rule in self.rules:
            if rule.waits and patterns.matches(rule.text, [site]):
                self._place(rule, [site])
        self._place_own({site: call})
        return self.placements[count:]

    def unreached(self, site: str, words: str) -> None:
        """Note a noise of the model's own that cannot be taken over."""
        if not self.existing or (site, words) in self._unreached:
            return
        self._unreached.append((site, words))
        if self.keep:
            self.note(messages.left_to_model(site, words))

    def drew(self, draw: Draw) -> bool:
        """Note random numbers that the model's own code draws; return whether that is new."""
        if draw.place in self._draws:
            return False
        self._draws[draw.place] = draw
        if self.existing:
            certain = messages.coin if draw.coin else messages.own_random
            self.note((certain if draw.certain else messages.perhaps_drawn)(draw))
        return True

    def check_reached(self) -> None:
        """Raise if noises of the model's own cannot be taken over, and are not to be kept."""
        if self._unreached and not self.keep:
            raise InvalidValue(messages.unreached(self._unreached))

    def note(self, sentence: str) -> None:
        """Say something in the report, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def replace(self, old: Placement, **changes: Any) -> Placement:
        """Return a placement with something changed, in the place of the old one."""
        new = replace(old, **changes)
        self.placements[self.placements.index(old)] = new
        return new

    def move(self, old: Placement, sites: Sequence[str]) -> list[Placement]:
        """Return placements at other sites, in the place of an old one."""
        self._held |= self._taken()
        index = self.placements.index(old)
        new = [replace(old, site=site, slot=self._free_slot(site, old.kind)) for site in sites]
        self.placements[index : index + 1] = new
        return new

    def check_all_matched(self) -> None:
        """Raise if a rule has matched nothing, now that a forward has shown every site."""
        matched = {placement.rule for placement in self.placements}
        names = [*self._sites.names, *self.sites]
        for rule in self.rules:
            if rule.text not in matched | self._left:
                raise UnmatchedRule(messages.unmatched(rule.text, names))
        if not self.placements and not self._unreached:
            raise InvalidValue(messages.nothing_existing(list(self._draws.values())))

    def _place_rule(self, rule: Rule) -> None:
        if rule.text in SHORTHANDS:
            role = SHORTHANDS[rule.text][0]
            matched = list(self._sites.roles.get(role, ()))
            if not matched:
                raise UnmatchedRule(messages.no_role(rule.text, role))
            self._place(rule, matched)
            sites = dict.fromkeys(p.site for p in self.placements if p.rule == rule.text)
            self.note(messages.meaning(rule.text, list(sites)))
            return
        matched = self._sites.matching(rule.text)
        left = self._leave_reserved(rule, matched)
        left |= self._leave_closed(rule, matched)
        if not matched and not rule.waits and not left:
            if patterns.port_of(rule.text).parameter:
                raise InvalidValue(messages.no_port(rule.text, patterns.split(rule.text)[1]))
            own = patterns.ALIASES.get(rule.text, rule.text)
            if own.startswith(":") and self._sites.names:
                part = self._sites.names[0].partition(":")[0]
                raise UnmatchedRule(messages.no_forward(rule.text, part))
            raise UnmatchedRule(messages.unmatched(rule.text, self._sites.names))
        self._place(rule, matched)
        self.notes += _notes(rule.text, matched)

    def _leave_reserved(self, rule: Rule, matched: Sequence[str]) -> bool:
        """Refuse a rule that names what a later version will have; or leave that, and say so."""
        text, reserved = rule.text, self._sites.reserved
        asked = patterns.port_of(text).name == "probs" or not (matched or rule.waits)
        for site in patterns.matches(text, list(reserved)):
            if not (asked or site == text or site in self._sites.unreached):
                continue
            if not self.keep:
                raise InvalidValue(messages.reserved(text, site, reserved[site]))
            self.note(messages.left_to_model(site, reserved[site]))
            self._left.add(text)
        return text in self._left

    def _leave_closed(self, rule: Rule, matched: Sequence[str]) -> bool:
        """Refuse a rule that can only mean what is inside compiled code; else say what it leaves.

        Return whether all that it names is left to the model.
        """
        text, closed = rule.text, self._sites.closed
        for site in patterns.matches(text, list(closed)):
            named = site == text or not (matched or rule.waits)
            whose = closed[patterns.whole(site)]
            if named and not self.keep:
                raise InvalidValue(messages.closed(text, site, whose))
            self.note(messages.not_inside(text, whose))
            if named:
                self._left.add(text)
        return text in self._left

    def _place(self, rule: Rule, sites: Sequence[str]) -> None:
        tokens = self._sites.tokens if self._sites.takes_tokens else ()
        if ":in" in sites and tokens:
            self.note(messages.tokens(rule.text, tokens))
            sites = [place for site in sites for place in (tokens if site == ":in" else (site,))]
        for site, kind in product(sites, rule.kinds):
            slot = self._free_slot(site, kind)
            self.placements.append(Placement(site, kind, slot, rule.text, rule.sample_axis))

    def _place_own(self, calls: Mapping[str, Call]) -> None:
        """Take over noises of the model's own where no rule has placed any."""
        placed = {placement.site for placement in self.placements}
        for site, call in calls.items() if self.existing else ():
            if site not in placed:
                slot = self._free_slot(site, call.kind)
                own = Placement(site, call.kind, slot, EXISTING, self._axis, own=True)
                self.placements.append(own)

    def _free_slot(self, site: str, kind: Kind) -> int:
        """Return the lowest slot that nobody holds at a site, and hold it."""
        name, slot = type(kind).__name__, 0
        while (site, name, slot) in self._held:
            slot += 1
        self._held.add((site, name, slot))
        return slot


def _checked_rules(rules: object, sample_axis: Any) -> tuple[Rule, ...]:
    if not isinstance(rules, Mapping):
        raise InvalidType(messages.bad_rules(rules))
    given = sample_axis if isinstance(sample_axis, Mapping) else dict.fromkeys(rules, sample_axis)
    for rule, axis in given.items():
        if rule not in rules and rule != EXISTING:
            raise InvalidValue(messages.axis_of_no_rule(rule, list(rules)))
        _checked_axis(axis)
    return tuple(
        Rule(text, tuple(_kinds(text, value)), given.get(text, 0))
        for text, value in ((_text(pattern), value) for pattern, value in rules.items())
    )


def _checked_axis(axis: Any) -> int | None:
    """Return a sample axis, or refuse it."""
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
        raise InvalidType(f"inject: `sample_axis` must be a whole number or None; got {axis!r}.")
    return axis


def _text(pattern: object) -> str:
    return (
        pattern if isinstance(pattern, str) and pattern in SHORTHANDS else patterns.checked(pattern)
    )


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
        return SHORTHANDS.get(pattern, ("", Dropout))[1](value)
    raise InvalidType(messages.bad_value(pattern, value))


def _notes(rule: str, matched: Sequence[str]) -> list[str]:
    alias = patterns.ALIASES.get(rule)
    if alias is None:
        return []
    if rule in matched:
        module, whose = rule.partition(":")[0], "input" if alias == ":in" else "output"
        return [f"'{rule}' is this model's module `{module}`; its own {whose} is '{alias}'."]
    return [f"'{rule}' means '{alias}', the model's own {alias[1:]}put."]
