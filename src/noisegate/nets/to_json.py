"""Arguments of layers in a form that JSON can hold."""

from typing import Any

import numpy as np
import torch
from torch import nn

from noisegate.core.axes import AxisSlice
from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.schedule import Schedule

from .joinable import Joinable


def encode(owner: str, name: str, value: Any) -> Any:
    """Return an argument in a form that JSON can hold; users' own objects become names."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, slice):
        value = AxisSlice(value.start, value.stop, value.step)
    if isinstance(value, Kind) and not is_ours(value):
        return {"custom": type(value).__name__, "numbers": value.config()}
    if isinstance(value, Kind | Schedule) or is_ours(value):
        return value.config()
    if isinstance(value, Joinable):
        return value.nested_config()
    if isinstance(value, list | tuple):
        return [encode(owner, name, part) for part in value]
    if isinstance(value, torch.dtype | torch.device):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    word = name_of(value)
    if word is None:
        raise save_error(owner, name, value)
    return {"custom": word}


def is_ours(value: Any) -> bool:
    """Return whether a value is of noisegate and has a config, as kinds and penalties do."""
    named = type(value).__module__.startswith("noisegate.")
    return named and hasattr(value, "config") and not isinstance(value, nn.Module)


def name_of(value: Any) -> str | None:
    """Return the name of a callable, or the class of a module; None if there is none."""
    if isinstance(value, nn.Module):
        return type(value).__name__
    name = getattr(value, "__name__", None)
    if not callable(value) or name is None:
        return None
    return None if name.startswith("<") else str(name)  # a lambda has no name of its own


def save_error(owner: str, name: str, value: object) -> InvalidValue:
    """Return the error of an argument that a file cannot hold."""
    return InvalidValue(
        f"save: {owner} has `{name}`={value!r}, which a file cannot hold: numbers, text, lists of "
        "them, and functions and modules that have a name can be saved."
    )
