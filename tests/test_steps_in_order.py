"""A site has the noise of its step, in any order of steps and for any number of samples."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits

KINDS: dict[str, ng.Kind] = {
    "dropout": ng.Dropout(0.3),
    "unscaled": ng.Dropout(0.3, rescale=False),
    "all": ng.Dropout(1.0),
    "channels": ng.Dropout(0.5, shared_axes=slice(2, None)),
    "whole batch": ng.Dropout(0.5, shared_axes=0),
    "normal": ng.GaussianNoise(0.5),
    "gain": ng.GaussianDropout(0.4),
    "impulse": ng.ImpulseNoise(0.3, low=-1.0, high=1.0),
    "alpha": ng.AlphaDropout(0.3),
    "blocks": ng.DropBlock(0.3, block_size=2),
}


class Tap(nn.Module):
    """Returns another tensor of the same values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


def drawn(model: nn.Module, step: int, kind: ng.Kind, x: torch.Tensor) -> torch.Tensor:
    """Return x with the noise of a step, by the kind alone."""
    return kind(x, ng.Stream(13).site("0:out").at(step), sample_axis=0)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_steps_that_follow_each_other_have_their_own_bits(name: str, dtype: torch.dtype) -> None:
    kind = KINDS[name]
    model = nn.Sequential(Tap())
    ng.inject(model, {"0:out": kind}, seed=13)
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    for step in range(70):
        # Now and then an incomplete batch, as at the end of an epoch.
        part = x[: 4 if step % 9 == 8 else 6]
        assert_same_bits(model(part), drawn(model, step, kind, part))


def test_any_order_of_steps() -> None:
    kind = ng.Dropout(0.5)
    model = nn.Sequential(Tap())
    noise = ng.inject(model, {"0:out": kind}, seed=13)
    x = torch.ones(5, 8)
    for step in (0, 1, 2, 3, 9, 10, 11, 2, 3, 4, 200, 4, 12, 13, 14, 15, 2**32 - 1):
        noise.step = step
        assert_same_bits(model(x), drawn(model, step, kind, x))
    with noise.at(1, rows=[7, 3, 2, 1, 0]):
        assert_same_bits(model(x), kind(x, ng.Stream(13).site("0:out").at(1), [7, 3, 2, 1, 0], 0))


def test_gradients_of_every_order_are_those_of_the_kind() -> None:
    kind = ng.Dropout(0.5)
    model = nn.Sequential(Tap())
    ng.inject(model, {"0:out": kind}, seed=13)
    for step in range(5):
        x = torch.randn(5, 8).requires_grad_()
        found = [model(x), drawn(model, step, kind, x)]
        first = [torch.autograd.grad((y**3).sum(), x, create_graph=True)[0] for y in found]
        assert_same_bits(first[0].detach(), first[1].detach())
        second = [torch.autograd.grad(g.square().sum(), x, retain_graph=True)[0] for g in first]
        torch.testing.assert_close(second[0], second[1])
        assert ((first[0] == 0) == (found[0] == 0)).all()


def test_a_rate_that_changes_is_the_rate_of_the_next_step() -> None:
    model = nn.Sequential(Tap())
    noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    x = torch.ones(5, 8)
    for step, rate in enumerate([0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.0, 0.9, 0.9]):
        noise.set_rate("0:out", rate)
        assert_same_bits(model(x), drawn(model, step, ng.Dropout(rate), x))


def test_several_calls_in_a_forward_and_copies() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tap = Tap()

        def forward(self, x: torch.Tensor) -> Any:
            return self.tap(x), self.tap(x)

    model = Twice()
    ng.inject(model, {"tap:out": 0.5}, seed=13)
    x = torch.ones(5, 8)
    for step in range(6):
        pair = model(x)
        for call, y in enumerate(pair):
            key = ng.Stream(13).site("tap:out").at(step, call)
            assert_same_bits(y, ng.Dropout(0.5)(x, key, sample_axis=0))
    other = copy.deepcopy(model)
    assert_same_bits(other(x)[0], model(x)[0])
