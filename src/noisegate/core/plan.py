"""A plan, made of rules and a model's sites: which site gets which noise, and by which rule."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from . import patterns
from .depth import ByDepth, refuse_late
from .errors import InvalidValue, UnmatchedRule
from .kind import Kind
from .rules import EXISTING, SHORTHANDS, Rule, check_axis, check_rules
from .survey import Call, OwnDraw, Sites
from .unmatched import refuse_rule
from .words import list_names

# What a model lacks that has no sites of a role.
_LACKS = {
    **dict.fromkeys(
        ("input", "hidden", "output"), "no activation modules and no two layers with weights"
    ),
    "weight": "no layers with weights",
    "recurrent": "no recurrent layers",
}

Taken = AbstractSet[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Placement:
    """One noise at one site, by one rule.

    `own` marks a noise of the model's own that is taken over, at the rate that the model gives it.
    `given` is the kind that the rules gave, where another rate was set since.
    """

    site: str
    kind: Kind
    slot: int
    rule: str
    sample_axis: int | None = 0
    own: bool = False
    given: Kind | None = None

    @property
    def name(self) -> tuple[str, str, int]:
        """Site, kind and slot, which no other noise of the seed has."""
        return self.site, type(self.kind).__name__, self.slot


class Plan:
    """Every placement of an injection, in the order of the rules, and notes for the report.

    Parameters
    ----------
    rules : mapping of pattern to number, Schedule, Kind, ByDepth, or a list of them
        A number p, or a schedule of p, means ``Dropout(p)``. Every rule that matches a site
        acts there.
    sites : Sites
        The model's sites.
    taken : callable
        Returns the (site, kind, slot) that other noises of the same seed hold on this model.
    sample_axis : int, None, or mapping of rule to int or None
        The axis of the samples, for all rules, or by rule.
    existing : bool
        Whether to take over the model's own noises where no rule names them.
    keep : bool
        Whether to leave noises that cannot be taken over to the model, instead of refusing them.
    tied : {None, "each", "all"}
        Where noise on a parameter of several modules acts: in each that a rule names, or in all
        alike. With None it is refused.

    Raises
    ------
    UnmatchedRule
        If a rule matches no site and a forward can show no more; the message names the nearest.
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
        tied: str | None = None,
    ) -> None:
        self._sites, self._taken, self.existing, self.keep = sites, taken, existing, keep
        self._tied = tied
        self.rules = check_rules(rules, sample_axis)
        by_rule = isinstance(sample_axis, Mapping)
        self._axis = check_axis(sample_axis.get(EXISTING, 0) if by_rule else sample_axis)
        if not self.rules and not existing:
            raise InvalidValue(
                "no rule is given, so no noise would act. Write for example "
                "{'hid*:out': 0.5}, or existing=True for the model's own dropouts."
            )
        self.placements: list[Placement] = []
        # The ports of rules that wait, and the sites that such rules name without a wildcard.
        waiting = [rule.text for rule in self.rules if rule.waits]
        ports = {patterns.parse_port(text).name for text in waiting}
        # Where an attention has no dropout, its scores are told instead.
        self.waited = frozenset([*waiting, *ports, *(["scores"] if "probs" in ports else ())])
        # The places that forwards have shown.
        self._seen: dict[str, None] = {}
        # Names in use on this model, by this plan or another injection with the same seed.
        self._held: set[tuple[str, str, int]] = set(taken())
        self.notes: list[str] = []
        self._unreached: list[tuple[str, str]] = []
        self._draws: dict[tuple[str, str], OwnDraw] = {}
        # The model's draws that are made from the seed, by site.
        self.keyed: dict[str, OwnDraw] = {}
        self._left: set[str] = set()
        # Rules come first: existing=True acts only where no rule does.
        for rule in self.rules:
            self._place_rule(rule)
        self._place_own(sites.own)
        for site, words in sites.unreached.items() if existing else ():
            self.note_unreached(site, words)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites with noise, each once, in the order of their first placements."""
        return tuple(dict.fromkeys(placement.site for placement in self.placements))

    @property
    def looks(self) -> bool:
        """Whether a forward has to be watched for noises that functions make."""
        return self.existing or any(rule.waits for rule in self.rules)

    def place_call(self, site: str, call: Call) -> list[Placement]:
        """Place noise at a site where a forward made its own; return the new placements."""
        count = len(self.placements)
        self._seen[site] = None
        # Another injection may have taken slots since this plan was made.
        self._held |= self._taken()
        for rule in self.rules:
            if rule.waits and patterns.matches(rule.text, [site]):
                refuse_late(rule.text, site, rule.kinds)
                self._place(rule, [site])
        self._place_own({site: call})
        return self.placements[count:]

    def note_unreached(self, site: str, words: str) -> None:
        """Record a noise of the model's own that cannot be taken over."""
        if not self.existing or (site, words) in self._unreached:
            return
        self._unreached.append((site, words))
        if self.keep:
            self._note_left(site, words)

    def _note_left(self, site: str, words: str) -> None:
        self.note(f"'{site}' ({words}) is left to the model.")

    def note_draw(self, draw: OwnDraw) -> str | None:
        """Record random numbers that the model's own code draws; return the sentence if new."""
        if draw.place in self._draws:
            return None
        self._draws[draw.place] = draw
        sentence = _describe_draw(draw)
        if self.existing:
            self.note(sentence)
        return sentence

    def check_reached(self) -> None:
        """Raise if noises of the model's own can neither be taken over nor left to the model."""
        if self._unreached and not self.keep:
            named = ", ".join(f"'{site}' ({words})" for site, words in self._unreached)
            it, rule = ("it", "a rule") if len(self._unreached) == 1 else ("them", "rules")
            raise InvalidValue(
                f"existing=True cannot reach {named}. Turn {it} off in the model and put "
                f"noise in by {rule}, or pass unreached='keep' to leave {it} to the model."
            )

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def replace(self, old: Placement, **changes: Any) -> Placement:
        """Put a changed placement in the place of the old one, and return it."""
        new = replace(old, **changes)
        self.placements[self.placements.index(old)] = new
        return new

    def move(self, old: Placement, sites: Sequence[str]) -> list[Placement]:
        """Put placements at other sites in the place of an old one, and return them."""
        self._held |= self._taken()
        index = self.placements.index(old)
        new = [replace(old, site=site, slot=self._free_slot(site, old.kind)) for site in sites]
        self.placements[index : index + 1] = new
        return new

    def check_all_matched(self) -> None:
        """Raise if a rule has matched nothing, after a forward has shown every site."""
        matched = {placement.rule for placement in self.placements}
        for rule in self.rules:
            if rule.text not in matched | self._left:
                refuse_rule(rule.text, self._sites, [*self.sites, *self._seen])
        # Without placements, what follows is about existing=True.
        if self.placements or self._unreached or self.keyed:
            return
        if self._draws:
            draws = ", ".join(map(name_draw, self._draws.values()))
            raise InvalidValue(
                "existing=True found nothing that it can take over; random numbers are drawn by "
                f"{draws}. Write a rule, for example {{'hid*:out': 0.5}}."
            )
        raise InvalidValue(
            "existing=True found no dropout of the model's own. "
            "Write a rule, for example {'hid*:out': 0.5}."
        )

    def _place_rule(self, rule: Rule) -> None:
        if rule.text in SHORTHANDS:
            self._place_shorthand(rule, SHORTHANDS[rule.text][0])
            return
        matched = self._sites.match_pattern(rule.text)
        if not matched and self._names_block(rule.text):
            matched = [rule.text]
        left = self._leave_closed(rule, matched)
        # A rule that waits may match what functions do; `check_all_matched` decides later.
        waits = rule.waits and self._sites.may_show(rule.text)
        if not (matched or waits or left):
            refuse_rule(rule.text, self._sites)
        # `in:out` may mean the model's input or a module called `in`; the report says which.
        self.notes += _explain_alias(rule.text, matched)
        self._place(rule, matched)

    def _names_block(self, text: str) -> bool:
        """Return whether a rule without a wildcard names a module with others inside by `branch`.

        Any such module may be a residual block; a call shows whether it is one.
        """
        path, port = patterns.split(text)
        names = self._sites.names
        inside = any(name.startswith(f"{path}.") for name in names)
        return port == patterns.BRANCH and f"{path}:in" in names and bool(path) and inside

    def _place_shorthand(self, rule: Rule, role: str) -> None:
        matched = list(self._sites.roles.get(role, ()))
        made = list_names(self._sites.made_weights, "'") if role == "weight" else ""
        maker = "pruning or a parametrization makes of other parameters"
        if not matched:
            but = f" but those that {maker}" if made else ""
            raise UnmatchedRule(
                f"`{rule.text}` finds no {role} sites in this model: it has {_LACKS[role]}{but}. "
                "Write a rule, for example {'hid*:out': 0.5}."
            )
        if made:
            self.note(f"'{rule.text}' leaves out {made}, which {maker}.")
        self._place(rule, matched)
        sites = dict.fromkeys(p.site for p in self.placements if p.rule == rule.text)
        names = list_names(sites, "'")
        self.note(f"'{rule.text}' means {names}.")

    def _leave_closed(self, rule: Rule, matched: Sequence[str]) -> bool:
        """Refuse a rule that names only sites inside compiled code; else note which ones it skips.

        Return whether everything that it names is left to the model.
        """
        text, closed = rule.text, self._sites.closed
        for site in patterns.matches(text, list(closed)):
            named = site == text or not (matched or rule.waits)
            whose = closed[patterns.strip_part(site)]
            script = f"the script module '{whose}'" if whose else "the model, a script module"
            if named and not self.keep:
                raise InvalidValue(
                    f"the rule '{text}' names '{site}' inside {script}, where torch calls "
                    f"no hooks. Name '{whose}:in' or '{whose}:out' instead, or pass "
                    "unreached='keep' to leave it to the model."
                )
            self.note(f"'{text}' leaves out what is inside {script}, where torch calls no hooks.")
            if named:
                self._left.add(text)
        return text in self._left

    def note_tokens(self, rule: str, tokens: Iterable[str]) -> None:
        """Note that a rule for the model's input acts on the output of its embedding."""
        names = list_names(tokens, "'")
        for sentence in _explain_alias(rule, ()):
            if sentence in self.notes:
                self.notes.remove(sentence)
        self.note(
            f"'{rule}' means {names}, the embedding's output: the model's input is whole numbers."
        )

    def _place(self, rule: Rule, sites: Sequence[str]) -> None:
        # Whole numbers that name tokens take no noise; their embedding does.
        tokens = self._sites.tokens if self._sites.takes_tokens else ()
        if ":in" in sites and tokens:
            self.note_tokens(rule.text, tokens)
            sites = [place for site in sites for place in (tokens if site == ":in" else (site,))]
        merged = list(dict.fromkeys(map(self._merge_tied, sites)))
        for (depth, site), noise in product(enumerate(merged), rule.kinds):
            kind = noise.at(depth, len(merged)) if isinstance(noise, ByDepth) else noise
            slot, axis = self._free_slot(site, kind), rule.sample_axis
            if patterns.parse_port(site).name == patterns.TOKENS:
                self._check_axis_of_tokens(rule, site)
            # Parameters have one draw for all samples, unless their rule names an axis.
            if site in self._sites.parameters and not rule.names_axis:
                axis = None
            self.placements.append(Placement(site, kind, slot, rule.text, axis))

    def _check_axis_of_tokens(self, rule: Rule, site: str) -> None:
        """Raise if a rule would leave out samples, by what a module says of its axes."""
        path, axis = patterns.split(site)[0], rule.sample_axis
        said, where = self._sites.axes.get(path, (None, ""))
        if said is None or rule.names_axis or axis in (said, said - 3, None):
            return
        raise InvalidValue(
            f"'{site}' has its samples on axis {axis}, and '{where}' has batch_first={said == 0}, "
            "so it would leave out samples in place of tokens. Name the axis: "
            f"sample_axis={{'{rule.text}': {said}}}, or {axis} if the module transposes what it is "
            "given."
        )

    def _merge_tied(self, site: str) -> str:
        """Return the site of a noise: of a tied parameter the first one, if noise acts in all."""
        tied = self._sites.parameters.get(site, (site,))
        if len(tied) > 1 and self._tied is None:
            others = list_names([other for other in tied if other != site], "'")
            raise InvalidValue(
                f"'{site}' is one parameter with {others}. "
                "Say where its noise acts: tied='all' for all of them alike, or tied='each' for "
                "those that rules name."
            )
        return tied[0] if self._tied == "all" else site

    def find_holders(self, site: str) -> Sequence[str]:
        """Return the sites at which the noise of a site is put: several if a parameter is tied."""
        return self._sites.parameters.get(site, (site,)) if self._tied == "all" else (site,)

    def _place_own(self, calls: Mapping[str, Call]) -> None:
        """Take over the model's own noises where no rule has placed one."""
        placed = {placement.site for placement in self.placements}
        for site, call in calls.items() if self.existing else ():
            if site not in placed and call.own:
                slot = self._free_slot(site, call.kind)
                own = Placement(site, call.kind, slot, EXISTING, self._axis, own=True)
                self.placements.append(own)

    def _free_slot(self, site: str, kind: Kind) -> int:
        """Reserve the lowest free slot of a kind at a site, and return it."""
        name, slot = type(kind).__name__, 0
        # Two noises of one name would draw the same numbers, so each has a slot of its own.
        while (site, name, slot) in self._held:
            slot += 1
        self._held.add((site, name, slot))
        return slot


def name_draw(draw: OwnDraw) -> str:
    """Return a draw as sentences name it: its place and words."""
    rate = "" if draw.rate is None else f" at rate {draw.rate:g}"
    place = f"'{draw.path}'" if draw.path else "the model itself"
    return f"{place} ({draw.words}{rate})"


def _describe_draw(draw: OwnDraw) -> str:
    if not draw.certain:
        return (
            f"{draw.words} moved during a forward: something in the model draws, or another "
            "thread does."
        )
    place = f"'{draw.path}'" if draw.path else "The model's forward"
    if not draw.coin:
        return f"{place} draws random numbers: {draw.words}, for no known dropout."
    rate = "" if draw.rate is None else f", at rate {draw.rate:g}"
    return (
        f"{place} decides at random what runs: {draw.words}{rate}, which existing=True does not "
        "take over."
    )


def _explain_alias(rule: str, matched: Sequence[str]) -> list[str]:
    alias = patterns.ALIASES.get(rule)
    if alias is None:
        return []
    if rule in matched:
        module, whose = rule.partition(":")[0], "input" if alias == ":in" else "output"
        return [f"'{rule}' is this model's module `{module}`; its own {whose} is '{alias}'."]
    return [f"'{rule}' means '{alias}', the model's own {alias[1:]}put."]
