"""Examples to train on: inputs, targets and weights; sparse inputs become dense by the batch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

# A tensor, or a CSR matrix or array of SciPy's, float32, (rows, features).
Inputs = Any


def select(values: Inputs, rows: Any) -> Inputs:
    """Return some rows of a tensor or a sparse matrix, by a slice or by their numbers."""
    if isinstance(rows, Tensor) and not isinstance(values, Tensor):
        rows = rows.cpu().numpy()
    return values[rows]


def move(values: Inputs, device: Any) -> Inputs:
    """Return a tensor on a device; a sparse matrix stays where it is until it is dense."""
    return values.to(device) if isinstance(values, Tensor) else values


def to_dense(values: Inputs, device: Any) -> Tensor:
    """Return a sparse matrix as a tensor on a device; a tensor as it is."""
    if isinstance(values, Tensor):
        return values
    return torch.from_numpy(values.toarray()).to(device)


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs and targets, rows along axis 0, and the weight of each row in the loss.

    Weights have the shape (rows,) or that of the targets; None means that all are 1. `device` is
    where sparse inputs become dense.
    """

    inputs: Inputs
    targets: Inputs
    weights: Tensor | None = None
    device: Any = "cpu"

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.targets.shape[0])

    @property
    def weight(self) -> Any:
        """The sum of the weights."""
        return len(self) if self.weights is None else self.weights.sum()

    def __getitem__(self, rows: Any) -> "Examples":
        """Return some rows, by a slice or by their numbers."""
        return self._each(lambda part: select(part, rows))

    def to(self, device: Any) -> "Examples":
        """Return the rows on a device."""
        return replace(self._each(lambda part: move(part, device)), device=device)

    def dense(self) -> "Examples":
        """Return the rows with sparse inputs made dense."""
        return self._each(lambda part: to_dense(part, self.device))

    def _each(self, change: Callable[[Any], Any]) -> "Examples":
        weights = None if self.weights is None else change(self.weights)
        return Examples(change(self.inputs), change(self.targets), weights, self.device)
