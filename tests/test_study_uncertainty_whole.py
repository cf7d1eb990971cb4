"""Uncertainty of trained models, from end to end: evaluations, words, tables, pictures."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from sklearn.datasets import load_diabetes, load_digits
from torch import nn

import noisegate as ng
from noisegate.estimators import fit
from noisegate.study.data.tasks import Task
from noisegate.study.judge.uncertainty import Uncertainty
from noisegate.study.judge.uncertainty.evaluation import (
    EvaluationData,
    evaluate_model,
    shuffle_columns,
)
from noisegate.study.judge.uncertainty.outcomes import (
    Outcome,
    Predictions,
    Reliability,
    score_values,
)
from noisegate.study.judge.uncertainty.over_seeds import summarize_uncertainty
from noisegate.study.show.uncertainty import (
    LABELS,
    describe_uncertainty,
    table_headings,
    tabulate_uncertainty,
)
from noisegate.study.show.uncertainty_figures import draw_uncertainty

RULES = {"hid*:out": 0.3}

# Whole evaluations -------------------------------------------------------------------------------


def parts(name: str, seed: int) -> dict[str, Any]:
    """Return encoded rows of a bundled data set: to train, validate, test, and not of the data."""
    bunch = load_digits() if name == "classification" else load_diabetes()
    inputs = (bunch.data - bunch.data.mean(0)) / np.maximum(bunch.data.std(0), 1e-9)
    scale = 1.0
    if name == "regression":
        scale = float(bunch.target.std())
        targets = ((bunch.target - bunch.target.mean()) / scale).astype(np.float32)[:, None]
    else:
        targets = bunch.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(inputs))[:440]
    mixed = shuffle_columns([inputs[order[340:]]], seed)[0]

    def tensors(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(inputs[rows], dtype=torch.float32), torch.from_numpy(targets[rows])

    return {
        "train": tensors(order[:240]),
        "validation": tensors(order[240:340]),
        "test": tensors(order[340:]),
        "ood": torch.tensor(mixed, dtype=torch.float32),
        "scale": scale,
    }


def trained(name: str, rules: dict[str, float], seed: int, given: dict[str, Any]) -> nn.Module:
    torch.manual_seed(seed)
    features, outputs = given["train"][0].shape[1], 10 if name == "classification" else 1
    layers = {
        "hid1": nn.Sequential(nn.Linear(features, 64), nn.ReLU()),
        "hid2": nn.Sequential(nn.Linear(64, 64), nn.ReLU()),
        "out": nn.Linear(64, outputs),
    }
    model = nn.Sequential(OrderedDict(layers))
    noise = ng.inject(model, rules, seed=seed) if rules else None
    loss = nn.functional.cross_entropy if name == "classification" else nn.functional.mse_loss
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    rows = given["train"], given["validation"]
    fit(model, loss, *rows, epochs=20, batch_size=60, optimizer=adam, order_seed=seed)
    if noise is not None:
        noise.remove()
    return model


def one(name: str, rules: dict[str, float], seed: int, **options: Any) -> list[Outcome[float]]:
    given = parts(name, seed)
    model = trained(name, rules, seed, given)
    return evaluated(name, model, rules, given, **options)


def evaluated(
    name: str, model: nn.Module, rules: dict[str, float], given: dict[str, Any], **options: Any
) -> list[Outcome[float]]:
    rows = EvaluationData(given["test"], given["validation"], given["ood"], given["scale"])
    return evaluate_model(Task(name), model, rules, rows, **{"seed": 9, "samples": 20, **options})


@pytest.fixture(scope="module", params=["classification", "regression"])
def found(request: pytest.FixtureRequest) -> Uncertainty:
    name = request.param
    seeds = range(2)
    outcomes = [[one(name, rules, seed) for seed in seeds] for rules in ({}, RULES)]
    return summary(name, *outcomes, label="hidden dropout")


def summary(
    name: str, *outcomes: Sequence[Sequence[Outcome[float]]], label: str = "noise"
) -> Uncertainty:
    return summarize_uncertainty(name, label, outcomes, samples=50, rows=(100, 90))


def test_a_classifier_whole():
    given = parts("classification", 0)
    model = trained("classification", RULES, 0, given)
    off, on = evaluated("classification", model, RULES, given)
    inputs, labels = given["test"]
    with torch.no_grad():
        logits = model(inputs)
    right = (logits.argmax(1) == labels).double().mean().item()
    assert off.measures["accuracy"] == pytest.approx(right)
    nll = nn.functional.cross_entropy(logits.double(), labels).item()
    assert off.measures["nll"] == pytest.approx(nll, rel=1e-6)
    expected = ng.predict(model, inputs, 20, rules=RULES, seed=9)
    assert on.measures["brier"] == pytest.approx(expected.calibration(labels).brier)
    for outcome in (off, on):
        measures = outcome.measures
        assert measures["accuracy"] > 0.7
        assert measures["accuracy_rejected_20"] > measures["accuracy"]
        assert measures["entropy_auroc"] > 0.7
    assert on.measures["information_auroc"] > 0.7
    assert not model.training


def test_a_regression_whole():
    given = parts("regression", 0)
    model = trained("regression", RULES, 0, given)
    off, on = evaluated("regression", model, RULES, given)
    inputs, targets = given["test"]
    with torch.no_grad():
        error = (model(inputs) - targets).double().square().mean().sqrt().item()
    assert off.measures["rmse"] == pytest.approx(error * given["scale"])
    assert 0.8 < on.measures["coverage_90"] <= 1
    assert on.measures["noise_coverage_90"] < 0.8


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_the_same_again_and_with_other_batches(name):
    given = parts(name, 1)
    model = trained(name, RULES, 1, given)
    result = evaluated(name, model, RULES, given)
    assert evaluated(name, model.train(), RULES, given) == result
    assert evaluated(name, model, RULES, given, seed=10) != result
    other = evaluated(name, model, RULES, given, batch_size=33)
    for mine, theirs in zip(result, other, strict=True):
        assert mine.measures == pytest.approx(theirs.measures, rel=1e-5)
        assert mine.rejection == pytest.approx(theirs.rejection, rel=1e-5)


def test_an_injection_that_is_still_there_changes_nothing():
    given = parts("regression", 1)
    model = trained("regression", RULES, 1, given)
    alone = evaluated("regression", model, RULES, given)
    ng.inject(model, RULES, seed=5)
    assert evaluated("regression", model, RULES, given) == alone


def test_a_rate_that_moves_is_that_of_the_last_step():
    given = parts("regression", 1)
    model = trained("regression", {}, 1, given)
    rising = {"hid1:out": ng.Dropout(ng.schedule.linear(0.0, 0.5, steps=300))}
    late = evaluated("regression", model, rising, given, first_step=300)
    assert late == evaluated("regression", model, {"hid1:out": 0.5}, given, first_step=300)
    assert late != evaluated("regression", model, rising, given)


# Over the seeds ----------------------------------------------------------------------------------


def outcome(accuracy: float, counts: tuple[int, ...], accuracies: Any) -> Outcome:
    reliability = Reliability(counts, accuracies, accuracies)
    return Outcome("off", {"accuracy": accuracy}, (accuracy, 1.0), reliability)


def test_the_summary_is_means_and_standard_errors():
    seeds = [
        [outcome(0.8, (0, 30, 0), (None, 0.5, None))],
        [outcome(0.9, (0, 10, 5), (None, 0.9, 1.0))],
    ]
    result = summary("classification", seeds)
    (predictor,) = result.predictors
    assert (predictor.name, result.seeds, result.rows, result.ood_rows) == ("none", 2, 100, 90)
    assert predictor.measures["accuracy"].mean == pytest.approx(0.85)
    assert predictor.measures["accuracy"].standard_error == pytest.approx(0.05)
    assert [point.mean for point in predictor.rejection] == pytest.approx([0.85, 1.0])
    assert predictor.reliability is not None
    assert predictor.reliability.counts == (0, 40, 5)
    assert predictor.reliability.accuracies == (None, pytest.approx(0.6), 1.0)


def test_it_goes_to_json(found):
    facts = asdict(found)
    assert json.loads(json.dumps(facts, allow_nan=False)) == json.loads(json.dumps(facts))
    assert [p.name for p in found.predictors] == ["none", "off", "on"]
    assert all(set(p.measures) <= set(LABELS) for p in found.predictors)
    for p in found.predictors:
        assert len(p.rejection) == len(found.shares)
        assert p.histogram is None or sum(p.histogram.test) == pytest.approx(1)


def test_words_say_what_the_measures_say(found):
    said = " ".join(describe_uncertainty(found))
    on = found.predictors[2].measures
    assert 2 <= len(describe_uncertainty(found)) <= 4
    if found.task == "classification":
        share = f"{100 * on['accuracy_rejected_20'].mean:.1f} %"
        assert f"to {share} with it in prediction too." in said
        assert f"{on['information_auroc'].mean:.2f}." in said
    else:
        assert f"noise alone hold {100 * on['noise_coverage_90'].mean:.1f} %" in said
        assert f"is {on['sd_auroc'].mean:.2f}." in said
    assert "nan" not in said


def test_words_of_rejection_say_which_way_the_error_goes():
    sd, errors = np.linspace(0.1, 2, 20), np.linspace(0, 2, 20)
    for doubt, expected in ((sd, "lowers the RMSE"), (sd[::-1], "does not find the large errors")):
        noisy = Predictions(errors, doubt)
        on = score_values(noisy, np.zeros(20), noisy, np.zeros(20), noisy, 1.0)
        plain = Predictions(errors)
        off = score_values(plain, np.zeros(20), plain, np.zeros(20), plain, 1.0)
        assert expected in describe_uncertainty(summary("regression", [[off]], [[off, on]]))[0]


def test_the_table_has_a_cell_for_each_heading(found):
    rows = tabulate_uncertainty(found)
    assert table_headings(found)[0] == "measure"
    assert all(len(row) == len(table_headings(found)) == 4 for row in rows)
    assert all(any(cell for cell in row[1:]) for row in rows)
    cells = {row[0]: row for row in rows}
    if found.task == "classification":
        accuracy = found.predictors[0].measures["accuracy"]
        expected = f"{100 * accuracy.mean:.1f} ±{100 * accuracy.standard_error:.1f}"
        assert cells["accuracy, %"][1] == expected
        assert cells["AUROC, the same by mutual information"][1:3] == ["", ""]


def test_one_seed_has_no_standard_error(found):
    seed = one(found.task, {}, 0)
    alone = summary(found.task, [seed])
    assert not any("±" in cell for row in tabulate_uncertainty(alone) for cell in row)
    assert len(describe_uncertainty(alone)) < 4
    assert all(draw_uncertainty(alone).values())


# Pictures ----------------------------------------------------------------------------------------


def test_figures_are_the_same_bytes_again(found):
    first = draw_uncertainty(found)
    assert draw_uncertainty(found) == first
    assert len(first) == 3
    assert all(data.lstrip().startswith(b"<?xml") for data in first.values())
    pictures = draw_uncertainty(found, "png")
    assert set(pictures) == set(first)
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())
    assert draw_uncertainty(found, "png") == pictures


def test_a_long_name_stays_in_the_picture(found):
    outcomes = [[one(found.task, rules, 0)] for rules in ({}, RULES)]
    long = summary(found.task, *outcomes, label="x" * 90)
    for data in draw_uncertainty(long, "png").values():
        pixels = imread(BytesIO(data))
        edges = pixels[[0, -1]].reshape(-1, 4), pixels[:, [0, -1]].reshape(-1, 4)
        assert all((edge == 1).all() for edge in edges), "ink is cut off"
