"""A small model with noise, for programs of torch's."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng

X = torch.randn(4, 6)
KINDS = [
    ng.Dropout(0.5),
    ng.Dropout(0.5, shared_axes=1),
    ng.AlphaDropout(0.3),
    ng.GaussianDropout(0.3),
    ng.GaussianNoise(0.3),
    ng.UniformNoise(0.3),
    ng.ImpulseNoise(0.3, -1.0, 2.0),
    ng.ConcreteDropout(0.3),
    ng.DropBlock(0.2, 2, axes=(1,)),
    ng.SpeckleNoise(0.3),
    ng.MultiplicativeUniformNoise(0.3),
    ng.NeftuneNoise(2),
    ng.QuantizationNoise(0.5, 3),
    ng.SpanMask(0.8, 3),
    ng.PatchDropout(0.6),
]
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=repr)
RULES = {"0:out": 0.5, "last:in": ng.GaussianNoise(0.2)}


class Net(nn.Sequential):
    """A model with a dropout of torch's and layers of noise, seeded and not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.add_module("0", nn.Linear(6, 8))
        self.add_module("drop", nn.Dropout(0.4))
        self.add_module("noise", ng.torch.Dropout(0.3, seed=2, site="b"))
        self.add_module("fresh", ng.torch.GaussianNoise(0.1))
        self.add_module("last", nn.Linear(8, 3))


def injected() -> tuple[Net, Any]:
    model = Net()
    return model, ng.inject(model, RULES, existing=True, seed=1)


def run(model: nn.Module, x: Tensor = X) -> Tensor:
    """Return the output, with the unseeded layer's noise of one seed."""
    torch.manual_seed(5)
    return model(x).detach()
