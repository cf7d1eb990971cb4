"""Estimators: the networks they train, where noise acts, and what they predict."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from noisegate.estimators import Autoencoder, Classifier, Regressor
from noisegate.nets import (
    LSTM,
    BatchNorm,
    Dropout,
    Elu,
    Embedding,
    Input,
    Linear,
    Network,
    Relu,
    Sigmoid,
    Softmax,
    Tanh,
    join,
    outputs_matching,
)

DATA, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(DATA).astype(np.float32)[::3]
Y = CLASSES[::3]
TWO = (Y > 0).astype(int)
NUMBERS = X[:, :2] * 2
QUICK: dict[str, Any] = {"max_epochs": 2, "random_state": 13}
TENSOR = torch.from_numpy(X)

KINDS: dict[str, tuple[Any, Any]] = {
    "classifier": (Classifier, Y),
    "regressor": (Regressor, NUMBERS),
    "autoencoder": (Autoencoder, None),
}
each = pytest.mark.parametrize("name", KINDS)


def made(name: str, **words: Any) -> Any:
    kind, y = KINDS[name]
    return kind((None, 8, None), **QUICK | words).fit(X, y)


class Still(torch.optim.SGD):
    """An optimizer that takes no step, so that the weights are known."""

    def step(self, closure: Any = None) -> Any:
        return closure()


def still(network: Any, y: Any = Y, **words: Any) -> Any:
    """Return a classifier that keeps the weights it was given, and has one batch."""
    options = {"max_epochs": 1, "batch_size": 50, "optimizer": Still, "random_state": 13}
    noise = {n: words.pop(n) for n in list(words) if n in ("hidden_dropout", "rules")}
    return Classifier(network, **options | words).fit(X, y, **noise)


# Networks --------------------------------------------------------------------------------------


def test_default_sizes_are_those_of_the_data() -> None:
    """(None, 100, None): the first and the last come of X and y."""
    for model, y, count in (
        (Classifier(**QUICK), Y, 3),
        (Regressor(**QUICK), NUMBERS, 2),
        (Regressor(**QUICK), NUMBERS[:, 0], 1),
        (Autoencoder(**QUICK), None, 4),
    ):
        assert model.network == (None, 100, None)
        net = model.fit(X, y).network_
        shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
        assert shapes == {
            "hid1.weight": (100, 4),
            "hid1.bias": (100,),
            "out.weight": (count, 100),
            "out.bias": (count,),
        }
        assert isinstance(net["out"], Linear)  # so that `*:out` is on no probability


def test_names_are_theanets() -> None:
    net = made("classifier").network_
    names = ["hid1:out", "hid1:pre", "in:out", "out:out", "out:pre"]
    assert outputs_matching(net, "*") == names


@pytest.mark.parametrize(
    ("make", "y", "sentence"),
    [
        (lambda: Classifier((5, 8, None)), Y, "the network's input has size 5, and X has 4."),
        (lambda: Classifier((None, 8, 2)), Y, "the network's output has size 2, and y has 3."),
        (lambda: Regressor((4, 8, 3)), NUMBERS, "the network's output has size 3, and y has 2."),
        (lambda: Autoencoder((4, 8, 3)), None, "the network's output has size 3, and X has 4."),
        (
            lambda: Classifier(join(Input(5), Linear(3))),
            Y,
            "the network's input has size 5, and X has 4.",
        ),
        (
            lambda: Classifier(join(Input(4), Linear(2))),
            Y,
            "the network's output has size 2, and y has 3 classes.",
        ),
        (
            lambda: Regressor(join(Input((3, 4)), Linear(2))),
            NUMBERS,
            "the network's input has size (None, 3, 4), and X has (50, 4).",
        ),
    ],
)
def test_a_size_that_disagrees_is_an_error_naming_both(make: Any, y: Any, sentence: str) -> None:
    with assert_sentence(ng.InvalidValue, sentence):
        make().fit(X, y)


def test_sizes_may_be_whole_numbers_of_numpy() -> None:
    """As a search over `np.arange` gives them."""
    net = Classifier((None, np.int64(8), None), **QUICK).fit(X, Y).network_
    assert net["hid1"].weight.shape == (8, 4)


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", torch.sin, nn.ELU()])
def test_the_activation_of_hidden_layers(activation: Any) -> None:
    outputs = made("regressor", activation=activation).feed_forward(X)
    known = {"relu": torch.relu, "tanh": torch.tanh, "softplus": functional.softplus}
    function = activation if callable(activation) else known[activation]
    expected = function(torch.from_numpy(outputs["hid1:pre"]))
    np.testing.assert_allclose(outputs["hid1:out"], expected.numpy(), rtol=1e-6)
    assert_same_bits(outputs["out:out"], outputs["out:pre"])


@each
def test_arguments_are_stored_untouched(name: str) -> None:
    words = {"network": [None, 8, None], "rules": {"*:out": 0.1}, "regularizers": {}}
    words |= {"hidden_dropout": ng.Dropout(0.2), "lr": np.float64(0.1), "callbacks": ()}
    kind, y = KINDS[name]
    model = kind(**QUICK | words)
    for _ in range(2):
        assert all(getattr(model, word) is value for word, value in words.items())
        model.fit(X, y, hidden_dropout=0, rules={})
    assert words["rules"] == {"*:out": 0.1}
    assert words["network"] == [None, 8, None]


def given_nets() -> list[Any]:
    torch.manual_seed(3)
    return [
        join(Input(4), Relu(8), Dropout(0.2), Linear(3)),
        join(Relu(8), Linear(3)),  # open: it has no parameters yet
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_given_network_is_copied_and_stays_as_it_is(number: int) -> None:
    net = given_nets()[number]
    before, said = copy.deepcopy(net), repr(net)
    model = Classifier(net, **QUICK).fit(X, Y, hidden_dropout=0.5)
    assert model.network is net
    assert model.network_ is not net
    assert repr(net) == said
    assert net.training
    if number == 1:
        assert net.open_layer is not None
        return
    assert list(net.state_dict()) == list(model.network_.state_dict())
    for name, value in before.state_dict().items():
        assert_same_bits(net.state_dict()[name], value)
    changed = dict(model.network_.named_parameters())
    assert all((changed[n] != p).any() for n, p in net.named_parameters())


@pytest.mark.parametrize("number", range(3))
def test_clone_keeps_the_weights_of_a_given_network(number: int) -> None:
    model = Classifier(given_nets()[number], **QUICK)
    copied = clone(clone(model).fit(X, Y))
    assert copied.network is not model.network
    if number == 1:
        return
    for name, value in model.network.state_dict().items():
        assert_same_bits(copied.network.state_dict()[name], value)


def test_inputs_of_other_forms() -> None:
    """Whole numbers into an embedding, sequences, tensors, and a layer for a network."""
    tokens = np.random.default_rng(1).integers(0, 9, size=(50, 6))
    net = join(Input((None,)), Embedding(9, 5), LSTM(7), Linear(3))
    assert Classifier(net, **QUICK).fit(tokens, Y).predict_proba(tokens).shape == (50, 3)
    series = np.random.default_rng(1).normal(size=(50, 6, 2))
    net = join(Input((None, 2)), LSTM(7, return_sequences=True), Linear(2))
    assert Regressor(net, **QUICK).fit(series, series).predict(series).shape == (50, 6, 2)
    model = Classifier(Linear(3), **QUICK).fit(TENSOR, torch.from_numpy(Y))
    assert_same_bits(model.predict_proba(X), model.predict_proba(TENSOR))


# How outputs are read --------------------------------------------------------------------------


def by_hand(net: nn.Module, last: str) -> np.ndarray:
    """Return probabilities of a network, in float64."""
    with torch.no_grad():
        found = net(TENSOR).double()
    if last == "logits":
        found = found.softmax(1) if found.shape[1] > 1 else found.sigmoid()
    return np.asarray(found if found.shape[1] > 1 else torch.cat([1 - found, found], 1))


def layers(last: Any) -> Any:
    torch.manual_seed(3)
    return join(Input(4), Tanh(6), last)


READ: dict[str, tuple[Any, np.ndarray, str]] = {
    "Linear": (Linear(3), Y, "logits"),
    "one Linear": (Linear(1), TWO, "logits"),
    "two Linear": (Linear(2), TWO, "logits"),
    "Softmax": (Softmax(3), Y, "probabilities"),
    "Softmax of two": (Softmax(2), TWO, "probabilities"),
    "Sigmoid": (Sigmoid(1), TWO, "probabilities"),
    "Softmax behind": (join(Linear(3), Softmax()), Y, "probabilities"),
    "Sigmoid behind": (join(Linear(1), Sigmoid()), TWO, "probabilities"),
    "module": (nn.Linear(6, 3), Y, "logits"),
}


@pytest.mark.parametrize("name", READ)
def test_probabilities_and_loss_of_each_last_layer(name: str) -> None:
    """The loss is the cross-entropy of the probabilities, computed here in float64."""
    last, y, kind = READ[name]
    net = layers(copy.deepcopy(last))
    model = still(net, y)
    expected = by_hand(net, kind)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    assert_same_bits(model.predict(X), model.classes_[model.predict_proba(X).argmax(1)])
    loss = -np.log(expected[np.arange(50), y]).mean()
    assert model.history_[-1, "train_loss"] == pytest.approx(loss, rel=1e-5)


def test_a_module_of_the_user_s_gives_logits_unless_said_otherwise() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    model = still(net)
    np.testing.assert_allclose(model.predict_proba(X), by_hand(net, "logits"), atol=1e-6)
    model = still(net, output="probabilities")
    expected = by_hand(net, "probabilities")
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
    loss = -np.log(expected[np.arange(50), Y]).mean()
    assert model.history_[-1, "train_loss"] == pytest.approx(loss, rel=1e-5)
    one = nn.Sequential(nn.Linear(4, 1))
    np.testing.assert_allclose(still(one, TWO).predict_proba(X), by_hand(one, "logits"), atol=1e-6)


@pytest.mark.parametrize(("last", "y"), [(Softmax(3), Y), (Sigmoid(1), TWO)])
def test_a_saturated_network_still_learns(last: Any, y: np.ndarray) -> None:
    """A probability that is rounded to 0 has no slope; its pre-activation has."""
    net = layers(copy.deepcopy(last))
    with torch.no_grad():
        net.layers[net.exits[0]].bias[0] = 1e6
    before = net.layers[net.exits[0]].weight.detach().clone()
    words = {"optimizer": torch.optim.SGD, "lr": 1.0, "batch_size": 50, "max_epochs": 1}
    model = Classifier(net, random_state=13, **words).fit(X, y)
    assert model.history_[-1, "train_loss"] > 100
    after = model.network_.layers[net.exits[0]].weight
    assert (after != before).any()
    rows = model.predict_proba(X)
    assert np.isfinite(rows).all()


def test_a_loss_of_the_user_s() -> None:
    def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().mean()

    model = Regressor((None, 8, None), loss=absolute, optimizer=Still, **QUICK).fit(X, NUMBERS)
    expected = abs(model.predict(X) - NUMBERS).mean()
    assert model.history_[-1, "train_loss"] == pytest.approx(expected, rel=1e-5)


def test_targets_keep_their_shape() -> None:
    for y in (NUMBERS[:, 0], NUMBERS[:, :1], NUMBERS):
        assert Regressor((None, 8, None), **QUICK).fit(X, y).predict(X).shape == y.shape
    words = np.array(["a", "b", "c"])[Y]
    assert set(Classifier((None, 8, None), **QUICK).fit(X, words).predict(X)) <= {"a", "b", "c"}


# Roles -----------------------------------------------------------------------------------------


def where(net: Any, word: str) -> list[str]:
    with ng.inject(net, **{word: 0.5}) as noise:
        return list(noise.sites)


ROLES: dict[str, tuple[Any, list[str]]] = {
    "activated": (lambda: join(Input(4), Relu(8), Tanh(5), Linear(3)), ["relu-1", "tanh-1"]),
    "noise": (
        lambda: join(Input(4), Relu(8), Dropout(0.1), Relu(5), Dropout(0.1), Linear(3)),
        ["relu-1", "relu-2"],
    ),
    "normed": (
        lambda: join(Input(4), Linear(8), BatchNorm(), Relu(), Dropout(0.1), Linear(3)),
        ["relu-1"],
    ),
    "linear": (lambda: join(Input(4), Linear(8), Linear(3)), ["linear-1"]),
    "behind": (lambda: join(Input(4), Linear(8), Elu(), Linear(3), Softmax()), ["elu-1"]),
    "noise at the end": (lambda: join(Input(4), Relu(8), Linear(3), Dropout(0.1)), ["relu-1"]),
    "sequences": (lambda: join(Input((None, 4)), LSTM(8), Linear(3)), ["lstm-1"]),
    "modules": (lambda: join(Input(4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), ["relu-1"]),
    "open, run": (lambda: completed(Relu(8) >> Linear(3)), ["relu-1"]),
}


def completed(net: Network) -> Network:
    net(torch.ones(2, 4))
    return net


@pytest.mark.parametrize("name", ROLES)
def test_hidden_is_every_activated_output_of_weights_but_the_last(name: str) -> None:
    make, layers = ROLES[name]
    net = make()
    assert where(net, "hidden_dropout") == [f"{layer}:out" for layer in layers]
    assert where(net, "input_dropout") == [":in"]
    assert where(net, "output_noise") == [":out"]


def test_names_in_and_out_are_the_model_s_own() -> None:
    """One site: two rules for it are two masks at one place, not noise at two."""
    net = made("regressor").network_
    with ng.inject(net, {"in:out": 0.5, ":in": 0.5, "out:out": 0.5, ":out": 0.5}) as noise:
        assert noise.sites == (":in", ":out")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("hid1:*", ["hid1:pre", "hid1:out"]),
        ("*", [":in", "hid1:pre", "hid1:out", "out:pre", ":out"]),
        ("*:*", [":in", "hid1:pre", "hid1:out", "out:pre", ":out"]),
        ("*:pre", ["hid1:pre", "out:pre"]),
        ("hid1:in", ["hid1:in"]),
    ],
)
def test_a_wildcard_port_means_pre_and_out(pattern: str, names: list[str]) -> None:
    net = made("regressor").network_
    with ng.inject(net, {pattern: 0.5}) as noise:
        assert sorted(noise.sites) == sorted(names)


# Search and pipelines --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [None, 0, 2])
def test_a_search_tunes_noise(number: int | None) -> None:
    """Also in a pipeline, and of a network that was given."""
    network = (None, 8, None) if number is None else given_nets()[number]
    grid: Mapping[str, Any] = {"hidden_dropout": [0.0, 0.3], "rules": [None, {"in:out": 0.1}]}
    model = Classifier(network, **QUICK)
    search = GridSearchCV(model, grid, cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    best = search.best_estimator_
    assert {n: getattr(best, n) for n in grid} == search.best_params_
    assert not hasattr(model, "network_")


def test_a_pipeline_tunes_and_passes_noise_on() -> None:
    model = Classifier((None, 8, None), lr=0.05, **QUICK)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"classifier__hidden_dropout": [0.0, 0.9], "classifier__input_noise": [0, 0.1]}
    search = GridSearchCV(pipeline, grid, cv=2, refit=False).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1
    pipeline.fit(X, Y, classifier__input_dropout=0.5)
    assert "input_dropout" in pipeline[-1].noise_[0]
    assert pipeline.predict(X, hidden_dropout=0.5).shape == (50,)
    assert 0 <= pipeline.score(X, Y) <= 1
