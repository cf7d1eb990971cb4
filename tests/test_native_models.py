"""Live rates, schedules, injection, prediction: the same bits with and without the engine."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines

KEY = ng.Stream(13).site("hid1:out").at(5)
X = torch.from_numpy(np.random.default_rng(1).normal(size=(12, 30)).astype(np.float32))


def assert_pure(function: Any) -> None:
    """A function that returns arrays or tensors gives the same by the pure engines."""
    found = function()
    with pure_engines():
        expected = function()
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)


LIVE = [
    (ng.Dropout(), "p"),
    (ng.Dropout(rescale=False), "p"),
    (ng.AlphaDropout(), "p"),
    (ng.ImpulseNoise(0.5, 0, 1), "p"),
    (ng.GaussianNoise(), "sigma"),
    (ng.GaussianDropout(), "p"),
    (ng.UniformNoise(1.0), "width"),
]
SHAPES = [(), (1,), (12, 1), (30,), (12, 30)]


@pytest.mark.parametrize(("kind", "rate"), LIVE, ids=repr)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_live_rates(kind: Any, rate: str, shape: tuple[int, ...]) -> None:
    live = np.random.default_rng(2).uniform(-0.1, 1.1, shape)
    flat = np.asarray(live).reshape(-1)
    flat[:1] = 0.3

    def function() -> list[Any]:
        y, cache = ng.numpy.forward(kind, X.numpy(), rng=KEY, **{rate: live})
        x = X.clone().requires_grad_()
        p = torch.tensor(np.asarray(live), requires_grad=kind.differentiable)
        z = kind(x, KEY, **{rate: p})
        z.backward(X)
        noise = ng.noise(kind, tuple(X.shape), KEY, **{rate: live})
        more = [p.grad] if kind.differentiable else []
        return [y, ng.numpy.backward(X.numpy(), cache), z.detach(), x.grad, *noise, *more]

    assert_pure(function)


@pytest.mark.parametrize("large", [False, True])
def test_schedules(large: bool) -> None:
    x = torch.ones(64, 5000) if large else X
    ramp = ng.schedule.linear(0.0, 0.9, steps=6)
    for kind in (ng.Dropout(ramp), ng.GaussianNoise(ramp), ng.DropBlock(ramp, 2, axes=-1)):
        assert_pure(lambda kind=kind: [kind(x, KEY._replace(step=step)) for step in range(8)])
        assert_pure(
            lambda kind=kind: [kind(x.numpy(), KEY._replace(step=step)) for step in range(8)]
        )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.drop = nn.Dropout2d(0.2)
        self.hid = nn.Linear(8 * 6 * 6, 64)
        self.last = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.drop(self.conv(x).relu()).flatten(1)
        return self.last(nn.functional.dropout(self.hid(h).relu(), 0.4, self.training))


RULES: list[dict[str, Any]] = [
    {"hid:out": ng.Dropout(0.5), ":in": ng.GaussianNoise(0.1)},
    {"conv:out": ng.DropBlock(0.2, 3), "hid:out": ng.AlphaDropout(0.3)},
    {"conv:out": ng.Dropout(0.3, shared_axes=slice(2, None)), "last:in": ng.UniformNoise(0.5)},
    {
        "hid:out": ng.Dropout(ng.schedule.linear(0.0, 0.5, steps=4)),
        ":in": ng.ImpulseNoise(0.1, 0, 1),
    },
    {"hid:out": [0.2, ng.GaussianNoise(0.1), ng.GaussianDropout(0.3)]},
]


def trained(rules: dict[str, Any]) -> list[Any]:
    """Outputs, gradients and weights of a few steps of training with noise."""
    torch.manual_seed(0)
    model, images = Net(), torch.randn(10, 3, 8, 8)
    with ng.inject(model, rules, seed=7, existing=True):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        outputs = []
        for _ in range(5):
            loss = model(images).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            outputs.append(loss.detach())
    return [*outputs, *(p.detach().clone() for p in model.parameters())]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_training_with_injected_noise(rules: dict[str, Any]) -> None:
    assert_pure(lambda: trained(rules))


def test_prediction() -> None:
    torch.manual_seed(0)
    model, images = Net().eval(), torch.randn(10, 3, 8, 8)

    def function() -> list[Any]:
        result = ng.predict(model, images, 7, existing=True, seed=3, keep_samples=True)
        return [result.mean, result.std, result.samples]

    assert_pure(function)
