"""Compiled calls of kinds: what one graph may hold."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits

DROPOUT, NOISE = ng.Dropout(0.4), ng.GaussianNoise(0.2)
STREAM = ng.Stream(13)
X = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


def call_twice(x: Tensor) -> Tensor:
    y = DROPOUT(x, STREAM.site("a").at(3))
    return NOISE(y, STREAM.site("b").at(3))


def call_functions_twice(x: Tensor) -> Tensor:
    y = ng.torch.dropout(x, 0.4, key=STREAM.site("a").at(3))
    return ng.torch.gaussian_noise(y, 0.2, key=STREAM.site("b").at(3))


def call_with_rows_twice(x: Tensor) -> Tensor:
    y = ng.torch.dropout(x, 0.4, key=STREAM.site("a").at(3), rows=[5, 4, 3, 2, 1, 0])
    return ng.torch.dropout(y, 0.2, key=STREAM.site("b").at(3), rows=[9, 8, 7, 2, 1, 2**64 - 1])


@pytest.mark.parametrize("function", [call_twice, call_functions_twice, call_with_rows_twice])
def test_one_graph_holds_several_calls(function: Any) -> None:
    fast = torch.compile(function, backend="aot_eager", fullgraph=True)
    assert_same_bits(fast(X), function(X))


class Unflattening(nn.Module):
    """Calls a method of tensors that torch has written in Python, on its input and later."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.dropout(x.unflatten(-1, (2, 4)).relu(), 0.4, self.training)
        return y.unflatten(dim=0, sizes=(-1, 2))


@pytest.mark.parametrize("training", [True, False])
def test_a_watched_model_may_unflatten(training: bool) -> None:
    models = [nn.Sequential(Unflattening()).train(training) for _ in range(2)]
    for model in models:
        ng.inject(model, existing=True, example=X, seed=1)
    compiled = torch.compile(models[0], backend="eager", fullgraph=True)
    assert_same_bits(compiled(X), models[1](X))
