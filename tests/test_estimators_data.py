"""Estimators: sparse inputs, weights of rows and classes, batches of one row, devices, codes."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional

from _asserts import assert_same_bits
from noisegate.estimators import Autoencoder, Classifier, Regressor, fit
from noisegate.nets import BatchNorm, Input, Linear, Relu, Sigmoid, Softmax, join

DATA, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(DATA).astype(np.float32)[::3]
Y = CLASSES[::3]
TWO = (Y > 0).astype(int)
NUMBERS = X[:, :2] * 2
HOLES = np.where(np.abs(X) < 0.7, 0, X).astype(np.float32)
QUICK: dict[str, Any] = {"network": (None, 8, None), "max_epochs": 2, "random_state": 13}
WHOLE = QUICK | {"batch_size": 1000, "max_epochs": 5, "lr": 0.1}
KINDS: dict[str, tuple[Any, Any]] = {
    "classifier": (Classifier, Y),
    "regressor": (Regressor, NUMBERS),
    "autoencoder": (Autoencoder, None),
}
each = pytest.mark.parametrize("name", KINDS)


def last(model: Any, loss: str = "train_loss") -> float:
    return float(model.history_[-1, loss])


# Sparse inputs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
@each
def test_sparse_rows_are_those_that_are_dense(name: str, make: Any) -> None:
    """Bit for bit: in training, validation, and every prediction."""
    kind, y = KINDS[name]
    rows = make(HOLES)
    words: dict[str, Any] = QUICK | {"validation_split": 0.2, "hidden_dropout": 0.3}
    one, other = kind(**words).fit(HOLES, y), kind(**words).fit(rows, y)
    for loss in ("train_loss", "valid_loss"):
        assert one.history_[:, loss] == other.history_[:, loss]
    assert_same_bits(one.predict(HOLES), other.predict(rows))
    asked = {"samples": 3, "seed": 5}
    assert_same_bits(one.predict(HOLES, **asked), other.predict(rows, **asked))
    assert one.score(HOLES, y) == other.score(rows, y)
    found = other.feed_forward(rows)
    for place, values in one.feed_forward(HOLES).items():
        assert_same_bits(values, found[place])
    other.fit(rows, y, validation_data=(rows, y))
    assert len(other.partial_fit(rows, y).history_) == 4


def test_sparse_rows_are_never_dense_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    whole = sparse.csr_array.toarray

    def counted(self: Any, *args: Any, **words: Any) -> Any:
        made.append(self.shape[0])
        return whole(self, *args, **words)

    monkeypatch.setattr(sparse.csr_array, "toarray", counted)
    rows = sparse.csr_array(np.tile(HOLES, (60, 1)))
    model = Autoencoder(**QUICK).fit(rows)
    assert set(made) <= {32, 24}
    made.clear()
    model.predict(rows)
    assert made == [1024, 1024, 952]


def test_an_open_network_takes_its_size_from_sparse_rows() -> None:
    network = join(Relu(8), Linear(3))
    model = Classifier(**QUICK | {"network": network}).fit(sparse.csr_array(HOLES), Y)
    assert model.network_["relu-1"].weight.shape == (8, 4)


def test_a_pipeline_with_sparse_columns_and_a_frame() -> None:
    frame = pd.DataFrame({"colour": ["red", "blue", "green", "red"] * 10, "n": range(40)})
    y = pd.Series([0, 1, 1, 0] * 10)
    model = make_pipeline(OneHotEncoder(), Classifier(**QUICK | {"max_epochs": 40, "lr": 0.1}))
    assert model.fit(frame[["colour"]], y).score(frame[["colour"]], y) == 1
    numbers = Regressor(**QUICK).fit(frame[["n"]], y)
    assert numbers.feature_names_in_.tolist() == ["n"]


# Weights ---------------------------------------------------------------------------------------

WEIGHTS = np.arange(50) % 4  # 0 is a row that is not there
ENDS: dict[str, tuple[Any, Any]] = {
    "Linear": (Linear(3), Y),
    "one Linear": (Linear(1), TWO),
    "Softmax": (Softmax(3), Y),
    "Sigmoid": (Sigmoid(1), TWO),
}


def agreed(one: Any, other: Any) -> None:
    for name, value in one.network_.state_dict().items():
        torch.testing.assert_close(value, other.network_.state_dict()[name], rtol=0, atol=2e-5)
    np.testing.assert_allclose(one.history_[:, "train_loss"], other.history_[:, "train_loss"], 1e-5)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@each
def test_a_weight_is_a_row_repeated(name: str, make: Any) -> None:
    kind, y = KINDS[name]
    again = np.repeat(np.arange(50), WEIGHTS)
    words: dict[str, Any] = WHOLE | {"optimizer": torch.optim.SGD}
    weighted = kind(**words).fit(make(X), y, sample_weight=WEIGHTS)
    repeated = kind(**words).fit(X[again], None if y is None else y[again])
    agreed(weighted, repeated)
    plain = kind(**words).fit(X, y)
    assert abs(last(plain) - last(weighted)) > 1e-4
    agreed(plain, kind(**words).fit(X, y, np.full(50, 2.5)))


@pytest.mark.parametrize("end", ENDS)
def test_a_weight_is_a_row_repeated_for_every_end(end: str) -> None:
    """Also where the loss is taken from a probability, as noise on it has it."""
    layer, y = ENDS[end]
    again = np.repeat(np.arange(50), WEIGHTS)
    torch.manual_seed(3)
    network = join(Input(4), Relu(8), copy.deepcopy(layer))
    words: dict[str, Any] = WHOLE | {"network": network, "optimizer": torch.optim.SGD}
    for noise in ({}, {"output_noise": 1e-6}):
        weighted = Classifier(**words).fit(X, y, WEIGHTS, **noise)
        repeated = Classifier(**words).fit(X[again], y[again], **noise)
        agreed(weighted, repeated)


def test_weights_of_every_batch_are_those_of_its_rows() -> None:
    """The loss of an epoch is the weighted mean over all rows, whatever the batches."""
    words: dict[str, Any] = QUICK | {"lr": 1e-30, "batch_size": 16}
    model = Regressor(**words).fit(X, NUMBERS, WEIGHTS, validation_data=(X, NUMBERS, WEIGHTS[::-1]))
    losses = ((model.predict(X) - NUMBERS) ** 2).mean(axis=1)
    assert last(model) == pytest.approx(np.average(losses, weights=WEIGHTS))
    assert last(model, "valid_loss") == pytest.approx(np.average(losses, weights=WEIGHTS[::-1]))


def test_a_batch_in_which_nothing_counts() -> None:
    weights = np.zeros(50)
    weights[7] = 1
    model = Regressor(**QUICK | {"batch_size": 5}).fit(X, NUMBERS, weights)
    assert np.isfinite(model.predict(X)).all()
    assert last(model) > 0


def test_weights_go_with_their_rows_into_validation() -> None:
    words: dict[str, Any] = QUICK | {"validation_split": 0.2, "lr": 1e-30}
    weights = np.where(NUMBERS[:, 0] > 0, 5.0, 1.0)
    model = Regressor(**words).fit(X, NUMBERS, weights)
    losses = ((model.predict(X) - NUMBERS) ** 2).mean(axis=1)
    known = [last(model), last(model, "valid_loss")]
    assert min(known) <= np.average(losses, weights=weights) <= max(known)


def test_class_weights_are_weights_of_their_rows() -> None:
    y = np.array(["a", "b", "c"])[np.minimum(Y, np.arange(50) % 3)]
    given = {"a": 1.0, "b": 2.0, "c": 0.5}
    balanced = dict(
        zip("abc", compute_class_weight("balanced", classes=np.unique(y), y=y), strict=True)
    )
    for class_weight, known in ((given, given), ("balanced", balanced)):
        by_class = Classifier(class_weight=class_weight, **WHOLE).fit(X, y)
        by_row = Classifier(**WHOLE).fit(X, y, [known[label] for label in y])
        agreed(by_class, by_row)
        both = Classifier(class_weight=class_weight, **WHOLE).fit(X, y, WEIGHTS)
        agreed(both, Classifier(**WHOLE).fit(X, y, WEIGHTS * [known[label] for label in y]))


def test_class_weights_of_sequences_are_by_the_step() -> None:
    series = np.random.default_rng(1).normal(size=(20, 6, 2)).astype(np.float32)
    y = (series[..., 0] > 0.5).astype(int)
    words: dict[str, Any] = QUICK | {"network": join(Input((None, 2)), Linear(2)), "lr": 1e-30}
    model = Classifier(class_weight={0: 1, 1: 3}, **words).fit(series, y, np.arange(20))
    losses = -np.log(np.take_along_axis(model.predict_proba(series), y[..., None], -1))[..., 0]
    weights = np.where(y == 1, 3, 1) * np.arange(20)[:, None]
    assert last(model) == pytest.approx(np.average(losses, weights=weights), rel=1e-5)


def test_a_loss_of_rows_takes_weights() -> None:
    def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().mean(dim=1)

    words: dict[str, Any] = QUICK | {"lr": 1e-30}
    model = Regressor(loss=absolute, **words).fit(X, NUMBERS)
    losses = abs(model.predict(X) - NUMBERS).mean(axis=1)
    assert last(model) == pytest.approx(losses.mean(), rel=1e-5)
    model.fit(X, NUMBERS, WEIGHTS)
    assert last(model) == pytest.approx(np.average(losses, weights=WEIGHTS), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (-np.ones(50), "Negative values in data passed to `sample_weight`"),
        (np.ones(7), "sample_weight.shape == (7,), expected (50,)!"),
        (np.full(50, np.nan), "Input sample_weight contains NaN."),
    ],
)
def test_bad_weights(weights: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=r"sample_weight") as caught:
        Regressor(**QUICK).fit(X, NUMBERS, weights)
    assert words in str(caught.value)


# Batches ---------------------------------------------------------------------------------------


def batches(rows: int, size: int) -> list[int]:
    seen: list[int] = []
    model = nn.Linear(1, 1)
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    x = torch.ones(rows, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    words: dict[str, Any] = {"batch_size": size, "optimizer": optimizer, "order_seed": 1}
    fit(model, functional.mse_loss, (x, x), (x[:2], x[:2]), epochs=1, **words)
    return seen[:-1]


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        (65, 16, [16, 16, 16, 17]),
        (66, 16, [16, 16, 16, 16, 2]),
        (64, 16, [16, 16, 16, 16]),
        (17, 16, [17]),
        (1, 16, [1]),
        (3, 2, [3]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_single_row_that_is_left_over_joins_the_batch_before_it(
    rows: int, size: int, expected: list[int]
) -> None:
    assert batches(rows, size) == expected


def test_batch_normalization_trains_whatever_the_number_of_rows() -> None:
    network = join(Input(4), Linear(8), BatchNorm(), Relu(), Softmax(3))
    for rows in (49, 50):
        model = Classifier(**QUICK | {"network": network, "batch_size": 16})
        assert np.isfinite(last(model.fit(X[:rows], Y[:rows])))
