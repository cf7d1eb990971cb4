"""The study's two networks, and the layer helpers they share.

A hidden layer is a single module that includes its activation, so that a site such as `hid1:out`
is the activated output, and `hid*:out` matches each hidden layer once.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MODELS", "ReluConv2d", "ReluLinear", "make_cnn", "make_mlp"]


class ReluLinear(nn.Linear):
    """A linear layer with its rectifier: max(0, x Wᵀ + b)."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the activated output, shape (rows, out_features)."""
        return functional.relu(super().forward(input))


class ReluConv2d(nn.Conv2d):
    """A convolution with its rectifier."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the activated maps, shape (rows, out_channels, height, width)."""
        return functional.relu(super().forward(input))


class _Mlp(nn.Module):
    """64 pixels, two hidden layers of 256 units, 10 classes (logits)."""

    def __init__(self) -> None:
        super().__init__()
        self.hid1 = ReluLinear(64, 256)
        self.hid2 = ReluLinear(256, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (rows, 10)."""
        return self.out(self.hid2(self.hid1(images.flatten(1))))  # type: ignore[no-any-return]


class _Cnn(nn.Module):
    """Two convolutions (16, 32 channels), each pooled 2×2, 64 hidden units, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ReluConv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = ReluConv2d(16, 32, kernel_size=3, padding=1)
        self.hid1 = ReluLinear(32 * 2 * 2, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, shape (rows, 10)."""
        maps = functional.max_pool2d(self.conv1(images), 2)
        maps = functional.max_pool2d(self.conv2(maps), 2)
        return self.out(self.hid1(maps.flatten(1)))  # type: ignore[no-any-return]


def make_mlp() -> nn.Module:
    """Return a new MLP for images of shape (rows, 1, 8, 8), initialised by torch's generator."""
    return _Mlp()


def make_cnn() -> nn.Module:
    """Return a new CNN for images of shape (rows, 1, 8, 8), initialised by torch's generator."""
    return _Cnn()


MODELS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType({"mlp": make_mlp, "cnn": make_cnn})
