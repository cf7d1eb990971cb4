"""Arrays as tensors, masks, and the initial values of variables."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.words import shorten

from .options import describe_unknown_name

Initializer = Callable[[tuple[int, ...]], Any]

# Initializers by name; `initializers.py` adds those of Keras 1.
INITIALIZERS: dict[str, Initializer] = {}


def tensor_of(value: Any) -> Tensor | None:
    """Return a number, an array or a nested list as a tensor; None for anything else."""
    try:
        return torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        return None


def as_tensor(x: Any) -> Any:
    """Return an array as a tensor, floats in torch's default precision; leave all else."""
    if isinstance(x, Tensor) or not isinstance(x, np.ndarray | list | float | int):
        return x
    tensor = torch.as_tensor(np.asarray(x))
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def check_mask(mask: Any, x: Tensor) -> Tensor:
    """Return a mask, bool of (samples, time); raise if it does not fit an input."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 2:
        raise InvalidType(
            f"`mask` must be a tensor of bool, (samples, time): True is a step; got {mask!r}."
        )
    if mask.shape != x.shape[:2]:
        raise InvalidType(
            f"`mask` must have the first two extents of the input, {tuple(x.shape)}; "
            f"got {tuple(mask.shape)}."
        )
    return mask


def check_initializer(name: str, value: Any) -> Any:
    """Return an initializer's name, a callable, or None for torch's own."""
    if value is None or callable(value):
        return value
    if not isinstance(value, str) or value not in INITIALIZERS:
        raise InvalidValue(describe_unknown_name(name, value, INITIALIZERS))
    return value


def initialize(owner: str, init: Any, shape: tuple[int, ...]) -> Tensor:
    """Return the initial value of a weight of this shape, (input_dim, output_dim).

    A callable gets the shape and returns the value; those of `torch.nn.init` fill a tensor.
    """
    # These fill a weight in torch's order, (output_dim, input_dim).
    if getattr(init, "__module__", "") == "torch.nn.init":
        return torch.as_tensor(init(torch.empty(shape[::-1]))).T
    made = (INITIALIZERS[init] if isinstance(init, str) else init)(shape)
    value = tensor_of(made)
    if value is None:
        raise InvalidType(_no_array(owner, "init(shape)", made))
    if tuple(value.shape) != shape:
        raise InvalidValue(_other_shape(owner, value, shape))
    return value


def make_value(owner: str, value: Any, shape: tuple[int, ...] | None) -> Tensor:
    """Return the value of a variable, from a number, an array or an initializer."""
    if isinstance(value, str) or (callable(value) and not isinstance(value, Tensor)):
        if shape is None:
            raise InvalidType(
                f"{owner}.variable: an initializer needs `shape`. Write for example shape=(3, 4)."
            )
        with prefix_errors(owner):
            init = check_initializer("value", value)
        return initialize(owner, init, shape).detach().clone()
    found = tensor_of(value)
    if found is None:
        raise InvalidType(_no_array(f"{owner}.variable", "value", value))
    tensor = found.detach().clone()
    if not tensor.is_floating_point() and not tensor.is_complex():
        tensor = tensor.to(torch.get_default_dtype())
    # NumPy's float64 of a plain number is no wish for double precision.
    if isinstance(value, float) or (tensor.dtype == torch.float64 and np.isscalar(value)):
        tensor = tensor.to(torch.get_default_dtype())
    if shape is not None and tuple(tensor.shape) != shape:
        if tensor.ndim:
            raise InvalidValue(_other_shape(owner, tensor, shape))
        tensor = tensor.expand(shape).clone()
    return tensor


def _no_array(owner: str, name: str, value: object) -> str:
    return f"{owner}: `{name}` must be numbers, or an array of them; got {shorten(value)}."


def _other_shape(owner: str, value: Tensor, expected: tuple[int, ...]) -> str:
    got = tuple(value.shape)
    return f"{owner}: the initial value must have the shape {expected}; got {got}."
