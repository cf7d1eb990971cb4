"""Initial values of weights, by Keras 1's names; weights are (input_dim, output_dim) here."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidType, InvalidValue

from . import messages
from .tensors import tensor_of

Initializer = Callable[[tuple[int, ...]], Any]


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
        raise InvalidValue(messages.not_square(shape))
    return torch.eye(shape[0])


def _orthogonal(shape: tuple[int, ...]) -> Tensor:
    return nn.init.orthogonal_(torch.empty(shape), gain=1.1)


# Keras 1's scales: +-0.05 and 0.05, the gain 1.1 of `orthogonal`, and the fans of a matrix.
INITIALIZERS: dict[str, Initializer] = {
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


def checked(who: str, name: str, value: Any) -> Any:
    """Return an initializer's name, a callable, or None for torch's own."""
    if value is None or callable(value):
        return value
    if not isinstance(value, str) or value not in INITIALIZERS:
        raise InvalidValue(messages.unknown_name(who, name, value, list(INITIALIZERS)))
    return value


def initial(who: str, init: Any, shape: tuple[int, ...]) -> Tensor:
    """Return the initial value of a weight of this shape, (input_dim, output_dim).

    A callable gets the shape and returns the value; those of `torch.nn.init` fill a tensor.
    """
    if getattr(init, "__module__", "") == "torch.nn.init":
        return torch.as_tensor(init(torch.empty(shape[::-1]))).T
    made = (INITIALIZERS[init] if isinstance(init, str) else init)(shape)
    value = tensor_of(made)
    if value is None:
        raise InvalidType(messages.no_array(who, "init(shape)", made))
    if tuple(value.shape) != shape:
        raise InvalidValue(messages.bad_initial(who, tuple(value.shape), shape))
    return value


def value_of(who: str, value: Any, shape: tuple[int, ...] | None) -> Tensor:
    """Return the value of a variable, from a number, an array or an initializer."""
    if isinstance(value, str) or (callable(value) and not isinstance(value, Tensor)):
        if shape is None:
            raise InvalidType(messages.shape_needed(who))
        return initial(who, checked(who, "value", value), shape).detach().clone()
    found = tensor_of(value)
    if found is None:
        raise InvalidType(messages.no_array(f"{who}.variable", "value", value))
    tensor = found.detach().clone()
    if not tensor.is_floating_point() and not tensor.is_complex():
        tensor = tensor.to(torch.get_default_dtype())
    if isinstance(value, float) or (tensor.dtype == torch.float64 and np.isscalar(value)):
        tensor = tensor.to(torch.get_default_dtype())
    if shape is not None and tuple(tensor.shape) != shape:
        if tensor.ndim:
            raise InvalidValue(messages.bad_initial(who, tuple(tensor.shape), shape))
        tensor = tensor.expand(shape).clone()
    return tensor
