"""Attention in every form that models write it: each computes the same."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES, HEADS, QUERIES, KEYS, WIDTH = 3, 4, 7, 9, 8


def make_tensors(
    samples: int = SAMPLES, queries: int = QUERIES, keys: int = KEYS, **words: Any
) -> list[Tensor]:
    """Return queries, keys and values; the first entries are the same for any extents."""
    made = torch.Generator().manual_seed(3)
    largest = torch.randn(3, 6, HEADS, 16, WIDTH, generator=made, dtype=words.get("dtype"))
    lengths = queries, keys, keys
    return [x[:samples, :, :n].clone() for x, n in zip(largest, lengths, strict=True)]


class Fused(nn.Module):
    """By torch's function."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask)


class Multiplied(nn.Module):
    """By two products and a softmax, as transformers' "eager" has it."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = torch.matmul(q, k.transpose(-2, -1)) / WIDTH**0.5
        scores = scores if mask is None else scores + mask
        weights = F.softmax(scores, dim=-1, dtype=torch.float64).to(q.dtype)
        y: Tensor = torch.matmul(F.dropout(weights, 0.0, self.training), v)
        return y


class Merged(nn.Module):
    """With heads and samples on one axis, and modules for the softmax and the dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax, self.dropout = nn.Softmax(-1), nn.Dropout(0.0)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        shape = q.shape
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        scores = torch.bmm(q * WIDTH**-0.5, k.transpose(-2, -1))
        if mask is not None:
            scores = scores + mask.expand(*shape[:2], *scores.shape[-2:]).flatten(0, 1)
        return torch.bmm(self.dropout(self.softmax(scores)), v).unflatten(0, shape[:2])


class Equations(nn.Module):
    """By einsum, with heads after queries."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        scores = torch.einsum("bqhd,bkhd->bhqk", q * WIDTH**-0.5, k)
        scores = scores if mask is None else scores + mask
        y: Tensor = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).transpose(1, 2)
        return y


class Operators(nn.Module):
    """By operators, with a mask by `masked_fill`."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = q @ k.mT * WIDTH**-0.5
        if mask is not None:
            scores = scores.masked_fill(mask < 0, -1e9)
        return torch.softmax(scores, -1) @ v


FORMS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (Fused, Multiplied, Merged, Equations, Operators)
}


def by_hand(
    tensors: list[Tensor], kept: Any, heads: Any, p: float = 0.0, mask: Tensor | None = None
) -> Tensor:
    """Return attention in float64 with scores and heads removed by masks."""
    q, k, v = (x.double() for x in tensors)
    scores = q @ k.mT / WIDTH**0.5
    scores = scores if mask is None else scores.masked_fill(mask < 0, -float("inf"))
    scores = scores.masked_fill(~torch.tensor(kept), -float("inf"))
    highest = scores.amax(-1, keepdim=True).clamp(min=-1e30)
    weights = (scores - highest).exp()
    total = weights.sum(-1, keepdim=True)
    y = torch.where(total > 0, weights / total, 0.0) @ v
    return torch.where(torch.tensor(heads), y / (1 - p), 0.0)
