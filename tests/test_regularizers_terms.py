"""What regularizers add to the loss, against an independent computation of each formula."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence, assert_within
from noisegate.estimators import Regressor
from noisegate.nets import GRU, BatchNorm, Embedding, Input, Linear, Tanh, join
from noisegate.nets.regularizers import (
    BernoulliDropout,
    Contractive,
    HiddenL1,
    RecurrentNorm,
    RecurrentState,
    Regularizer,
    WeightL1,
    WeightL2,
)

RANDOM = np.random.default_rng(13)
X = RANDOM.normal(size=(30, 4)).astype(np.float32)
Y = RANDOM.normal(size=(30, 2)).astype(np.float32)
SERIES = RANDOM.normal(size=(30, 5, 4)).astype(np.float32)


class Still(torch.optim.SGD):
    """An optimizer that takes no step, so that every loss is known."""

    def step(self, closure: Any = None) -> Any:
        return closure()


def two_hidden() -> Any:
    torch.manual_seed(3)
    return join(
        Input(4, name="in"), Tanh(6, name="hid1"), Tanh(5, name="hid2"), Linear(2, name="out")
    )


def added(net: Any, regularizers: Any, x: np.ndarray = X, epochs: int = 1) -> list[float]:
    """Return what the regularizers add to the loss of a network, by a `fit` that takes no step."""
    with torch.no_grad():
        outputs = net(torch.from_numpy(x))
    model = Regressor(net, optimizer=Still, batch_size=30, max_epochs=epochs, random_state=13)
    y = np.resize(Y, outputs.shape).astype(np.float32)
    model.fit(x, y, regularizers=regularizers)
    loss = functional.mse_loss(outputs, torch.from_numpy(y)).item()
    return [row["train_loss"] - loss for row in model.history_]


def weights(net: Any, *names: str) -> list[np.ndarray]:
    return [net[name].weight.detach().double().numpy() for name in names]


# Weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["hid1.w", "hid1.weight", "*1.w*", ("hid1.w", "hid1.weight")])
def test_weight_penalties_of_one_matrix(pattern: Any) -> None:
    """Σ|w| and Σw² of a matrix, by torch's names and theanets'."""
    net = two_hidden()
    (w,) = weights(net, "hid1")
    assert added(net, [WeightL1(pattern, 0.1)])[0] == pytest.approx(0.1 * abs(w).sum(), rel=1e-5)
    assert added(net, [WeightL2(pattern, 0.1)])[0] == pytest.approx(0.1 * (w**2).sum(), rel=1e-5)


def test_vectors_are_left_out_by_default() -> None:
    """Neither a bias nor a scale of a normalization."""
    torch.manual_seed(3)
    net = join(Input(4), Linear(2, name="out"), BatchNorm())
    regularizer = WeightL2(weight=1)
    added(net, [regularizer])
    assert regularizer.matched == ("out.weight",)


def test_by_name_in_a_dict() -> None:
    net = two_hidden()
    (second,) = weights(net, "hid2")
    for name, expected in (
        ("weight_l2", (second**2).sum()),
        ("weight_decay", (second**2).sum()),
        ("WeightL2", (second**2).sum()),
        ("weight_l1", abs(second).sum()),
        ("weight_sparsity", abs(second).sum()),
    ):
        given = {name: {"weight": 0.1, "pattern": "hid2.w"}}
        assert added(net, given)[0] == pytest.approx(0.1 * expected, rel=1e-5)
    one = nn.Sequential(nn.Linear(4, 2))
    expected = one[0].weight.detach().double().square().sum().item()
    assert added(one, {"weight_l2": 0.1})[0] == pytest.approx(0.1 * expected, rel=1e-5)


class Half(Regularizer):
    def modify_graph(self, outputs: dict[str, Tensor]) -> None:
        for name in outputs:
            outputs[name] = outputs[name] / 2


def test_a_user_s_own_is_known_by_its_name_in_small_letters() -> None:
    model = Regressor(two_hidden(), optimizer=Still, max_epochs=1).fit(X, Y)
    found = model.feed_forward(X, regularizers={"half": {"pattern": "in:out"}})
    assert_same_bits(found["in:out"], X / 2)


# Hidden outputs --------------------------------------------------------------------------------


def test_hidden_l1_of_one_output() -> None:
    """Σ|z| over the units; the mean over the batch, so that a batch's size changes nothing."""
    net = two_hidden()
    with torch.no_grad():
        z = net["hid2"](net["hid1"](torch.from_numpy(X))).double().numpy()
    expected = abs(z).sum(axis=1).mean()
    for given in (
        [HiddenL1("hid2:out", 0.1)],
        {"hidden_l1": {"pattern": "hid2:out", "weight": 0.1}},
        {"hidden_sparsity": {"pattern": "hid2:out", "weight": 0.1}},
    ):
        assert added(net, given)[0] == pytest.approx(0.1 * expected, rel=1e-5)


def test_hidden_is_the_default() -> None:
    net = two_hidden()
    for regularizer in (HiddenL1(weight=1), Contractive(weight=1)):
        added(net, [regularizer])
        assert regularizer.matched == ("hid1:out", "hid2:out")


# Contractive -----------------------------------------------------------------------------------


def full(net: Any, hidden: tuple[str, ...], x: np.ndarray = X) -> float:
    """Return the squared Frobenius norm of the Jacobian, mean over the batch."""

    def code(row: Tensor) -> Tensor:
        for name in hidden:
            row = net[name](row)
        return row

    rows = torch.from_numpy(x)
    jacobians = torch.vmap(torch.func.jacrev(code))(rows)
    return float(jacobians.detach().double().square().sum() / len(x))


@pytest.mark.parametrize("hidden", [("hid1",), ("hid1", "hid2")])
def test_contractive_is_the_jacobian_s_norm_in_the_mean(hidden: tuple[str, ...]) -> None:
    """One projection an epoch; 400 of them, within 5 standard errors."""
    net = two_hidden()
    found = np.array(added(net, [Contractive(f"{hidden[-1]}:out", 0.5)], epochs=400)) / 0.5
    assert found.std() > 0
    assert_within(found.mean(), full(net, hidden), found.std() / math.sqrt(len(found)))


def test_contractive_of_one_linear_unit_is_exact() -> None:
    """A sign times the weights: there is nothing to be drawn."""
    torch.manual_seed(3)
    net = join(Input(4, name="in"), Linear(1, name="hid1"), Linear(2, name="out"))
    expected = net["hid1"].weight.detach().double().square().sum().item()
    for value in added(net, [Contractive("hid1:out", 1)], epochs=5):
        assert value == pytest.approx(expected, rel=1e-5)


def test_contractive_with_respect_to_another_output() -> None:
    torch.manual_seed(3)
    net = join(Input(4), Tanh(3, name="hid1"), Linear(1, name="hid2"), Linear(2, name="out"))
    expected = net["hid2"].weight.detach().double().square().sum().item()
    found = added(net, [Contractive("hid2:out", 1, wrt="hid1:out")])
    assert found[0] == pytest.approx(expected, rel=1e-5)
    given = {"contractive": {"pattern": "hid2:out", "weight": 1, "wrt": "hid1:out"}}
    assert added(net, given)[0] == pytest.approx(expected, rel=1e-5)


def test_contractive_is_trained() -> None:
    """Its gradient by the weights is that of the formula; one linear unit, so that it is exact."""
    torch.manual_seed(3)
    net = join(Input(4, name="in"), Linear(1, name="hid1"), Linear(2, name="out"))
    before = net["hid1"].weight.detach().clone()
    words = {"batch_size": 30, "max_epochs": 1, "random_state": 13, "optimizer": torch.optim.SGD}
    plain = Regressor(net, lr=0.1, **words).fit(X, Y)
    model = Regressor(net, lr=0.1, **words).fit(X, Y, regularizers=[Contractive("hid1:out", 0.5)])
    moved = model.network_["hid1"].weight - plain.network_["hid1"].weight
    torch.testing.assert_close(moved.detach(), -0.1 * 0.5 * 2 * before)


# Steps of time ---------------------------------------------------------------------------------

STEPS = torch.arange(24.0).reshape(2, 3, 4)


def test_recurrent_penalties_of_known_numbers() -> None:
    """(126 - 14)² and so on: 176384 is their mean; the difference of two steps is 4, squared 16."""
    norms = (STEPS.numpy() ** 2).sum(-1)
    assert np.mean((norms[:, 1:] - norms[:, :-1]) ** 2) == 176384
    assert RecurrentNorm("a:out").loss([], {"a:out": STEPS}) == 176384
    assert RecurrentState("a:out").loss([], {"a:out": STEPS}) == 16


@pytest.mark.parametrize("kind", [RecurrentNorm, RecurrentState])
def test_recurrent_penalties_in_a_training(kind: type[Regularizer]) -> None:
    torch.manual_seed(3)
    hidden = GRU(6, return_sequences=True, name="hid1")
    net = join(Input((None, 4), name="in"), hidden, Linear(2, name="out"))
    with torch.no_grad():
        z = net.outputs(["hid1"], torch.from_numpy(SERIES))[0].double().numpy()
    steps = z[:, 1:] - z[:, :-1]
    if kind is RecurrentNorm:
        norms = (z**2).sum(-1)
        steps = norms[:, 1:] - norms[:, :-1]
    expected = 0.3 * (steps**2).mean()
    assert added(net, [kind("hid1:out", 0.3)], SERIES)[0] == pytest.approx(expected, rel=1e-4)


# Several matches -------------------------------------------------------------------------------


def test_several_matches_are_averaged_as_theanets_documents() -> None:
    """Its docs divide each sum by the number of matches, |Ω|, as its code did."""
    net = two_hidden()
    both = [(w**2).sum() for w in weights(net, "hid1", "hid2")]
    found = added(net, [WeightL2("hid?.w", 1)])[0]
    assert found == pytest.approx(np.mean(both), rel=1e-5)
    z = {"a:out": STEPS, "b:out": 2 * STEPS}
    assert RecurrentState("?:out").loss([], z) == (16 + 64) / 2


# Other networks --------------------------------------------------------------------------------


def unnamed() -> list[nn.Module]:
    """Networks whose layers are not called `in` and `out`."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    return [join(Input(4), Tanh(6), Linear(2)), module]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ["in:out", "out:out"])
def test_in_and_out_are_names_in_every_network(number: int, name: str) -> None:
    """As they are in the keywords."""
    model = Regressor(unnamed()[number], optimizer=Still, max_epochs=1).fit(X, Y)
    expected = model.feed_forward(X, rules={name: 1})
    found = model.feed_forward(X, regularizers=[BernoulliDropout(name, 1)])
    assert set(found) == set(expected)
    assert all((found[n] == expected[n]).all() for n in found)
    model.fit(X, Y, regularizers=[HiddenL1(name, 0.1)])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ["in:out", "out:out"])
def test_what_is_kept_has_the_name_of_what_it_was(number: int, name: str) -> None:
    model = Regressor(unnamed()[number], optimizer=Still, max_epochs=1).fit(X, Y)
    clean = model.feed_forward(X)
    found = model.feed_forward(X, rules={name: 0.5})
    (kept,) = set(found) - set(clean)
    changed = next(iter(clean)) if name == "in:out" else list(clean)[-1]
    assert kept == f"{changed}-predrop"


@pytest.mark.parametrize("words", [{}, {"input_dropout": 0.5}, {"hidden_dropout": 0.5}])
def test_outputs_of_a_network_that_takes_whole_numbers(words: dict[str, Any]) -> None:
    torch.manual_seed(3)
    tokens, layers = np.arange(60).reshape(20, 3) % 9, (Embedding(9, 5, name="emb"), GRU(6))
    net = join(Input((None,), name="in"), *layers, Linear(2, name="out"))
    model = Regressor(net, max_epochs=1).fit(tokens, Y[:20])
    assert model.feed_forward(tokens, **words)["emb:out"].shape == (20, 3, 5)
    model.fit(tokens, Y[:20], regularizers=[HiddenL1(weight=0.1), WeightL2(weight=0.1)], **words)


# What cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RecurrentNorm, RecurrentState])
def test_recurrent_penalties_need_a_pattern(kind: type[Regularizer]) -> None:
    sentence = (
        f"{kind.__name__}: `pattern` must be text, or several; got None. "
        "Write for example 'hid1:out'."
    )
    with assert_sentence(ng.InvalidType, sentence):
        kind(weight=0.1)


@pytest.mark.parametrize("kind", [HiddenL1, Contractive, RecurrentState])
def test_an_output_that_is_none(kind: type[Regularizer]) -> None:
    sentence = (
        f"{kind.__name__}: 'hid9:out' names no output of this forward. "
        "Write for example 'hid1:out'."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        added(two_hidden(), [kind("hid9:out", 0.1)])


def test_a_parameter_that_is_none() -> None:
    with pytest.raises(ng.UnmatchedRule, match=r"hid9\.w.* 'hid"):
        added(two_hidden(), [WeightL2("hid9.w", 0.1)])


@pytest.mark.parametrize("weight", [-1, math.inf, math.nan, "1", None])
def test_a_weight_that_is_none(weight: Any) -> None:
    with pytest.raises(ng.NoisegateError, match="WeightL2: `weight` must be a "):
        WeightL2("*", weight)


def test_a_pattern_of_weights_that_names_a_vector() -> None:
    """Vectors are left out beside matrices, and meant where they alone are named."""
    net = two_hidden()
    found = added(net, [WeightL2("hid1.b", 1)])[0]
    assert found == pytest.approx(float((net["hid1"].bias.detach() ** 2).sum()), rel=1e-5)
