"""The rules of an injection: from what a user writes to checked records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import checks, patterns
from .axes import ALL_BUT_SAMPLES
from .depth import ByDepth
from .errors import InvalidType, InvalidValue
from .kind import Kind
from .kinds import DropKey, Dropout, GaussianNoise, from_config
from .schedule import Schedule
from .words import got

# The rule's name in the report where a model's own noise is taken over.
EXISTING = "existing"

# theanets' words, and those for weights: the role of the sites, and the kind that a
# number means there.
SHORTHANDS: dict[str, tuple[str, Callable[[Any], Kind]]] = {
    **{
        f"{role}_{word}": (role, kind)
        for word, kind in (("dropout", Dropout), ("noise", GaussianNoise))
        for role in ("input", "hidden", "output")
    },
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
}


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
        return _make_kind(pattern, value)
    ends = (
        from_config(end) if isinstance(end, Mapping) else end for end in (value.first, value.last)
    )
    return value.resolve(*(_make_kind(pattern, end) for end in ends))


def _make_kind(pattern: str, value: Any) -> Kind:
    if isinstance(value, Kind):
        return value
    if isinstance(value, Schedule) or checks.is_number(value):
        if pattern in SHORTHANDS:
            return SHORTHANDS[pattern][1](value)
        return _OF_PORT.get(patterns.parse_port(pattern).name, Dropout)(value)
    raise InvalidType(
        f"the noise of '{pattern}' must be a number or a kind; {got(value)}. "
        "Write for example 0.5 or noisegate.GaussianNoise(0.1)."
    )
