"""Trained networks that a study hands over, as fitted pipelines of scikit-learn."""

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from torch import nn

import noisegate as ng
from _fitted import LABELS, TABLE, make_fitted, run_network
from noisegate.core.errors import InvalidValue
from noisegate.estimators import Classifier, Regressor
from noisegate.study.handover import find_fitted, make_pipeline
from noisegate.study.recipes import RECIPES, Recipe


def test_a_pipeline_predicts_what_the_network_gives() -> None:
    fitted = make_fitted()
    pipeline = make_pipeline(fitted)
    assert isinstance(pipeline, Pipeline)
    assert list(pipeline.named_steps) == ["preprocessor", "estimator"]
    assert isinstance(pipeline["estimator"], Classifier)
    outputs = run_network(fitted)
    assert pipeline.classes_.tolist() == ["no", "yes"]
    assert np.array_equal(pipeline.predict(TABLE), np.array(["no", "yes"])[outputs.argmax(1)])
    assert np.allclose(pipeline.predict_proba(TABLE), outputs.softmax(1), atol=1e-6)
    assert pipeline.score(TABLE, pipeline.predict(TABLE)) == 1


def test_a_pipeline_of_values_has_the_unit_of_the_target() -> None:
    fitted = make_fitted(classes=(), center=1e6, scale=250.0, recipe=RECIPES["none"])
    pipeline = make_pipeline(fitted)
    assert isinstance(pipeline["estimator"], Regressor)
    values = run_network(fitted).numpy().astype(np.float64)[:, 0] * 250 + 1e6
    assert np.array_equal(pipeline.predict(TABLE), values)
    assert pipeline.score(TABLE, values) == 1


def test_a_pipeline_predicts_with_the_noise_it_was_trained_with() -> None:
    pipeline = make_pipeline(make_fitted())
    one, other = (
        pipeline.predict_proba(TABLE, samples=6, seed=1, **words)
        for words in ({}, {"rules": {"hid*:out": 0.5}})
    )
    assert np.array_equal(one, other)
    assert not np.allclose(one, pipeline.predict_proba(TABLE))
    mean, std = pipeline.predict_proba(TABLE, samples=6, seed=1, return_std=True)
    assert np.array_equal(mean, one)
    assert (std > 0).all()


def test_schedules_stand_at_the_step_of_the_best_epoch() -> None:
    schedule = ng.schedule.linear(0.0, 0.8, 28)
    recipe = Recipe("mine", "mine", {"hid1:out": schedule})
    pipeline = make_pipeline(make_fitted(recipe=recipe, steps=28))
    expected = pipeline.predict_proba(TABLE, samples=3, seed=1, rules={"hid1:out": 0.8})
    assert np.array_equal(pipeline.predict_proba(TABLE, samples=3, seed=1), expected)


def test_to_fit_a_pipeline_again_trains_anew_as_the_study_did() -> None:
    fitted = make_fitted()
    pipeline = make_pipeline(fitted)
    before = pipeline.predict_proba(TABLE)
    twin = clone(pipeline).fit(TABLE * 2, LABELS)
    estimator = twin["estimator"]
    words = ("rules", "lr", "batch_size", "max_epochs", "random_state")
    found = {word: estimator.get_params()[word] for word in words}
    assert found == dict(zip(words, ({"hid*:out": 0.5}, 2e-3, 16, 7, fitted.seed), strict=True))
    assert len(estimator.history_) == 7
    assert twin.score(TABLE * 2, LABELS) > 0.8
    assert not np.allclose(twin["preprocessor"].mean_, fitted.preprocessor.mean_)
    # Neither the pipeline nor the study changes by that, nor by training the pipeline itself.
    assert np.array_equal(pipeline.predict_proba(TABLE), before)
    pipeline.fit(TABLE * 2, LABELS)
    assert np.array_equal(make_pipeline(fitted).predict_proba(TABLE), before)


def test_a_pipeline_is_copied_and_shown() -> None:
    pipeline = make_pipeline(make_fitted())
    twin = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(twin.predict_proba(TABLE), pipeline.predict_proba(TABLE))
    assert "Classifier(" in repr(pipeline)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("no", "yes"), ["no", "yes"]),
        (("-1", "2", "10"), [-1, 2, 10]),
        (("False", "True"), [False, True]),
        (("10", "9"), ["10", "9"]),
        (("007", "1"), ["007", "1"]),
        (("1", "no"), ["1", "no"]),
    ],
)
def test_labels_are_numbers_where_the_data_has_numbers(classes: Any, labels: Any) -> None:
    pipeline = make_pipeline(make_fitted(classes=classes))
    assert pipeline.classes_.tolist() == labels
    assert set(pipeline.predict(TABLE).tolist()) <= set(labels)


def test_what_a_study_has_is_found_by_model_recipe_and_seed() -> None:
    models, recipes = ("mlp", "cnn"), (RECIPES["none"], RECIPES["hidden"])
    every = [
        make_fitted(model=model, recipe=recipe, seed=seed)
        for model in models
        for recipe in recipes
        for seed in range(2)
    ]
    found = find_fitted(every, "cnn", "hidden", 1)
    assert (found.model, found.recipe.name, found.seed) == ("cnn", "hidden", 1)
    for call, sentence in {
        ("cn", "none", 0): "study: `model` of a pipeline must be one of those with stored "
        "weights, `mlp`, `cnn`; got 'cn'. Did you mean `cnn`?",
        ("mlp", "gaussian", 0): "study: `recipe` of a pipeline must be one of those with stored "
        "weights, `none`, `hidden`; got 'gaussian'.",
        ("mlp", "none", 2): "study: `seed` of a pipeline must be one of those with stored "
        "weights, `0`, `1`; got 2.",
    }.items():
        with pytest.raises(InvalidValue) as caught:
            find_fitted(every, *call)
        assert str(caught.value) == sentence


def test_a_network_that_begins_with_an_embedding_has_no_pipeline() -> None:
    with pytest.raises(InvalidValue) as caught:
        make_pipeline(make_fitted(model="nets:make"), lambda shape, outputs: nn.Embedding(4, 2))
    assert str(caught.value) == (
        "study: nets:make begins with an embedding, and so an estimator gives it whole numbers, "
        "where the study gave it float32; it has no pipeline."
    )
