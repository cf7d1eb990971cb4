"""What is searched: rules whose numbers are ranges, each of them on or off."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Any

from noisegate.core.errors import InvalidValue
from noisegate.study.messages import no_recipe_fits
from noisegate.study.recipes import BASELINE, RECIPES, Recipe, fits
from noisegate.study.rules import parse_rules, rules_text, split_rules

from . import messages

if TYPE_CHECKING:
    from torch import Tensor

    from noisegate.study.models import Model

__all__ = ["Range", "Ranged", "Space", "fitting_space", "parse_space"]

NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(
    rf"(?<![\w.])(?P<low>{NUMBER})\s*\.\.\s*(?P<high>{NUMBER})(?:\s+(?P<how>log|int))?(?![\w.])"
)


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is searched, its ends included: evenly, by its logarithm, or whole."""

    name: str
    low: float
    high: float
    how: str | None

    def suggest(self, trial: Any) -> float:
        """Return the number that a trial of Optuna suggests."""
        if self.how == "int":
            return int(trial.suggest_int(self.name, int(self.low), int(self.high)))
        return float(trial.suggest_float(self.name, self.low, self.high, log=self.how == "log"))


@dataclass(frozen=True, slots=True)
class Ranged:
    """One rule: its text with a hole for each range, and the parameter that switches it."""

    name: str
    pattern: str
    template: str
    ranges: tuple[Range, ...]

    @property
    def on(self) -> str:
        """The name of the parameter that switches it."""
        return f"{self.name} on"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of all its parameters."""
        return (self.on, *(one.name for one in self.ranges))

    def text(self, numbers: Sequence[float]) -> str:
        """Return the rule with numbers in its holes."""
        return f"{self.pattern}={self.template.format(*map(repr, numbers))}"


@dataclass(frozen=True, slots=True)
class Space:
    """Rules to search; with `always`, all of them are on and only their numbers are searched."""

    rules: tuple[Ranged, ...]
    always: bool = False

    def suggest(self, trial: Any) -> Recipe:
        """Return the recipe of a trial.

        Every parameter is asked for, that of a rule that is off too: so all trials have the
        same, and can be compared.

        Raises
        ------
        InvalidValue, InvalidType
            If a kind refuses numbers that do not go together.
        """
        return _recipe(self._texts(trial))

    def written(self, parameters: Mapping[str, Any]) -> str:
        """Return the rules of stored parameters as text, whether or not a kind takes them."""
        return ", ".join(self._texts(_Stored(parameters)))

    def off(self) -> dict[str, Any]:
        """Return the parameters of no noise at all; nothing if all rules are always on."""
        if self.always:
            return {}
        off: dict[str, Any] = {rule.on: False for rule in self.rules}
        return off | {one.name: one.low for rule in self.rules for one in rule.ranges}

    def recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe of stored parameters."""
        return self.suggest(_Stored(parameters))

    def ends(self) -> Recipe:
        """Return the recipe with every rule on at its upper end, to find what is wrong with it."""
        return _recipe([rule.text([one.high for one in rule.ranges]) for rule in self.rules])

    @property
    def text(self) -> str:
        """The rules as they were given."""
        return ", ".join(f"{rule.pattern}={_shown(rule)}" for rule in self.rules)

    def _texts(self, trial: Any) -> list[str]:
        texts = []
        for rule in self.rules:
            on = self.always or trial.suggest_categorical(rule.on, [True, False])
            numbers = [one.suggest(trial) for one in rule.ranges]
            texts += [rule.text(numbers)] if on else []
        return texts


class _Stored:
    """A trial that suggests what it was told."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    def _suggest(self, name: str, *_: Any, **__: Any) -> Any:
        return self._parameters[name]

    suggest_float: Callable[..., Any] = _suggest
    suggest_int: Callable[..., Any] = _suggest
    suggest_categorical: Callable[..., Any] = _suggest


# What is searched unless something else is said: by the names of built-in models, or by roles.
DEFAULTS = (
    ("hid*:out=0..0.8", "hidden_dropout=0..0.8"),
    ("in:out=0..0.5", "input_dropout=0..0.5"),
    ("in:out=gaussian(0..0.5)", "input_noise=0..0.5"),
)


def fitting_space(
    model: "Model", example: "Tensor", outputs: int, *, always: bool = False
) -> Space:
    """Return what of the default rules fits a model.

    Raises
    ------
    InvalidValue
        If none does.
    """
    import torch  # here, since rules are read before it is imported

    with torch.random.fork_rng(devices=[]):
        network = model.make(tuple(example.shape[1:]), outputs)
    shape = tuple(example.shape[1:])
    texts = [
        next(
            filter(
                None,
                (text if fits(parse_space(text).ends(), network, shape) else "" for text in texts),
            ),
            "",
        )
        for texts in DEFAULTS
    ]
    if not any(texts):
        raise InvalidValue(no_recipe_fits(model.name))
    return parse_space(", ".join(filter(None, texts)), always=always)


def parse_space(text: str, *, always: bool = False) -> Space:
    """Return the rules of a text such as ``'hid*:out=0..0.8, in:out=gaussian(0.01..1 log)'``.

    Raises
    ------
    InvalidValue, InvalidType
        If it is no such text, a range is empty, or a kind refuses an end of one.
    """
    rules: list[Ranged] = []
    for pattern, value in split_rules(text):
        count = sum(rule.pattern == pattern for rule in rules)
        name = pattern if not count else f"{pattern} ({count + 1})"
        rules.append(_ranged(name, pattern, value))
    space = Space(tuple(rules), always)
    if always and not any(rule.ranges for rule in rules):
        raise InvalidValue(messages.nothing_to_search(text))
    for which in ("low", "high"):  # both ends, since a kind may refuse one of them
        parse_rules(
            ", ".join(rule.text([getattr(one, which) for one in rule.ranges]) for rule in rules)
        )
    return space


def _ranged(name: str, pattern: str, value: str) -> Ranged:
    ranges: list[Range] = []

    def hole(found: re.Match[str]) -> str:
        how, low, high = found["how"], float(found["low"]), float(found["high"])
        whole = low.is_integer() and high.is_integer()
        if not -inf < low < high < inf or (how == "log" and low <= 0):
            raise InvalidValue(messages.empty_range(found[0], how))
        if how == "int":
            if not whole:
                raise InvalidValue(messages.range_not_whole(found[0]))
            low, high = int(low), int(high)
        number = f", {len(ranges) + 1}" if ranges else ""
        ranges.append(Range(f"{name}{number}", low, high, how))
        return "{}"

    template = RANGE.sub(hole, value.replace("{", "{{").replace("}", "}}"))
    if ".." in template or re.search(r"\{\}\s+\w", template):
        raise InvalidValue(messages.no_range(value))
    return Ranged(name, pattern, template, tuple(ranges))


def _recipe(texts: Sequence[str]) -> Recipe:
    if not texts:
        return RECIPES[BASELINE]
    rules = parse_rules(", ".join(texts))
    # Of what it says, so that what has been trained once is known again.
    digest = blake2b(rules_text(rules).encode(), digest_size=4).hexdigest()
    return Recipe(f"tuned-{digest}", "the tuned recipe", rules)


def _shown(rule: Ranged) -> str:
    shown = (
        f"{_short(one.low)}..{_short(one.high)}" + (f" {one.how}" if one.how else "")
        for one in rule.ranges
    )
    return rule.template.format(*shown)


def _short(number: float) -> str:
    if isinstance(number, int):
        return str(number)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)
