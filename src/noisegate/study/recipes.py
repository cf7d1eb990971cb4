"""The named recipes: which noise goes where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import noisegate as ng
from noisegate.core.errors import InvalidValue

from . import messages

__all__ = ["BASELINE", "RECIPES", "Recipe", "chosen_recipes", "known_recipes", "rules_source"]

# Every other recipe is compared with this one.
BASELINE = "none"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A name, the rules that `noisegate.inject` gets, and the models that have such sites."""

    name: str
    label: str
    rules: Mapping[str, Any]
    models: tuple[str, ...] = ("mlp", "cnn")


_ALL = (
    Recipe(BASELINE, "no noise", MappingProxyType({})),
    Recipe("hidden", "hidden dropout", MappingProxyType({"hid*:out": 0.5})),
    Recipe(
        "input-hidden",
        "input and hidden dropout",
        MappingProxyType({"in:out": 0.2, "hid*:out": 0.5}),
    ),
    Recipe("gaussian", "Gaussian noise", MappingProxyType({"in:out": ng.GaussianNoise(0.2)})),
    Recipe(
        "spatial",
        "spatial dropout",
        MappingProxyType({"conv*:out": ng.spatial_dropout(0.2, data_format="channels_first")}),
        models=("cnn",),
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})


def known_recipes(model: str) -> tuple[str, ...]:
    """Return the names of the recipes that `model` has sites for."""
    return tuple(name for name, recipe in RECIPES.items() if model in recipe.models)


def chosen_recipes(
    models: Sequence[str], names: Sequence[str] | None
) -> dict[str, tuple[str, ...]]:
    """Return the recipes to train for each model, in order: those named, and `none`.

    Raises
    ------
    InvalidValue
        If a name is known to none of the models.
    """
    known = {model: known_recipes(model) for model in models}
    if names is None:
        return known
    everywhere = [name for name in RECIPES if any(name in recipes for recipes in known.values())]
    for name in names:
        if name not in everywhere:
            raise InvalidValue(messages.unknown_recipe(name, " and ".join(models), everywhere))
    wanted = {BASELINE, *names}
    return {
        model: tuple(name for name in recipes if name in wanted) for model, recipes in known.items()
    }


def rules_source(rules: Mapping[str, Any]) -> str:
    """Return the rules as Python to paste after ``import noisegate as ng``."""
    entries = (f"{pattern!r}: {_value_source(value)}" for pattern, value in rules.items())
    return "{" + ", ".join(entries) + "}"


def _value_source(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else f"ng.{value!r}"
