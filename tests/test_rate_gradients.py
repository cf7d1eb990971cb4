"""Gradients of rates: of every order and direction, and where there is none, an error."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.core.kinds import KINDS

KEY = ng.Stream(13).site("hid1:out").at(3)
SMOOTH = [
    ng.GaussianNoise(),
    ng.UniformNoise(1.0),
    ng.GaussianDropout(),
    ng.ConcreteDropout(temperature=0.5),
    ng.GaussianNoise(shared_axes=1),
    ng.GaussianDropout(shared_axes=-1),
]
REMOVING = [
    ng.Dropout(),
    ng.Dropout(rescale=False),
    ng.AlphaDropout(),
    ng.ImpulseNoise(0.1, 0, 1),
    ng.Zoneout(),
]
each_smooth = pytest.mark.parametrize("kind", SMOOTH, ids=repr)
each_removing = pytest.mark.parametrize("kind", REMOVING, ids=repr)
each_shape = pytest.mark.parametrize("shape", [(), (4,), (3, 1), (3, 4)])


def at(kind: ng.Kind) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, rate: kind(x, KEY, **{kind.RATE: rate})


def x_and_rate(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    return x, (torch.rand(shape, dtype=torch.float64) * 0.4 + 0.1).requires_grad_()


@each_smooth
@each_shape
def test_gradients_of_both_orders_and_directions(kind: ng.Kind, shape: tuple[int, ...]) -> None:
    x, rate = x_and_rate(shape)
    assert gradcheck(at(kind), (x, rate), check_forward_ad=True)
    assert gradgradcheck(at(kind), (x, rate))


@each_smooth
def test_transforms(kind: ng.Kind) -> None:
    x, rate = x_and_rate((4,))
    x, rate = x.detach(), rate.detach()

    def total(rate: Tensor) -> Tensor:
        return at(kind)(x, rate).square().sum()

    (expected,) = torch.autograd.grad(total(rate.requires_grad_()), rate)
    rate = rate.detach()
    torch.testing.assert_close(torch.func.grad(total)(rate), expected)
    torch.testing.assert_close(torch.func.jacfwd(total)(rate), expected)
    hessian = torch.func.hessian(total)(rate)
    # Not forward over forward, which is refused: see test_functorch_values.py.
    torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.jacrev(total))(rate))
    torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.jacfwd(total))(rate))
    several = torch.stack([rate, rate / 2])
    rows = torch.func.vmap(torch.func.grad(total), randomness="same")(several)
    torch.testing.assert_close(rows[0], expected)


def test_the_gradient_is_the_noise_itself() -> None:
    sigma = torch.tensor(0.7, requires_grad=True)
    y = ng.GaussianNoise()(torch.zeros(5, 6), KEY, sigma=sigma)
    weights = torch.randn(5, 6)
    y.backward(weights)
    epsilon = torch.from_numpy(ng.noise(ng.GaussianNoise(1.0), (5, 6), KEY).shift.copy())
    assert sigma.grad is not None
    torch.testing.assert_close(sigma.grad, (weights * epsilon).sum())


@each_smooth
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(kind: ng.Kind, dtype: torch.dtype) -> None:
    x, rate = x_and_rate((3, 1))
    exact = torch.autograd.grad(at(kind)(x, rate).sum(), (x, rate))
    small = x.detach().to(dtype).requires_grad_(), rate.detach().float().requires_grad_()
    got = torch.autograd.grad(at(kind)(*small).sum(), small)
    assert (got[0].dtype, got[1].dtype) == (dtype, torch.float32)
    for mine, theirs in zip(got, exact, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=0.05, atol=0.05)


def test_complex_input() -> None:
    x = torch.randn(3, 4, dtype=torch.complex128, requires_grad=True)
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for kind in (ng.GaussianDropout(), ng.ConcreteDropout(temperature=0.5)):
        assert gradcheck(at(kind), (x, rate), check_forward_ad=True)


@each_smooth
def test_beyond_its_bounds_a_clamped_rate_has_gradient_0(kind: ng.Kind) -> None:
    rate = torch.tensor([-0.5, 0.3], requires_grad=True)
    (grad,) = torch.autograd.grad(at(kind)(torch.ones(9, 2), rate).sum(), rate)
    assert grad[0] == 0 or grad[0].isnan()  # 0 times an infinite slope, at p = 0
    assert grad[1] != 0
    if isinstance(kind, ng.GaussianNoise | ng.UniformNoise):
        assert grad[0] == 0


@each_smooth
def test_a_rate_without_gradient_saves_no_input(kind: ng.Kind) -> None:
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    x, rate = torch.randn(8, 8, requires_grad=True), torch.tensor(0.3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        (grad,) = torch.autograd.grad(at(kind)(x, rate).sum(), x)
        assert saved == [1]
        saved.clear()
        # Of the rate: x and the rate, and no noise.
        at(kind)(x, rate.clone().requires_grad_()).sum().backward()
        assert sorted(saved) == [1, 64]
    assert x.grad is not None
    assert_same_bits(x.grad, grad)


@each_removing
def test_a_decision_has_no_gradient(kind: ng.Kind) -> None:
    sentence = "requires grad, but the decision to remove has no gradient. ConcreteDropout has one"
    p = torch.tensor(0.3)
    with pytest.raises(ng.InvalidValue, match=sentence):
        at(kind)(torch.ones(3), p.clone().requires_grad_())
    with pytest.raises(ng.InvalidValue, match=sentence):
        torch.func.grad(lambda p: at(kind)(torch.ones(3), p).sum())(p)
    with pytest.raises(ng.InvalidValue, match=sentence):
        torch.func.jvp(lambda p: at(kind)(torch.ones(3), p), (p,), (p,))
    with torch.no_grad():
        at(kind)(torch.ones(3), p.clone().requires_grad_())
    at(kind)(torch.ones(3, requires_grad=True), p).sum().backward()


def test_every_kind_says_whether_its_rate_has_a_gradient() -> None:
    smooth = {"GaussianNoise", "UniformNoise", "GaussianDropout", "ConcreteDropout"}
    smooth |= {"MultiplicativeUniformNoise", "SpeckleNoise", "NeftuneNoise"}
    for name, kind in KINDS.items():
        assert (kind.slope is not ng.Kind.slope) == (name in smooth)
