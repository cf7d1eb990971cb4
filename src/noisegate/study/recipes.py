"""The named recipes: which noise goes where."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

import noisegate as ng
from noisegate.core.errors import InvalidValue, UnmatchedRule
from noisegate.core.words import shorten, suggest

from .rule_text import brief, make_rules, parse_rules

if TYPE_CHECKING:
    from torch import nn

# Every other recipe is compared with this one.
BASELINE = "none"
# Files are named after recipes.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
EXAMPLE = "NAME=RULES, for example 'mine=hid*:out=0.5'."


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name, a label to show, and the rules that `noisegate.inject` gets."""

    name: str
    label: str
    rules: Mapping[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        """Check the name, and let nobody change the rules."""
        _check_name(self.name)
        if self.name == BASELINE and self.rules:
            raise InvalidValue(
                f"study: the recipe '{BASELINE}' is the one without noise, and has no rules. "
                "Give yours another name."
            )
        object.__setattr__(self, "rules", MappingProxyType(dict(self.rules)))

    def __reduce__(self) -> Any:
        """Return how a copy is made, since a mapping proxy cannot be pickled."""
        return Recipe, (self.name, self.label, dict(self.rules))


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidValue(
            "study: a recipe's name must be letters a to z, digits and `._-`, at most 64, since "
            f"files are named after it; got {shorten(name)}. Write {EXAMPLE}"
        )


_USUAL = (
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

# Recipes that run only where they are named.
_MORE = (
    Recipe("recurrent", "dropout on recurrent states", {"recurrent_dropout": 0.2}),
    Recipe("weights", "dropout on weights", {"weight_dropout": 0.2}),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({r.name: r for r in (*_USUAL, *_MORE)})


def find_fitting(model: "nn.Module", input_shape: Sequence[int]) -> tuple[Recipe, ...]:
    """Return the usual recipes whose every rule acts somewhere in a model."""
    return tuple(recipe for recipe in _USUAL if fits(recipe, model, input_shape))


def fits(recipe: Recipe, model: "nn.Module", input_shape: Sequence[int]) -> bool:
    """Return whether every rule acts somewhere in a model, which is run and left as it was."""
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


def index_recipes(recipes: Iterable[Recipe]) -> dict[str, Recipe]:
    """Return recipes by their names, in order; raise if two of one name have different rules."""
    found: dict[str, Recipe] = {}
    for recipe in recipes:
        if found.setdefault(recipe.name, recipe).rules != recipe.rules:
            raise InvalidValue(
                f"study: there are two recipes called '{recipe.name}', with different rules. "
                "Rename one."
            )
    return found


def parse_recipe(text: str) -> Recipe:
    """Return the recipe that NAME=RULES says, or the built-in one of that name.

    Examples
    --------
    >>> parse_recipe("mine=hid*:out=0.3").rules
    mappingproxy({'hid*:out': 0.3})
    """
    name, equals, rules = (part.strip() for part in text.partition("="))
    if equals:
        _check_name(name)  # before its rules
        return Recipe(name, name, parse_rules(rules, name))
    if name in RECIPES:
        return RECIPES[name]
    raise InvalidValue(
        f"study: unknown recipe {name!r}; known are {', '.join(RECIPES)}."
        f"{suggest(name, list(RECIPES))} Your own is {EXAMPLE}"
    )


# Recipes in files -----------------------------------------------------------------------------

# The endings of files of recipes.
SUFFIXES = (".yaml", ".yml", ".toml")
FORM = 'Write for example, in YAML, mine: {"hid*:out": "gaussian(0.1)"}, with the quotes.'


def read_recipes(path: str | Path) -> tuple[Recipe, ...]:
    """Return the recipes of a file .yaml, .yml or .toml, in its order.

    It has names, each with a mapping of patterns to noises. A noise is a number, a call as text, or
    a list of these.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidValue(
            f"study: a file of recipes must end in .yaml, .yml or .toml; got '{path}'."
        )
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InvalidValue(f"study: cannot read the recipes in '{path}': {reason}.") from None
    found = _parse_file(path, text)
    if found is None or found == {}:
        raise InvalidValue(f"study: '{path}' has no recipes. {FORM}")
    if not isinstance(found, dict):
        raise InvalidValue(
            f"study: '{path}': must map names to recipes; got {brief.repr(found)}. {FORM}"
        )
    return tuple(_read_recipe(path, name, rules) for name, rules in found.items())


def _parse_file(path: Path, text: str) -> Any:
    """Return what a file holds, or raise with the line where that ends."""
    line = ""
    try:
        return tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        said, line = error.problem, error.problem_mark.line + 1
    except yaml.reader.ReaderError as error:
        said = error.reason
    except (AttributeError, KeyError):  # PyYAML's, for `!!timestamp soon` and `!!bool maybe`
        said = "a value does not fit its tag"
    except (ValueError, RecursionError) as error:  # TOML's; the 31st of February; too deep
        said, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
    where = f"'{path}', line {line}" if line else f"'{path}'"
    raise InvalidValue(f"study: {where}: {said}. {FORM}")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # without stubs its type is any
    """YAML's safe loader, which here refuses a key that comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return a mapping of distinct keys."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"{shorten(key.value)} comes twice; leave one, or rename one"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_recipe(path: Path, name: Any, rules: Any) -> Recipe:
    if name == BASELINE and rules in (None, {}):
        return RECIPES[BASELINE]
    _check_name(name)  # before its rules
    if not isinstance(rules, dict):
        raise InvalidValue(
            f"study: '{path}', recipe '{name}': must map patterns to noises; got "
            f"{brief.repr(rules)}. {FORM}"
        )
    pairs = (
        (pattern, noise)
        for pattern, value in rules.items()
        for noise in (value if isinstance(value, list) and value else [value])
    )
    return Recipe(name, name, make_rules(pairs, name))
