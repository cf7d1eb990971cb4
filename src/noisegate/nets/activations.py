"""Activations by name, or as torch's modules."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisegate.core.errors import InvalidType, InvalidValue

from .options import describe_unknown_name


def _softmax(z: Tensor) -> Tensor:
    return functional.softmax(z, dim=-1)


def _hard_sigmoid(z: Tensor) -> Tensor:
    # Keras': a slope of 0.2, where torch's is 1/6.
    return (0.2 * z + 0.5).clamp(0, 1)


def _linear(z: Tensor) -> Tensor:
    return z


# Keras 1's eight.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": _softmax,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "linear": _linear,
}


def check_activation(name: str, value: Any) -> Any:
    """Return an activation's name, or a callable; None is linear."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        value = value()
    if isinstance(value, nn.Module) and any(True for _ in value.parameters()):
        raise InvalidType(
            f"`{name}` must have no parameters; got {value!r}. Put it behind the layer, as "
            "a layer of its own."
        )
    if value is None or callable(value):
        return value
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise InvalidValue(describe_unknown_name(name, value, ACTIVATIONS))
    return value


def function_of(value: Any) -> Callable[[Tensor], Tensor]:
    """Return the function that an activation's name means, or the callable itself."""
    if value is None:
        return _linear
    return ACTIVATIONS[value] if isinstance(value, str) else value
