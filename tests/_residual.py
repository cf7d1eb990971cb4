"""Models with residual blocks, for the tests of the port `branch`."""

from typing import Any

import torch
from torch import Tensor, nn

import noisegate as ng

N, WIDTH = 8, 6


class Block(nn.Module):
    """A residual block that counts what it computes."""

    def __init__(self, width: int = WIDTH, drop: float = 0.0) -> None:
        super().__init__()
        self.inner, self.drop = nn.Linear(width, width), nn.Dropout(drop)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(len(x))
        return x + self.drop(torch.tanh(self.inner(x)))


class Deep(nn.Module):
    """A stack of residual blocks."""

    def __init__(self, depth: int = 3, drop: float = 0.0, make: Any = None) -> None:
        super().__init__()
        make = make or (lambda: Block(drop=drop))
        self.layers = nn.ModuleList(make() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    @property
    def seen(self) -> list[list[int]]:
        return [layer.seen for layer in self.layers]


def deep(depth: int = 3, drop: float = 0.0) -> Deep:
    """Return a stack of blocks with known weights."""
    torch.manual_seed(depth)
    return Deep(depth, drop).double().train()


def inputs(count: int = N) -> Tensor:
    """Return samples with known values."""
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(5)).double()


def read_kept(noise: Any, site: str, step: int) -> Tensor:
    """Return which samples a block keeps at a step."""
    mask = torch.as_tensor(noise.mask(site, step))
    kept = mask.reshape(len(mask), -1)[:, 0]
    assert bool((mask == kept.reshape(-1, *[1] * (mask.ndim - 1))).all())
    return kept


def expect(block: Any, x: Tensor, kept: Tensor, p: float) -> Tensor:
    """Return what stochastic depth makes of x, by its formula."""
    return torch.where(kept[:, None], x + (block(x) - x) / (1 - p), x)


BATCH = ng.Dropout(0.5, shared_axes=slice(None))
