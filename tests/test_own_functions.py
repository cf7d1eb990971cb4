"""The model's own dropouts by function and in attention, seen in a forward and taken over."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import X, by_hand, functional, key, trace

SITES = {"drop:dropout", "inner:dropout", ":probs"}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_functions_and_attention_are_taken_over_in_either_form(fast: bool, given: bool) -> None:
    model = functional(fast=fast)
    noise = ng.inject(model, existing=True, example=X if given else None, seed=1)
    assert set(noise.sites) == (SITES if given else {"drop:dropout"})
    for step in range(2):
        torch.testing.assert_close(model(X), by_hand(model, step=step))
    assert set(noise.sites) == SITES
    assert noise.step == 2
    kept = noise.mask(":probs", step=1, rows=slice(1, 3))
    expected = ng.mask(
        ng.Dropout(0.3), (5, 2, 4, 4), key(":probs", step=1), sample_axis="attention"
    )
    assert_same_bits(kept, expected[1:3])
    model.eval()
    clean = functional(fast=fast).eval()
    assert_same_bits(model(X), clean(X))


def test_remove_leaves_no_trace_and_gives_the_dropouts_back() -> None:
    model = functional()
    before = trace(model)
    torch.manual_seed(5)
    own = model(X)
    noise = ng.inject(model, existing=True, seed=1)
    model(X)
    assert trace(model) != before
    noise.remove()
    assert trace(model) == before
    torch.manual_seed(5)
    assert_same_bits(model(X), own)


def test_off_is_the_model_s_own_dropout() -> None:
    model = functional()
    torch.manual_seed(5)
    own = model(X)
    noise = ng.inject(model, existing=True, seed=1)
    torch.manual_seed(5)
    with noise.off():
        assert_same_bits(model(X), own)
    torch.testing.assert_close(model(X), by_hand(model))


def test_a_rate_of_0_keeps_the_fused_attention() -> None:
    model = functional(p=0.0)
    noise = ng.inject(model, existing=True, seed=1)
    fused = functional(p=0.0)
    assert_same_bits(model(X), fused(X))
    noise.remove()
    other = functional(p=0.0)
    ng.inject(other, {":probs": 0.4}, seed=1)  # where the model's own rate is 0
    h = other.inner(X).reshape(5, 2, 4, -1)
    weights = torch.softmax(h @ h.transpose(-2, -1) / 8**0.5, -1)
    probs = ng.Dropout(0.4)(weights, key(":probs"), sample_axis="attention")
    torch.testing.assert_close(other(X), probs @ h)


def test_a_rule_of_functions_that_matches_nothing_raises_before_the_step_counts() -> None:
    model = functional()
    noise = ng.inject(model, {"inner:dropout": 0.2, "drop:probs": 0.2}, seed=1)
    sentence = (
        "inject: the rule 'drop:probs' matches no site. The nearest sites are 'drop:dropout', "
        "'drop:out', ':probs'."
    )
    for _ in range(2):
        with pytest.raises(ng.UnmatchedRule) as caught:
            model(X)
        assert str(caught.value).startswith("inject: the rule 'drop:probs' matches no site.")
        assert noise.step == 0
    assert sentence
    before = trace(functional())
    fresh = functional()
    with pytest.raises(ng.UnmatchedRule):
        ng.inject(fresh, {"inner:dropout": 0.2, "drop:probs": 0.2}, example=X, seed=1)
    assert len(trace(fresh)) == len(before)
    assert not any(module._forward_hooks for module in fresh.modules())


def test_nothing_to_take_over_is_an_error() -> None:
    sentence = (
        "inject: existing=True found no dropout of the model's own. "
        "Write a rule, for example {'hid*:out': 0.5}."
    )
    model = nn.Sequential(nn.Linear(8, 8))
    with assert_sentence(ng.InvalidValue, sentence):
        ng.inject(model, existing=True, example=X)
    noise = ng.inject(model, existing=True)
    with assert_sentence(ng.InvalidValue, sentence):
        model(X)
    assert noise.step == 0


class ByHand(nn.Module):
    """A dropout that nobody can know as one before it runs."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.empty_like(x).bernoulli_(0.5) if self.training else x


class Fused(nn.Module):
    """Attention by an operation of torch's that chooses the kernel."""

    def forward(self, x: Tensor) -> Tensor:
        q = torch.empty(2, 2, 4, 8, device="meta")
        fused = torch.ops.aten._scaled_dot_product_efficient_attention
        fused(q, q, q, None, False, 0.25 if self.training else 0.0)
        return x


UNREACHED: dict[str, tuple[nn.Module, str]] = {
    "a kernel": (
        Fused(),
        "'0:probs' (torch.ops.aten._scaled_dot_product_efficient_attention(dropout_p=0.25))",
    ),
}


@pytest.mark.parametrize("name", UNREACHED)
def test_what_cannot_be_reached_is_named_and_raises_or_is_kept(name: str) -> None:
    module, words = UNREACHED[name]
    sentence = (
        f"inject: existing=True cannot reach {words}. Turn it off in the model and put "
        "noise in by a rule, or pass unreached='keep' to leave it to the model."
    )
    model = nn.Sequential(copy.deepcopy(module))
    with assert_sentence(ng.InvalidValue, sentence):
        ng.inject(model, existing=True, example=X, seed=1)
    ng.inject(model, existing=True, seed=1)
    with assert_sentence(ng.InvalidValue, sentence):
        model(X)
    model = nn.Sequential(nn.Dropout(0.1), copy.deepcopy(module))
    noise = ng.inject(model, existing=True, unreached="keep", seed=1)
    model(X)
    (note,) = noise.report().notes
    assert note == f"{words.replace('0', '1', 1)} is left to the model."


def test_a_dropout_by_hand_is_made_from_the_seed() -> None:
    model = nn.Sequential(ByHand())
    noise = ng.inject(model, existing=True, example=X, seed=1)
    with noise.at(3):
        first = model(X)
    with noise.at(3):
        second = model(X[:2])
    assert (first == 0).any()
    assert_same_bits(second, first[: len(second)])
    assert noise.report().notes == (
        "'0:draw' (Tensor.bernoulli_ in ByHand) is drawn from the seed: the numbers of each "
        "sample.",
    )


def test_random_numbers_for_something_else_are_noted() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand(x.shape)

    model = nn.Sequential(nn.Dropout(0.1), Noisy())
    noise = ng.inject(model, existing=True, example=X, seed=1)
    assert noise.report().notes == (
        "'1:draw' (torch.rand in Noisy) is drawn from the seed: the numbers of each sample.",
    )


# Functions of every name -----------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Any, ng.Kind, Tensor]] = {
    "F.dropout": (lambda x, t: F.dropout(x, 0.3, t), ng.Dropout(0.3), X),
    "F.dropout, default": (lambda x, t: F.dropout(x, training=t), ng.Dropout(0.5), X),
    "torch.dropout": (lambda x, t: torch.dropout(x, 0.3, t), ng.Dropout(0.3), X),
    "in place": (
        lambda x, t: F.dropout(x + 0, p=0.3, training=t, inplace=True),
        ng.Dropout(0.3),
        X,
    ),
    "torch.dropout_": (lambda x, t: torch.dropout_(x + 0, 0.3, t), ng.Dropout(0.3), X),
    "F.dropout1d": (
        lambda x, t: F.dropout1d(x, 0.3, t),
        ng.Dropout(0.3, shared_axes=-1),
        torch.randn(4, 6, 5),
    ),
    "F.dropout2d": (
        lambda x, t: F.dropout2d(x, 0.3, t),
        ng.Dropout(0.3, shared_axes=(2, 3)),
        torch.randn(4, 6, 5, 2),
    ),
    "F.dropout3d": (
        lambda x, t: F.dropout3d(x, 0.3, t),
        ng.Dropout(0.3, shared_axes=(2, 3, 4)),
        torch.randn(4, 6, 5, 2, 2),
    ),
    "F.alpha_dropout": (lambda x, t: F.alpha_dropout(x, 0.3, t), ng.AlphaDropout(0.3), X),
    "torch.alpha_dropout": (lambda x, t: torch.alpha_dropout(x, 0.3, t), ng.AlphaDropout(0.3), X),
    "F.feature_alpha_dropout": (
        lambda x, t: F.feature_alpha_dropout(x, 0.3, t),
        ng.AlphaDropout(0.3, shared_axes=(2,)),
        torch.randn(4, 6, 5),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_is_a_dropout_is_seen(name: str) -> None:
    function, kind, x = FUNCTIONS[name]

    class Calling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x, self.training)

    model = Calling()
    noise = ng.inject(model, existing=True, seed=1)
    before = x.clone()
    state = torch.get_rng_state()
    assert_same_bits(model(x), kind(x, key(":dropout")))
    assert_same_bits(x, before)
    assert_same_bits(torch.get_rng_state(), state)
    assert noise.sites == (":dropout",)


def test_in_place_means_in_place() -> None:
    model = nn.Sequential(nn.Dropout(0.5, inplace=True))
    ng.inject(model, existing=True, seed=1)
    x = X.clone()
    out = model(x)
    assert out is x
    assert_same_bits(x, ng.Dropout(0.5)(X, key("0:dropout")))
