"""What a study will do, checked before any of the work: rows, models, recipes, numbers."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import noisegate as ng
from noisegate.core.errors import InvalidValue

from . import messages
from .data import Dataset, Encoder
from .experiment import FEW, Setup
from .models import Model, check
from .recipes import (
    BASELINE,
    RECIPES,
    SUFFIXES,
    Recipe,
    by_name,
    fitting_recipes,
    parse_recipe,
    read_recipes,
)
from .remarks import remarks
from .results import Placed, Settings
from .sources import Rows, Source

__all__ = ["Given", "Planned", "check_count", "planned", "with_recipes"]

# Beyond these a number is a mistake.
MOST = {"seeds": 10_000, "jobs": 1024, "trials": 1_000_000, "tune_seed": 2**64 - 1}


@dataclass(frozen=True, slots=True)
class Given:
    """How a study is called: everything but which recipes, and where its results go."""

    models: tuple[str, ...] | None
    source: Source
    seeds: int
    epochs: int
    batch_size: int | None
    learning_rate: float
    uncertainty: bool
    ood: str | Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A study before its runs: its settings, its rows, and where each recipe acts."""

    settings: Settings
    rows: Rows
    example: Tensor
    placed: Mapping[tuple[str, str], tuple[Placed, ...]]

    @property
    def setup(self) -> Setup:
        """What all runs share."""
        given = self.settings
        share = given.source.validation_share
        return Setup(self.rows.search, given.epochs, given.batch_size, given.learning_rate, share)


def planned(given: Given, recipes: Iterable[str | Recipe] | None) -> Planned:
    """Read the data, make the models once, and put each recipe into each model once.

    Raises
    ------
    InvalidValue, InvalidType
        If anything about the call is wrong; the message says what.
    """
    _check_counts(given)
    rows = given.source.rows(given.ood)
    example = _example(rows.search)
    models = _models(given, example, rows.search.task.outputs)
    settings = Settings(
        given.source,
        rows.facts(given.source),
        rows.search.task,
        _notes(rows, given, models, example),
        tuple(models),
        {},
        {},
        given.seeds,
        given.epochs,
        given.batch_size,
        given.learning_rate,
        given.uncertainty,
        given.ood,
    )
    return with_recipes(Planned(settings, rows, example, {}), recipes)


def with_recipes(plan: Planned, recipes: Iterable[str | Recipe] | None) -> Planned:
    """Return the same plan with these recipes, each put into each model once.

    Raises
    ------
    InvalidValue, InvalidType
        If a recipe is none, or matches nothing.
    """
    example, outputs = plan.example, plan.settings.task.outputs
    models = plan.settings.models
    files, wanted = _wanted(recipes)
    chosen = {model.name: _recipes_of(model, models, wanted, example, outputs) for model in models}
    placed = {
        (model.name, recipe.name): _placed(model, recipe, example, outputs)
        for model in models
        for recipe in chosen[model.name]
    }
    return replace(
        plan, settings=replace(plan.settings, recipes=chosen, files=files), placed=placed
    )


def _notes(rows: Rows, given: Given, models: Sequence[Model], example: Tensor) -> tuple[str, ...]:
    """Return what is worth saying before the work, each once."""
    found = [*rows.search.notes, *(rows.test.notes if given.source.test else ())]
    for model in models:
        found += remarks(model, example, rows.search.task)
    return tuple(dict.fromkeys(found))


def check_count(name: str, least: int, value: Any, why: str) -> None:
    """Refuse what is no whole number, less than the least, or more than anybody means."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidValue(messages.not_a_count(name, least, value, why))
    if value > (most := MOST.get(name, 2**31)):
        raise InvalidValue(messages.too_many(name, most, value))


def _check_counts(given: Given) -> None:
    check_count("seeds", 2, given.seeds, "An interval needs at least two runs of each recipe.")
    check_count("epochs", 1, given.epochs, "60 is the default.")
    if given.batch_size is not None:
        check_count("batch_size", 1, given.batch_size, "Left out, it is chosen by the rows.")
    rate = given.learning_rate
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < np.inf:
        raise InvalidValue(messages.not_a_number_between("learning_rate", 0, np.inf, rate))


def _example(data: Dataset) -> Tensor:
    """Return a few encoded rows, to see what models and recipes do with them."""
    every = np.arange(data.rows)
    return Encoder.fit(data, every).inputs(data.take(every[:FEW]))


def _models(given: Given, example: Tensor, outputs: int) -> list[Model]:
    names = given.models
    if names is None:
        names = ("mlp", "cnn") if given.source.data is None else ("mlp",)
    if not names:
        raise InvalidValue(messages.no_model(["mlp", "cnn", "module:function"]))
    models = [Model(name) for name in dict.fromkeys(names)]
    for model in models:
        check(model, example, outputs)
    return models


def _wanted(recipes: Iterable[str | Recipe] | None) -> tuple[dict[str, str], list[Recipe] | None]:
    """Return the texts of the files that are named, and the recipes; None if none are named."""
    if recipes is None:
        return {}, None
    files: dict[str, str] = {}
    found: list[Recipe] = []
    for given in recipes:
        if isinstance(given, Recipe):
            found.append(given)
        elif "=" not in given and given.endswith(SUFFIXES):
            found += read_recipes(given)
            files[Path(given).name] = Path(given).read_text("utf-8")
        else:
            found.append(parse_recipe(given))
    return files, list(by_name(found).values())


def _recipes_of(
    model: Model,
    models: Sequence[Model],
    wanted: list[Recipe] | None,
    example: Tensor,
    outputs: int,
) -> tuple[Recipe, ...]:
    """Return the recipes of a model, no noise first: those wanted, or all built-in ones that fit.

    A built-in recipe for another model of the study is left out.
    """
    shape = tuple(example.shape[1:])
    with torch.random.fork_rng(devices=[]):
        fitting = fitting_recipes(model.make(shape, outputs), shape)
    if wanted is None:
        found = list(fitting)
        if not [recipe for recipe in found if recipe.name != BASELINE]:
            raise InvalidValue(messages.no_recipe_fits(model.name))
    else:
        several = len(models) > 1
        found = [
            recipe
            for recipe in wanted
            if not (several and RECIPES.get(recipe.name) == recipe and recipe not in fitting)
        ]
    others = [recipe for recipe in found if recipe.name != BASELINE]
    return (RECIPES[BASELINE], *others)


def _placed(model: Model, recipe: Recipe, example: Tensor, outputs: int) -> tuple[Placed, ...]:
    """Return where a recipe acts, by one forward with noise; a rule that matches nothing raises."""
    if not recipe.rules:
        return ()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again where it is trained, or in the report
        network = model.make(tuple(example.shape[1:]), outputs).train()
        noise = ng.inject(network, dict(recipe.rules), seed=0)
        network(example)
    return tuple(
        Placed(one.placement.site, one.placement.kind, tuple(one.last.shape))
        for one in noise.noises
        if one.last is not None
    )
