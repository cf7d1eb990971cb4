"""What is timed: the noise of this package, its peers, and a copy as the floor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

import noisegate as ng

Call = Callable[[], object]
Contenders = dict[str, Call]

# Elements of a row where the input is a batch of rows; the width of a small hidden layer.
FEATURES = 256
# Places of a feature map, which share one decision in channel dropout.
SIDE = 16
SIGMA = 0.1


@dataclass(frozen=True)
class Group:
    """Contenders that do one job, and the sizes at which they meet.

    `peers` names for each of ours the peer by whose median its own is divided.
    """

    title: str
    make: Callable[[int], Contenders]
    peers: Mapping[str, tuple[str, ...]]
    sizes: tuple[int, ...]


def _inputs(elements: int) -> tuple[np.ndarray, torch.Tensor, np.random.Generator]:
    """Return normal numbers as a float32 array, a tensor that has them too, and a generator."""
    rng = np.random.default_rng(1)
    shape = (elements // FEATURES, FEATURES)
    x = rng.standard_normal(shape, dtype=np.float32)
    return x, torch.from_numpy(x.copy()), rng


def dropout_forward(elements: int, p: float) -> Contenders:
    """Return ways to drop out; all allocate their result."""
    x, t, rng = _inputs(elements)
    return {
        "noisegate torch": lambda: ng.torch.dropout(t, p),
        "F.dropout": lambda: F.dropout(t, p),
        "torch copy": lambda: t.clone(),
        "noisegate numpy": lambda: ng.numpy.dropout_forward(x, p, rng=rng),
        "NumPy mask, float64": lambda: x * (rng.random(x.shape) >= p) / (1 - p),
        "NumPy mask, float32": lambda: x * (rng.random(x.shape, dtype=np.float32) >= p) / (1 - p),
        "NumPy copy": lambda: x.copy(),
    }


def dropout_backward(elements: int, p: float) -> Contenders:
    """Return ways to drop out and then to give the gradient of the input."""
    x, t, rng = _inputs(elements)
    upstream, gradient = np.ones_like(x), torch.ones_like(t)
    t.requires_grad_()

    def with_torch(function: Callable[[torch.Tensor], torch.Tensor]) -> Call:
        return lambda: torch.autograd.grad(function(t), t, gradient)

    def with_noisegate() -> object:
        out, cache = ng.numpy.dropout_forward(x, p, rng=rng)
        return out, ng.numpy.dropout_backward(upstream, cache)

    def with_mask(dtype: type[np.floating]) -> Call:
        def call() -> object:
            mask = rng.random(x.shape, dtype=dtype) >= p
            return x * mask / (1 - p), upstream * mask / (1 - p)

        return call

    return {
        "noisegate torch": with_torch(lambda t: ng.torch.dropout(t, p)),
        "F.dropout": with_torch(lambda t: F.dropout(t, p)),
        "torch copy": with_torch(torch.clone),
        "noisegate numpy": with_noisegate,
        "NumPy mask, float64": with_mask(np.float64),
        "NumPy mask, float32": with_mask(np.float32),
        "NumPy copy": lambda: (x.copy(), upstream.copy()),
    }


def gaussian_forward(elements: int) -> Contenders:
    """Return ways to add normal noise."""
    x, t, rng = _inputs(elements)
    kind = ng.GaussianNoise(SIGMA)
    sigma = np.float32(SIGMA)
    return {
        "noisegate torch": lambda: ng.torch.gaussian_noise(t, SIGMA),
        "torch.randn_like": lambda: t + SIGMA * torch.randn_like(t),
        "noisegate numpy": lambda: ng.numpy.forward(kind, x, rng=rng),
        "NumPy normal, float32": lambda: x + sigma * rng.standard_normal(x.shape, dtype=np.float32),
    }


def channels_forward(elements: int) -> Contenders:
    """Return ways to drop out whole channels of maps of SIDE by SIDE places."""
    x, t, rng = _inputs(elements)
    channels = min(64, elements // SIDE**2)
    shape = (elements // (channels * SIDE**2), channels, SIDE, SIDE)
    x, t, p = x.reshape(shape), t.reshape(shape), 0.5
    kind = ng.dropout_channels(p, "channels_first")
    shared = slice(2, None)
    decisions = (*shape[:2], 1, 1)
    return {
        "noisegate torch": lambda: ng.torch.dropout(t, p, shared_axes=shared),
        "F.dropout2d": lambda: F.dropout2d(t, p),
        "torch copy": lambda: t.clone(),
        "noisegate numpy": lambda: ng.numpy.forward(kind, x, rng=rng),
        "NumPy mask, float64": lambda: x * ((rng.random(decisions) >= p) / np.float32(1 - p)),
        "NumPy copy": lambda: x.copy(),
    }


_MASKS = ("NumPy mask, float64", "NumPy mask, float32")
_DROPOUT = {"noisegate torch": ("F.dropout",), "noisegate numpy": _MASKS}
_NORMAL = {
    "noisegate torch": ("torch.randn_like",),
    "noisegate numpy": ("NumPy normal, float32",),
}
_CHANNELS = {"noisegate torch": ("F.dropout2d",), "noisegate numpy": ("NumPy mask, float64",)}

FORWARD, FORWARD_TENTH = "dropout .5, forward", "dropout .1, forward"


def groups(quick: bool) -> tuple[Group, ...]:
    """Return every group; `quick` keeps the smallest sizes."""
    sizes = (2**10, 2**13, 2**16, 2**18, 2**20, 2**23, 2**25)
    some = (2**10, 2**16, 2**20)
    if quick:
        sizes = some = (2**10, 2**13)
    # At .1 plane 1 has to break ties, and at .5 never: that threshold ends in 16 zero bits. A
    # peer that branches on each element guesses right more often at .1.
    return (
        Group(FORWARD, lambda n: dropout_forward(n, 0.5), _DROPOUT, sizes),
        Group(
            "dropout .5, forward + backward", lambda n: dropout_backward(n, 0.5), _DROPOUT, sizes
        ),
        Group(FORWARD_TENTH, lambda n: dropout_forward(n, 0.1), _DROPOUT, sizes),
        Group("channel dropout .5, forward", channels_forward, _CHANNELS, some),
        Group("normal noise, forward", gaussian_forward, _NORMAL, some),
    )
