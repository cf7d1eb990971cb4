"""Networks that are joined in unusual ways: faults that a review found."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.estimators import Classifier, Regressor
from noisegate.nets import (
    GRU,
    LSTM,
    Add,
    AveragePooling1d,
    BatchNorm,
    Convolution1d,
    Convolution2d,
    Dropout,
    Flatten,
    Input,
    Linear,
    MaxPooling1d,
    Network,
    Relu,
    Softmax,
    TimeDistributed,
    TimeDistributedDense,
    join,
    load,
    parallel,
)

RNG = np.random.default_rng(13)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("entry", [[Input((4, 6))], []])
def test_recurrent_networks_are_pickled_and_saved_by_torch(kind: Any, entry: list[Any]) -> None:
    net = join(*entry, kind(3))
    again = pickle.loads(pickle.dumps(net))
    torch.save(net, io.BytesIO())
    x = torch.randn(2, 4, 6)
    if entry:
        assert_same_bits(again.output(x).detach(), net.output(x).detach())
    else:
        assert again.output(x).shape == (2, 3)


ENDS: dict[str, Any] = {
    "over time": lambda: TimeDistributed(Softmax(3)),
    "a network over time": lambda: TimeDistributed(Relu(4) >> Softmax(3)),
    "a network": lambda: join(Relu(4), Softmax(3)),
}


@pytest.mark.parametrize("name", ENDS)
def test_probabilities_are_read_as_such_however_deep_the_softmax(name: str) -> None:
    X, y = RNG.normal(size=(12, 4, 5)).astype("f"), RNG.integers(0, 3, (12, 4))
    net = join(Input((4, 5)), ENDS[name]())
    model = Classifier(net, max_epochs=1, random_state=0).fit(X, y)
    with torch.no_grad():
        expected = model.network_(torch.from_numpy(X)).numpy()
    assert_same_bits(model.predict_proba(X), expected)
    assert np.allclose(expected.sum(-1), 1, atol=1e-6)


def test_a_saturated_softmax_over_time_has_a_slope() -> None:
    X, y = RNG.normal(size=(12, 4, 5)).astype("f"), np.ones((12, 4), int)
    y[0] = 0
    y[1] = 2
    net = join(Input((4, 5)), TimeDistributed(Softmax(3)))
    with torch.no_grad():
        net["time-distributed-1"].layer.bias[0] = 300
    model = Classifier(net, optimizer=torch.optim.SGD, max_epochs=1, random_state=0).fit(X, y)
    bias = model.network_["time-distributed-1"].layer.bias
    assert bias[0] < 299.9999


@pytest.mark.parametrize("shared", [True, False])
def test_micro_batches_and_rows_of_steps_within_steps(shared: bool) -> None:
    inner = TimeDistributed(TimeDistributed(Dropout(0.5), shared_mask=shared))
    net = join(Input((None, None, 6)), inner)
    x = torch.ones(3, 4, 5, 6)
    with ng.inject(net, existing=True, seed=1) as noise:
        whole = net(x)
        with noise.at(0):
            parts = torch.cat([net(x[:1]), net(x[1:])])
        assert_same_bits(parts, whole)
        with noise.at(0, rows=[2, 0, 1]):
            assert_same_bits(net(x), whole[[2, 0, 1]])
    found = [
        ng.predict(net, x, 3, existing=True, seed=1, batch_size=size, keep_samples=True).samples
        for size in (None, 2)
    ]
    assert_same_bits(*found)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    layer = Convolution1d(3, 2)
    join(Input((4, 6)), layer)
    net = join(Input((None, 6)), layer)
    with pytest.raises(ng.InvalidValue, match="`convolution1d-1`"):
        net.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
    known = join(Input((4, 6)), Convolution1d(3, 2))
    known.save(tmp_path / "net")
    assert load(tmp_path / "net").output_shape == known.output_shape


HIDDEN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "two heads": (
        lambda: join(Input(6), Relu(5), parallel(Linear(2, name="a"), Linear(3, name="b"))),
        ("relu-1:out",),
    ),
    "noise before the activation": (
        lambda: join(Input(6), Linear(3), Dropout(0.1), Relu(), Linear(2)),
        ("relu-1:out",),
    ),
    "an activation of its own": (
        lambda: join(Input(6), Relu(3), BatchNorm(), Softmax(), Linear(2)),
        ("relu-1:out",),
    ),
    "a sum of branches": (
        lambda: join(Input(6), Relu(4) | Relu(4), Add(), Linear(2)),
        ("relu-1:out", "relu-2:out"),
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_is_what_leads_to_other_weights(name: str) -> None:
    make, expected = HIDDEN[name]
    net: Network = make()
    assert net.roles["hidden"] == expected
    assert not set(expected) & set(net.roles["output"])


SHAPES: dict[str, Any] = {
    "padding over half": lambda: join(Input((2, 4)), MaxPooling1d(1, padding=1)),
    "of the mean too": lambda: join(Input((2, 4)), AveragePooling1d(2, padding=2)),
    "an end before the start": lambda: join(Input((3, 4)), Flatten(2, 1)),
    "one of two extents": lambda: join(Input((3, 4, 4)), Convolution2d(4, (3,))),
    "time within time": lambda: join(Input((4, 5)), TimeDistributed(TimeDistributedDense(3))),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_run_would_refuse_is_refused_at_joining(name: str) -> None:
    with pytest.raises(ng.InvalidValue, match="cannot follow"):
        SHAPES[name]()


def test_time_distributed_dense_within_time_distributed() -> None:
    net = join(Input((4, 5, 2)), TimeDistributed(TimeDistributedDense(3)))
    assert net.output_shape == (None, 4, 5, 3)
    assert net(torch.ones(2, 4, 5, 2)).shape == (2, 4, 5, 3)


def test_a_training_that_fails_leaves_what_was_trained_before() -> None:
    X = RNG.normal(size=(20, 4))

    def fails(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no")

    model = Regressor((None, 3, None), max_epochs=1, random_state=0).fit(X, X[:, 0])
    before = model.predict(X)
    with pytest.raises(RuntimeError, match="no"):
        model.set_params(loss=fails).fit(X, X[:, 0])
    assert_same_bits(model.predict(X), before)
    assert model.network_ is model.net_.module_
    assert isinstance(model.network_, nn.Module)


def test_a_live_rate_is_shown_as_it_is() -> None:
    rate = torch.tensor(0.5)
    layer = Dropout(rate)
    rate.fill_(0.3)
    assert repr(layer) == "Dropout(p=0.3)"
    assert layer.get_params()["p"] == 0.3
