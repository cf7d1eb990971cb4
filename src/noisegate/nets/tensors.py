"""Arrays as tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_tensor(x: Any) -> Any:
    """Return a tensor of an array; floating numbers in torch's default precision."""
    if isinstance(x, Tensor) or not isinstance(x, np.ndarray | list | float | int):
        return x
    tensor = torch.as_tensor(np.asarray(x))
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor
