"""The model's own dropouts taken over: modules and drop paths, and given back."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import X, key

# Modules -------------------------------------------------------------------------------------

LAYERS: dict[str, tuple[nn.Module, ng.Kind, Tensor]] = {
    "Dropout": (nn.Dropout(0.3), ng.Dropout(0.3), X),
    "Dropout1d": (
        nn.Dropout1d(0.3),
        ng.Dropout(0.3, shared_axes=-1),
        torch.randn(4, 6, 5),
    ),
    "Dropout2d": (
        nn.Dropout2d(0.3),
        ng.Dropout(0.3, shared_axes=(2, 3)),
        torch.randn(4, 6, 5, 2),
    ),
    "Dropout3d": (
        nn.Dropout3d(0.3),
        ng.Dropout(0.3, shared_axes=(2, 3, 4)),
        torch.randn(4, 6, 5, 2, 2),
    ),
    "AlphaDropout": (nn.AlphaDropout(0.3), ng.AlphaDropout(0.3), X),
    "FeatureAlphaDropout": (
        nn.FeatureAlphaDropout(0.3),
        ng.AlphaDropout(0.3, shared_axes=(2,)),
        torch.randn(4, 6, 5),
    ),
    "noisegate's": (ng.torch.Dropout(0.3), ng.Dropout(0.3), X),
    "noisegate's, seeded": (ng.torch.Dropout(0.3, seed=7, site="mine"), ng.Dropout(0.3), X),
    "noisegate's DropBlock2d": (
        ng.torch.DropBlock2d(0.2, 3),
        ng.DropBlock(0.2, 3),
        torch.randn(3, 4, 6, 6),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_dropout_module_is_taken_over_at_its_rate(name: str) -> None:
    layer, kind, x = LAYERS[name]
    model = nn.Sequential(copy.deepcopy(layer), nn.Identity())
    state = torch.get_rng_state()
    noise = ng.inject(model, existing=True, seed=1)
    assert noise.sites == ("0:dropout",)
    for step in range(2):
        assert_same_bits(model(x), kind(x, key("0:dropout", step=step)))
    assert_same_bits(model.eval()(x), x)
    assert_same_bits(torch.get_rng_state(), state)
    assert list(model.state_dict()) == list(nn.Sequential(layer).state_dict())


def test_noise_layers_have_the_port_noise() -> None:
    model = nn.Sequential(ng.torch.GaussianNoise(0.5), ng.torch.Dropout(0.5))
    noise = ng.inject(model, existing=True, seed=1)
    assert noise.sites == ("0:noise", "1:dropout")
    expected = ng.Dropout(0.5)(ng.GaussianNoise(0.5)(X, key("0:noise")), key("1:dropout"))
    assert_same_bits(model(X), expected)
    noise.remove()
    assert ng.inject(model, {"*:dropout": 0.2}, seed=1).sites == ("1:dropout",)


def test_a_learned_rate_keeps_its_gradient() -> None:
    model = nn.Sequential(ng.torch.ConcreteDropout(0.3))
    expected = ng.ConcreteDropout()(X, key("0:dropout"), p=model[0].p)
    (want,) = torch.autograd.grad(expected.sum(), model[0].p_logit)
    ng.inject(model, existing=True, seed=1)
    out = model(X)
    assert_same_bits(out, expected)
    (got,) = torch.autograd.grad(out.sum(), model[0].p_logit)
    assert_same_bits(got, want)


def test_an_unbatched_input_has_the_model_s_samples_or_none() -> None:
    # torch takes (N, F) as the one sample (C, L); in a model the first axis may be its batch.
    x = torch.randn(6, 9)
    model = nn.Sequential(nn.Dropout1d(0.5))
    ng.inject(model, existing=True, seed=1)
    kind = ng.Dropout(0.5, shared_axes=-1)
    assert_same_bits(model(x), kind(x, key("0:dropout"), sample_axis=0))

    class OneByOne(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout1d(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.drop(sample) for sample in x])

    one = OneByOne()
    ng.inject(one, existing=True, seed=1)
    x = torch.randn(2, 6, 9)
    for call, y in enumerate(one(x)):
        assert_same_bits(y, kind(x[call], key("drop:dropout", call=call), sample_axis=None))


class DropPath(nn.Module):
    """As timm and transformers have it."""

    def __init__(self, drop_prob: float | None = None) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.drop_prob or not self.training:
            return x
        kept = torch.rand((len(x),) + (1,) * (x.ndim - 1)) >= self.drop_prob
        return x * kept / (1 - self.drop_prob)


def test_drop_paths_are_taken_over() -> None:
    model = nn.Sequential(DropPath(0.4), DropPath())
    noise = ng.inject(model, existing=True, example=X, seed=1)
    assert noise.sites == ("0:dropout", "1:dropout")
    assert_same_bits(model(X), ng.drop_path(0.4)(X, key("0:dropout")))


def test_a_rate_that_the_model_changes_is_followed_and_a_rule_s_is_not() -> None:
    model = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.3))
    noise = ng.inject(model, {"1:dropout": 0.6}, existing=True, seed=1)
    assert noise.sites == ("1:dropout", "0:dropout")
    model[0].p = model[1].p = 0.9
    first = ng.Dropout(0.9)(X, key("0:dropout"))
    assert_same_bits(model(X), ng.Dropout(0.6)(first, key("1:dropout")))


def test_one_rule_sets_all_that_exist() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.9)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            first = F.dropout(x, 0.9, self.training)
            return self.drop(x), first, F.dropout(x, 0.8, self.training)

    x = torch.ones(5, 50)
    model = Both()
    noise = ng.inject(model, {"*:dropout": 0.2}, example=x, seed=1)
    assert noise.sites == ("drop:dropout", ":dropout", ":dropout.1")
    for site, out in zip(noise.sites, model(x), strict=True):
        assert_same_bits(out, ng.Dropout(0.2)(x, key(site)))
    one = Both()
    assert ng.inject(one, {":dropout.0": 0.2}, example=x, seed=1).sites == (":dropout",)
    assert_same_bits(one(x)[1], ng.Dropout(0.2)(x, key(":dropout")))
    assert ng.inject(Both(), {":dropout.1": 0.2}, example=x, seed=1).sites == (":dropout.1",)


def test_the_rate_can_be_scheduled_and_suggested() -> None:
    class Trial:
        def suggest_float(self, name: str, low: float, high: float, step: Any = None) -> float:
            self.asked = name, low, high, step
            return high

    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 8))
    noise = ng.inject(model, {"1:out": 0.1}, existing=True, seed=1)
    trial = Trial()
    assert noise.suggest(trial, "*:dropout", 0, 0.6, step=0.1) == 0.6
    assert trial.asked == ("*:dropout", 0, 0.6, 0.1)
    seen: list[Tensor] = []
    model[1].register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    model(X)
    assert_same_bits(seen[0], ng.Dropout(0.6)(X, key("0:dropout")))
    noise.set_rate("0:dropout", ng.schedule.linear(0, 1, 1))
    model(X)
    assert_same_bits(seen[1], torch.zeros_like(X))
    assert noise.report().rows[0][1] == "Dropout(p=0.1)"
    noise.set_rate("1:out", 0.0)
    assert noise.report().rows[0][1] == "Dropout(p=0.0)"
    with pytest.raises(ng.InvalidValue, match="must be in"):
        noise.set_rate("*", 0.5) if False else noise.set_rate("1:out", 1.5)
    with assert_sentence(
        ng.UnmatchedRule,
        "set_rate: 'hid:out' has no noise. The nearest that have are '1:out', '0:dropout'.",
    ):
        noise.set_rate("hid:out", 0.5)
