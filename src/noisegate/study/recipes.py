"""The named recipes: which noise goes where."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

import noisegate as ng
from noisegate.core.errors import InvalidType, InvalidValue, UnmatchedRule

from . import messages
from .rule_text import checked_noise, one_or_many, parse_rules, rules_source, rules_text

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "BASELINE",
    "RECIPES",
    "SUFFIXES",
    "Recipe",
    "by_name",
    "fits",
    "fitting_recipes",
    "parse_recipe",
    "parse_rules",
    "read_recipes",
    "rules_source",
    "rules_text",
]

# Every other recipe is compared with this one.
BASELINE = "none"
# Files are named after recipes.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name, a label to show, and the rules that `noisegate.inject` gets.

    Raises
    ------
    InvalidValue
        If the name is not made of letters, digits and ``._-``, or is `none` and has rules.
    """

    name: str
    label: str
    rules: Mapping[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        """Check the name, and let nobody change the rules."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidValue(messages.bad_recipe_name(self.name))
        if self.name == BASELINE and self.rules:
            raise InvalidValue(messages.baseline_has_rules(self.name))
        object.__setattr__(self, "rules", MappingProxyType(dict(self.rules)))

    def __reduce__(self) -> Any:
        """Return how another process makes it, which a mapping proxy cannot go to."""
        return Recipe, (self.name, self.label, dict(self.rules))


_ALL = (
    Recipe(BASELINE, "no noise", {}),
    Recipe("hidden", "hidden dropout", {"hid*:out": 0.5}),
    Recipe("input-hidden", "input and hidden dropout", {"in:out": 0.2, "hid*:out": 0.5}),
    Recipe("gaussian", "Gaussian noise", {"in:out": ng.GaussianNoise(0.2)}),
    Recipe(
        "spatial",
        "spatial dropout",
        {"conv*:out": ng.spatial_dropout(0.2, data_format="channels_first")},
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})


def fitting_recipes(model: "nn.Module", input_shape: Sequence[int]) -> tuple[Recipe, ...]:
    """Return the built-in recipes whose every rule acts somewhere in a model.

    Parameters
    ----------
    model : torch.nn.Module
        A model that takes rows of the shape. It is run, and is then what it was.
    input_shape : sequence of int
        The shape of one row.
    """
    return tuple(recipe for recipe in RECIPES.values() if fits(recipe, model, input_shape))


def fits(recipe: Recipe, model: "nn.Module", input_shape: Sequence[int]) -> bool:
    """Return whether every rule acts somewhere in a model, which is run and then what it was."""
    import torch  # here, since recipes are read before it is imported

    example = torch.zeros(2, *input_shape)
    if not recipe.rules:
        return True
    try:
        with ng.inject(model, recipe.rules, seed=0, example=example) as noise:
            reached = {each.placement.rule for each in noise.noises if each.trained}
    except UnmatchedRule:
        return False
    return reached == set(recipe.rules)


def by_name(recipes: Iterable[Recipe]) -> dict[str, Recipe]:
    """Return recipes by their names, in order.

    Raises
    ------
    InvalidValue
        If two recipes of one name have different rules.
    """
    found: dict[str, Recipe] = {}
    for recipe in recipes:
        if found.setdefault(recipe.name, recipe).rules != recipe.rules:
            raise InvalidValue(messages.recipe_twice(recipe.name))
    return found


# Recipes as text ------------------------------------------------------------------------------


def parse_recipe(text: str) -> Recipe:
    """Return the recipe that NAME=RULES says, or the built-in one of that name.

    Raises
    ------
    InvalidType, InvalidValue
        If there is no such recipe, the name cannot be one, or a rule is unusable.

    Examples
    --------
    >>> parse_recipe("mine=hid*:out=0.3").rules
    mappingproxy({'hid*:out': 0.3})
    """
    name, equals, rules = (part.strip() for part in text.partition("="))
    if equals:
        empty = Recipe(name, name, {})  # a bad name is told before its rules
        return Recipe(name, name, parse_rules(rules, empty.name))
    if name in RECIPES:
        return RECIPES[name]
    raise InvalidValue(messages.no_recipe_called(name, RECIPES))


# Recipes in files -----------------------------------------------------------------------------


def read_recipes(path: str | Path) -> tuple[Recipe, ...]:
    """Return the recipes of a file, in its order.

    Parameters
    ----------
    path : path
        .yaml, .yml or .toml: names, each with a mapping of patterns to noises. A noise is a
        number, a call as text, or a list of these.

    Raises
    ------
    InvalidType, InvalidValue
        If the file is missing, cannot be read, or something in it is no recipe.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidValue(messages.recipe_suffix(path))
    try:
        found = reader(path, path.read_text("utf-8-sig"))
    except OSError as error:
        raise InvalidValue(messages.no_recipe_file(path, error.strerror or str(error))) from None
    except UnicodeDecodeError:
        raise InvalidValue(messages.no_recipe_file(path, "it is no UTF-8 text")) from None
    if found is None or found == {}:
        raise InvalidValue(messages.no_recipes_in_file(path))
    if not isinstance(found, dict):
        raise InvalidValue(messages.not_rules(path, None, found))
    return tuple(_from_file(path, name, rules) for name, rules in found.items())


def _from_file(path: Path, name: Any, rules: Any) -> Recipe:
    if name == BASELINE and rules in (None, {}):
        return RECIPES[BASELINE]
    empty = Recipe(name, str(name), {})
    if not isinstance(rules, dict):
        raise InvalidValue(messages.not_rules(path, name, rules))
    if not rules:
        raise InvalidValue(messages.no_rules(name))
    return Recipe(
        name,
        empty.label,
        {pattern: _from_value(name, pattern, value) for pattern, value in rules.items()},
    )


def _from_value(recipe: str, pattern: Any, value: Any) -> Any:
    values = value if isinstance(value, list) and value else [value]
    for each in values:
        if type(each) not in (int, float, str):
            raise InvalidType(messages.not_a_noise(recipe, pattern, each))
    return one_or_many([checked_noise(recipe, pattern, _text(each)) for each in values])


def _text(value: float | str) -> str:
    # Python has no sign for a number that is not finite, and kinds refuse it.
    return value if isinstance(value, str) else repr(value)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # without stubs its type is any
    """YAML's safe loader, which here refuses a key that comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping of distinct keys."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise _Twice(key.value, key.start_mark.line + 1)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Twice(Exception):
    """A key that a mapping has twice, and the line of the second."""


def _read_yaml(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except _Twice as error:
        raise InvalidValue(messages.twice_in_file(path, *error.args)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
    except (ValueError, RecursionError) as error:  # the 31st of February; lists a thousand deep
        line, said = None, str(error)
    raise InvalidValue(messages.unreadable_recipes(path, line, said))


def _read_toml(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said, _, place = str(error).partition(" (at line ")
        line = int(place.partition(",")[0]) if place else None
    raise InvalidValue(messages.unreadable_recipes(path, line, said))


_READERS: Mapping[str, Callable[[Path, str], Any]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".toml": _read_toml,
}

# Of the files that can be read.
SUFFIXES = tuple(_READERS)
