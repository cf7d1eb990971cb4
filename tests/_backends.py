"""The one list of array libraries that the conformance suite runs over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from noisegate.core.blocks import Engine
from noisegate.engines.numpy import NumpyEngine
from noisegate.engines.torch import TorchEngine


@dataclass(frozen=True)
class Backend:
    name: str
    engine: Callable[[], Engine]
    array: Callable[[np.ndarray], Any]

    def __str__(self) -> str:
        return self.name


def _tensor(values: np.ndarray) -> torch.Tensor:
    if values.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(values.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(values.copy())


def numpy_of(array: Any) -> np.ndarray:
    """Return a tensor or an array as a NumPy array of the same dtype."""
    if not isinstance(array, torch.Tensor):
        return np.asarray(array)
    tensor = array.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


BACKENDS = [
    Backend("numpy", NumpyEngine, np.array),
    Backend("torch", TorchEngine, _tensor),
]
each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=str)

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
