"""Noise inside torch's transformations: addresses, dtypes, rates that are tensors, models."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import Functional
from _functorch import ALONG, BY_INDEX, DROPOUT, KEY, MANY, REFUSED, SEED, SITE, STEP, P, X
from _own_kinds import NoisyGate, SignFlip

# Addresses within a map ------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("kind", [DROPOUT, ng.GaussianNoise(0.5), SignFlip(0.3)], ids=repr)
def test_members_with_several_samples_number_them_in_c_order(kind: ng.Kind, axis: int) -> None:
    found = vmap(lambda x: kind(x, KEY, sample_axis=axis), **BY_INDEX)(MANY)
    for i, x in enumerate(MANY):
        rows = range(i * x.shape[axis], (i + 1) * x.shape[axis])
        assert_same_bits(found[i], kind(x, KEY, rows, axis))


def test_without_a_sample_axis_a_member_is_a_sample() -> None:
    assert_same_bits(vmap(lambda x: DROPOUT(x, KEY), **BY_INDEX)(X), DROPOUT(X, KEY))
    whole = vmap(lambda x: DROPOUT(x, KEY, sample_axis=None), **BY_INDEX)(MANY)
    assert_same_bits(whole, DROPOUT(MANY, KEY))
    single = vmap(lambda x: DROPOUT(x, KEY), **BY_INDEX)(X[:, 0])
    assert_same_bits(single, DROPOUT(X[:, :1], KEY)[:, 0])
    # The spatial axes of a member are those of the sample.
    blocks = ng.DropBlock(P, 2, axes=(1, 2))
    found = vmap(lambda x: blocks(x, KEY, sample_axis=None), **BY_INDEX)(MANY)
    assert_same_bits(found, ng.DropBlock(P, 2)(MANY, KEY))


@pytest.mark.parametrize("shared", [(), 1, (1, 2), -1])
def test_attention_in_a_map_has_the_rows_of_the_batch(shared: Any) -> None:
    kind = ng.Dropout(P, shared_axes=shared)
    whole = kind(MANY, KEY, sample_axis="attention")
    one = vmap(lambda x: kind(x, KEY, sample_axis="attention"), **BY_INDEX)
    assert_same_bits(one(MANY[:, None])[:, 0], whole)
    assert_same_bits(one(MANY.reshape(2, 2, 3, 6, 5)).reshape(MANY.shape), whole)
    if shared == ():
        assert_same_bits(one(MANY), whole)  # heads merged with a batch of one


def test_samples_that_share_a_decision_differ_between_members() -> None:
    kind = ng.Dropout(P, shared_axes=0)
    found = vmap(lambda x: kind(x, KEY), **BY_INDEX)(torch.ones(20, 6, 4))
    expected = ng.Dropout(P, shared_axes=1)(torch.ones(20, 6, 4), KEY)
    assert_same_bits(found, expected)
    everything = ng.Dropout(P, shared_axes="all_but_samples")
    found = vmap(lambda x: everything(x, KEY), **BY_INDEX)(torch.ones(20, 1, 4))
    assert_same_bits(found[:, 0], everything(torch.ones(20, 4), KEY))


DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [DROPOUT, ng.GaussianDropout(P), ng.ConcreteDropout(P)], ids=repr)
def test_dtypes_and_layouts(kind: ng.Kind, dtype: torch.dtype) -> None:
    x = torch.randn(6, 4, dtype=torch.complex128)
    x = x.to(dtype) if dtype.is_complex else x.real.to(dtype)
    found = vmap(lambda x: kind(x, KEY), **BY_INDEX)(x)
    assert_same_bits(found, kind(x, KEY))
    turned = vmap(lambda x: kind(x, KEY), in_dims=1, out_dims=1, **BY_INDEX)(x.T)
    assert_same_bits(turned, kind(x, KEY).T)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(kind(leaf, KEY), leaf, x)
    _, back = vjp(vmap(lambda x: kind(x, KEY), **BY_INDEX), x)
    assert_same_bits(back(x)[0], expected)
    y, push = jvp(lambda x: kind(x, KEY), (x,), (x,))
    assert_same_bits(y, kind(x, KEY))
    assert_same_bits(push, expected)


@pytest.mark.parametrize("kind", [DROPOUT, ng.DropBlock(P, 2, axes=-1)], ids=repr)
def test_rows_that_are_made_inside_of_a_derivative(kind: ng.Kind) -> None:
    def noise(x: Tensor) -> Tensor:
        return kind(x, KEY, rows=torch.tensor([7, 1]))

    x = X[:2]
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(noise(leaf), leaf, ALONG[:2])
    assert_same_bits(vjp(noise, x)[1](ALONG[:2])[0], expected)
    assert_same_bits(jvp(noise, (x,), (ALONG[:2],))[1], expected)
    same = vmap(lambda x: vjp(noise, x)[1](ALONG[:2])[0], randomness="same")(X.reshape(3, 2, 4))
    assert_same_bits(same, torch.stack([expected] * 3))


def test_integers_are_selected_in_a_map_too() -> None:
    x, kind = torch.arange(24).reshape(6, 4), ng.ImpulseNoise(P, 0, 1)
    assert_same_bits(vmap(lambda x: kind(x, KEY), **BY_INDEX)(x), kind(x, KEY))
    same = vmap(lambda x: kind(x, KEY), randomness="same")(x.reshape(2, 3, 4))
    assert_same_bits(same[1], kind(x[3:], KEY))
    with assert_sentence(ng.RandomnessError, REFUSED.replace("Dropout", "ImpulseNoise")):
        vmap(lambda x: kind(x, KEY))(x)


def test_removed_nan_and_infinity_are_zero_in_a_map() -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0] * 6).reshape(6, 4)
    found, back = vjp(vmap(lambda x: DROPOUT(x, KEY), **BY_INDEX), x)
    assert_same_bits(found, DROPOUT(x, KEY))
    assert_same_bits(back(x)[0], DROPOUT(x, KEY))


def test_an_empty_member_has_no_noise() -> None:
    for shape in ((4, 0), (4, 0, 3), (4, 3, 0)):
        found = vmap(lambda x: DROPOUT(x, KEY), **BY_INDEX)(torch.ones(shape))
        assert found.shape == shape


# Rates that are tensors ------------------------------------------------------------------------

RATES = torch.tensor([0.1, 0.5, 0.9])
LIVE = [
    DROPOUT,
    ng.Dropout(P, rescale=False),
    ng.AlphaDropout(P),
    ng.ImpulseNoise(P, -1, 2),
    ng.GaussianNoise(P),
    ng.GaussianDropout(P),
    ng.ConcreteDropout(P),
    NoisyGate(P),
]


@pytest.mark.parametrize("kind", LIVE, ids=repr)
def test_a_mapped_rate(kind: ng.Kind) -> None:
    def noise(rate: Tensor, rows: Any = None) -> Tensor:
        return kind(X, KEY, rows, **{kind.RATE: rate})

    same = vmap(noise, randomness="same")(RATES)
    assert_same_bits(same, torch.stack([noise(rate) for rate in RATES]))
    expected = [noise(rate, range(6 * i, 6 * i + 6)) for i, rate in enumerate(RATES)]
    assert_same_bits(vmap(noise, **BY_INDEX)(RATES), torch.stack(expected))
    by_steps = vmap(lambda step, rate: kind(X, SITE.at(step), **{kind.RATE: rate}))
    expected = [kind(X, SITE.at(i), **{kind.RATE: rate}) for i, rate in enumerate(RATES)]
    assert_same_bits(by_steps(torch.arange(3), RATES), torch.stack(expected))


@pytest.mark.parametrize("kind", [kind for kind in LIVE if kind.differentiable], ids=repr)
def test_the_gradient_of_a_rate_by_sample(kind: ng.Kind) -> None:
    rate = torch.tensor(0.3, dtype=torch.float64)
    x, along = X.double(), ALONG.double()

    def loss(rate: Tensor, x: Tensor, along: Tensor, rows: Any = None) -> Tensor:
        return (kind(x, KEY, rows, **{kind.RATE: rate}) * along).sum()

    over: Any = {"in_dims": (None, 0, 0), **BY_INDEX}
    for derivative in (grad, jacrev, jacfwd, lambda f: jacrev(jacrev(f)), hessian):
        found = vmap(derivative(loss), **over)(rate, x[:, None], along[:, None])
        parts = [(x[i : i + 1], along[i : i + 1], [i]) for i in range(6)]
        expected = [derivative(loss)(rate, *part) for part in parts]
        torch.testing.assert_close(found, torch.stack(expected))


def test_forward_over_forward() -> None:
    rate = torch.tensor(0.3, dtype=torch.float64)
    kind, x = ng.ConcreteDropout(P), X[:2].double()

    def loss(x: Tensor, rate: Tensor) -> Tensor:
        return kind(x, KEY, p=rate).square().sum()

    # By x, noise is affine at any rate.
    torch.testing.assert_close(jacfwd(jacfwd(loss))(x, rate), hessian(loss)(x, rate))
    mixed = jacrev(jacrev(loss), 1)(x, rate)
    torch.testing.assert_close(jacfwd(jacfwd(loss), 1)(x, rate), mixed)
    by_number = jacfwd(jacfwd(lambda x: DROPOUT(x**3, KEY).sum()))(x)
    assert by_number.abs().sum() > 1
    torch.testing.assert_close(by_number, hessian(lambda x: DROPOUT(x**3, KEY).sum())(x))
    sentence = (
        "ConcreteDropout: torch has no forward-mode derivative of a forward-mode derivative by "
        "`p`. Take one of the two in reverse, as torch.func.hessian does: jacfwd(jacrev(f))."
    )
    for inner, outer in ((1, 1), (1, 0)):
        with assert_sentence(ng.InvalidValue, sentence):
            jacfwd(jacfwd(loss, inner), outer)(x, rate)


def test_the_layer_of_concrete_dropout_by_sample() -> None:
    layer = ng.torch.ConcreteDropout(0.3, seed=SEED, site="a")
    model = nn.Sequential(ng.torch.ConcreteDropout(0.3))
    handle = ng.inject(model, existing=True, seed=SEED)

    def of_layer(params: Any, x: Tensor) -> Tensor:
        layer.step = STEP
        return functional_call(layer, params, (x,)).square().sum()

    def of_model(params: Any, x: Tensor) -> Tensor:
        with handle.at(STEP):
            return functional_call(model, params, (x,)).square().sum()

    in_model = ng.Stream(SEED).site(handle.sites[0]).at(STEP)
    for module, loss, key in ((layer, of_layer, KEY), (model, of_model, in_model)):
        ((name, logit),) = module.named_parameters()
        given = {name: logit.detach()}, X[:, None]
        found = vmap(grad(loss), in_dims=(None, 0), **BY_INDEX)(*given)[name]

        def one(logit: Tensor, i: int, key: ng.Key = key) -> Tensor:
            kind = ng.ConcreteDropout(0.3)
            return kind(X[i : i + 1], key, rows=[i], p=logit.sigmoid()).square().sum()

        expected = [grad(one)(logit.detach(), i) for i in range(6)]
        torch.testing.assert_close(found, torch.stack(expected))


def test_a_rate_without_a_derivative_is_refused_in_a_map() -> None:
    sentence = (
        "Dropout: `p` requires grad, but the decision to remove has no gradient. ConcreteDropout "
        "has one; or pass p.detach()."
    )
    for derivative in (grad, jacfwd):
        with assert_sentence(ng.InvalidValue, sentence):
            vmap(derivative(lambda p: DROPOUT(X, KEY, p=p).sum()), **BY_INDEX)(RATES)


# Layers, functions and models ------------------------------------------------------------------


def test_fresh_noise_in_a_map() -> None:
    ones = torch.ones(50, 40)
    layer = ng.torch.Dropout(0.5)
    for function in (layer, lambda x: ng.torch.functional.dropout(x, 0.5)):
        torch.manual_seed(3)
        different = vmap(function, **BY_INDEX)(ones)
        assert len({tuple(row.tolist()) for row in different}) == 50
        torch.manual_seed(3)
        assert_same_bits(function(ones), different)  # the masks of the plain batch
        same = vmap(function, randomness="same")(ones)
        assert len({tuple(row.tolist()) for row in same}) == 1
        assert not torch.equal(vmap(function, **BY_INDEX)(ones), different)


def test_a_layer_in_place_in_a_map() -> None:
    x = X.clone()
    layer = ng.torch.Dropout(P, inplace=True, seed=SEED, site="a")
    layer.step = STEP
    assert_same_bits(vmap(layer, **BY_INDEX)(x), DROPOUT(X, KEY))
    assert_same_bits(x, DROPOUT(X, KEY))


def test_rows_of_a_layer_may_be_mapped() -> None:
    layer = ng.torch.Dropout(P, seed=SEED, site="a")
    layer.step = STEP
    ids = torch.tensor([[3], [1], [4], [1], [5], [9]])
    found = vmap(layer)(X[:, None], ids)
    assert_same_bits(found[:, 0], DROPOUT(X, KEY, ids[:, 0]))


@pytest.mark.parametrize("fast", [True, False])
def test_gradients_by_sample_of_a_model_with_functions_and_attention(fast: bool) -> None:
    torch.manual_seed(0)
    model, x = Functional(fast=fast), torch.randn(5, 8)
    noise = ng.inject(model, existing=True, seed=SEED)
    params = {name: p.detach() for name, p in model.named_parameters()}

    def loss(params: Any, x: Tensor) -> Tensor:
        return functional_call(model, params, (x,)).square().sum()

    noise.step = STEP
    found = vmap(grad(loss), in_dims=(None, 0), **BY_INDEX)(params, x[:, None])
    assert noise.step == STEP + 1
    for i in range(5):
        with noise.at(STEP, rows=[i]):
            expected = grad(loss)(params, x[i : i + 1])
        for name in params:
            torch.testing.assert_close(found[name][i], expected[name])
    with assert_sentence(ng.RandomnessError, REFUSED), noise.at(STEP):
        vmap(grad(loss), in_dims=(None, 0))(params, x[:, None])
    if not fast:  # of fused attention torch warns that it has no rule for maps
        vmap(model.eval())(x[:, None])  # nothing is random there
