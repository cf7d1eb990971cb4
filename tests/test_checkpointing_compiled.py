"""Blocks that are compiled one by one, in segments of a model that is not compiled."""

from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _cells import mark_cells

# torch's own, of the run on an example, which has no gradients.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")


class Block(nn.Module):
    """A block whose dropout is a function, and acts twice in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x + F.dropout(self.lin(x).sin(), 0.3, self.training)
        return x


class Net(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if self.reentrant is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.reentrant)
        return x


RULES: dict[str, dict[str, Any]] = {
    "existing": {"rules": {}, "existing": True},
    "both": {"rules": {"*.lin:in": ng.GaussianNoise(0.3)}, "existing": True},
}


def train(
    reentrant: bool | None, words: dict[str, Any], whole: bool | None, change: bool = False
) -> list[Tensor]:
    """Return outputs and gradients of micro-batches of a step, with and without ids, and of others.

    With `change`, everything that can change before the backward passes does.
    """
    torch.compiler.reset()
    model, data = Net(reentrant), torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
    noise = ng.inject(model, **words, example=data[0], seed=3)
    if whole is not None:
        for block in model.blocks:
            block.compile(backend="aot_eager", fullgraph=whole)
    leaves, outputs = [], []

    def run(x: Tensor) -> None:
        leaves.append(x.clone().requires_grad_())
        outputs.append(model(leaves[-1]))

    for rows in (None, [5, 2, 7, 1, 0, 3, 9, 8]):
        with noise.at(3, rows=rows):
            run(data[0])
            run(data[1])
            outputs[-2].square().sum().backward()  # within the block, and out of order
            outputs[-1].square().sum().backward()
    for x in data:
        run(x)
    if change:
        noise.step, noise.rows = 40, range(100, 104)
    (outputs[-1].square().sum() + outputs[-2].square().sum()).backward()
    assert noise.step == (40 if change else 2)
    return [*outputs, *(leaf.grad for leaf in leaves)]  # type: ignore[list-item]


@cache
def train_plainly(name: str) -> list[Tensor]:
    return train(None, RULES[name], None)


@pytest.mark.parametrize(
    ("name", "whole", "reentrant"), mark_cells(RULES, [True, False], [True, False], every=2)
)
def test_gradients_are_those_of_eager_code_without_checkpointing(
    name: str, whole: bool, reentrant: bool
) -> None:
    found = train(reentrant, RULES[name], whole, change=True)
    for mine, theirs in zip(found, train_plainly(name), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
