"""Trained networks of a study as fitted pipelines of scikit-learn."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from torch import nn

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import got, list_names, shorten, suggest
from noisegate.estimators import Classifier, Regressor
from noisegate.estimators.sizing import takes_tokens

from .judge.scores import SplitScore
from .models import Model, describe_error
from .planning import StudyPlan
from .recipes import Recipe
from .train.run import Job, Run, fit_encoder, seed_generators
from .train.store import Store

# The function that makes a network for the shape of one input and a number of outputs.
Maker = Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """A trained network of a study with its preprocessor: everything that a pipeline is made of.

    `weights` are those of the best epoch, the number of which is `epochs`, after `steps` steps.
    Targets of a regression, without `classes`, were y less `center`, divided by `scale`.
    """

    model: str
    seed: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    center: float
    scale: float
    learning_rate: float
    batch_size: int
    epochs: int
    steps: int
    recipe: Recipe
    preprocessor: Any
    weights: Mapping[str, Any]


def collect_fitted(
    plan: StudyPlan, store: Store, runs: Sequence[Run], scores: Sequence[SplitScore]
) -> tuple[FittedModel, ...]:
    """Return the networks that were scored on the test samples; preprocessors are fitted again."""
    models = {model.name: model for model in plan.settings.models}
    recipes = {
        (score.model, recipe.name): recipe
        for score in scores
        for recipe in plan.settings.recipes[score.model]
        if recipe.name in score.losses
    }
    encoders = {seed: fit_encoder(plan.setup, seed) for seed in {run.seed for run in runs}}
    found = []
    for run in runs:
        recipe = recipes.get((run.model, run.recipe))
        if recipe is None:
            continue
        encoder, best = encoders[run.seed], run.history.best.number
        fitted = FittedModel(
            run.model,
            run.seed,
            encoder.shape,
            plan.settings.task.classes,
            encoder.center,
            encoder.scale,
            plan.settings.design.learning_rate,
            run.batch_size,
            best,
            run.count_steps(best),
            recipe,
            encoder.preprocessor,
            store.read_weights(Job(models[run.model], recipe, run.seed)),
        )
        found.append(fitted)
    return tuple(found)


def find_fitted(fitted: Sequence[FittedModel], model: str, recipe: str, seed: int) -> FittedModel:
    """Return the one of a model, a recipe and a seed, or raise with what there is."""
    for name, value in (("model", model), ("recipe.name", recipe), ("seed", seed)):
        read = attrgetter(name)
        known = list(dict.fromkeys(map(read, fitted)))
        fitted = [each for each in fitted if read(each) == value]
        if not fitted:
            near = suggest(value, list(map(str, known)))
            raise InvalidValue(
                f"study: `{name.partition('.')[0]}` of a pipeline must be one of those with stored "
                f"weights, {list_names(known)}; {got(value)}.{near}"
            )
    return fitted[0]


def make_pipeline(fitted: FittedModel, make: Maker | None = None) -> Pipeline:
    """Return the fitted pipeline of a preprocessor and an estimator.

    To fit it again trains the run's initial network anew, with its noise, learning rate and batch
    size, for as many epochs as were best. `make` makes the network, by default the study's model.
    """
    labels = _convert_labels(fitted.classes)
    with seed_generators(fitted.seed, "weights"):
        network = (make or Model(fitted.model).make)(fitted.shape, len(labels) or 1)
    if not isinstance(network, nn.Module):
        raise InvalidType(f"study: `model` must return an nn.Module; got {shorten(network)}.")
    if takes_tokens(network):
        raise InvalidValue(
            f"study: {fitted.model} begins with an embedding, and so an estimator gives it whole "
            "numbers, where the study gave it float32; it has no pipeline."
        )
    trained = copy.deepcopy(network)
    try:
        trained.load_state_dict(fitted.weights)
    except RuntimeError as error:
        raise InvalidValue(
            f"study: the network does not take the stored weights of {fitted.model}: "
            f"{describe_error(error)}."
        ) from error
    words: dict[str, Any] = {
        "network": network,
        "rules": dict(fitted.recipe.rules),
        "lr": fitted.learning_rate,
        "batch_size": fitted.batch_size,
        "max_epochs": fitted.epochs,
        "random_state": fitted.seed,
    }
    if fitted.classes:
        estimator, y = Classifier(**words), labels
    else:
        moments = (fitted.center, fitted.scale)
        estimator, y = Regressor(normalize_y=moments, **words), np.zeros(2)
    estimator.adopt(trained, np.zeros((len(y), *fitted.shape)), y, steps=fitted.steps)
    # Copied, since the pipeline may be fitted again.
    steps = {"preprocessor": copy.deepcopy(fitted.preprocessor), "estimator": estimator}
    return Pipeline(list(steps.items()))


def _convert_labels(classes: Sequence[str]) -> np.ndarray:
    """Return labels as pandas reads them: whole numbers and booleans are not text."""
    if tuple(classes) == ("False", "True"):
        return np.array([False, True])
    if all(re.fullmatch(r"0|-?[1-9]\d*", name) for name in classes):
        numbers = [int(name) for name in classes]
        if numbers == sorted(numbers):  # else the outputs have another order
            return np.array(numbers)
    return np.array(classes)
