"""Faults that were found in keyed draws: each test failed first."""

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from torch.utils.flop_counter import FlopCounterMode

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _draws import run_at

X = torch.randn(10, 5, generator=torch.Generator().manual_seed(1))


class Function(nn.Module):
    """A module of a function of its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def draw(function: Callable[[Tensor], Tensor], x: Tensor = X) -> Tensor:
    """Return the output at step 3 of a model that draws by a function."""
    model = nn.Sequential(Function(function), nn.Dropout(2**-32))
    noise = ng.inject(model, existing=True, seed=1)
    y: Tensor = run_at(noise, 3, lambda: model(x))
    return y


@pytest.mark.parametrize(
    "function",
    [
        lambda y: torch.bernoulli(y, out=y),
        lambda y: torch.normal(y, 1.0, out=y),
        lambda y: torch.normal(0.0, y, out=y),
        lambda y: torch.normal(y, y, out=y),
    ],
)
def test_an_output_may_be_a_parameter_too(function: Callable[[Tensor], Tensor]) -> None:
    y = draw(lambda x: function(x.sigmoid()))
    assert y.shape == X.shape
    assert len(y.unique(dim=0)) > 5


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_masks_by_hand_may_be_of_any_dtype(dtype: torch.dtype) -> None:
    def mask(x: Tensor) -> Tensor:
        return x * torch.empty(10, 5, dtype=dtype).bernoulli_(0.5)

    y = draw(mask)
    assert_same_bits(draw(mask), y)
    assert 0.2 < (y == 0).float().mean() < 0.8


def scale_by_others(y: Tensor) -> Tensor:
    return y * random.random() * np.random.rand()  # noqa: NPY002


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_nested_segments_draw_from_other_generators_as_they_did(outer: bool, inner: bool) -> None:
    def nest(x: Tensor) -> Any:
        inside = functools.partial(checkpoint, scale_by_others, use_reentrant=inner)
        return checkpoint(inside, x, use_reentrant=outer)

    x = X.clone().requires_grad_()
    y = draw(nest, x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (y / x).detach())


class Skipping(nn.Module):
    """A layer that a coin of `uniform_` skips."""

    def __init__(self, high: float, rate: float) -> None:
        super().__init__()
        self.layer, self.high, self.rate, self.ran = nn.Dropout(0.1), high, rate, 0

    def forward(self, x: Tensor) -> Any:
        if torch.empty(1).uniform_(0, self.high) < self.rate:
            return x
        self.ran += 1
        return self.layer(x)


def test_a_coin_of_uniform_follows_the_rate_of_its_site() -> None:
    model = Skipping(1.0, 0.3)
    noise = ng.inject(model, existing=True, seed=1, example=X)
    for rate, expected in ((0.0, 20), (1.0, 0)):
        noise.set_rate("*:skip", rate)
        model.ran = 0
        for _ in range(20):
            model(X)
        assert model.ran == expected
    assert noise.mask(":skip").shape == ()


def test_a_number_of_another_range_is_a_draw_without_a_rate() -> None:
    model = Skipping(2.0, 0.5)
    assert ng.inject(model, existing=True, seed=1, example=X).sites == ("layer:dropout",)


def test_a_prediction_of_a_model_that_draws_from_other_generators_alone() -> None:
    model = nn.Sequential(nn.Linear(5, 5), Function(scale_by_others))
    words: dict[str, Any] = {"existing": True, "seed": 1, "keep_samples": True}
    first, second = (ng.predict(model, X, 5, **words).samples for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first, second)
    assert len({sample.tobytes() for sample in first}) == 5


def test_a_draw_that_mixes_samples_is_named_where_batches_would_differ() -> None:
    model = nn.Sequential(nn.Linear(5, 5), Function(lambda x: x + x[torch.randperm(len(x))]))
    with pytest.raises(ng.InvalidValue, match="predict: the site '1:draw' sees 4 samples"):
        ng.predict(model, X, 5, existing=True, seed=1, batch_size=4)


class Averaging(nn.Module):
    """A module that, in training alone, draws and changes a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        average: Tensor = self.get_buffer("average")
        if self.training:
            average.mul_(0.9).add_(x.mean(0) * 0.1)
            x = x + torch.rand_like(x)
        return x + average


def test_predictions_change_no_buffer_of_a_module_that_draws_in_training_alone() -> None:
    model = nn.Sequential(Averaging()).eval()
    means = [ng.predict(model, X, 5, existing=True, seed=1).mean for _ in range(2)]
    np.testing.assert_array_equal(*means)
    assert not model[0].average.any()


def test_draws_that_another_handle_makes_are_not_taken_over_again() -> None:
    model = nn.Sequential(Function(lambda x: x + torch.rand(x.shape)))
    ng.inject(model, existing=True, seed=1, example=X)
    with assert_sentence(
        ng.InvalidValue,
        "inject: existing=True, and the model's own '0:draw' is taken over by another handle "
        "already. Remove that one first; noisegate.handles(model) has it.",
    ):
        ng.inject(model, existing=True, seed=2)


def shake(x: Tensor) -> Tensor:
    return (x * torch.rand(x.shape)).sin()


def test_a_mode_that_counts_operations_changes_no_draw() -> None:
    expected = draw(shake)
    with FlopCounterMode(display=False):
        assert_same_bits(draw(shake), expected)


@pytest.mark.parametrize("policy", [CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_RECOMPUTE])
def test_selective_checkpointing_draws_the_same(policy: CheckpointPolicy) -> None:
    how = functools.partial(
        create_selective_checkpoint_contexts, lambda context, operator, *args, **kwargs: policy
    )

    def segment(x: Tensor) -> Any:
        return checkpoint(shake, x, use_reentrant=False, context_fn=how)

    results = []
    for function in (shake, segment):
        x = X.clone().requires_grad_()
        y = draw(function, x)
        y.sum().backward()
        assert x.grad is not None
        results.append((y, x.grad))
    for one, other in zip(*results, strict=True):
        assert_same_bits(one.detach(), other.detach())
