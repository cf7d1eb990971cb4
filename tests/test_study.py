"""The study: the same for every recipe but the noise, the numbers, the words, wrong calls."""

import json
import math
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import noisegate as ng
from noisegate.study import RECIPES, Study, experiment, extra, run
from noisegate.study.data import TRAIN_ROWS, derived_seed, digits, split
from noisegate.study.models import MODELS
from noisegate.study.recipes import known_recipes, rules_source
from noisegate.study.stats import Difference, estimate, paired_difference

SITES = {
    ("mlp", "hidden"): {"hid1:out", "hid2:out"},
    ("mlp", "input-hidden"): {":in", "hid1:out", "hid2:out"},
    ("mlp", "gaussian"): {":in"},
    ("cnn", "hidden"): {"hid1:out"},
    ("cnn", "input-hidden"): {":in", "hid1:out"},
    ("cnn", "gaussian"): {":in"},
    ("cnn", "spatial"): {"conv1:out", "conv2:out"},
}


@pytest.fixture(scope="module")
def study() -> Study:
    return run(seeds=2, epochs=2, jobs=1, progress=False)


def numbers(found: Study) -> dict:
    """Everything but what is allowed to differ: times and the number of processes."""
    facts = json.loads(found.to_json())
    del facts["execution"]
    return facts


# The same for every recipe ------------------------------------------------------------------


def test_every_recipe_of_a_seed_has_the_same_split_and_initial_weights(study):
    splits, weights = defaultdict(set), defaultdict(set)
    for one in study.runs:
        splits[one.job.seed].add(one.split)
        weights[one.job.model, one.job.seed].add(one.initial_weights)
    for kept in (splits, weights):
        assert all(len(digests) == 1 for digests in kept.values())
        assert len(set.union(*kept.values())) == len(kept), "two seeds are alike"


def test_every_recipe_of_a_seed_has_the_same_order_and_rows(monkeypatch):
    calls = []

    def recorded(model, loss, train, validation, **options):
        calls.append((options["order_seed"], train, validation))
        return fit(model, loss, train, validation, **options)

    fit = experiment.fit
    monkeypatch.setattr(experiment, "fit", recorded)
    rows = digits()
    for recipe in known_recipes("mlp"):
        experiment.execute(experiment.Job("mlp", recipe, 3, 1), rows)
    (order, train, validation), *others = calls
    assert order == derived_seed(3, "order") != derived_seed(4, "order")
    for other in others:
        assert other[0] == order
        assert torch.equal(other[1][0], train[0])
        assert torch.equal(other[2][1], validation[1])


def test_the_noise_makes_the_difference(study):
    for model in study.models:
        first = {
            recipe: study.runs_of(model, recipe)[0].history.epochs[0].train_loss
            for recipe in study.settings.recipes[model]
        }
        assert len(set(first.values())) == len(first)


def test_a_split_uses_every_row_once():
    rows = digits()
    assert rows.images.shape == (1797, 1, 8, 8)
    assert (rows.images.min(), rows.images.max()) == (0, 1)
    parts = split(rows, 0)
    assert len(parts.train[0]) == TRAIN_ROWS
    # An axis of 1 has a stride too, and torch chooses its convolution by it.
    assert parts.train[0].stride() == parts.validation[0].stride() == (64, 64, 8, 1)
    both = torch.cat([parts.train[0], parts.validation[0]]).numpy().reshape(1797, -1)
    assert np.array_equal(
        np.sort(both.view("V256").ravel()),
        np.sort(rows.images.reshape(1797, -1).view("V256").ravel()),
    )
    assert split(rows, 0).digest == parts.digest != split(rows, 1).digest


# Same seed, same numbers --------------------------------------------------------------------


def test_the_numbers_do_not_depend_on_the_processes(study):
    before = torch.get_num_threads()
    again = run(seeds=2, epochs=2, jobs=2, progress=False)
    assert numbers(again) == numbers(study)
    assert torch.get_num_threads() == before


def test_torchs_generator_is_left_alone():
    before = torch.get_rng_state()
    run("mlp", "gaussian", seeds=2, epochs=1, jobs=1, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_alone_finds_what_it_finds_among_others(study):
    alone = run("mlp", "hidden", seeds=2, epochs=2, jobs=1, progress=False)
    assert alone.settings.recipes == {"mlp": ("none", "hidden")}
    assert alone.table == tuple(
        row for row in study.table if row.model == "mlp" and row.recipe in ("none", "hidden")
    )


# Recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "recipe"), SITES)
def test_what_a_recipe_matches(model, recipe):
    noise = ng.inject(MODELS[model](), dict(RECIPES[recipe].rules), seed=0)
    assert set(noise.sites) == SITES[model, recipe]
    assert len(noise.sites) == len(SITES[model, recipe]), "a site was matched twice"


def test_every_recipe_of_every_model_is_looked_at():
    known = {(model, recipe) for model in MODELS for recipe in known_recipes(model)}
    assert known - {(model, "none") for model in MODELS} == set(SITES)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_rules_as_source_are_the_rules(recipe):
    assert eval(rules_source(recipe.rules), {"ng": ng}) == dict(recipe.rules)


# Numbers ------------------------------------------------------------------------------------


def test_mean_and_standard_error():
    values = [0.1, 0.4, 0.7, 0.2]
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / 2)


def test_the_paired_interval_is_students():
    values, base = [0.5, 0.9, 0.3, 0.65, 0.1], [0.6, 0.8, 0.5, 0.7, 0.3]
    found = paired_difference(values, base)
    test = scipy.stats.ttest_rel(values, base)
    interval = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(np.mean(values) - np.mean(base))
    # By hand, with the quantile of a printed table: 4 degrees of freedom, 2.776.
    half = 2.776 * np.std(np.subtract(values, base), ddof=1) / math.sqrt(5)
    assert found.high - found.mean == pytest.approx(half, rel=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-2, -1, "helped"), (1, 2, "hurt"), (-1, 1, "unclear"), (-1, 0, "unclear"), (0, 1, "unclear")],
)
def test_verdict(low, high, verdict):
    assert Difference((low + high) / 2, low, high).verdict == verdict


def test_the_table_is_made_of_the_best_epochs(study):
    assert [(row.model, row.recipe) for row in study.table] == [
        (model, recipe) for model in ("mlp", "cnn") for recipe in known_recipes(model)
    ]
    row = next(row for row in study.table if (row.model, row.recipe) == ("cnn", "spatial"))
    best, base = (
        [
            min(epoch.validation_loss for epoch in one.history.epochs)
            for one in study.runs
            if (one.job.model, one.job.recipe) == ("cnn", recipe)
        ]
        for recipe in ("spatial", "none")
    )
    assert row.validation_loss == estimate(best)
    assert row.loss_difference == paired_difference(best, base)
    none = study.table[0]
    assert none.recipe == "none"
    assert none.loss_difference is none.error_difference is None


def test_the_json_has_every_number(study):
    facts = numbers(study)
    assert facts["command"] == (
        "noisegate study --model both --recipe none hidden input-hidden gaussian spatial "
        "--seeds 2 --epochs 2"
    )
    assert len(facts["runs"]) == 2 * 9
    for one in facts["runs"]:
        assert len(one["train_loss"]) == len(one["validation_error"]) == 2
        assert one["best"]["validation_loss"] == min(one["validation_loss"])
    assert {one["seed"] for one in facts["runs"]} == {0, 1}
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["sentence"] == study.sentence


def test_a_number_that_is_not_finite_is_null(study):
    first, *others = study.runs
    epochs = (replace(first.history.epochs[0], train_loss=math.nan), first.history.epochs[1])
    broken = replace(study, runs=(replace(first, history=type(first.history)(epochs)), *others))
    assert json.loads(broken.to_json())["runs"][0]["train_loss"][0] is None


# What next ----------------------------------------------------------------------------------


def test_the_snippet_runs_on_ones_own_model(study, capsys):
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(3, 3))
    exec(study.snippet, {"model": model})
    assert "seed" in study.snippet
    assert "in:out" in capsys.readouterr().out


# Wrong calls --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"recipes": ["gausian"]},
            "study: unknown recipe 'gausian' for mlp and cnn; known are none, hidden, "
            "input-hidden, gaussian, spatial. Did you mean gaussian?",
        ),
        (
            {"models": "mlp", "recipes": "spatial"},
            "study: unknown recipe 'spatial' for mlp; known are none, hidden, input-hidden, "
            "gaussian.",
        ),
        ({"models": ["rnn"]}, "study: unknown model 'rnn'; known are mlp, cnn. Did you mean cnn?"),
        ({"models": []}, "study: `models` must name at least one model; known are mlp, cnn."),
        (
            {"seeds": 1},
            "study: `seeds` must be a whole number >= 2; got 1. "
            "An interval needs at least two runs of each recipe.",
        ),
        (
            {"epochs": 0},
            "study: `epochs` must be a whole number >= 1; got 0. 60 is the default.",
        ),
        (
            {"jobs": 1.5},
            "study: `jobs` must be a whole number >= 1; got 1.5. 1 is this process.",
        ),
    ],
)
def test_a_wrong_call_says_what_would_be_right(arguments, sentence):
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(sentence)}$"):
        run(**arguments)


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    sentence = f"study: cannot write to '{folder}': Not a directory. Name another folder with out."
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(sentence)}$"):
        run(out=folder)


def test_a_missing_package_is_one_sentence(monkeypatch):
    present = extra.find_spec
    monkeypatch.setattr(
        extra, "find_spec", lambda name: None if name == "sklearn" else present(name)
    )
    sentence = 'noisegate.study needs scikit-learn. Install it with: pip install "noisegate[study]"'
    with pytest.raises(ng.MissingExtra, match=f"^{re.escape(sentence)}$"):
        extra.require_extra()


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import noisegate.study\nnoisegate.study.run('mlp', 'gaussian', seeds=2, epochs=1)\n",
        encoding="utf-8",
    )
    found = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 1
    assert found.stderr.rstrip().splitlines()[-1] == (
        "noisegate.core.errors.NoisegateError: study: a worker process ended before its work "
        'did. In a script, call noisegate.study.run below `if __name__ == "__main__":`, or '
        "pass jobs=1."
    )
