"""The one list of array libraries for the conformance suite, each native and pure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
import torch

from noisegate.core.blocks import Engine
from noisegate.engines import native
from noisegate.engines.numpy import NumpyEngine
from noisegate.engines.torch import TorchEngine


@dataclass(frozen=True)
class Backend:
    name: str
    engine: Callable[[], Engine]
    array: Callable[[np.ndarray], Any]
    pure: bool = False

    def __str__(self) -> str:
        return f"{self.name}-pure" if self.pure else self.name


@contextmanager
def pure_engines() -> Iterator[None]:
    """Do without the native engine, for a block."""
    with mock.patch.object(native, "load_library", return_value=None):
        yield


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
# The fixture `backend` takes the native engine away from those that are pure.
EACH = [*BACKENDS, *(replace(backend, pure=True) for backend in BACKENDS)]
each_backend = pytest.mark.parametrize("backend", EACH, ids=str, indirect=True)

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
