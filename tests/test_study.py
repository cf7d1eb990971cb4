"""The study: recipes differ in noise alone, numbers repeat, and all of them are reported."""

import json
import math
import shlex
from collections import defaultdict
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _study_runs import numbers
from _study_shown import helped
from noisegate import cli
from noisegate.study import RECIPES, Recipe, Source, Study, run
from noisegate.study.data.split import derived_seed
from noisegate.study.judge.stats import adjust, estimate, estimate_difference
from noisegate.study.models import Model
from noisegate.study.train import run as experiment
from noisegate.study.train.run import Job, Setup, execute, make_parts, restore_model

SHAPE = (1, 8, 8)
SITES = {
    ("mlp", "hidden"): {"hid1:out", "hid2:out"},
    ("mlp", "input-hidden"): {":in", "hid1:out", "hid2:out"},
    ("mlp", "gaussian"): {":in"},
    ("cnn", "hidden"): {"hid1:out"},
    ("cnn", "input-hidden"): {":in", "hid1:out"},
    ("cnn", "gaussian"): {":in"},
    ("cnn", "spatial"): {"conv1:out", "conv2:out"},
}
FITTING = {model: ["none", *(r for m, r in SITES if m == model)] for model in ("mlp", "cnn")}


@pytest.fixture(scope="module")
def study() -> Study:
    return run(seeds=2, epochs=2, jobs=1, progress=False)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup(Source().read().search, 1, None, 2e-3, 0.25)


# The same for every recipe ------------------------------------------------------------------


def test_every_recipe_of_a_seed_has_the_same_split_and_initial_weights(study):
    splits, weights = defaultdict(set), defaultdict(set)
    for one in study.runs:
        splits[one.seed].add(one.split)
        weights[one.model, one.seed].add(one.initial_weights)
    for kept in (splits, weights):
        assert all(len(digests) == 1 for digests in kept.values())
        assert len(set.union(*kept.values())) == len(kept), "two seeds are alike"


def test_every_recipe_of_a_seed_has_the_same_order_and_rows(setup, monkeypatch):
    calls = []

    def recorded(model, loss, train, validation, **options):
        start = {name: value.clone() for name, value in model.state_dict().items()}
        calls.append((options["order_seed"], options["batch_size"], train, validation, start))
        return fit(model, loss, train, validation, **options)

    fit = experiment.fit
    monkeypatch.setattr(experiment, "fit", recorded)
    for recipe in FITTING["mlp"]:
        execute(Job(Model("mlp"), RECIPES[recipe], 3), setup)
    (order, batch, train, validation, start), *others = calls
    assert order == derived_seed(3, "order") != derived_seed(4, "order")
    for other in others:
        assert other[:2] == (order, batch)
        for mine, its in ((train, other[2]), (validation, other[3])):
            assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))
        assert all(torch.equal(start[name], value) for name, value in other[4].items())


def test_the_noise_makes_the_difference(study):
    for model in study.models:
        first = {
            recipe: study.find_runs(model, recipe)[0].history.epochs[0].train_loss
            for recipe in FITTING[model]
        }
        assert len(set(first.values())) == len(first)


def test_a_split_uses_every_row_that_is_not_of_the_test_once(setup):
    rows = Source().read()
    assert (rows.search.rows, rows.test.rows) == (1438, 359)
    parts = make_parts(setup, 0)
    # An axis of 1 has a stride too, and torch chooses its convolution by it.
    assert parts.train[0].stride() == parts.validation[0].stride() == (64, 64, 8, 1)
    assert len(parts.validation[0]) == round(1438 / 4)
    both = torch.cat([parts.train[0], parts.validation[0]]).numpy().reshape(1438, -1)
    every = np.arange(rows.search.rows)
    whole = parts.encoder.inputs(rows.search.take(every)).numpy().reshape(1438, -1)
    assert np.array_equal(
        np.sort(both.view("V256").ravel()),
        np.sort(np.ascontiguousarray(whole).view("V256").ravel()),
    )
    assert make_parts(setup, 0).digest == parts.digest != make_parts(setup, 1).digest


def test_the_size_of_a_batch_is_told_or_a_tenth_of_the_rows(study, setup):
    assert {one.batch_size for one in study.runs} == {1079 // 10}
    given = execute(Job(Model("mlp"), RECIPES["none"], 0), replace(setup, batch_size=50)).run
    assert given.batch_size == 50


def test_the_weights_that_are_kept_are_those_of_the_best_epoch(setup):
    """They give the validation loss that the run tells, to the last bit."""
    job = Job(Model("mlp"), RECIPES["gaussian"], 1)
    # A rate at which it soon gets worse, so that the best epoch is not the last one.
    wild = replace(setup, epochs=6, learning_rate=0.05)
    trained = execute(job, wild)
    assert trained.run.history.best.number < 6
    parts = make_parts(wild, 1)
    model = restore_model(job, parts.encoder, wild.data.task, trained.weights)
    with torch.no_grad():
        loss = float(wild.data.task.loss(model(parts.validation[0]), parts.validation[1]))
    assert loss == pytest.approx(trained.run.history.best.validation_loss, rel=1e-6)


# Same seed, same numbers --------------------------------------------------------------------


def test_the_numbers_do_not_depend_on_the_processes(study):
    before = torch.get_num_threads()
    again = run(None, ["none", "gaussian", "spatial"], seeds=2, epochs=2, jobs=2, progress=False)
    assert torch.get_num_threads() == before
    alone = run(None, ["none", "gaussian", "spatial"], seeds=2, epochs=2, jobs=1, progress=False)
    assert numbers(again) == numbers(alone)
    for model in study.models:
        mine, its = (
            [replace(one, seconds=0.0) for one in found.find_runs(model, "gaussian")]
            for found in (again, study)
        )
        assert mine == its


def test_torchs_generator_and_threads_are_left_alone():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run("mlp", "gaussian", seeds=2, epochs=1, jobs=1, progress=False, uncertainty=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_alone_finds_what_it_finds_among_others(study):
    alone = run("mlp", "hidden", seeds=2, epochs=2, jobs=1, progress=False)
    assert [recipe.name for recipe in alone.settings.recipes["mlp"]] == ["none", "hidden"]
    for recipe in ("none", "hidden"):
        mine, its = (
            [replace(one, seconds=0.0) for one in found.find_runs("mlp", recipe)]
            for found in (alone, study)
        )
        assert mine == its
    row = next(row for row in study.table if (row.model, row.recipe) == ("mlp", "hidden"))
    (_, found) = alone.table
    assert found.validation_loss == row.validation_loss
    assert found.loss_difference.p == row.loss_difference.p, "the family differs, the test does not"


def test_more_seeds_leave_the_first_ones_as_they_are():
    three = run("mlp", "hidden", seeds=3, epochs=1, jobs=1, progress=False)
    two = run("mlp", "hidden", seeds=2, epochs=1, jobs=1, progress=False)
    first = [replace(one, seconds=0.0) for one in three.runs if one.seed < 2]
    assert first == [replace(one, seconds=0.0) for one in two.runs]
    assert three.tests[0].losses["none"][:2] == two.tests[0].losses["none"]


# Recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "recipe"), SITES)
def test_what_a_recipe_matches(model, recipe, study):
    network = Model(model).make(SHAPE, 10)
    noise = ng.inject(network, dict(RECIPES[recipe].rules), seed=0)
    assert set(noise.sites) == SITES[model, recipe]
    assert len(noise.sites) == len(SITES[model, recipe]), "a site was matched twice"
    placed = study.placed[model, recipe]
    assert {one.site for one in placed} == SITES[model, recipe]
    assert all(one.shape[0] == 8 for one in placed)


def test_by_default_every_recipe_that_fits_is_taken(study):
    names = {model: [r.name for r in study.settings.recipes[model]] for model in study.models}
    assert names == FITTING


def test_recipes_are_names_texts_objects_and_none_is_always_there():
    own = Recipe("own", "our own", {"hid1:out": 0.25})
    found = run(
        "mlp", ["mine=hid*:out=0.3", own, "none"], seeds=2, epochs=1, jobs=1, progress=False
    )
    assert [row.recipe for row in found.table] == ["none", "mine", "own"]
    assert len(found.runs) == 6


def test_a_recipe_for_another_model_of_the_study_is_left_out():
    both = run(["mlp", "cnn"], ["spatial"], seeds=2, epochs=1, jobs=1, progress=False)
    assert [(row.model, row.recipe) for row in both.table] == [
        ("mlp", "none"),
        ("cnn", "none"),
        ("cnn", "spatial"),
    ]
    assert both.find_test("mlp").recipe == "none"
    with pytest.raises(ng.NoisegateError, match="conv"):
        run("mlp", ["spatial"], seeds=2, epochs=1, jobs=1, progress=False)


# Numbers ------------------------------------------------------------------------------------


def test_the_table_is_made_of_the_best_epochs(study):
    assert [(row.model, row.recipe) for row in study.table] == [
        (model, recipe) for model in ("mlp", "cnn") for recipe in FITTING[model]
    ]
    losses = {
        recipe: [
            min(epoch.validation_loss for epoch in one.history.epochs)
            for one in study.runs
            if (one.model, one.recipe) == ("cnn", recipe)
        ]
        for recipe in FITTING["cnn"]
    }
    family = adjust(
        [
            None
            if recipe == "none"
            else estimate_difference(losses[recipe], losses["none"], ratio=360 / 1078)
            for recipe in FITTING["cnn"]
        ]
    )
    rows = [row for row in study.table if row.model == "cnn"]
    for row, difference in zip(rows, family, strict=True):
        assert row.validation_loss == estimate(losses[row.recipe])
        assert row.loss_difference == difference


def test_validation_chooses_and_the_test_is_scored_for_two(study):
    for model in study.models:
        means = {
            recipe: fmean(
                one.history.best.validation_loss for one in study.find_runs(model, recipe)
            )
            for recipe in FITTING[model]
            if recipe != "none"
        }
        found = study.find_test(model)
        assert found.recipe == min(means, key=means.__getitem__)
        assert set(found.losses) == set(found.errors) == {"none", found.recipe}
        assert all(len(values) == 2 for values in (*found.losses.values(), *found.errors.values()))
    assert study.execution.scored == {"mlp": 1, "cnn": 1}


def test_the_json_has_every_number(study):
    facts = numbers(study)
    assert facts["format"] == 2
    assert facts["command"] == (
        "noisegate study --model mlp cnn --recipe hidden --recipe input-hidden "
        "--recipe gaussian --recipe spatial --seeds 2 --epochs 2 --learning-rate 0.002"
    )
    assert len(facts["runs"]) == 2 * 9
    for one, found in zip(facts["runs"], study.runs, strict=True):
        assert (one["model"], one["recipe"], one["seed"]) == (found.model, found.recipe, found.seed)
        assert len(one["train_loss"]) == len(one["validation_error"]) == 2
        assert one["best"]["validation_loss"] == min(one["validation_loss"])
        assert one["train_rows"] + one["validation_rows"] == 1438
    assert {one["seed"] for one in facts["runs"]} == {0, 1}
    settings = facts["settings"]
    assert settings["data"]["rows"] == 1797
    assert settings["data"]["classes"] == list("0123456789")
    assert settings["test"]["rows"] == 359
    assert settings["models"] == {"mlp": "", "cnn": ""}
    assert settings["recipes"]["mlp"]["input-hidden"] == "in:out=0.2, hid*:out=0.5"
    expected = {"seeds": 2, "epochs": 2, "batch_size": None, "optimizer": "Adam"}
    expected |= {"learning_rate": 2e-3, "validation_share": 0.25, "interval": 0.95}
    assert {name: settings[name] for name in expected} == expected
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["sentence"] == study.sentence
    assert [row["recipe"] for row in facts["summary"]] == FITTING["mlp"] + FITTING["cnn"]
    assert [one["model"] for one in facts["test"]] == ["mlp", "cnn"]
    execution = json.loads(study.to_json())["execution"]
    assert len(execution["run_seconds"]) == 18
    assert execution["jobs"] == 1


def test_the_command_makes_the_same_study_again(study):
    words = shlex.split(numbers(study)["command"])
    assert words[:2] == ["noisegate", "study"]
    parsed = cli.parser().parse_args([*words[1:]])
    assert parsed.recipe == FITTING["cnn"][1:]
    assert (parsed.seeds, parsed.epochs, parsed.learning_rate) == (2, 2, 2e-3)


def test_the_command_of_no_noise_alone_is_not_that_of_every_recipe():
    alone = run("mlp", "none", seeds=2, epochs=1, jobs=1, progress=False)
    assert [recipe.name for recipe in alone.settings.recipes["mlp"]] == ["none"]
    parsed = cli.parser().parse_args(shlex.split(alone.settings.command())[1:])
    assert parsed.recipe == ["none"]


def test_a_number_that_is_not_finite_is_null(study):
    first, *others = study.runs
    epochs = (replace(first.history.epochs[0], train_loss=math.nan), first.history.epochs[1])
    broken = replace(study, runs=(replace(first, history=type(first.history)(epochs)), *others))
    assert json.loads(broken.to_json())["runs"][0]["train_loss"][0] is None


# What next ----------------------------------------------------------------------------------


def test_the_snippet_runs_on_ones_own_model(study, capsys):
    model = nn.Sequential()
    model.add_module("hid1", nn.Linear(3, 3))
    model.add_module("conv1", nn.Conv2d(1, 1, 1))
    *_, advice = helped(study, study.models[0]).advice
    exec(advice.python, {"model": model})
    assert "seed" in advice.python
    assert ":out" in capsys.readouterr().out


# Failures -----------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(experiment, "fit", None)
    with pytest.raises(ng.InvalidValue, match="Not a directory"):
        run(out=tmp_path / "file" / "below", progress=False)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_model_that_fails_at_work_is_one_sentence_and_the_others_are_kept(
    jobs, tmp_path, monkeypatch
):
    (tmp_path / "net_that_tires.py").write_text(TIRES, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(ng.NoisegateError) as caught:
        run(
            "net_that_tires:make", "mine=hid1:out=0.5",
            seeds=2, epochs=2, jobs=jobs, out=out, progress=False,
        )  # fmt: skip
    assert not isinstance(caught.value, ng.InvalidValue)
    said = str(caught.value)
    assert said.startswith("study: net_that_tires:make mine seed 0 failed: ")
    assert "RuntimeError: enough of it" in said
    assert "\n" not in said
    if jobs == 1:
        assert [path.name for path in out.glob("runs/*/*.json")] == ["none-0.json"]


# It fails only where there is noise, and only once it has learned for a while.
TIRES = """\
import torch
from torch import nn

class Hidden(nn.Linear):
    steps = 0
    def forward(self, x):
        y = super().forward(x.flatten(1))
        if self.training and self._forward_hooks:
            self.steps += 1
            if self.steps > 12:
                raise RuntimeError("enough\\n  of it")
        return y

def make(input_shape, n_outputs):
    model = nn.Sequential()
    model.add_module("hid1", Hidden(64, 8))
    model.add_module("out", nn.Linear(8, n_outputs))
    return model
"""
