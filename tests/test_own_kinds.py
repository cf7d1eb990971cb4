"""A kind written outside of the package works in every engine, face, mask, gradient and config."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_ulps, assert_within
from _backends import BACKENDS, each_dtype, numpy_of
from _own_kinds import OWN, LaplaceNoise, NoisyGate, SignFlip
from noisegate.core.kinds import KINDS as CATALOGUE

KEY = ng.Stream(13).site("a").at(4)
KINDS = [
    SignFlip(0.3),
    SignFlip(0.3, shared_axes=slice(1, None)),
    LaplaceNoise(0.5),
    NoisyGate(0.2),
    NoisyGate(ng.schedule.linear(0, 1, steps=8), shut=0.5),
]
OURS = [
    *(ng.Dropout(0.3), ng.AlphaDropout(0.3), ng.GaussianDropout(0.3), ng.GaussianNoise(0.3)),
    *(ng.UniformNoise(0.3), ng.ImpulseNoise(0.3, 0, 1), ng.DropBlock(0.3, 2)),
    *(ng.ConcreteDropout(0.3, shared_axes=1), ng.DropKey(0.3)),
    *(ng.MultiplicativeUniformNoise(0.3), ng.SpeckleNoise(0.3), ng.NeftuneNoise(3)),
    *(ng.ShotNoise(0.3), ng.QuantizationNoise(0.3), ng.RandomErasing(0.3), ng.SpanMask(0.3, 4)),
    ng.Zoneout(0.3),
    ng.PatchDropout(0.3),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


@each_kind
@each_dtype
@pytest.mark.parametrize("shape", [(), (7,), (3, 0), (4, 5), (2, 3, 4)])
def test_every_engine(kind: ng.Kind, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    x = sample(shape, dtype)
    ours, theirs = (numpy_of(kind(backend.array(x), KEY)) for backend in BACKENDS)
    assert (ours.shape, ours.dtype) == (shape, dtype)
    if isinstance(kind, LaplaceNoise):  # a library's own logarithm
        assert_ulps(theirs, ours, 2, larger=np.maximum(1, np.abs(ours.astype(float))))
    else:
        assert_same_bits(theirs, ours)


@each_kind
def test_field_forward_backward_layer_and_gradient(kind: ng.Kind) -> None:
    x = sample((6, 5))
    keep, gain, shift, fill = ng.noise(kind, x.shape, KEY)
    out, cache = ng.numpy.forward(kind, x, rng=KEY)
    assert_same_bits(out, np.where(keep, gain * x + shift, fill))
    assert_same_bits(ng.numpy.backward(x, cache), np.where(keep, gain * x, np.float32(0)))
    leaf = torch.from_numpy(x).requires_grad_()
    y = kind(leaf, KEY)
    (grad,) = torch.autograd.grad(y, leaf, torch.from_numpy(x))
    assert_same_bits(grad, ng.numpy.backward(x, cache))
    layer = ng.torch.layer(kind, seed=13, site="a")
    assert type(layer) is ng.torch.NoiseLayer
    layer.step = 4
    assert_same_bits(layer(leaf), y)
    assert repr(layer) == f"NoiseLayer({kind!r}, seed=13, site='a')"
    setattr(layer, kind.RATE, 0.0)
    assert getattr(layer, kind.RATE) == 0.0
    if kind.removes:
        assert_same_bits(np.array(ng.mask(kind, x.shape, KEY)), np.array(keep))


@each_kind
def test_config_and_pickle(kind: ng.Kind) -> None:
    text = json.dumps(kind.config())
    assert ng.from_config(json.loads(text), kinds=OWN) == kind
    with pytest.raises(ng.InvalidValue, match="unknown kind"):
        ng.from_config(json.loads(text))
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert hash(ng.from_config(json.loads(text), OWN)) == hash(kind)


@each_kind
def test_injection(kind: ng.Kind) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    x = torch.randn(3, 4)
    clean = model(x)
    noise = ng.inject(model, {"1:out": kind}, seed=13)
    noise.step = 4
    key = ng.Stream(13).site("1:out").at(4)
    assert_same_bits(model(x), kind(clean, key))
    assert type(kind).__name__ in noise.report()
    noise.remove()


def test_statistics() -> None:
    flipped = SignFlip(0.3)(np.ones((500, 1000)), KEY)
    assert set(np.unique(flipped)) == {-1.0, 1.0}
    assert_rate(int((flipped < 0).sum()), flipped.size, 0.3)
    laplace = LaplaceNoise(0.5)(np.zeros((500, 1000)), KEY)
    assert_within(laplace.mean(), 0, (0.5 / laplace.size) ** 0.5)
    assert_within(laplace.var(), 0.5, (0.5**2 * 5 / laplace.size) ** 0.5)  # kurtosis 6
    gate = NoisyGate(0.2)(np.ones((500, 1000)), KEY)
    assert_rate(int((gate == -1).sum()), gate.size, 0.25)
    kept = gate[gate != -1]
    variance = 0.2**2 * (1 + 1 / 3)
    assert_within(kept.mean(), 1, (variance / kept.size) ** 0.5)


@pytest.mark.parametrize("kind", [LaplaceNoise(), NoisyGate()], ids=repr)
def test_gradients_of_the_rate(kind: ng.Kind) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    for shape in ((), (3, 1)):
        rate = torch.full(shape, 0.3, dtype=torch.float64, requires_grad=True)
        assert gradcheck(
            lambda x, rate: kind(x, KEY, **{kind.RATE: rate}), (x, rate), check_forward_ad=True
        )
        assert gradgradcheck(lambda x, rate: kind(x, KEY, **{kind.RATE: rate}), (x, rate))


def test_what_a_gate_shuts_out_is_gone_from_every_gradient() -> None:
    x = torch.full((6, 50), float("nan"), requires_grad=True)
    sigma = torch.full((6, 50), 0.3, requires_grad=True)
    shut = torch.from_numpy(~ng.mask(NoisyGate(0.3), (6, 50), KEY))
    y = NoisyGate()(x, KEY, sigma=sigma)
    grads = torch.autograd.grad(y, (x, sigma), torch.full((6, 50), float("nan")))
    assert (y[shut] == -1).all()
    for grad in grads:
        assert (grad[shut] == 0).all()
        assert grad[~shut].isnan().all()


def test_without_a_slope_a_rate_that_requires_grad_is_refused() -> None:
    with pytest.raises(ng.InvalidValue, match="SignFlip: `p` requires grad"):
        SignFlip()(torch.ones(3), KEY, p=torch.tensor(0.3, requires_grad=True))


def test_reprs_leave_out_what_is_at_its_default() -> None:
    assert repr(SignFlip(0.3)) == "SignFlip(p=0.3)"
    assert repr(NoisyGate(0.2, value=3.0)) == "NoisyGate(sigma=0.2, value=3.0)"


def test_bounds_are_checked_and_clamped() -> None:
    with pytest.raises(ng.InvalidValue, match=r"NoisyGate: `sigma` must be in \[0, 3\]; got 4.0"):
        NoisyGate(4.0)
    x = np.ones((3, 4))
    assert_same_bits(NoisyGate()(x, KEY, sigma=np.array(9.0)), NoisyGate(3.0)(x, KEY))
    assert SignFlip(0.0)(x, KEY) is x


def test_a_kind_of_noisegate_s_has_the_layer_of_its_name() -> None:
    assert {type(kind).__name__ for kind in OURS} == set(CATALOGUE)
    for kind in OURS:
        layer = ng.torch.layer(kind, seed=13, site="a")
        assert type(layer) is getattr(ng.torch, type(kind).__name__)
        assert layer.kind == kind
