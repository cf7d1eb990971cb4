"""A model that makes noise by functions, in attention and by a module; and its output."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng

X = torch.randn(5, 8)


def key(site: str, seed: int = 1, step: int = 0, call: int = 0) -> ng.Key:
    return ng.Stream(seed).site(site).at(step, call)


def trace(model: nn.Module) -> list[Any]:
    return [
        {
            name: dict(v) if "hook" in name else v
            for name, v in vars(module).items()
            if v is not None
        }
        for module in model.modules()
    ]


class Functional(nn.Module):
    """A dropout by function, attention by function, and a dropout module."""

    def __init__(self, p: float = 0.3, fast: bool = True) -> None:
        super().__init__()
        self.p, self.fast = p, fast
        self.inner = Inner(p)
        self.drop = nn.Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(self.drop(x)).reshape(len(x), 2, 4, -1)
        p = self.p if self.training else 0.0
        if self.fast:
            return F.scaled_dot_product_attention(h, h, h, dropout_p=p)
        weights = torch.softmax(h @ h.transpose(-2, -1) / h.shape[-1] ** 0.5, -1).to(h.dtype)
        return F.dropout(weights, p, self.training) @ h


class Inner(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 64)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.linear(x), self.p, self.training)


def functional(**words: Any) -> Functional:
    torch.manual_seed(0)
    return Functional(**words)


def by_hand(model: Functional, p: float = 0.3, step: int = 0, seed: int = 1) -> Tensor:
    kind = ng.Dropout(p)
    h = kind(X, key("drop:dropout", step=step, seed=seed))
    h = kind(model.inner.linear(h), key("inner:dropout", step=step, seed=seed))
    h = h.reshape(5, 2, 4, -1)
    weights = torch.softmax(h @ h.transpose(-2, -1) / 8**0.5, -1)
    probs = kind(weights, key(":probs", step=step, seed=seed), sample_axis="attention")
    return probs @ h
