"""The torch face: gradients of every order, layers, seeds; nothing is saved for backward."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits

KEY = ng.Stream(13).site("hid1:out").at(3)
KINDS = [
    ng.Dropout(0.3),
    ng.Dropout(0.5, rescale=False),
    ng.Dropout(1.0),
    ng.GaussianNoise(0.2),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.4),
    ng.dropout_locations(0.4, "channels_last"),
    ng.AlphaDropout(0.3),
    ng.ImpulseNoise(0.3, -1, 2),
    ng.ConcreteDropout(0.3),
    ng.DropBlock(0.3, 2, axes=-1),
    ng.MultiplicativeUniformNoise(0.4),
    ng.SpeckleNoise(0.4),
    ng.NeftuneNoise(4),
    ng.SpanMask(0.9, 4, 2),
    ng.Zoneout(0.4),
    ng.PatchDropout(0.5),
]
LAYERS: list[Callable[..., nn.Module]] = [
    ng.torch.Dropout,
    ng.torch.GaussianNoise,
    ng.torch.GaussianDropout,
    ng.torch.UniformNoise,
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


def gain_of(kind: ng.Kind, shape: tuple[int, ...]) -> Tensor:
    """Return the derivative of a noise, by NumPy: gain where kept, 0 elsewhere."""
    field = ng.noise(kind, shape, KEY, dtype="float64")
    return torch.from_numpy(np.where(field.keep, field.gain, 0.0))


# Derivatives ---------------------------------------------------------------------------------


@each_kind
def test_derivatives_of_both_orders_and_directions(kind: ng.Kind) -> None:
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 7, dtype=torch.float64)

    def noisy(x: Tensor) -> Tensor:
        return kind(x, KEY)

    assert gradcheck(noisy, x, check_forward_ad=True)
    assert gradgradcheck(lambda x: noisy(x * x), x)
    gain = gain_of(kind, (3, 7))
    expected = torch.where(gain != 0, weights * gain, 0.0)
    (grad,) = torch.autograd.grad(noisy(x), x, weights)
    assert_same_bits(grad, expected)
    _, tangent = torch.func.jvp(noisy, (x.detach(),), (weights,))
    assert_same_bits(tangent, expected)
    with forward_ad.dual_level():
        dual = noisy(forward_ad.make_dual(x.detach(), weights))
        assert_same_bits(forward_ad.unpack_dual(dual).tangent, expected)
    assert_same_bits(torch.func.grad(lambda x: (noisy(x) * weights).sum())(x.detach()), grad)


@each_kind
def test_double_backward_gives_the_right_values(kind: ng.Kind) -> None:
    x = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    y = kind(x**2, KEY)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, 2 * gain_of(kind, (2, 9)), rtol=1e-12, atol=0)
    hessian = torch.func.hessian(lambda x: kind(x**2, KEY).sum())(x.detach()).reshape(18, 18)
    torch.testing.assert_close(hessian, torch.diag(2 * gain_of(kind, (2, 9)).reshape(-1)))


def test_the_gradient_of_what_was_removed_is_0_even_for_nan() -> None:
    x = torch.full((4, 25), float("inf"), requires_grad=True)
    y = ng.Dropout(0.5)(x, KEY)
    y.backward(torch.full((4, 25), float("nan")))
    kept = torch.from_numpy(ng.mask(ng.Dropout(0.5), (4, 25), KEY))
    assert x.grad is not None
    assert_same_bits(x.grad[~kept], torch.zeros(int((~kept).sum())))
    assert x.grad[kept].isnan().all()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_gradients(dtype: torch.dtype) -> None:
    x = torch.randn(3, 5, dtype=dtype, requires_grad=True)
    kind = ng.Dropout(0.4)
    (grad,) = torch.autograd.grad(kind(x, KEY), x, torch.ones(3, 5, dtype=dtype))
    assert_same_bits(grad, kind(torch.ones(3, 5, dtype=dtype), KEY))
    if dtype == torch.complex128:
        assert gradcheck(lambda x: kind(x, KEY), x)


def test_vmap_gives_each_example_the_same_noise() -> None:
    x = torch.randn(5, 8)
    for kind in KINDS[:5]:
        whole = torch.func.vmap(lambda x, kind=kind: kind(x, KEY), randomness="same")(x)
        for i in range(5):
            assert_same_bits(whole[i], kind(x[i], KEY))


@each_kind
def test_no_mask_is_saved(kind: ng.Kind) -> None:
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    x = torch.randn(64, 64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kind(x, KEY).sum().backward()
        assert saved == []
        # The check can fail: torch's own dropout saves its mask.
        nn.functional.dropout(x).sum().backward()
        assert [tuple(tensor.shape) for tensor in saved] == [(64, 64)]
        saved.clear()
        if not kind.takes_live:
            return
        rate = torch.tensor(0.3)
        kind(x, KEY, **{kind.RATE: rate}).sum().backward()
        assert [tensor.numel() for tensor in saved] == [1]  # the live rate


def test_a_live_rate_acts_in_backward_too() -> None:
    x = torch.ones(6, 20, requires_grad=True)
    rates = torch.linspace(0, 1, 6)[:, None]
    y = ng.Dropout()(x, KEY, p=rates)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert_same_bits(grad, y.detach())


# Functions -----------------------------------------------------------------------------------

FUNCTIONS: list[tuple[Callable[..., Tensor], float, ng.Kind]] = [
    (ng.torch.dropout, 0.3, ng.Dropout(0.3)),
    (ng.torch.gaussian_noise, 0.3, ng.GaussianNoise(0.3)),
    (ng.torch.gaussian_dropout, 0.3, ng.GaussianDropout(0.3)),
    (ng.torch.uniform_noise, 0.3, ng.UniformNoise(0.3)),
]


@pytest.mark.parametrize(("function", "rate", "kind"), FUNCTIONS)
def test_functions_are_their_kinds(
    function: Callable[..., Tensor], rate: float, kind: ng.Kind
) -> None:
    x = torch.randn(6, 7)
    assert_same_bits(function(x, rate, key=KEY), kind(x, KEY))
    assert_same_bits(
        function(x, torch.tensor(rate), key=KEY), kind(x, KEY, **{kind.RATE: torch.tensor(rate)})
    )
    assert_same_bits(function(x[2:], rate, key=KEY, rows=slice(2, 6)), kind(x, KEY)[2:])
    assert function(x, rate, training=False) is x
    state = torch.get_rng_state()
    assert function(x, 0.0) is x
    assert_same_bits(torch.get_rng_state(), state)  # nothing was drawn
    torch.manual_seed(5)
    first, second = function(x, rate), function(x, rate)
    torch.manual_seed(5)
    assert_same_bits(function(x, rate), first)
    assert not torch.equal(first, second)


# Layers --------------------------------------------------------------------------------------


@each_layer
def test_layers_act_in_training_only(layer: Callable[..., nn.Module]) -> None:
    module, x = layer(0.5), torch.randn(8, 16)
    assert not torch.equal(module(x), x)
    assert module.eval()(x) is x
    assert layer(0.0)(x) is x
    assert module.state_dict() == {}
    assert list(module.parameters()) == []


@each_layer
def test_an_unseeded_layer_is_governed_by_torch_s_seed(layer: Callable[..., nn.Module]) -> None:
    module, x = layer(0.5), torch.randn(8, 16)
    torch.manual_seed(7)
    first, second = module(x), module(x)
    torch.manual_seed(7)
    assert_same_bits(module(x), first)
    assert_same_bits(module(x), second)
    assert not torch.equal(first, second)
    # One draw of 64 bits a call, whatever the size.
    torch.manual_seed(7)
    torch.empty((), dtype=torch.int64).random_(-(2**63), None)
    assert_same_bits(module(x), second)


@each_layer
def test_a_seeded_layer_counts_its_training_calls(layer: Callable[..., Any]) -> None:
    module, x = layer(0.5, seed=13, site="hid1:out"), torch.ones(8, 16)
    state = torch.get_rng_state()
    for step in range(3):
        assert module.step == step
        key = ng.Stream(13).site("hid1:out").at(step)
        assert_same_bits(module(x), module.kind(x, key))
    module.eval()(x)
    assert module.step == 3  # evaluation does not count
    module.train()
    module.step = 1
    assert_same_bits(module(x), module.kind(x, ng.Stream(13).site("hid1:out").at(1)))
    assert module.state_dict() == {}
    assert_same_bits(torch.get_rng_state(), state)


def test_a_layer_removes_where_the_mask_is_false() -> None:
    module = ng.torch.Dropout(0.4, seed=13, site="hid1:out")
    for step in range(3):
        mask = ng.mask(ng.Dropout(0.4), (5, 9), ng.Stream(13).site("hid1:out").at(step))
        assert_same_bits(module(torch.ones(5, 9)) != 0, torch.from_numpy(mask))


def test_a_step_advances_even_if_the_call_fails() -> None:
    module = ng.torch.Dropout(0.4, shared_axes=3, seed=13, site="a")
    with pytest.raises(ng.InvalidValue):
        module(torch.ones(5, 9))
    assert module.step == 1


def test_layers_show_themselves_in_torch_s_manner() -> None:
    assert repr(ng.torch.Dropout(0.3)) == "Dropout(p=0.3, inplace=False)"
    assert (
        repr(ng.torch.GaussianNoise(0.1, shared_axes=1, seed=13, site="a"))
        == "GaussianNoise(sigma=0.1, shared_axes=(1,), seed=13, site='a')"
    )


@each_layer
def test_layers_are_copied_and_pickled(layer: Callable[..., Any]) -> None:
    for module in (layer(0.5, seed=3, site="a"), layer(0.5)):
        for copied in (copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))):
            if module.seed is not None:
                module.step = 4
            other = copied(module)
            x = torch.ones(11)  # rank 1, where the default of the sample axis matters
            torch.manual_seed(1)
            expected = module(x)
            torch.manual_seed(1)
            assert_same_bits(other(x), expected)


def test_layers_take_rows_and_a_sample_axis() -> None:
    x = torch.ones(4, 10)
    whole = ng.torch.Dropout(0.5, seed=1, site="a")(x)
    assert_same_bits(ng.torch.Dropout(0.5, seed=1, site="a")(x[1:3], rows=[1, 2]), whole[1:3])
    turned = ng.torch.Dropout(0.5, seed=1, site="a", sample_axis=1)(x.T.contiguous())
    assert_same_bits(turned.T.contiguous(), whole)


def test_an_unseeded_layer_and_a_key_are_right_under_checkpointing() -> None:
    x = torch.randn(4, 40, requires_grad=True)
    for noisy in (ng.torch.Dropout(0.5), lambda x: ng.Dropout(0.5)(x, KEY)):
        y = checkpoint(lambda x, noisy=noisy: noisy(x).sin(), x, use_reentrant=False)
        (grad,) = torch.autograd.grad(y.sum(), x)
        kept = y != 0
        expected = torch.where(kept, 2 * (2 * x).cos(), 0)
        torch.testing.assert_close(grad, expected)


# Under a compiler ----------------------------------------------------------------------------


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    torch.compiler.reset()
    return torch.compile(function, backend="eager")


def test_compiled_layers_give_the_same_bits_at_every_step() -> None:
    module = ng.torch.Dropout(0.5, seed=1, site="a")
    fast = compiled(lambda x: module(x * 2))
    for step in range(12):
        expected = module.kind(2 * torch.ones(3, 5), ng.Stream(1).site("a").at(step))
        assert_same_bits(fast(torch.ones(3, 5)), expected)
    identity = ng.torch.Dropout(0)
    x = torch.randn(3, 5)
    assert_same_bits(compiled(lambda x: identity(x))(x), x)
    assert_same_bits(compiled(lambda x: module.eval()(x))(x), x)


def test_compiled_gradients() -> None:
    x = torch.randn(3, 5, requires_grad=True)
    fast = compiled(lambda x: ng.torch.dropout(x.sin(), 0.5, key=KEY))
    (grad,) = torch.autograd.grad(fast(x).sum(), x)
    (expected,) = torch.autograd.grad(ng.Dropout(0.5)(x.sin(), KEY).sum(), x)
    assert_same_bits(grad, expected)


def test_meta_tensors_have_a_shape_and_no_values() -> None:
    for kind in KINDS:
        y = kind(torch.ones(3, 4, device="meta"), KEY)
        assert (y.shape, y.device.type) == ((3, 4), "meta")
