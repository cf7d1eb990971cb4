"""Models of sequences, for the tests of the port `tokens`."""

from typing import Any

import torch
from torch import Tensor, nn

N, LENGTH, WIDTH = 5, 11, 8


class Mixer(nn.Module):
    """A layer in which each token depends on all others, and which records its sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.seen.append(x.shape[1])
        return x + torch.tanh(self.inner(x) + x.mean(1, keepdim=True))


class Sequences(nn.Module):
    """An embedding, layers, and the mean of the tokens."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.embed, self.layers = nn.Linear(3, WIDTH), nn.Sequential(*(Mixer(), Mixer())[:depth])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.embed(x)).mean(1)


class Given(nn.Module):
    """A module that returns what it is given."""

    def forward(self, x: Tensor, mask: Any = None, *rest: Any, **others: Any) -> Any:
        return x, mask, rest, others


def sequences() -> Sequences:
    """Return a model with known weights."""
    torch.manual_seed(4)
    return Sequences().double().train()


def inputs(count: int = N, length: int = LENGTH) -> Tensor:
    """Return sequences with known values."""
    return torch.randn(count, length, 3, generator=torch.Generator().manual_seed(5)).double()


def read_kept(noise: Any, site: str, step: int | None = None, axis: int = 0) -> Tensor:
    """Return which tokens of each sample are kept, (samples, tokens)."""
    mask = torch.as_tensor(noise.mask(site, step).copy())[..., 0]
    return mask if axis == 0 else mask.T


def take(x: Tensor, kept: Tensor) -> Tensor:
    """Return the kept tokens of each sample, sample by sample."""
    return torch.stack([row[mine] for row, mine in zip(x, kept, strict=True)])
