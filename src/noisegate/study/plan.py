"""What a study will do, checked before any of the work: rows, models, recipes, numbers."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

import noisegate as ng
from noisegate.core.errors import InvalidValue
from noisegate.torch.generators import TORCH, keep_states

from . import messages
from .data import Dataset
from .data.encode import Encoder
from .design import Given, model_names, recipes_of
from .model_warnings import remarks
from .models import Model, check
from .recipes import BASELINE, RECIPES, Recipe, fitting_recipes
from .results import Placed, Settings
from .source import Rows
from .train.run import FEW, Setup

__all__ = ["Planned", "planned", "with_recipes"]


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

    What `check_call` tells has been checked before.

    Raises
    ------
    InvalidValue, InvalidType
        If anything else about the call is wrong; the message says what.
    """
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
    files, wanted = recipes_of(recipes)
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


def _example(data: Dataset) -> Tensor:
    """Return a few encoded rows, to see what models and recipes do with them."""
    every = np.arange(data.rows)
    return Encoder.fit(data, every).inputs(data.take(every[:FEW]))


def _models(given: Given, example: Tensor, outputs: int) -> list[Model]:
    models = [Model(name) for name in model_names(given)]
    for model in models:
        check(model, example, outputs)
    return models


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
    with keep_states(TORCH):
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
    with keep_states(TORCH), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again where it is trained, or in the report
        network = model.make(tuple(example.shape[1:]), outputs).train()
        noise = ng.inject(network, dict(recipe.rules), seed=0)
        network(example)
    return tuple(
        Placed(one.placement.site, one.placement.kind, tuple(one.last.shape))
        for one in noise.noises
        if one.last is not None
    )
