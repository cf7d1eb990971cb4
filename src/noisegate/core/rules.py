"""The rules of an injection: from what a user writes to checked records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import checks, patterns
from .axes import ALL_BUT_SAMPLES
from .depth import ByDepth
from .errors import InvalidType, InvalidValue
from .kind import Kind
from .kinds import DropKey, Dropout, GaussianNoise, PatchDropout, Zoneout, from_config
from .presets import locked_dropout
from .schedule import Schedule
from .words import got


def _drop_sequences(p: Any) -> Kind:
    """Return the dropout with one mask for all time steps of a sample."""
    return locked_dropout(p, time_axis=1)


# The rule's name in the report where a model's own noise is taken over.
EXISTING = "existing"

# theanets' words, and those for recurrent states and weights: the role of the sites, and the kind
# that a number means there.
SHORTHANDS: dict[str, tuple[str, Callable[[Any], Kind]]] = {
    **{
        f"{role}_{word}": (role, kind)
        for word, kind in (("dropout", Dropout), ("noise", GaussianNoise))
        for role in ("input", "hidden", "output")
    },
    "recurrent_dropout": ("recurrent", _drop_sequences),
    "weight_dropout": ("weight", Dropout),
    "weight_noise": ("weight", GaussianNoise),
}


def _drop_heads(p: Any) -> Kind:
    """Return the dropout of whole heads: one decision for all queries and features of a head."""
    return Dropout(p, shared_axes=(-2, -1))


def _drop_branches(p: Any) -> Kind:
    """Return the dropout of whole samples."""
    return Dropout(p, shared_axes=ALL_BUT_SAMPLES)


# What a number means at a port, where that is not a plain Dropout.
_OF_PORT: Mapping[str, Callable[[Any], Kind]] = {
    "heads": _drop_heads,
    "scores": DropKey,
    patterns.BRANCH: _drop_branches,
    patterns.STATE: _drop_sequences,
    patterns.CELL: Zoneout,
    patterns.LAYERS: _drop_sequences,
    patterns.TOKENS: PatchDropout,
}


# Ports at which there may be scores; `dropout` and `noise` are there to replace a layer of DropKey.
_OF_SCORES = ("scores", *patterns.HOOKED, "dropout", "noise")


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule: its pattern or shorthand, its noises, its sample axis.

    `names_axis` says whether the user gave the axis to this rule by its name.
    """

    text: str
    kinds: tuple[Kind | ByDepth, ...]
    sample_axis: int | None
    names_axis: bool = False

    @property
    def waits(self) -> bool:
        """Whether it may match noises of functions, which show only in a forward."""
        return self.text not in SHORTHANDS and patterns.parse_port(self.text).own


def check_rules(rules: object, sample_axis: Any) -> tuple[Rule, ...]:
    """Return the rules of an injection, checked, or raise."""
    if not isinstance(rules, Mapping):
        refuse_rules(rules)
    given = sample_axis if isinstance(sample_axis, Mapping) else dict.fromkeys(rules, sample_axis)
    for rule, axis in given.items():
        if rule not in rules and rule != EXISTING:
            raise InvalidValue(
                f"`sample_axis` names {rule!r}, which is none of the rules "
                f"{', '.join(map(repr, rules))}."
            )
        check_axis(axis)
    result = []
    for text, value in rules.items():
        if text not in SHORTHANDS:
            patterns.check_pattern(text)
        by_name = isinstance(sample_axis, Mapping) and text in sample_axis
        result.append(Rule(text, _make_kinds(text, value), given.get(text, 0), by_name))
    return tuple(result)


def refuse_rules(rules: object) -> NoReturn:
    """Raise, since the rules are not a dict."""
    raise InvalidType(
        "`rules` must be a dict of patterns and noises; "
        f"{got(rules)}. Write for example {{'hid*:out': 0.5}}."
    )


def check_axis(axis: Any) -> int | None:
    """Return a sample axis if it is an int or None, or raise."""
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
        raise InvalidType(f"`sample_axis` must be a whole number or None; {got(axis)}.")
    return axis


def _make_kinds(pattern: str, value: object) -> tuple[Kind | ByDepth, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise InvalidValue(
            f"the list of '{pattern}' is empty, so no noise would act. Leave out the rule."
        )
    return tuple(_make_one(pattern, one) for one in values)


def _make_one(pattern: str, value: Any) -> Kind | ByDepth:
    if not isinstance(value, ByDepth):
        return make_kind(pattern, value)
    ends = (
        from_config(end) if isinstance(end, Mapping) else end for end in (value.first, value.last)
    )
    return value.resolve(*(make_kind(pattern, end) for end in ends))


def make_kind(pattern: str, value: Any) -> Kind:
    """Return the noise that a value means in a rule, or raise."""
    role, make = SHORTHANDS.get(pattern, ("", None))
    if isinstance(value, Kind):
        return _check_place(pattern, value, role)
    if isinstance(value, Schedule) or checks.is_number(value):
        if make is not None:
            return make(value)
        return _OF_PORT.get(patterns.parse_port(pattern).name, Dropout)(value)
    raise InvalidType(
        f"the noise of '{pattern}' must be a number or a kind; {got(value)}. "
        "Write for example 0.5 or noisegate.GaussianNoise(0.1)."
    )


def _check_place(rule: str, kind: Kind, role: str) -> Kind:
    """Return a kind if it can act where a rule has it, or raise; `role` is that of a shorthand."""
    port = "" if role else patterns.parse_port(rule).name
    on_state = role == "recurrent" or port in (patterns.STATE, patterns.CELL)
    if port == patterns.TOKENS and not isinstance(kind, PatchDropout):
        raise InvalidType(
            f"the noise of '{rule}' must be a number or a noisegate.PatchDropout, which leaves "
            f"tokens out; {got(kind)}. Name the port `in` for other noise on them."
        )
    if isinstance(kind, DropKey) and port not in _OF_SCORES:
        raise InvalidValue(
            "DropKey writes -inf for the softmax that follows scores, so its rule must name the "
            f"port `scores` of an attention, or a module that takes or returns scores; got '{rule}'"
            f". Write for example {{'attn:scores': {kind!r}}}, or take Dropout."
        )
    if isinstance(kind, Zoneout) and not on_state:
        raise InvalidValue(
            "Zoneout keeps the former value of a recurrent state, so its rule must name the port "
            f"`state` or `cell`; got '{rule}'. Write for example {{'lstm:state': {kind!r}}}."
        )
    if on_state and (kind.reads_input or kind.has_own_backward):
        raise InvalidValue(
            f"the noise of '{rule}' is drawn for all time steps at once, and "
            f"{type(kind).__name__} reads the state or has a gradient of its own. Put it at the "
            "port `in`, `layers` or `out`."
        )
    return kind
