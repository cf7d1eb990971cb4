"""Estimators: predictions, clean and with noise, scikit-learn's checks, and bad input."""

import copy
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.estimators import Autoencoder, Classifier, Regressor
from noisegate.nets import Dropout, Input, Linear, Relu, Sigmoid, Softmax, join

DATA, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(DATA).astype(np.float32)[::3]
Y = CLASSES[::3]
NUMBERS = X[:, :2] * 2
TENSOR = torch.from_numpy(X)
QUICK: dict[str, Any] = {"network": (None, 8, None), "max_epochs": 2, "random_state": 13}


def regressor(**words: Any) -> Regressor:
    return Regressor(**QUICK | words)


# Predictions -----------------------------------------------------------------------------------

TRAINED = regressor(hidden_dropout=0.5, input_noise=0.1).fit(X, NUMBERS)
LABELLED = Classifier(**QUICK, hidden_dropout=0.5).fit(X, Y)
CODED = Autoencoder(**QUICK, hidden_dropout=0.5).fit(X)
METHODS = {
    "predict": lambda **words: TRAINED.predict(X, **words),
    "score": lambda **words: np.asarray(TRAINED.score(X, NUMBERS, **words)),
    "feed_forward": lambda **words: TRAINED.feed_forward(X, **words)["out:out"],
    "predict_proba": lambda **words: LABELLED.predict_proba(X, **words),
    "transform": lambda **words: CODED.transform(X, **words),
    "predict of an autoencoder": lambda **words: CODED.predict(X, **words),
}
asked = pytest.mark.parametrize("name", METHODS)


@asked
def test_predictions_are_clean_unless_they_say_otherwise(name: str) -> None:
    """Whatever the constructor says. A noisy pass is fresh at each call, and the same by seed."""
    ask = METHODS[name]
    clean = ask()
    assert_same_bits(clean, ask())
    first, second = ask(hidden_dropout=0.5), ask(hidden_dropout=0.5)
    assert (first != second).any()
    assert (first != clean).any()
    assert_same_bits(ask(hidden_dropout=0.5, seed=3), ask(hidden_dropout=0.5, seed=3))
    assert (ask(hidden_dropout=0.5, seed=3) != ask(hidden_dropout=0.5, seed=4)).any()
    for nothing in ({"hidden_dropout": 0}, {"rules": {}}, {"regularizers": []}):
        assert_same_bits(ask(**nothing), clean)


def test_clean_predictions_are_the_network_s() -> None:
    with torch.no_grad():
        outputs = TRAINED.network_(TENSOR).double().numpy()
        code = CODED.network_["hid1"](TENSOR)
    assert_same_bits(TRAINED.predict(X), outputs)
    assert TRAINED.score(X, NUMBERS) == pytest.approx(r2_score(NUMBERS, outputs))
    assert_same_bits(CODED.transform(X), code)
    right = LABELLED.predict_proba(X).argmax(1) == Y
    assert LABELLED.score(X, Y) == right.mean()
    weights = np.arange(50.0)
    expected = np.average(right, weights=weights)
    assert LABELLED.score(X, Y, sample_weight=weights) == pytest.approx(expected)


def test_samples_are_those_of_predict() -> None:
    words: dict[str, Any] = {"hidden_dropout": 0.5, "input_noise": 0.1, "seed": 3}
    mean, std = TRAINED.predict(X, samples=20, return_std=True, **words)
    expected = ng.predict(TRAINED.network_, TENSOR, 20, **words)
    assert_same_bits(mean, expected.mean)
    assert_same_bits(std, expected.std)
    assert_same_bits(TRAINED.predict(X, samples=20, **words), mean)
    one = ng.predict(TRAINED.network_, TENSOR, 1, **words)
    assert_same_bits(TRAINED.predict(X, **words), one.mean)
    assert TRAINED.score(X, NUMBERS, samples=20, **words) == r2_score(NUMBERS, mean)


def test_samples_of_probabilities_are_those_of_predict() -> None:
    words: dict[str, Any] = {"hidden_dropout": 0.5, "seed": 3}
    mean, std = LABELLED.predict_proba(X, samples=20, return_std=True, **words)
    expected = ng.predict(LABELLED.network_, TENSOR, 20, keep_samples=True, **words)
    np.testing.assert_allclose(mean, expected.probabilities, atol=1e-6)
    each = torch.from_numpy(np.asarray(expected.samples)).double().softmax(-1).numpy()
    np.testing.assert_allclose(std, each.std(axis=0), atol=1e-6)
    labels, spread = LABELLED.predict(X, samples=20, return_std=True, **words)
    assert_same_bits(labels, LABELLED.classes_[mean.argmax(1)])
    assert_same_bits(spread, std[np.arange(50), mean.argmax(1)])


def test_samples_of_codes() -> None:
    words: dict[str, Any] = {"input_noise": 0.1, "seed": 3}
    mean, std = CODED.transform(X, samples=20, return_std=True, **words)
    assert mean.shape == std.shape == (50, 8)
    assert_same_bits(CODED.transform(X, samples=1, **words), CODED.transform(X, **words))
    assert (std > 0).any()


def test_dropouts_of_the_network_itself() -> None:
    net = join(Input(4), Relu(8), Dropout(0.5), Linear(2))
    model = regressor(network=net).fit(X, NUMBERS)
    assert_same_bits(model.predict(X), model.predict(X))
    mean, std = model.predict(X, samples=20, return_std=True, existing=True, seed=3)
    expected = ng.predict(model.network_, TENSOR, 20, existing=True, seed=3)
    assert_same_bits(mean, expected.mean)
    assert_same_bits(std, expected.std)


def test_noise_at_a_pre_activation_acts_downstream() -> None:
    """In theanets it changed what was reported, and nothing else."""
    found = TRAINED.feed_forward(X, rules={"hid1:pre": 0.5}, seed=3)
    clean = TRAINED.feed_forward(X)
    assert_same_bits(found["hid1:pre-predrop"], clean["hid1:pre"])
    dropped = ng.Dropout(0.5)(clean["hid1:pre"], ng.Stream(3).site("hid1:pre").at(0))
    assert_same_bits(found["hid1:pre"], dropped)
    assert_same_bits(found["hid1:out"], torch.from_numpy(dropped).relu())
    assert (found["out:out"] != clean["out:out"]).any()


@pytest.mark.parametrize(("last", "y"), [(Softmax(3), Y), (Sigmoid(1), (Y > 0).astype(int))])
def test_noise_at_the_end_is_in_the_loss(last: Any, y: np.ndarray) -> None:
    """The loss is taken from the pre-activation, with the noise there, and not past that behind."""
    net = join(Input(4, name="in"), Relu(8, name="hid1"), copy.deepcopy(last))
    end = net.exits[0]
    model = Classifier(**QUICK | {"network": net, "batch_size": 50, "max_epochs": 1})
    loss = model.fit(X, y, rules={f"{end}:pre": 1}).history_[-1, "train_loss"]
    assert loss == pytest.approx(np.log(len(model.classes_)))
    loss = model.fit(X, y, output_dropout=1).history_[-1, "train_loss"]
    assert 20 < loss < 100  # a probability of 0 for the class that is right, and finite
    loss = model.fit(X, y, rules={f"{end}:out": ng.GaussianNoise(0.1)}).history_[-1, "train_loss"]
    assert np.isfinite(loss)


def test_dropping_everything_gives_zeros() -> None:
    """In theanets, NaN."""
    assert not TRAINED.feed_forward(X, input_dropout=1)["in:out"].any()
    assert not TRAINED.predict(X, output_dropout=1).any()
    found = regressor().fit(X, NUMBERS, hidden_dropout=1).history_[:, "train_loss"]
    assert np.isfinite(found).all()


def test_the_code_of_a_module_of_the_user_s() -> None:
    """It has no hidden layers that are known, so that the code is named."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 4))
    model = Autoencoder(net, code="0:out", max_epochs=1).fit(X)
    assert_same_bits(model.transform(X), model.network_[0](TENSOR))


# scikit-learn's checks -------------------------------------------------------------------------

# Of 32 bits, a product of matrices is rounded otherwise in a batch of another size.
ROUNDED = {"check_methods_subset_invariance": "float32: a sum's rounding depends on the batch"}
# `test_a_weight_is_a_row_repeated` proves it of one batch; smaller ones have other rows in them.
WEIGHTED = {
    f"check_sample_weight_equivalence_on_{data}_data": "float32, and batches of other rows"
    for data in ("dense", "sparse")
}
# `test_sparse_rows_are_those_that_are_dense` has what these ask for but the shape.
SHAPED = {
    f"check_estimator_sparse_{kind}": "it asks for predictions of shape (rows,)"
    for kind in ("array", "matrix")
}


def expected_to_fail(estimator: BaseEstimator) -> dict[str, str]:
    return WEIGHTED | (ROUNDED | SHAPED if isinstance(estimator, Autoencoder) else {})


CHECKS = parametrize_with_checks(
    [Classifier(), Regressor(), Autoencoder()], expected_failed_checks=expected_to_fail
)


def take_turns(names: str, cells: list[Any], ids: Callable[[Any], str]) -> pytest.MarkDecorator:
    """Return the same checks, each slow for all estimators but one; these take turns."""
    found = [cell if hasattr(cell, "marks") else pytest.param(*cell) for cell in cells]
    owners: dict[str, list[Any]] = {}
    for cell in found:
        owners.setdefault(ids(cell.values[1]), []).append(cell)
    quick = [cells[turn % len(cells)] for turn, cells in enumerate(owners.values())]
    marked = [
        cell if cell in quick else pytest.param(*cell.values, marks=[*cell.marks, pytest.mark.slow])
        for cell in found
    ]
    return pytest.mark.parametrize(names, marked, ids=ids)


@take_turns(*CHECKS.args, **CHECKS.kwargs)
def test_scikit_learn_s_checks(
    estimator: BaseEstimator, check: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out: with pandas, and with arrays of other libraries."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    try:
        check(estimator)
    except SkipTest as skipped:
        pytest.fail(f"left out: {skipped}")


# Bad input -------------------------------------------------------------------------------------

NAN = X.copy()
NAN[3, 1] = np.nan
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN in X": (lambda: regressor().fit(NAN, NUMBERS), "Input X contains NaN."),
    "NaN in y": (lambda: regressor().fit(X, NAN), "Input y contains NaN."),
    "NaN in a prediction": (lambda: TRAINED.predict(NAN), "Input X contains NaN."),
    "NaN in validation": (
        lambda: regressor().fit(X, NUMBERS, validation_data=(NAN, NUMBERS)),
        "Input X contains NaN.",
    ),
    "infinity": (lambda: regressor().fit(X / 0, NUMBERS), "Input X contains "),
    "one axis": (lambda: regressor().fit(X[:, 0], NUMBERS), "Expected 2D array, got 1D array"),
    "three axes": (
        lambda: regressor().fit(X[:, :, None], NUMBERS),
        "Found array with dim 3, while dim <= 2 is required by Regressor.",
    ),
    "other rows": (
        lambda: regressor().fit(X, NUMBERS[:7]),
        "Found input variables with inconsistent numbers of samples: [50, 7]",
    ),
    "other features": (
        lambda: TRAINED.predict(X[:, :3]),
        "X has 3 features, but Regressor is expecting 4 features as input.",
    ),
    "other features in validation": (
        lambda: regressor().fit(X, NUMBERS, validation_data=(X[:, :3], NUMBERS)),
        "X has 3 features, but Regressor is expecting 4 features as input.",
    ),
    "no rows": (lambda: regressor().fit(X[:0], NUMBERS[:0]), "Found array with 0 sample(s)"),
    "no y": (
        lambda: regressor().fit(X),
        "This Regressor estimator requires y to be passed, but the target y is None.",
    ),
    "numbers for classes": (
        lambda: Classifier(**QUICK).fit(X, NUMBERS[:, 0]),
        "Unknown label type: continuous.",
    ),
    "not trained": (lambda: regressor().predict(X), "This Regressor instance is not fitted yet."),
    "no seed": (lambda: TRAINED.predict(X, hidden_dropout=0.5, seed=-1), "`seed` must be in"),
    "no samples": (lambda: TRAINED.predict(X, hidden_dropout=0.5, samples=0), "`samples`"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name: str) -> None:
    """By scikit-learn's own sentences, where it has one."""
    call, words = BAD[name]
    error = NotFittedError if name == "not trained" else ValueError
    with np.errstate(all="ignore"), pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
