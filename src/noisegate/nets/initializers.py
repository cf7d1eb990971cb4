"""Initial values of weights, by Keras 1's names; weights are (input_dim, output_dim) here."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue

from .tensors import INITIALIZERS, Initializer


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    field = int(np.prod(shape[2:]))
    return shape[0] * field, shape[1] * field


def _uniform(scale: float) -> Callable[[tuple[int, ...]], Tensor]:
    return lambda shape: torch.empty(shape).uniform_(-scale, scale)


def _by_fans(draw: str, width: Callable[[int, int], float]) -> Initializer:
    def make(shape: tuple[int, ...]) -> Tensor:
        scale = width(*_fans(shape))
        if draw == "uniform":
            return _uniform(scale)(shape)
        return torch.empty(shape).normal_(0, scale)

    return make


def _identity(shape: tuple[int, ...]) -> Tensor:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InvalidValue(
            f"the initializer `identity` makes square weights; got the shape {shape}."
        )
    return torch.eye(shape[0])


def _orthogonal(shape: tuple[int, ...]) -> Tensor:
    return nn.init.orthogonal_(torch.empty(shape), gain=1.1)


# Keras 1's scales: +-0.05 and 0.05, the gain 1.1 of `orthogonal`, and the fans of a matrix.
INITIALIZERS |= {
    "uniform": _uniform(0.05),
    "lecun_uniform": _by_fans("uniform", lambda i, o: sqrt(3 / i)),
    "normal": lambda shape: torch.empty(shape).normal_(0, 0.05),
    "identity": _identity,
    "orthogonal": _orthogonal,
    "zero": lambda shape: torch.zeros(shape),
    "glorot_normal": _by_fans("normal", lambda i, o: sqrt(2 / (i + o))),
    "glorot_uniform": _by_fans("uniform", lambda i, o: sqrt(6 / (i + o))),
    "he_normal": _by_fans("normal", lambda i, o: sqrt(2 / i)),
    "he_uniform": _by_fans("uniform", lambda i, o: sqrt(6 / i)),
}
