"""What changes between a forward and its backward does not change a segment that runs again."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_sentence


class Wave(nn.Module):
    """A segment whose gradient shows the mask that it is computed with."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Identity(), nn.Dropout(0.3))
        self.reentrant = reentrant

    def segment(self, x: Tensor) -> Tensor:
        return self.parts(x.exp()).sin()

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.segment(x)
        return checkpoint(self.segment, x, use_reentrant=self.reentrant)


def inject(model: nn.Module) -> Any:
    return ng.inject(model, {"parts.0:out": 0.5}, existing=True, seed=1)


def is_right(x: Tensor, y: Tensor) -> bool:
    """Return whether the gradient of the sum of y = sin(mask * exp(x)) belongs to its mask."""
    x.grad = None
    y.sum().backward()
    angle = y.detach().asin()
    return torch.allclose(x.grad, angle.cos() * angle, atol=1e-5)


CHANGES: dict[str, Callable[[Any, Wave], Any]] = {
    "nothing": lambda noise, model: None,
    "a rate": lambda noise, model: noise.set_rate("parts.0:out", 0.9),
    "a schedule": lambda noise, model: noise.set_rate(
        "parts.0:out", ng.schedule.linear(0.0, 0.9, steps=10)
    ),
    "a rate of 0": lambda noise, model: noise.set_rate("parts.0:out", 0.0),
    "a dropout's rate": lambda noise, model: noise.set_rate("parts.1:dropout", 0.9),
    "the step": lambda noise, model: setattr(noise, "step", 50),
    "silence": lambda noise, model: noise.off(),
    "more noise": lambda noise, model: ng.inject(model, {"parts.1:out": 0.5}, seed=2),
    "another handle": lambda noise, model: inject(Wave(None)),
}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_a_segment_runs_again_with_the_noise_of_its_forward(change: str, reentrant: bool) -> None:
    model = Wave(reentrant)
    noise = inject(model)
    x = torch.full((8, 8), -3.0, requires_grad=True)
    first = model(x)
    kept = CHANGES[change](noise, model)
    rates = [each.placement.kind for each in noise.noises]
    second = model(x)
    assert is_right(x, first)
    assert is_right(x, second)
    assert [each.placement.kind for each in noise.noises] == rates
    third = model(x)
    if change not in ("nothing", "the step", "another handle"):
        assert (third == 0).sum() != (first == 0).sum()
    assert is_right(x, third)
    del kept


def test_the_check_can_fail() -> None:
    x = torch.full((8, 8), -3.0, requires_grad=True)
    y, z = (nn.functional.dropout(x.exp(), 0.5).sin() for _ in range(2))
    assert is_right(x, y)
    assert not is_right(x, y.detach() + z - z.detach())


@pytest.mark.parametrize("reentrant", [True, False])
def test_noise_that_is_removed_before_its_backward_is_refused(reentrant: bool) -> None:
    model, x = Wave(reentrant), torch.full((8, 8), -3.0, requires_grad=True)
    clean = model(x)
    with inject(model):
        y = model(x)
    with assert_sentence(
        ng.RecomputationError,
        "inject: the noise was removed between a forward and its backward pass, which computes "
        "segments of torch.utils.checkpoint again, and without the noise the gradient would be "
        "wrong. Remove it after the backward pass.",
    ):
        y.sum().backward()
    clean.sum().backward()
    with inject(model):
        assert is_right(x, model(x))  # what was refused has left no trace
