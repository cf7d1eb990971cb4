"""Kinds of noise, and plain calls of them, for tests of torch's transformations."""

from typing import Any

import torch
from torch import Tensor

import noisegate as ng
from _own_kinds import LaplaceNoise, NoisyGate, SignFlip

SEED, STEP = 13, 4

KINDS: dict[str, ng.Kind] = {
    "Dropout": ng.Dropout(0.4),
    "Dropout, shared": ng.Dropout(0.4, shared_axes=-1),
    "Dropout, unscaled": ng.Dropout(0.4, rescale=False),
    "GaussianNoise": ng.GaussianNoise(0.5),
    "GaussianDropout": ng.GaussianDropout(0.4),
    "UniformNoise": ng.UniformNoise(0.5),
    "AlphaDropout": ng.AlphaDropout(0.4),
    "ImpulseNoise": ng.ImpulseNoise(0.4, -1, 2),
    "DropBlock": ng.DropBlock(0.4, 2, axes=-1),
    "DropBlock, by sample": ng.DropBlock(0.4, 2, axes=-1, normalize="sample"),
    "ConcreteDropout": ng.ConcreteDropout(0.4),
    "SpeckleNoise": ng.SpeckleNoise(0.4),
    "MultiplicativeUniformNoise": ng.MultiplicativeUniformNoise(0.4),
    "NeftuneNoise": ng.NeftuneNoise(2),
    "QuantizationNoise": ng.QuantizationNoise(0.5, 3),
    "SpanMask": ng.SpanMask(0.8, 3),
    "Zoneout": ng.Zoneout(0.4),
    "PatchDropout": ng.PatchDropout(0.6),
    "a user's gain": SignFlip(0.4),
    "a user's shift": LaplaceNoise(0.5),
    "a user's field": NoisyGate(0.4),
}
torch.manual_seed(1)
X, ALONG = torch.randn(6, 4), torch.randn(6, 4)
SITE = ng.Stream(SEED).site("a")
KEY, P = SITE.at(STEP), 0.4
DROPOUT = ng.Dropout(P)
BY_INDEX: Any = {"randomness": "different"}
MANY = torch.randn(4, 3, 6, 5)
REFUSED = (
    "Dropout: vmap: called random operation while in randomness error mode. Write "
    "vmap(..., randomness='different') for other noise in each member of the map, or "
    "randomness='same' for one noise in all."
)


class Plain:
    """Plain calls of a kind with a key."""

    def __init__(self, kind: ng.Kind, key: ng.Key) -> None:
        self.kind, self.key = kind, key

    def __call__(self, x: Tensor, first: int = 0) -> Tensor:
        return self.kind(x, self.key, rows=range(first, first + len(x)))

    def along(self, x: Tensor) -> Tensor:
        """Return the derivative along x, by a plain backward pass."""
        leaf = torch.zeros_like(x).requires_grad_()
        return torch.autograd.grad(self(leaf), leaf, x)[0]
