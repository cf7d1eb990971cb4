"""The one scoring of the test split: no noise, and the recipe that validation has chosen."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.estimators import Epoch, History

from ..data import Dataset, derived_seed
from ..models import Model
from ..recipes import BASELINE, Recipe, rules_text
from ..train.pool import use_one_thread
from ..train.run import Job, Run, Setup, fit_encoder, make_parts, restore_model, seed_generators
from ..train.store import Store
from .stats import Difference, Estimate, estimate, estimate_difference
from .uncertainty import EvaluationRows, OneSeed, Uncertainty, evaluate, shuffled, summary

__all__ = ["TestScore", "evaluate_uncertainty", "score_test_split"]

# Without gradients, so batches can be larger than training's.
ROWS = 1024


@dataclass(frozen=True, slots=True)
class TestScore:
    """What no noise and a chosen recipe reach on the test split, seed by seed."""

    model: str
    recipe: str
    losses: Mapping[str, tuple[float, ...]]
    errors: Mapping[str, tuple[float, ...]]

    def loss(self, recipe: str) -> Estimate:
        """Return the mean loss of `none` or of the recipe."""
        return estimate(self.losses[recipe])

    def error(self, recipe: str) -> Estimate:
        """Return the mean error of `none` or of the recipe."""
        return estimate(self.errors[recipe])

    @property
    def difference(self) -> Difference | None:
        """The recipe's loss beyond that of no noise, over the seeds; None if that is the recipe."""
        if self.recipe == BASELINE:
            return None
        return estimate_difference(self.losses[self.recipe], self.losses[BASELINE], ratio=0)

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        difference = self.difference
        return {
            **asdict(self),
            "loss_difference": None if difference is None else asdict(difference),
        }


def score_test_split(
    model: Model,
    recipes: Sequence[Recipe],
    setup: Setup,
    test: Dataset,
    store: Store,
    seeds: int,
    on_job: Callable[[Job], Any],
    *,
    doubt: str,
) -> tuple[TestScore, int]:
    """Score recipes on the test split, or return what was scored; and how often that has been.

    Parameters
    ----------
    recipes : sequence of Recipe
        No noise, and the chosen one if there is any.
    on_job : callable
        Called with each job that has been scored.
    doubt : str
        What else is measured on the test rows: another look at them is another scoring.
    """
    name = f"test-{model.name}".replace(":", "-")
    key = _key(model, recipes, store, seeds, doubt)
    before = store.read_value(name) or {"scored": 0}
    jobs = [Job(model, recipe, seed) for recipe in recipes for seed in range(seeds)]
    if before.get("key") != key:
        found: dict[str, list[tuple[float, float]]] = {recipe.name: [] for recipe in recipes}
        for job in jobs:
            found[job.recipe.name].append(_scored(job, setup, test, store))
            on_job(job)
        before = {"key": key, "scored": before["scored"] + 1, "found": found}
        store.write_value(name, before)
    losses, errors = (
        {recipe: tuple(pair[part] for pair in pairs) for recipe, pairs in before["found"].items()}
        for part in (0, 1)
    )
    return TestScore(model.name, recipes[-1].name, losses, errors), before["scored"]


def evaluate_uncertainty(
    model: Model,
    recipes: Sequence[Recipe],
    setup: Setup,
    rows: tuple[Dataset, Dataset | None],
    store: Store,
    runs: Sequence[Run],
    on_job: Callable[[Job], Any],
) -> Uncertainty:
    """Measure on the test rows how far no noise and the chosen recipe know their doubt.

    Parameters
    ----------
    recipes : sequence of Recipe
        No noise, and the chosen one if there is any.
    rows : tuple of Dataset
        The test rows, and inputs that are not of the data; None for test rows with their columns
        shuffled.
    runs : sequence of Run
        All of the model.
    on_job : callable
        Called with each job that has been measured.
    """
    test, strange = rows
    if strange is None:
        strange = replace(test, columns=shuffled(test.columns, seed=0))
    found: list[list[OneSeed]] = []
    with use_one_thread():
        for recipe in recipes:
            found.append([])
            for run in (run for run in runs if run.recipe == recipe.name):
                job = Job(model, recipe, run.seed)
                found[-1].append(_doubt(job, run, setup, (test, strange), store))
                on_job(job)
    return summary(found[0], found[1] if found[1:] else (), recipes[-1].label)


def _doubt(
    job: Job, run: Run, setup: Setup, rows: tuple[Dataset, Dataset], store: Store
) -> OneSeed:
    parts, (test, strange) = make_parts(setup, job.seed), rows
    encoder = parts.encoder
    steps = math.ceil(run.train_rows / run.batch_size) * run.history.best.number
    with seed_generators(job.seed, "doubt"):
        return evaluate(
            test.task,
            restore_model(job, setup, store.read_weights(job)),
            job.recipe.rules,
            EvaluationRows(
                (encoder.inputs(test), encoder.targets(test)),
                parts.validation,
                encoder.inputs(strange),
                encoder.scale,
            ),
            seed=derived_seed(job.seed, "prediction"),
            first_step=steps,
        )


def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the outputs of a model in evaluation."""
    with torch.no_grad():
        return torch.cat([model(part) for part in inputs.split(ROWS)])


def _scored(job: Job, setup: Setup, test: Dataset, store: Store) -> tuple[float, float]:
    encoder, task = fit_encoder(setup, job.seed), test.task
    targets = encoder.targets(test)
    with use_one_thread(), seed_generators(job.seed, "test"):
        outputs = _outputs(restore_model(job, setup, store.read_weights(job)), encoder.inputs(test))
        loss = float(task.loss(outputs, targets))
        error = float(task.error(outputs, targets).double().mean())
    epoch = task.in_units(History((Epoch(1, loss, loss, error),)), encoder.scale).best
    assert epoch.validation_error is not None
    return epoch.validation_loss, epoch.validation_error


def _key(model: Model, recipes: Sequence[Recipe], store: Store, seeds: int, doubt: str) -> str:
    """Return what tells one scoring from another; the settings hold digests of all rows."""
    rules = [(recipe.name, rules_text(recipe.rules)) for recipe in recipes]
    said = [store.settings, model.name, model.source_digest, rules, seeds, doubt]
    return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()
