"""The space of a search: rules whose numbers are ranges, each rule on or off."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from noisegate.core.errors import InvalidValue
from noisegate.study.design import check_count
from noisegate.study.recipes import BASELINE, RECIPES, Recipe, fits
from noisegate.study.rule_text import parse_rules, rules_text, split_rules

if TYPE_CHECKING:
    from torch import Tensor

    from noisegate.study.models import Model

NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
# Not within a word or a longer number: `a1..2` and `1..2.5.3` are no ranges.
RANGE = re.compile(
    rf"(?<![\w.])(?P<low>{NUMBER})\s*\.\.\s*(?P<high>{NUMBER})(?:\s+(?P<how>log|int))?(?![\w.])"
)


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a number, ends included; `how` is None, "log" or "int"."""

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
class RangedRule:
    """A rule: its text with a hole for each range, and the parameter that switches it on."""

    name: str
    pattern: str
    template: str
    ranges: tuple[Range, ...]

    @property
    def on(self) -> str:
        """The name of the parameter that switches the rule on."""
        return f"{self.name} on"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of all parameters of the rule."""
        return (self.on, *(one.name for one in self.ranges))

    def text(self, numbers: Sequence[float]) -> str:
        """Return the rule with numbers in its holes."""
        return f"{self.pattern}={self.template.format(*map(repr, numbers))}"


@dataclass(frozen=True, slots=True)
class Space:
    """Rules to search; with `always`, all of them are on and only their numbers are searched."""

    rules: tuple[RangedRule, ...]
    always: bool = False

    def suggest(self, trial: Any) -> Recipe:
        """Return the recipe of a trial.

        Every parameter is suggested, for rules that are off too: so all trials have the same
        parameters, and can be compared. It raises if a kind refuses the numbers.
        """
        return _make_recipe(self._texts(trial))

    def format_rules(self, parameters: Mapping[str, Any]) -> str:
        """Return the rules of stored parameters as text, even if a kind refuses them."""
        return ", ".join(self._texts(_fix_trial(parameters)))

    def off(self) -> dict[str, Any]:
        """Return the parameters of no noise; {} if all rules are always on."""
        if self.always:
            return {}
        off: dict[str, Any] = {rule.on: False for rule in self.rules}
        return off | {one.name: one.low for rule in self.rules for one in rule.ranges}

    def read_recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Return the recipe of stored parameters."""
        return self.suggest(_fix_trial(parameters))

    def ends(self) -> Recipe:
        """Return the recipe with every rule on at its upper end, with which errors show early."""
        return _make_recipe([rule.text([one.high for one in rule.ranges]) for rule in self.rules])

    @property
    def text(self) -> str:
        """The rules as they were given."""
        return ", ".join(f"{rule.pattern}={_format_rule(rule)}" for rule in self.rules)

    def _texts(self, trial: Any) -> list[str]:
        texts = []
        for rule in self.rules:
            on = self.always or trial.suggest_categorical(rule.on, [True, False])
            numbers = [one.suggest(trial) for one in rule.ranges]
            texts += [rule.text(numbers)] if on else []
        return texts


def _fix_trial(parameters: Mapping[str, Any]) -> Any:
    """Return a trial that suggests stored parameters."""
    import optuna  # here, since a space is parsed before Optuna is imported

    return optuna.trial.FixedTrial(dict(parameters))


# The default rules: by the names of the built-in models' sites, else by roles of sites.
DEFAULTS = (
    ("hid*:out=0..0.8", "hidden_dropout=0..0.8"),
    ("in:out=0..0.5", "input_dropout=0..0.5"),
    ("in:out=gaussian(0..0.5)", "input_noise=0..0.5"),
)


def find_space(model: "Model", example: "Tensor", outputs: int, *, always: bool) -> Space:
    """Return the space of the default rules that fit a model; raise if none does."""
    # Here, since `parse_space` must not wait for torch.
    from noisegate.torch.generators import TORCH, keep_states

    shape = tuple(example.shape[1:])
    with keep_states(TORCH):
        network = model.make(shape, outputs)
    texts = []
    for alternatives in DEFAULTS:
        fitting = (t for t in alternatives if fits(parse_space(t).ends(), network, shape))
        texts += list(islice(fitting, 1))
    if not texts:
        raise InvalidValue(
            f"tune: `space` must hold rules for {model.name}, since none of the default ones fits "
            f"its sites. See them with `noisegate sites {model.name}`, and give rules: "
            "--rules 'hid*:out=0..0.8'."
        )
    return parse_space(", ".join(texts), always=always)


def parse_space(text: str, *, always: bool = False) -> Space:
    """Return the space of a text such as ``'hid*:out=0..0.8, in:out=gaussian(0.01..1 log)'``.

    It raises if the text does not parse, a range is empty, or a kind refuses an end of one.
    """
    rules: list[RangedRule] = []
    for pattern, value in split_rules(text):
        count = sum(rule.pattern == pattern for rule in rules)
        name = pattern if not count else f"{pattern} ({count + 1})"
        rules.append(_parse_rule(name, pattern, value))
    space = Space(tuple(rules), always)
    if always and not any(rule.ranges for rule in rules):
        raise InvalidValue(
            f"tune: with every rule always on at least one must have a range; got {text!r}. "
            "Write a range: 'hid*:out=0..0.8'."
        )
    for which in ("low", "high"):  # a kind may refuse either end
        parse_rules(
            ", ".join(rule.text([getattr(one, which) for one in rule.ranges]) for rule in rules)
        )
    return space


def check_search(text: str | None, *, always: bool, trials: int, tune_seed: int) -> None:
    """Raise if the arguments of a search are wrong; it needs neither torch nor Optuna."""
    check_count("trials", 1, trials, "30 is the default.")
    check_count("tune_seed", 0, tune_seed, "0 is the default.")
    if text is not None:
        parse_space(text, always=always)


def _parse_rule(name: str, pattern: str, value: str) -> RangedRule:
    """Return the rule of a pattern and a text that may hold ranges."""
    ranges: list[Range] = []

    def read_range(found: re.Match[str]) -> str:
        how, low, high = found["how"], float(found["low"]), float(found["high"])
        whole = low.is_integer() and high.is_integer()
        if not -inf < low < high < inf or (how == "log" and low <= 0):
            above = ", above 0 for log" if how == "log" else ""
            raise InvalidValue(
                f"tune: a range is LOW..HIGH with LOW below HIGH{above}; got {found[0]!r}."
            )
        if how == "int":
            if not whole:
                raise InvalidValue(
                    f"tune: a range that ends in int must have whole ends; got {found[0]!r}."
                )
            low, high = int(low), int(high)
        # The first range of a rule has the rule's own name, as it is the only one in most rules.
        number = f", {len(ranges) + 1}" if ranges else ""
        ranges.append(Range(f"{name}{number}", low, high, how))
        return "{}"

    # Braces that the user wrote are doubled, so that `format` fills the holes alone.
    template = RANGE.sub(read_range, value.replace("{", "{{").replace("}", "}}"))
    if ".." in template or re.search(r"\{\}\s+\w", template):
        raise InvalidValue(
            f"tune: a range is LOW..HIGH, LOW..HIGH log or LOW..HIGH int; got {value!r}."
        )
    return RangedRule(name, pattern, template, tuple(ranges))


def _make_recipe(texts: Sequence[str]) -> Recipe:
    if not texts:
        return RECIPES[BASELINE]
    rules = parse_rules(", ".join(texts))
    # Named after its rules, so that a recipe that was trained once is found again.
    digest = blake2b(rules_text(rules).encode(), digest_size=4).hexdigest()
    return Recipe(f"tuned-{digest}", "the tuned recipe", rules)


def _format_rule(rule: RangedRule) -> str:
    """Return a rule as it was given, each range in its hole."""
    ranges = (
        f"{_format_number(one.low)}..{_format_number(one.high)}"
        + (f" {one.how}" if one.how else "")
        for one in rule.ranges
    )
    return rule.template.format(*ranges)


def _format_number(number: float) -> str:
    if isinstance(number, int):
        return str(number)
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)
