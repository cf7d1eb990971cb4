"""A kind may have a derivative of its own, and may read its input: in every form of call."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from _own_kinds import Rounding, ShakeDrop, ShakeShake

KEY = ng.Stream(13).site("a").at(4)
KINDS: list[ng.Kind] = [
    ShakeDrop(0.6),
    ShakeShake(),
    ShakeShake(branch=1),
    Rounding(0.4),
    ng.ShotNoise(0.5),
    ng.QuantizationNoise(0.5, 3),
]
READING = [kind for kind in KINDS if kind.reads_input]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
each_reading = pytest.mark.parametrize("kind", READING, ids=repr)
DIFFERENT: Any = {"randomness": "different"}


def sample(*shape: int, dtype: Any = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(shape, generator=generator, dtype=torch.float64).mul(3).to(dtype)


def gain_of(kind: ng.Kind, shape: Any, key: ng.Key = KEY, dtype: str = "float64") -> Tensor:
    """Return the gain of the derivative: that of a kind of this name, which applies it."""
    if kind.reads_input:
        return torch.ones(shape, dtype=getattr(torch, dtype))
    own = type(kind)
    applied = type(own.__name__, (own,), {"field": own.backward_field})
    numbers = {name: getattr(kind, name) for name in kind.names()}
    return torch.tensor(ng.noise(applied(**numbers), tuple(shape), key, dtype=dtype).gain)


def test_the_gains_differ_from_those_that_are_applied() -> None:
    """Or the tests below could not fail."""
    for kind in KINDS:
        x = sample(8, 5)
        forward = kind(x, KEY) / x
        assert (forward != gain_of(kind, x.shape)).any(), kind


@each_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_numpy_and_torch_apply_and_derive_the_same(kind: ng.Kind, dtype: torch.dtype) -> None:
    x = sample(6, 5, dtype=dtype)
    g = sample(5, 6, dtype=dtype).t()
    leaf = x.clone().requires_grad_()
    y = kind(leaf, KEY)
    (grad,) = torch.autograd.grad(y, leaf, g)
    out, cache = ng.numpy.forward(kind, x.numpy(), rng=KEY)
    back = ng.numpy.backward(g.numpy(), cache)
    computed = "float64" if dtype is torch.float64 else "float32"
    product = g.to(getattr(torch, computed)) * gain_of(kind, x.shape, dtype=computed)
    with pure_engines():
        assert_same_bits(kind(leaf, KEY), y)
        assert_same_bits(
            ng.numpy.backward(g.numpy(), ng.numpy.forward(kind, x.numpy(), rng=KEY)[1]), back
        )
    assert_same_bits(y.detach(), out)
    assert_same_bits(grad, back)
    assert_same_bits(grad.contiguous(), product.to(dtype).contiguous())


@each_kind
def test_the_derivative_is_linear_and_its_own_derivative(kind: ng.Kind) -> None:
    x, v = sample(4, 5).requires_grad_(), sample(5, 4).t().requires_grad_()
    gain = gain_of(kind, x.shape)
    (grad,) = torch.autograd.grad(kind(x, KEY), x, v, create_graph=True)
    (again,) = torch.autograd.grad(grad, v, torch.ones_like(v))
    assert_same_bits(again, gain)
    _, tangent = torch.func.jvp(lambda x: kind(x, KEY), (x.detach(),), (v.detach(),))
    assert_same_bits(tangent.contiguous(), (v * gain).detach().contiguous())
    # The linear part itself is an application whose gradient torch can check.
    assert gradcheck(lambda v: torch.autograd.grad(kind(x, KEY), x, v, create_graph=True)[0], v)


@each_kind
def test_maps_and_derivatives_of_torch_func(kind: ng.Kind) -> None:
    x = sample(3, 4, 5)
    gain = gain_of(kind, (12, 5)).reshape(x.shape)
    plain = kind(x.reshape(12, 5), KEY)
    if isinstance(kind, ng.QuantizationNoise):
        plain = torch.stack([kind(x.reshape(12, 5), KEY)]).reshape(12, 5)
    mapped = torch.func.vmap(lambda x: kind(x, KEY), **DIFFERENT)
    assert_same_bits(mapped(x).reshape(12, 5), plain)
    grads = torch.func.vmap(torch.func.grad(lambda x: kind(x, KEY).sum()), **DIFFERENT)
    assert_same_bits(grads(x), gain)
    same = torch.func.vmap(lambda x: kind(x, KEY), randomness="same")(x)
    assert_same_bits(same, torch.stack([kind(part, KEY) for part in x]))
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        found = jacobian(lambda x: kind(x, KEY))(x[0, 0])
        assert_same_bits(found, torch.diag(gain_of(kind, (5,))))
    twice = torch.func.vmap(torch.func.vmap(lambda x: kind(x, KEY), **DIFFERENT), **DIFFERENT)
    assert_same_bits(twice(x.reshape(3, 2, 2, 5)).reshape(12, 5), plain)
    steps = torch.tensor([4, 9])
    own = torch.func.vmap(lambda n: kind(x[0], ng.Stream(13).site("a").at(n)))(steps)
    assert_same_bits(own[0], kind(x[0], KEY))
    assert_same_bits(own[1], kind(x[0], KEY._replace(step=9)))


def test_rows_and_live_rates_may_be_mapped() -> None:
    x, rows = sample(3, 4, 5), torch.arange(12).reshape(3, 4).flip(0)
    rates = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    for kind in READING:
        mapped = torch.func.vmap(lambda x, r: kind(x, KEY, rows=r))(x, rows)  # noqa: B023
        apart = [kind(part, KEY, rows=own.tolist()) for part, own in zip(x, rows, strict=True)]
        assert_same_bits(mapped, torch.stack(apart))
        live = torch.func.vmap(lambda x, p: kind(x, KEY, **{kind.RATE: p}), randomness="same")  # noqa: B023
        apart = [kind.at_rate(float(p))(part, KEY) for part, p in zip(x, rates, strict=True)]
        assert_same_bits(live(x, rates), torch.stack(apart))


@each_kind
def test_compiled_code(kind: ng.Kind) -> None:
    x = sample(6, 5, dtype=torch.float32).requires_grad_()
    forms = [lambda x: kind(x, KEY), ng.torch.layer(kind, seed=13, site="a")]
    for form in forms:
        compiled = torch.compile(form, fullgraph=True, backend="aot_eager")
        if isinstance(form, nn.Module):
            form.step = 4
        y = compiled(x)
        assert_same_bits(y, kind(x, KEY))
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert_same_bits(grad, gain_of(kind, x.shape, dtype="float32"))


@each_kind
def test_torch_func_inside_of_compiled_code(kind: ng.Kind) -> None:
    x = sample(3, 4, 5, dtype=torch.float32)
    whole = kind(x.reshape(12, 5), KEY).reshape(x.shape)
    gain = gain_of(kind, (12, 5), dtype="float32").reshape(x.shape)

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        def noisy(x: Tensor) -> tuple[Tensor, Tensor]:
            y = kind(x, KEY)
            return y.sum(), y

        return torch.func.vmap(torch.func.grad(noisy, has_aux=True), **DIFFERENT)(x)

    grads, y = torch.compile(both, fullgraph=True, backend="aot_eager")(x)
    assert_same_bits(y, whole)
    assert_same_bits(grads, gain)

    def along(x: Tensor, v: Tensor) -> Any:
        return torch.func.jvp(lambda x: kind(x, KEY), (x,), (v,))

    value, tangent = torch.compile(along, fullgraph=True, backend="aot_eager")(x[0], x[1])
    assert_same_bits(value, kind(x[0], KEY))
    assert_same_bits(tangent, x[1] * gain_of(kind, (4, 5), dtype="float32"))
    if kind.is_identity(0):
        idle = kind.at_rate(0)
        noisy = torch.func.grad_and_value(lambda x: idle(x, KEY).sum())
        grad, value = torch.compile(noisy, fullgraph=True, backend="aot_eager")(x)
        assert_same_bits(value, x.sum())
        assert_same_bits(grad, torch.ones_like(x))
    infinite = x[0].clone()
    infinite[0, 0] = float("inf")
    value, _ = torch.compile(along, fullgraph=True, backend="aot_eager")(infinite, x[1])
    assert_same_bits(value, kind(infinite, KEY))


@each_kind
def test_members_that_share_noise_in_compiled_code_have_inputs_of_their_own(kind: ng.Kind) -> None:
    x = sample(3, 4, 5, dtype=torch.float32)
    mapped = torch.func.vmap(lambda x: kind(x, KEY), randomness="same")
    y = torch.compile(mapped, fullgraph=True, backend="aot_eager")(x)
    assert_same_bits(y, torch.stack([kind(part, KEY) for part in x]))


@each_kind
def test_gradients_of_models_and_layers_by_torch_func_in_compiled_code(kind: ng.Kind) -> None:
    net, x = Net(), sample(8, 5, dtype=torch.float32)
    noise = ng.inject(net, {"place:out": kind}, seed=13)
    layer = nn.Sequential(net.first, Square(), ng.torch.layer(kind, seed=13, site="place:out"))
    for model, reset in ((net, noise), (layer, layer[2])):
        parameters = dict(model.named_parameters())

        def loss(parameters: Any, x: Tensor, model: nn.Module = model) -> Tensor:
            return torch.func.functional_call(model, parameters, (x,)).sum()

        reset.step = 4
        wanted = torch.func.grad(loss)(parameters, x)
        reset.step = 4
        found = torch.compile(torch.func.grad(loss), fullgraph=True, backend="aot_eager")(
            parameters, x
        )
        for name in parameters:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-6)


def test_functions_of_the_face_in_compiled_code() -> None:
    x = sample(6, 5, dtype=torch.float32)

    def noisy(x: Tensor) -> Tensor:
        return ng.torch.quantization_noise(x, 0.5, bits=3, key=KEY)

    both = torch.func.grad_and_value(lambda x: noisy(x).sum())
    grad, value = torch.compile(both, fullgraph=True, backend="aot_eager")(x)
    assert_same_bits(value, noisy(x).sum())
    assert_same_bits(grad, torch.ones_like(x))


def test_a_kind_that_reads_its_input_is_never_drawn_for_several_steps_at_once() -> None:
    class Hasty(Rounding):
        elementwise = True

    assert not Hasty().elementwise
    net, x = Net(), sample(8, 5, dtype=torch.float32)
    with pure_engines():
        result = ng.predict(net, x, 4, rules={"place:out": Hasty()}, seed=13)
        inner = net.first(x).square()
        keys = [ng.Stream(13).site("place:out").at(step) for step in range(4)]
        each = torch.stack([net.last(Hasty()(inner, key)) for key in keys])
    np.testing.assert_allclose(result.mean, each.detach().mean(0), rtol=1e-4, atol=1e-5)
    mapped = torch.func.vmap(lambda x: Hasty()(x, KEY), randomness="same")(inner[None])
    assert_same_bits(mapped[0].detach(), Hasty()(inner, KEY).detach())


@pytest.mark.parametrize("kind", [ShakeDrop(0.6), ShakeShake()], ids=repr)
def test_complex_numbers_have_one_derivative_for_both_parts(kind: ng.Kind) -> None:
    x = torch.complex(sample(4, 5), sample(4, 5).flip(0)).requires_grad_()
    y = kind(x, KEY)
    assert_same_bits(y.real, kind(x.real, KEY))
    (grad,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert_same_bits(grad.real.contiguous(), gain_of(kind, (4, 5)))

    def along(x: Tensor, v: Tensor) -> Any:
        return torch.func.jvp(lambda x: kind(x, KEY), (x,), (v,))

    given = x.detach(), torch.ones_like(x)
    value, tangent = torch.compile(along, fullgraph=True, backend="aot_eager")(*given)
    assert_same_bits(value, y.detach())
    assert_same_bits(tangent, grad)


class Square(nn.Module):
    """The square, which is not negative."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class Net(nn.Module):
    """A linear layer, and noise on its square."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.place, self.last = nn.Linear(5, 6), nn.Identity(), nn.Linear(6, 2)
        self.saves = False

    def inner(self, x: Tensor) -> Tensor:
        return self.place(self.first(x).square())

    def forward(self, x: Tensor) -> Tensor:
        y = checkpoint(self.inner, x, use_reentrant=False) if self.saves else self.inner(x)
        return self.last(y)


@each_kind
def test_models(kind: ng.Kind) -> None:
    """Injected, reported, replayed, checkpointed, copied, compiled, predicted, removed."""
    net, x = Net(), sample(8, 5, dtype=torch.float32)
    clean = net(x)
    noise = ng.inject(net, {"place:out": kind}, seed=13)
    key = ng.Stream(13).site("place:out").at(4)

    def run(net: nn.Module, handle: Any) -> list[Tensor]:
        net.zero_grad()
        handle.step = 4
        y = net(x)
        y.sum().backward()
        return [y.detach(), *(p.grad.clone() for p in net.parameters())]

    plain = run(net, noise)
    inner = net.first(x).square()
    assert_same_bits(plain[0], net.last(kind(inner, key)).detach())
    above = torch.ones(8, 2) @ net.last.weight
    wanted = torch.autograd.grad(
        inner, net.first.weight, above * gain_of(kind, (8, 6), key, "float32")
    )
    assert_same_bits(plain[1], wanted[0])
    assert type(kind).__name__ in noise.report()
    if kind.removes:
        assert_same_bits(noise.mask("place:out"), ng.mask(kind, (8, 6), key).copy())
    net.saves = True
    assert all(map(torch.equal, run(net, noise), plain))
    net.saves = False
    other = copy.deepcopy(net)
    assert all(map(torch.equal, run(other, ng.handles(other)[0]), plain))
    assert all(map(torch.equal, run(torch.compile(net, backend="aot_eager"), noise), plain))
    noise.remove()
    assert_same_bits(net(x), clean)
    result = ng.predict(net, x, 3, rules={"place:out": kind}, seed=13)
    assert result.mean.shape == (8, 2)
