"""Regularizers of networks: their inputs, their changes, their terms."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate.estimators import Autoencoder, Classifier, Estimator, Regressor
from noisegate.nets import Input, Linear, Relu, join
from noisegate.nets.regularizers import BernoulliDropout, GaussianNoise, Regularizer, WeightL2

RANDOM = np.random.default_rng(13)
X = RANDOM.normal(size=(40, 6)).astype(np.float32)
Y = RANDOM.normal(size=(40, 3)).astype(np.float32)
LABELS, ONES = RANDOM.integers(0, 3, size=40), np.ones((200, 50), np.float32)
SEVERAL: dict[str, Any] = {"max_epochs": 1, "batch_size": 40, "random_state": 13}


class Still(torch.optim.SGD):
    """An optimizer that takes no step, so that every loss is known."""

    def step(self, closure: Any = None) -> Any:
        return closure()


class Spy(Regularizer):
    """Takes down what it is given, and multiplies it."""

    def __init__(self, pattern: Any = "*", weight: float = 0.0, factor: float = 1.0) -> None:
        super().__init__(pattern, weight)
        self.factor, self.calls = factor, list[dict[str, Tensor]]()

    def modify_graph(self, outputs: dict[str, Tensor]) -> None:
        self.calls.append(dict(outputs))
        for name in list(outputs):
            outputs[f"{name}-clean"] = outputs[name]
            outputs[name] = outputs[name] * self.factor


class Terms(Regularizer):
    """Takes down layers and outputs, and gives the loss a term."""

    def __init__(self, pattern: str = "hid1:out", weight: float = 0.0) -> None:
        super().__init__(pattern, weight)
        self.steps = list[tuple[list[nn.Module], dict[str, Tensor]]]()

    def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Tensor:
        self.steps.append((list(layers), dict(outputs)))
        return outputs[str(self.pattern)].square().mean()


def trained(x: np.ndarray = X, **words: Any) -> Regressor:
    """Return a net with two hidden layers as wide as x, whose units are never 0."""
    sizes = (None, x.shape[1], x.shape[1], None)
    model = Regressor(sizes, activation="sigmoid", optimizer=Still, **SEVERAL)
    return model.fit(x, Y if x is X else np.zeros((len(x), 3)), **words)


MODEL = trained()


def tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x)


# modify_graph ----------------------------------------------------------------------------------


def test_modify_graph_is_called_once_for_each_place_of_each_forward() -> None:
    spy = Spy("hid?:*")
    MODEL.feed_forward(X, regularizers=[spy])
    names = [[name] for name in ("hid1:pre", "hid1:out", "hid2:pre", "hid2:out")]
    assert [list(call) for call in spy.calls] == names
    assert all(value.shape == (40, 6) for call in spy.calls for value in call.values())
    spy = Spy("*")
    Regressor((None, 6, None), **SEVERAL | {"batch_size": 16}).fit(X, Y, regularizers=[spy])
    assert len(spy.calls) == 3 * 5  # steps of 16, 16 and 8 rows; five places
    assert [len(call["in:out"]) for call in spy.calls if "in:out" in call] == [16, 16, 8]


@pytest.mark.parametrize("name", ["in:out", "hid1:pre", "hid1:out", "out:pre", "out:out"])
def test_what_modify_graph_leaves_goes_downstream(name: str) -> None:
    """Also at `pre`, which in theanets changed nothing but the report."""
    clean = MODEL.feed_forward(X)
    found = MODEL.feed_forward(X, regularizers=[Spy(name, factor=0.5)])
    assert_same_bits(found[f"{name}-clean"], clean[name])
    assert_same_bits(found[name], clean[name] / 2)
    net = MODEL.network_
    x = tensor(X) / (2 if name == "in:out" else 1)
    for layer in ("hid1", "hid2", "out"):
        z = functional.linear(x, net[layer].weight, net[layer].bias)
        z = z / 2 if name == f"{layer}:pre" else z
        x = z if layer == "out" else z.sigmoid()
        x = x / 2 if name == f"{layer}:out" else x
        assert_same_bits(found[f"{layer}:out"], x)
    if name != "out:out":
        assert (found["out:out"] != clean["out:out"]).any()


def test_several_act_one_after_the_other_and_after_the_keywords() -> None:
    first, second = Spy("in:out", factor=3), Spy("in:out", factor=5)
    found = MODEL.feed_forward(X, regularizers=[first, second], input_noise=0.1, seed=7)
    noisy = ng.GaussianNoise(0.1)(tensor(X), ng.Stream(7).site(":in").at(0))
    assert_same_bits(first.calls[0]["in:out"], noisy)
    assert_same_bits(second.calls[0]["in:out"], noisy * 3)
    assert_same_bits(found["in:out"], noisy * 3 * 5)


def test_modify_graph_does_not_act_in_validation() -> None:
    """Noise of a user's own is noise: what is validated is the network."""
    model = Regressor((None, 6, None), optimizer=Still, **SEVERAL)
    model.fit(X, Y, validation_data=(X, Y), regularizers=[Spy("hid1:out", factor=0)])
    clean = functional.mse_loss(model.network_(tensor(X)), tensor(Y)).item()
    assert model.history_[-1, "train_loss"] != clean
    assert model.history_[-1, "valid_loss"] == clean


# loss ------------------------------------------------------------------------------------------


def test_loss_gets_the_layers_and_the_named_outputs_of_this_forward() -> None:
    terms = Terms("hid1:out")
    model = trained(regularizers=[terms], hidden_dropout=0.5)
    [(layers, outputs)] = terms.steps
    net = model.network_
    assert layers == [net["in"], net["hid1"], net["hid2"], net["out"]]
    names = ["in:out", "hid1:pre", "hid1:out", "hid2:pre", "hid2:out", "out:pre", "out:out"]
    assert list(outputs) == names
    dropped = outputs["hid1:out"] == 0
    assert 0 < dropped.sum() < dropped.numel()
    assert (outputs["hid1:pre"].sigmoid()[~dropped] * 2 == outputs["hid1:out"][~dropped]).all()
    below = functional.linear(outputs["hid1:out"], net["hid2"].weight, net["hid2"].bias)
    assert_same_bits(outputs["hid2:pre"], below)


def test_loss_is_added_by_its_weight_and_trained() -> None:
    """A step of a training is that of a loop by hand."""
    net = join(Input(6, name="in"), Relu(5, name="hid1"), Linear(3, name="out"))
    model = Regressor(net, optimizer=torch.optim.SGD, lr=0.1, **SEVERAL)
    model.fit(X, Y, regularizers=[Terms("hid1:out", 0.7), WeightL2(weight=0.01)])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(model.net_.order_seed))
    x, y = tensor(X)[order], tensor(Y)[order]
    hidden = net["hid1"](x)
    weights = (net["hid1"].weight.square().sum() + net["out"].weight.square().sum()) / 2
    loss = functional.mse_loss(net["out"](hidden), y) + 0.7 * hidden.square().mean()
    assert model.history_[-1, "train_loss"] == pytest.approx((loss + 0.01 * weights).item())
    (loss + 0.01 * weights).backward()
    for name, parameter in net.named_parameters():
        moved = parameter - 0.1 * parameter.grad
        torch.testing.assert_close(dict(model.network_.named_parameters())[name], moved)


def test_loss_may_use_what_modify_graph_kept() -> None:
    class Both(Spy):
        def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Tensor:
            assert outputs["hid1:out-clean"].requires_grad
            return (outputs["hid1:out"] - outputs["hid1:out-clean"]).square().mean()

    spy = Both("hid1:out", weight=1, factor=3)
    model = trained(regularizers=[spy])
    term = 4 * spy.calls[0]["hid1:out"].square().mean().item()
    plain = trained(regularizers=[Spy("hid1:out", factor=3)])
    difference = model.history_[-1, "train_loss"] - plain.history_[-1, "train_loss"]
    assert difference == pytest.approx(term, rel=1e-4)


@pytest.mark.parametrize("kind", [BernoulliDropout, GaussianNoise])
def test_noise_adds_nothing_to_the_loss(kind: type[Regularizer]) -> None:
    regularizer = kind("in:out", 0.5)
    assert regularizer.loss([], {}) == 0
    assert regularizer.pattern == "in:out"
    assert kind().pattern == "*:out"
    assert kind().weight == 0
    assert trained(regularizers=[kind()]).noise_ == []


# log -------------------------------------------------------------------------------------------


def test_log_prints_what_was_matched(capsys: pytest.CaptureFixture[str]) -> None:
    several = [BernoulliDropout("in:out", 0.1), GaussianNoise("hid?:out", 0.3), WeightL2(weight=1)]
    several += [Spy("hid1:*"), Terms()]
    trained(regularizers=several)
    assert capsys.readouterr().out == ""
    for regularizer in several:
        regularizer.log()
    assert capsys.readouterr().out.splitlines() == [
        "regularizer: BernoulliDropout(in:out) ~ B(0.1)",
        "regularizer: 0.3 * GaussianNoise(hid1:out, hid2:out)",
        "regularizer: 1 * WeightL2(hid1.weight, hid2.weight, out.weight)",
        "regularizer: 0 * Spy(hid1:out, hid1:pre)",
        "regularizer: 0 * Terms(hid1:out)",
    ]


def test_a_training_that_talks_logs_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = [BernoulliDropout("in:out", 0.1)]
    Regressor((None, 6, None), verbose=1, **SEVERAL).fit(X, Y, regularizers=words)
    assert "regularizer: BernoulliDropout(in:out) ~ B(0.1)" in capsys.readouterr().out


# Masks and seeds -------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[], Any]] = {
    "int": lambda: 99,
    "numpy int": lambda: np.int64(99),
    "Generator": lambda: np.random.default_rng(99),
    "RandomState": lambda: np.random.RandomState(99),
    "torch": lambda: torch.Generator().manual_seed(99),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("kind", [BernoulliDropout, GaussianNoise])
def test_rng_of_every_sort_repeats_the_noise(name: str, kind: Any) -> None:
    found = [
        MODEL.feed_forward(X, regularizers=[kind("in:out", 0.5, rng)])["in:out"]
        for rng in (MAKERS[name](), MAKERS[name](), 13)
    ]
    assert_same_bits(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("name", ["Generator", "RandomState", "torch"])
def test_one_generator_gives_two_regularizers_two_seeds(name: str) -> None:
    rng = MAKERS[name]()
    first, second = (BernoulliDropout("in:out", 0.5, rng).seed for _ in range(2))
    assert first != second


def test_no_rng_is_fresh_and_torch_s_seed_governs() -> None:
    torch.manual_seed(5)
    seeds = [BernoulliDropout("in:out", 0.5, rng=None).seed for _ in range(2)]
    assert seeds[0] != seeds[1]
    torch.manual_seed(5)
    assert BernoulliDropout("in:out", 0.5, rng=None).seed == seeds[0]


@pytest.mark.parametrize("rng", [-1, 2**64, 1.5, True, "13"])
def test_rng_that_is_none(rng: Any) -> None:
    with pytest.raises(ng.NoisegateError, match=r"^BernoulliDropout: `rng` must be "):
        BernoulliDropout("in:out", 0.5, rng)


ONCE = BernoulliDropout("in:out", 0.5)
PAIRS: dict[str, dict[str, Any]] = {
    "two of one seed": {"regularizers": [ONCE, BernoulliDropout("in:out", 0.5)]},
    "one twice": {"regularizers": [ONCE, ONCE]},
    "by another pattern": {"regularizers": [ONCE, BernoulliDropout("i*:out", 0.5)]},
    "keyword of its seed": {"regularizers": [ONCE], "input_dropout": 0.5, "seed": 13},
    "list and dict": {"regularizers": {"bernoullidropout": 0.5, "input_dropout": 0.5}},
}


@pytest.mark.parametrize("words", PAIRS.values(), ids=list(PAIRS))
def test_two_regularizers_never_share_a_mask(words: dict[str, Any]) -> None:
    found = trained(ONES).feed_forward(ONES, **words)["in:out"]
    assert set(np.unique(found)) == {0, 4}
    assert_rate(int((found == 0).sum()), found.size, 0.75)


def test_two_that_a_user_calls_never_share_a_mask() -> None:
    """By `modify_graph`, with tensors of the user's own."""
    outputs = {"in:out": torch.ones(200, 50)}
    ONCE.modify_graph(outputs)
    assert_same_bits(outputs["in:out-predrop"], torch.ones(200, 50))
    assert set(outputs["in:out"].unique().tolist()) == {0, 2}
    BernoulliDropout("in:out", 0.5).modify_graph(outputs)
    assert_rate(int((outputs["in:out"] == 0).sum()), 10000, 0.75)


def test_rng_decides_the_masks_of_a_prediction() -> None:
    found = [
        MODEL.predict(X, regularizers=[BernoulliDropout("in:out", 0.5, rng)], seed=1)
        for rng in (13, 99, 13)
    ]
    assert_same_bits(found[0], found[2])
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("method", ["predict", "transform"])
def test_a_noisy_pass_is_fresh_at_each_call_and_the_same_by_its_seed(method: str) -> None:
    """By a keyword. Of a regularizer the seed is its `rng`, and None is a fresh one."""
    model = Autoencoder((None, 4, None), activation="sigmoid", **SEVERAL).fit(X)

    def asked(**words: Any) -> np.ndarray:
        words = words if "regularizers" in words else {"input_dropout": 0.5} | words
        return np.asarray(getattr(model, method)(X, **words))

    drawn = [{"regularizers": [BernoulliDropout("in:out", 0.5, rng=None)]} for _ in range(2)]
    assert (asked(**drawn[0]) != asked(**drawn[1])).any()
    assert_same_bits(asked(seed=5), asked(seed=5))
    assert (asked(seed=5) != asked(seed=6)).any()
    assert (asked() != asked()).any()


# Every method ----------------------------------------------------------------------------------

METHODS: dict[str, tuple[type[Estimator], tuple[Any, ...]]] = {
    "fit": (Regressor, (X, Y)),
    "partial_fit": (Regressor, (X, Y)),
    "predict": (Regressor, (X,)),
    "score": (Regressor, (X, Y)),
    "feed_forward": (Regressor, (X,)),
    "predict_proba": (Classifier, (X,)),
    "transform": (Autoencoder, (X,)),
}
ALL = pytest.mark.parametrize("method", METHODS)


def fitted(kind: type[Estimator]) -> Any:
    model = kind((None, 5, None), activation="sigmoid", optimizer=Still, **SEVERAL)
    return model.fit(X, LABELS if kind is Classifier else Y)


def noisy_of(method: str, **words: Any) -> Any:
    kind, arguments = METHODS[method]
    model = fitted(kind)
    found = getattr(model, method)(*arguments, **words)
    if method in ("fit", "partial_fit"):
        return model.history_[-1, "train_loss"]
    return found["out:out"] if isinstance(found, dict) else found


@ALL
def test_a_list_acts_beside_the_keywords(method: str) -> None:
    """All inputs are removed by the keyword; the spy sees what follows, and removes it too."""
    spy = Spy("hid1:out", factor=0)
    found = noisy_of(method, regularizers=[spy], input_dropout=1)
    net = fitted(METHODS[method][0]).network_
    # Nothing but the bias is left, of hid1 and then of out.
    seen = spy.calls[-1]["hid1:out"]
    assert_same_bits(seen, net["hid1"].bias.sigmoid().expand_as(seen))
    without = noisy_of(method, input_dropout=1)
    assert (np.asarray(found) != np.asarray(without)).any()
    if method in ("predict", "feed_forward"):
        assert (found == net["out"].bias.detach().numpy()).all()


@ALL
def test_a_list_or_a_dict_acts_instead_of_the_keywords(method: str) -> None:
    expected = noisy_of(method, input_dropout=1)
    for given in ([BernoulliDropout("in:out", 1)], {"input_dropout": 1}):
        assert_same_bits(np.asarray(noisy_of(method, regularizers=given)), np.asarray(expected))
    by_name = {"bernoullidropout": {"pattern": "in:out", "weight": 1}, "output_noise": 0}
    assert_same_bits(np.asarray(noisy_of(method, regularizers=by_name)), np.asarray(expected))
    assert (np.asarray(noisy_of(method)) != np.asarray(expected)).any()


@ALL
def test_one_number_for_dropout_is_an_error_that_says_what_to_write(method: str) -> None:
    kind, arguments = METHODS[method]
    who = f"{kind.__name__}.{method}"
    sentence = (
        f"{who}: `rules` must be a dict of pattern to noise; got 0.5. "
        "For one number at all hidden outputs write hidden_dropout=0.5."
    )
    with assert_sentence(ng.InvalidType, sentence):
        getattr(fitted(kind), method)(*arguments, rules=0.5)


def test_those_of_the_constructor_act_in_training_only() -> None:
    model = Regressor((None, 5, None), regularizers=[Spy("hid1:out", factor=0)], **SEVERAL)
    clean = Regressor((None, 5, None), **SEVERAL).fit(X, Y)
    assert model.fit(X, Y).history_[-1, "train_loss"] != clean.history_[-1, "train_loss"]
    expected = model.network_(tensor(X)).detach()
    assert_same_bits(model.predict(X).astype(np.float32), expected)
    assert (
        model.fit(X, Y, regularizers=[]).history_.to_list()[0]["train_loss"]
        == (clean.history_[-1, "train_loss"])
    )


def test_noise_by_a_regularizer_is_that_of_inject() -> None:
    """No second mechanism: the mask is that of the key."""
    model = trained(regularizers=[Terms("in:out"), BernoulliDropout("in:out", 0.5, rng=7)])
    assert model.noise_[0].splitlines()[1].startswith(":in   Dropout(p=0.5)  0     :in")
    terms = Terms("in:out")
    model.fit(X, Y, regularizers=[BernoulliDropout("in:out", 0.5, rng=7), terms])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(model.net_.order_seed))
    expected = ng.Dropout(0.5)(tensor(X)[order], ng.Stream(7).site(":in").at(0))
    assert_same_bits(terms.steps[0][1]["in:out"], expected)
    assert not math.isnan(model.history_[-1, "train_loss"])


def test_mean_over_samples_with_a_regularizer() -> None:
    words = {"regularizers": [BernoulliDropout("in:out", 0.2)], "samples": 400, "seed": 3}
    net = nn.Sequential(nn.Linear(6, 3))
    model = Regressor(net, optimizer=Still, **SEVERAL).fit(X, Y)
    mean, std = model.predict(X, return_std=True, **words)
    clean = model.predict(X)
    assert_within((mean - clean).mean(), 0, std.mean() / math.sqrt(400))
