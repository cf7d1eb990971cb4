"""Predictions with uncertainty: only the noise is on, every sample a step of the seed."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _nets import Net, X, net
from _transformers import FAMILIES, example, model


def by_hand(made: Net, step: int, p: float = 0.3, seed: int = 7) -> np.ndarray:
    """Return sample `step` of the model's own dropout, from the key alone."""
    made.eval()
    with torch.no_grad():
        hidden = made.act(made.norm(made.hid(X)))
        key = ng.Stream(seed).site("drop:dropout").at(step)
        out = made.last(ng.Dropout(p)(hidden, key)).numpy()
    made.train()
    return out


# What is switched on, and what a sample is -----------------------------------------------------


def test_only_the_noise_is_on_and_sample_k_is_step_k_of_the_seed() -> None:
    made = net()
    made.hid.eval()
    modes = [module.training for module in made.modules()]
    state = {name: value.clone() for name, value in made.state_dict().items()}
    generator = torch.get_rng_state()
    prediction = ng.predict(made, X, 6, existing=True, seed=7, keep_samples=True)
    assert [module.training for module in made.modules()] == modes
    assert_same_bits(torch.get_rng_state(), generator)
    for name, value in made.state_dict().items():
        assert_same_bits(value, state[name])
    assert ng.handles(made) == ()
    assert not any("forward" in vars(m) or m._forward_hooks for m in made.modules())
    assert prediction.samples is not None
    for step in range(6):
        assert_same_bits(prediction.samples[step], by_hand(made, step))
    chosen = ng.predict(made, X, [4], existing=True, seed=7)
    np.testing.assert_allclose(chosen.mean, by_hand(made, 4), rtol=1e-6)
    assert (chosen.std == 0).all()


def test_moments_and_quantiles_are_those_of_the_samples() -> None:
    p = ng.predict(net(), X, 30, hidden_dropout=0.4, seed=7, keep_samples=True)
    assert p.samples is not None
    samples = p.samples.astype(np.float64)
    np.testing.assert_allclose(p.mean, samples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(p.std, samples.std(0), rtol=1e-12)
    assert list(p.quantiles) == [0.05, 0.25, 0.5, 0.75, 0.95]
    for level in (0.05, 0.5, 0.9):
        np.testing.assert_allclose(
            p.quantile(level), np.quantile(samples, level, axis=0), 1e-5, 1e-6
        )
    softmax = np.exp(samples) / np.exp(samples).sum(-1, keepdims=True)
    np.testing.assert_allclose(p.probabilities, softmax.mean(0), rtol=1e-12)
    mean = softmax.mean(0)
    entropy = -(mean * np.log(mean)).sum(-1)
    expected = -(softmax * np.log(softmax)).sum(-1).mean(0)
    np.testing.assert_allclose(p.entropy, entropy, rtol=1e-12)
    np.testing.assert_allclose(p.expected_entropy, expected, rtol=1e-12)
    np.testing.assert_allclose(p.mutual_information, entropy - expected, rtol=1e-9, atol=1e-12)
    assert (p.classes == mean.argmax(-1)).all()
    assert repr(p) == "<prediction of shape (40, 3), 30 samples, seed 7>"


def test_without_the_samples_a_quantile_must_have_been_asked_for() -> None:
    p = ng.predict(net(), X, 5, hidden_dropout=0.4, seed=7, quantiles=[0.1])
    with assert_sentence(
        ng.InvalidValue,
        "Prediction: the quantile 0.9 was not computed; computed are 0.1. Pass quantiles=[0.9] to "
        "predict.",
    ):
        p.quantile(0.9)


@pytest.mark.parametrize("size", [1, 7, 39, 40, None])
def test_the_same_masks_for_any_batch_size(size: int | None) -> None:
    words: dict[str, Any] = {"rules": {"act:out": 0.4, ":in": 0.1}, "seed": 7}
    whole = ng.predict(net(), X, 8, keep_samples=True, **words)
    parts = ng.predict(net(), X, 8, keep_samples=True, batch_size=size, **words)
    assert whole.samples is not None
    assert parts.samples is not None
    np.testing.assert_allclose(parts.samples, whole.samples, atol=1e-6)
    np.testing.assert_allclose(parts.quantile(0.25), whole.quantile(0.25), atol=1e-6)
    np.testing.assert_allclose(parts.mutual_information, whole.mutual_information, atol=1e-6)


def test_x_is_a_tensor_an_array_a_dict_a_tuple_or_a_loader() -> None:
    class Named(Net):
        def forward(self, a: Tensor, scale: float = 1.0, *, b: Tensor | None = None) -> Tensor:
            return super().forward(a + (0 if b is None else b) * scale)

    torch.manual_seed(0)
    made = Named()
    words: dict[str, Any] = {"hidden_dropout": 0.4, "seed": 7, "samples": 4}
    expected = ng.predict(made, X, **words).mean
    zeros = torch.zeros_like(X)
    loader = DataLoader(TensorDataset(X, torch.arange(40)), batch_size=16)
    forms: list[Any] = [
        X.numpy(),
        X.double().numpy(),
        {"a": X, "b": zeros, "scale": 2.0},
        (X, 2.0),
        loader,
        [{"a": X[:10]}, {"a": X[10:]}].__iter__(),
    ]
    for form in forms:
        np.testing.assert_allclose(ng.predict(made, form, **words).mean, expected, atol=1e-6)
    small = ng.predict(made, loader, batch_size=5, **words)
    np.testing.assert_allclose(small.mean, expected, atol=1e-6)


def test_shared_batch_is_one_function_for_each_sample() -> None:
    made = net(1)
    line = torch.linspace(-1, 1, 40).reshape(10, 4)
    same = line[:1].expand(10, 4)
    words: dict[str, Any] = {"existing": True, "seed": 7, "keep_samples": True}
    shared = ng.predict(made, same, 5, shared_batch=True, **words).samples
    apart = ng.predict(made, same, 5, **words).samples
    assert shared is not None
    assert apart is not None
    assert (np.ptp(shared, axis=1) < 1e-6).all()  # equal rows have equal outputs
    assert (np.ptp(apart, axis=1) > 1e-3).all()
    assert (shared.std(0) > 1e-3).all()  # and samples still differ
    whole = ng.predict(made, line, 5, shared_batch=True, **words).samples
    parts = ng.predict(made, line, 5, shared_batch=True, batch_size=3, **words).samples
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert_same_bits(apart[:, 0], shared[:, 0])  # all rows are row 0


def peak(samples: int) -> int:
    made = nn.Sequential(nn.Linear(4, 400))
    x = torch.randn(20, 4)
    tracemalloc.start()
    try:
        ng.predict(made, x, samples, input_dropout=0.5, seed=7)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("noisegate.prediction.sampling.HELD", 100_000)
    monkeypatch.setattr("noisegate.prediction.summary.TOGETHER", 10_000)
    peak(2)  # what is imported and cached once
    few, many = peak(40), peak(160)
    assert many < 1.2 * few
    assert many < 160 * 20 * 400 * 4 / 2  # half of what all samples would take


KINDS = {
    "Dropout": ng.Dropout(0.3),
    "no rescale": ng.Dropout(0.3, rescale=False),
    "shared axes": ng.Dropout(0.3, shared_axes=1),
    "shared samples": ng.Dropout(0.3, shared_axes=0),
    "AlphaDropout": ng.AlphaDropout(0.3),
    "GaussianDropout": ng.GaussianDropout(0.3),
    "GaussianNoise": ng.GaussianNoise(0.3),
    "UniformNoise": ng.UniformNoise(0.3),
    "ImpulseNoise": ng.ImpulseNoise(0.3, -1.0, 1.0),
    "ConcreteDropout": ng.ConcreteDropout(0.3),
    "DropBlock": ng.DropBlock(0.3, 2, axes=-1),
    "all": ng.Dropout(1.0),
    "a schedule": ng.Dropout(ng.schedule.linear(0.1, 0.9, 9)),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_steps_that_are_made_together_have_the_same_bits(name: str, axis: int | None) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.site = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.site(x + 1), self.site(x + 2)], 1)

    x = torch.randn(6, 3, 5)
    p = ng.predict(
        Twice(),
        x,
        [0, 7, 2, 3],
        rules={"site:out": KINDS[name]},
        sample_axis=axis,
        seed=7,
        keep_samples=True,
    )
    assert p.samples is not None
    site = ng.Stream(7).site("site:out")
    for sample, step in zip(p.samples, [0, 7, 2, 3], strict=True):
        parts = [
            KINDS[name](x + (1 + call), site.at(step, call), sample_axis=axis) for call in (0, 1)
        ]
        assert_same_bits(sample, torch.cat(parts, 1))


class Coupled(nn.Module):
    """Rows depend on each other."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Fixed(nn.Module):
    """Takes batches of six alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(6, -1)


class Windows(nn.Module):
    """Sees each sample in two parts, both of which are rows."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.reshape(-1, x.shape[1] // 2)).reshape(len(x), -1)


@pytest.mark.parametrize("kind", [Coupled, Fixed, Windows])
def test_models_that_take_several_steps_otherwise_are_given_one(kind: type[nn.Module]) -> None:
    x = torch.randn(6, 10)
    made = kind()
    site = "inner:out" if kind is Windows else ":in"
    p = ng.predict(made, x, 7, rules={site: 0.4}, seed=7, keep_samples=True)
    assert p.samples is not None
    for step in range(7):
        key = ng.Stream(7).site(site).at(step)
        if kind is Windows:
            expected = ng.Dropout(0.4)(x.reshape(12, 5), key).reshape(6, 10)
        else:
            expected = made(ng.Dropout(0.4)(x, key))
        assert_same_bits(p.samples[step], expected)


def test_steps_are_made_together_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made, batches = net(), list[int]()
    made.hid.register_forward_pre_hook(lambda m, args: batches.append(len(args[0])))
    ng.predict(made, X, 21, existing=True, seed=7, quantiles=())
    # The dry run, one sample, all with a probe among them, and the probe alone.
    assert batches == [2, 40, 22 * 40, 40]
    batches.clear()
    monkeypatch.setattr("noisegate.prediction.forwards.AT_ONCE", 10 * 40 * 30)
    ng.predict(made, X, 21, existing=True, seed=7, quantiles=())
    # Of each forward of several, one sample is made alone too.
    assert batches == [2, 40, 8 * 40, 40, *[40, 7 * 40] * 2]
    batches.clear()
    ng.predict(made, X, 2, existing=True, seed=7, quantiles=())
    assert batches == [2, 40, 40]  # of two, neither has neighbours on both sides
    batches.clear()
    monkeypatch.setattr("noisegate.prediction.forwards.AT_ONCE", 7 * 40 * 30)
    ng.predict(made, X, 7, existing=True, seed=7, quantiles=())
    assert batches == [2, *[40] * 7]  # which costs as little
    batches.clear()
    monkeypatch.setattr("noisegate.prediction.forwards.AT_ONCE", 1)
    ng.predict(made, X, 5, existing=True, seed=7, quantiles=())
    assert batches == [2, *[40] * 5]


# Existing dropouts, or an error ------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILIES, "Swin"])
def test_the_model_s_own_dropouts_of_a_family_are_used(name: str) -> None:
    made = model(name, p=0.2).eval()
    samples = ng.predict(made, example(name), 3, existing=True, seed=7, keep_samples=True).samples
    assert samples is not None
    again = ng.predict(made, example(name), [2], existing=True, seed=7)
    np.testing.assert_allclose(again.mean, samples[2], atol=1e-6)
    assert (samples.std(0) > 0).mean() > 0.9
    # They are the samples of a model in training.
    made.train()
    with ng.inject(made, existing=True, example=example(name), seed=7) as noise:
        noise.step = 1
        with torch.no_grad():
            out = made(**example(name)).last_hidden_state
    np.testing.assert_allclose(out.numpy(), samples[1], atol=1e-5)


def test_a_transformer_s_dropouts_are_on_in_evaluation() -> None:
    # torch's fast path would leave them out.
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True)
    made = nn.Sequential(layer)
    x = torch.randn(5, 3, 4)
    p = ng.predict(made, x, 5, existing=True, seed=7)
    assert (p.std > 0).all()
    rules = ng.predict(made, x, 5, rules={"0.dropout1:dropout": 0.5}, seed=7)
    assert (rules.std > 0).all()


class Only(nn.Module):
    """A dropout that is called in training only."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.functional = functional

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = F.dropout(x, 0.5) if self.functional else self.drop(x)
        return x


@pytest.mark.parametrize("functional", [True, False])
def test_a_dropout_that_is_called_in_training_only_raises(functional: bool) -> None:
    site = ":dropout" if functional else "drop:dropout"
    with assert_sentence(
        ng.InvalidValue,
        f"predict: '{site}' is called in training only, so existing=True cannot reach it here. "
        "Pass rules=, or unreached='keep' to go without it.",
    ):
        ng.predict(Only(functional), X, existing=True)


def test_a_model_without_any_is_an_error_and_so_is_silence() -> None:
    plain = nn.Sequential(nn.Linear(4, 3))
    with assert_sentence(
        ng.InvalidValue,
        "inject: existing=True found no dropout of the model's own. "
        "Write a rule, for example {'hid*:out': 0.5}.",
    ):
        ng.predict(plain, X, existing=True)
    silent = "predict: no noise acted, since {}; all samples would be the same."
    zero = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.0))
    with assert_sentence(ng.InvalidValue, silent.format("every rate is 0")):
        ng.predict(zero, X, existing=True)
    uncalled = net()
    uncalled.spare = nn.Linear(2, 2)
    with assert_sentence(ng.InvalidValue, silent.format("none of its sites was called")):
        ng.predict(uncalled, X, rules={"spare:out": 0.5})
    with assert_sentence(
        ng.InvalidValue,
        "predict: no noise is given. Write rules={'hid*:out': 0.5}, hidden_dropout=0.5, or "
        "existing=True for the model's own dropouts.",
    ):
        ng.predict(plain, X)


def test_a_failure_leaves_the_model_as_it_was() -> None:
    made = net()
    with pytest.raises(RuntimeError):
        ng.predict(made, torch.randn(5, 9), hidden_dropout=0.5)
    assert made.training
    assert ng.handles(made) == ()


def test_noise_for_training_stays_and_does_not_act() -> None:
    made = net()
    noise = ng.inject(made, {"act:out": 0.9}, existing=True, seed=1)
    made(X)
    p = ng.predict(made, X, 3, existing=True, seed=7, keep_samples=True)
    assert p.samples is not None
    assert noise.step == 1
    clean = net()
    clean.load_state_dict(made.state_dict())
    assert_same_bits(p.samples[1], by_hand(clean, 1))
