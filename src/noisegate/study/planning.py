"""The plan of a study, made before any of the work: data, models, recipes, notes."""

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import noisegate as ng
from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.torch.generators import TORCH, keep_states

from .data.encode import Encoder
from .data.split import check_parts
from .data.tasks import Task
from .design import Design, model_names, recipes_of
from .model_warnings import find_model_warnings
from .models import Model, check_trainable
from .recipes import BASELINE, RECIPES, Recipe, find_fitting
from .rule_text import rules_text
from .source import Samples, argument, name_file
from .train.run import FEW, OPTIMIZER, Setup
from .versions import versions


@dataclass(frozen=True, slots=True)
class Placed:
    """A noise at a site, and the shape that a batch of a few samples has there."""

    site: str
    kind: Kind
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """A design, and what it means for the data and the models.

    `recipes` are those of each model, `none` first; `facts` describe the data and the splits;
    `notes` are sentences for the reader; `files` are the texts of the files of recipes.
    """

    design: Design
    facts: Mapping[str, Any]
    task: Task
    notes: tuple[str, ...]
    models: tuple[Model, ...]
    recipes: Mapping[str, tuple[Recipe, ...]]
    files: Mapping[str, str]

    @property
    def data(self) -> str:
        """The name of the data."""
        return str(self.facts["data"]["name"])

    def identity(self) -> dict[str, Any]:
        """Return what decides every run but for its model, recipe and seed."""
        design = self.design
        return {
            **self.facts,
            "epochs": design.epochs,
            "batch_size": design.batch_size,
            "optimizer": OPTIMIZER,
            "learning_rate": design.learning_rate,
            "versions": versions(),
        }

    def arguments(self, recipes: Sequence[str], models: Sequence[str]) -> list[str]:
        """Return the command line's arguments for some recipes on some models."""
        design = self.design
        words = [*design.source.arguments(), "--model", *models]
        words += [word for recipe in recipes for word in argument("--recipe", recipe)]
        words += ["--seeds", str(design.seeds), "--epochs", str(design.epochs)]
        if design.batch_size is not None:
            words += ["--batch-size", str(design.batch_size)]
        words += ["--learning-rate", repr(design.learning_rate)]
        words += ["--uncertainty"] if design.uncertainty else []
        return words + (
            argument("--ood", name_file("ood", design.ood)) if design.ood is not None else []
        )

    def command(self) -> str:
        """Return the command that makes the study again."""
        every = {recipe.name: recipe for recipes in self.recipes.values() for recipe in recipes}
        named = [_write_argument(recipe) for recipe in every.values() if recipe.rules]
        words = self.arguments(named or [BASELINE], [model.name for model in self.models])
        return shlex.join(["noisegate", "study", *words])


@dataclass(frozen=True, slots=True, eq=False)
class StudyPlan:
    """A study before its runs: its settings, its data, and where each recipe acts.

    `example` are a few encoded samples, to see what models and recipes do with them.
    """

    settings: Settings
    data: Samples
    example: Tensor
    placed: Mapping[tuple[str, str], tuple[Placed, ...]]

    @property
    def setup(self) -> Setup:
        """What all runs share: never the design, whose source may hold the test samples."""
        design = self.settings.design
        return Setup(
            self.data.search,
            design.epochs,
            design.batch_size,
            design.learning_rate,
            design.source.validation_share,
        )


def make_plan(design: Design) -> StudyPlan:
    """Read the data, make the models once, and put each recipe into each model once.

    What `check_design` tells has been checked before; whatever else is wrong with the call raises.
    """
    source = design.source
    data = source.read(design.ood)
    few = check_parts(data.search, data.test, source.validation_share, design.seeds)
    every = np.arange(data.search.rows)
    example = Encoder.fit(data.search, every).inputs(data.search.take(every[:FEW]))
    models = tuple(Model(name) for name in model_names(design))
    for model in models:
        check_trainable(model, example, data.search.task.outputs)
    notes = (*_find_notes(data, design, models, example), *few)
    facts = data.facts(source)
    settings = Settings(design, facts, data.search.task, notes, models, {}, {})
    return replace_recipes(StudyPlan(settings, data, example, {}), design.recipes)


def replace_recipes(plan: StudyPlan, recipes: Iterable[str | Recipe] | None) -> StudyPlan:
    """Return the same plan with other recipes, each put into each model once."""
    example, outputs = plan.example, plan.settings.task.outputs
    models = plan.settings.models
    files, wanted = recipes_of(recipes)
    alone = len(models) == 1
    chosen = {
        model.name: _choose_recipes(model, wanted, example, outputs, alone=alone)
        for model in models
    }
    placed = {
        (model.name, recipe.name): _place(model, recipe, example, outputs)
        for model in models
        for recipe in chosen[model.name]
    }
    settings = replace(plan.settings, recipes=chosen, files=files)
    return replace(plan, settings=settings, placed=placed)


def _find_notes(
    data: Samples, design: Design, models: Sequence[Model], example: Tensor
) -> tuple[str, ...]:
    """Return what is worth saying before the work, each once."""
    notes = [*data.search.notes]
    if design.source.test is not None:
        notes += data.test.notes
    for model in models:
        notes += find_model_warnings(model, example, data.search.task)
    return tuple(dict.fromkeys(notes))


def _choose_recipes(
    model: Model, wanted: list[Recipe] | None, example: Tensor, outputs: int, *, alone: bool
) -> tuple[Recipe, ...]:
    """Return the recipes of a model, no noise first: those wanted, or all built-in ones that fit.

    A built-in recipe that fits another model of the study only is left out.
    """
    shape = tuple(example.shape[1:])
    with keep_states(TORCH):
        fitting = find_fitting(model.make(shape, outputs), shape)
    if wanted is None:
        chosen = [recipe for recipe in fitting if recipe.name != BASELINE]
        if not chosen:
            raise InvalidValue(
                f"study: `recipes` must name at least one recipe for {model.name}, since no "
                f"built-in one fits its sites. See them with `noisegate sites {model.name}`, and "
                "give rules: --recipe 'mine=hid*:out=0.5'."
            )
    else:
        chosen = [
            recipe
            for recipe in wanted
            if alone or RECIPES.get(recipe.name) != recipe or recipe in fitting
        ]
    return (RECIPES[BASELINE], *(recipe for recipe in chosen if recipe.name != BASELINE))


def _place(model: Model, recipe: Recipe, example: Tensor, outputs: int) -> tuple[Placed, ...]:
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


def _write_argument(recipe: Recipe) -> str:
    """Return what names a recipe on the command line."""
    built_in = RECIPES.get(recipe.name) == recipe
    return recipe.name if built_in else f"{recipe.name}={rules_text(recipe.rules)}"
