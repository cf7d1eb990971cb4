"""The one scoring of the test split: no noise, and the recipe that validation has chosen."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pandas as pd
import torch

from noisegate.estimators import Epoch, History

from ..data.dataset import Dataset
from ..data.split import derived_seed
from ..models import Model
from ..recipes import Recipe
from ..rule_text import rules_text
from ..train.pool import use_one_thread
from ..train.run import Job, Run, Setup, fit_encoder, make_parts, restore_model, seed_generators
from ..train.store import Store
from .scores import SplitScore
from .uncertainty.evaluation import SAMPLES, EvaluationData, evaluate_model, shuffle_columns
from .uncertainty.outcomes import Outcome
from .uncertainty.over_seeds import Uncertainty, summarize_uncertainty

# Without gradients, so batches can be larger than training's.
BATCH_SIZE = 1024


def score_test_split(
    model: Model,
    recipes: Sequence[Recipe],
    setup: Setup,
    test: Dataset,
    store: Store,
    seeds: int,
    on_job: Callable[[], object],
    *,
    uncertainty: str,
) -> tuple[SplitScore, int]:
    """Return the scores of no noise and the chosen recipe, and how often the split was scored.

    Scores that are stored for the same call are returned as they are. `on_job` is called after
    each job that is scored. `uncertainty` names the inputs that uncertainty is evaluated on beside
    the test samples, "" for none: another look at the test samples is another scoring.
    """
    name = f"test-{model.name}".replace(":", "-")
    rules = [(recipe.name, rules_text(recipe.rules)) for recipe in recipes]
    # The settings hold digests of all rows.
    made_of = [store.settings, model.name, model.source_digest, rules, seeds, uncertainty]
    key = blake2b(json.dumps(made_of, sort_keys=True).encode(), digest_size=8).hexdigest()
    stored = store.read_value(name) or {"scored": 0}
    if stored.get("key") != key:
        found: dict[str, list[tuple[float, float]]] = {recipe.name: [] for recipe in recipes}
        for job in [Job(model, recipe, seed) for recipe in recipes for seed in range(seeds)]:
            found[job.recipe.name].append(_score_model(job, setup, test, store))
            on_job()
        stored = {"key": key, "scored": stored["scored"] + 1, "found": found}
        store.write_value(name, stored)
    losses, errors = (
        {recipe: tuple(pair[part] for pair in pairs) for recipe, pairs in stored["found"].items()}
        for part in (0, 1)
    )
    return SplitScore(model.name, recipes[-1].name, losses, errors), stored["scored"]


def _score_model(job: Job, setup: Setup, test: Dataset, store: Store) -> tuple[float, float]:
    encoder, task = fit_encoder(setup, job.seed), test.task
    targets = encoder.targets(test)
    with use_one_thread(), seed_generators(job.seed, "test"), torch.no_grad():
        model = restore_model(job, encoder, task, store.read_weights(job))
        outputs = torch.cat([model(part) for part in encoder.inputs(test).split(BATCH_SIZE)])
        loss = float(task.loss(outputs, targets))
        error = float(task.error(outputs, targets).double().mean())
    epoch = task.in_units(History((Epoch(1, loss, loss, error),)), encoder.scale).best
    assert epoch.validation_error is not None
    return epoch.validation_loss, epoch.validation_error


def evaluate_uncertainty(
    model: Model,
    recipes: Sequence[Recipe],
    setup: Setup,
    data: tuple[Dataset, Dataset | None],
    store: Store,
    runs: Sequence[Run],
    on_job: Callable[[], object],
) -> Uncertainty:
    """Evaluate on the test samples how far the uncertainty of predictions can be trusted.

    The recipes are no noise and the chosen one; `data` are the test samples, and
    out-of-distribution inputs: None for test samples with their columns shuffled. The runs are all
    of the model. `on_job` is called after each job.
    """
    test, ood = data
    ood = _shuffle_inputs(test) if ood is None else ood
    found: list[list[list[Outcome[float]]]] = []
    with use_one_thread():
        for recipe in recipes:
            found.append([])
            for run in (run for run in runs if run.recipe == recipe.name):
                job = Job(model, recipe, run.seed)
                found[-1].append(_evaluate(job, run, setup, (test, ood), store))
                on_job()
    rows = test.rows, ood.rows
    return summarize_uncertainty(
        test.task.name, recipes[-1].label, found, samples=SAMPLES, rows=rows
    )


def _evaluate(
    job: Job, run: Run, setup: Setup, data: tuple[Dataset, Dataset], store: Store
) -> list[Outcome[float]]:
    parts, (test, ood) = make_parts(setup, job.seed), data
    encoder = parts.encoder
    # "doubt" names a stream of random numbers, which stays what it was.
    with seed_generators(job.seed, "doubt"):
        return evaluate_model(
            test.task,
            restore_model(job, encoder, test.task, store.read_weights(job)),
            job.recipe.rules,
            EvaluationData(
                (encoder.inputs(test), encoder.targets(test)),
                parts.validation,
                encoder.inputs(ood),
                encoder.scale,
            ),
            seed=derived_seed(job.seed, "prediction"),
            first_step=run.count_steps(run.history.best.number),
        )


def _shuffle_inputs(data: Dataset) -> Dataset:
    """Return a dataset whose columns are shuffled over the samples, each by itself."""
    if isinstance(data.inputs, np.ndarray):
        return replace(data, inputs=shuffle_columns([data.inputs], seed=0)[0])
    inputs: pd.DataFrame = data.inputs.copy()
    names = [list(data.features(column)) for column in data.input_columns]
    arrays = shuffle_columns([inputs[each].to_numpy() for each in names], seed=0)
    for each, values in zip(names, arrays, strict=True):
        for at, name in enumerate(each):
            inputs[name] = pd.Series(values[:, at], dtype=inputs[name].dtype)
    return replace(data, inputs=inputs)
