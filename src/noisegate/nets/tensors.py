"""Arrays as tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor_of(value: Any) -> Tensor | None:
    """Return the tensor of a number, an array or a nested list of numbers; None for all else."""
    try:
        return torch.as_tensor(value if isinstance(value, Tensor) else np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        return None


def as_tensor(x: Any) -> Any:
    """Return a tensor of an array; floating numbers in torch's default precision."""
    if isinstance(x, Tensor) or not isinstance(x, np.ndarray | list | float | int):
        return x
    tensor = torch.as_tensor(np.asarray(x))
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor
