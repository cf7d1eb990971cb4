"""Estimators around networks that were trained elsewhere, and values in the unit of y."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

import noisegate as ng
from noisegate.core.errors import InvalidValue
from noisegate.estimators import Classifier, Regressor

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
LABELS = np.array(["no", "so-so", "yes"])
Y = LABELS[np.digitize(X[:, 0], [-0.5, 0.5])]


def make_network(outputs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential()
        model.add_module("hid1", nn.Linear(3, 8))
        model.add_module("out", nn.Linear(8, outputs))
    return model


def adopt(**words: Any) -> tuple[Classifier, nn.Module]:
    trained = make_network(3, seed=1)
    steps = words.pop("steps", 0)
    model = Classifier(make_network(3, seed=2), max_epochs=2, random_state=5, **words)
    return model.adopt(trained, np.zeros((3, 3)), LABELS, steps=steps), trained


def test_a_classifier_is_fitted_around_a_network_that_was_trained_elsewhere() -> None:
    model, trained = adopt(rules={"hid1:out": 0.5}, early_stopping=3, validation_split=0.5)
    check_is_fitted(model)
    assert model.network_ is trained
    assert not trained.training
    assert model.classes_.tolist() == ["no", "so-so", "yes"]
    assert model.n_features_in_ == 3
    with torch.no_grad():
        outputs = trained(torch.from_numpy(X))
    assert np.array_equal(model.predict(X), LABELS[outputs.argmax(1)])
    assert np.allclose(model.predict_proba(X), outputs.softmax(1), atol=1e-6)
    assert model.score(X, model.predict(X)) == 1
    assert list(model.history_) == []
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.predict_proba(X), model.predict_proba(X))


def test_samples_of_an_adopted_network_have_the_noise_of_the_estimator() -> None:
    model, _ = adopt(rules={"hid1:out": 0.5})
    expected = model.predict_proba(X, samples=5, seed=1, rules={"hid1:out": 0.5})
    assert np.array_equal(model.predict_proba(X, samples=5, seed=1), expected)
    assert not np.array_equal(expected, model.predict_proba(X))


def test_schedules_of_an_adopted_network_stand_at_its_steps() -> None:
    rate = ng.schedule.linear(0.0, 0.8, 100)
    model, _ = adopt(rules={"hid1:out": rate}, steps=100)
    expected = model.predict_proba(X, samples=5, seed=1, rules={"hid1:out": 0.8})
    assert np.array_equal(model.predict_proba(X, samples=5, seed=1), expected)


def test_a_clone_of_an_adopted_network_trains_the_other_one() -> None:
    model, _ = adopt()
    twin = clone(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    alone = Classifier(make_network(3, seed=2), max_epochs=2, random_state=5).fit(X, Y)
    assert np.array_equal(twin.fit(X, Y).predict_proba(X), alone.predict_proba(X))
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    model.partial_fit(X, Y)
    assert len(model.history_) == 2
    after = model.network_.state_dict()
    assert all(0 < (after[name] - value).abs().max() < 0.3 for name, value in before.items())


def test_an_estimator_that_cannot_adopt_stays_as_it_was() -> None:
    model = Classifier(make_network(3, seed=2), rules={"nowhere:out": 0.5}, lr=-1)
    with pytest.raises(InvalidValue, match=r"^Classifier: `lr` must be a finite number > 0"):
        model.adopt(make_network(3, seed=1), np.zeros((3, 3)), LABELS)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 2)])
def test_a_regressor_learns_normalized_values_and_predicts_in_the_unit_of_y(shape: Any) -> None:
    rng = np.random.default_rng(1)
    y = 1e6 + 300 * rng.normal(size=shape)
    words = {"network": (3, 8, None), "max_epochs": 3, "random_state": 5, "lr": 0.01}
    center, scale = y.mean(axis=0), y.std(axis=0)
    plain = Regressor(**words).fit(X, (y - center) / scale)
    model = Regressor(normalize_y=True, **words).fit(X, y)
    assert model.history_[:, "train_loss"] == plain.history_[:, "train_loss"]
    noise = {"samples": 4, "return_std": True, "seed": 1, "hidden_dropout": 0.5}
    assert np.allclose(model.predict(X), plain.predict(X) * scale + center, rtol=1e-12)
    mean, std = model.predict(X, **noise)
    expected = plain.predict(X, **noise)
    assert mean.shape == shape
    assert np.allclose(mean, expected[0] * scale + center, rtol=1e-12)
    assert np.allclose(std, expected[1] * scale, rtol=1e-5)
    assert model.score(X, y) == pytest.approx(plain.score(X, (y - center) / scale))
    model.partial_fit(X, y)
    plain.partial_fit(X, (y - center) / scale)
    assert np.allclose(model.predict(X), plain.predict(X) * scale + center, rtol=1e-12)


def test_a_pair_says_what_is_subtracted_and_what_divides() -> None:
    words = {"network": (3, 8, None), "max_epochs": 3, "random_state": 5}
    plain = Regressor(**words).fit(X, X[:, 0])
    model = Regressor(normalize_y=(10.0, 2.0), **words).fit(X, 10 + 2 * X[:, 0].astype(float))
    assert np.allclose(model.predict(X), 10 + 2 * plain.predict(X))
    adopted = Regressor(normalize_y=(10.0, 2.0)).adopt(plain.network_, X[:2], [0.0, 1.0])
    assert np.allclose(adopted.predict(X), 10 + 2 * plain.predict(X))
    assert adopted.predict(X).shape == (40,)


def test_a_constant_y_is_only_centered() -> None:
    model = Regressor((3, 8, None), normalize_y=True, max_epochs=1).fit(X, np.full(40, 7.0))
    assert np.isfinite(model.predict(X)).all()
    assert np.abs(model.predict(X) - 7).max() < 5
