"""Examples to train on: inputs, targets and weights; sparse inputs become dense by the batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SparseInputs:
    """A sparse matrix with a tensor's methods for its rows; it stays sparse until `dense`.

    `matrix` is a CSR matrix or array of SciPy's, float32, (rows, features); `device` is where
    `dense` puts its tensor.
    """

    matrix: Any
    device: Any = "cpu"

    @property
    def shape(self) -> tuple[int, int]:
        """The shape, (rows, features)."""
        rows, features = self.matrix.shape
        return rows, features

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> "SparseInputs":
        """Return some rows, sparse."""
        rows = rows.cpu().numpy() if isinstance(rows, Tensor) else rows  # SciPy takes no tensors
        return SparseInputs(self.matrix[rows], self.device)

    def split(self, count: int) -> list["SparseInputs"]:
        """Return the rows in parts of `count`, the last of which may be smaller."""
        return [self[i : i + count] for i in range(0, len(self), count)]

    def to(self, device: Any) -> "SparseInputs":
        """Return the same rows, whose `dense` is on a device."""
        return SparseInputs(self.matrix, device)

    def dense(self) -> Tensor:
        """Return the rows as a tensor of shape (rows, features)."""
        return torch.from_numpy(self.matrix.toarray()).to(self.device)


Inputs = Tensor | SparseInputs


def to_dense(values: Inputs) -> Tensor:
    """Return values as a tensor."""
    return values.dense() if isinstance(values, SparseInputs) else values


def to_plain(values: Any) -> Any:
    """Return values in the user's form: sparse inputs as SciPy's matrix."""
    return values.matrix if isinstance(values, SparseInputs) else values


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs and targets, rows along axis 0, and the weight of each row in the loss.

    Weights have the shape (rows,) or that of the targets; None means that all are 1.
    """

    inputs: Inputs
    targets: Inputs
    weights: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    @property
    def weight(self) -> Any:
        """The sum of the weights."""
        return len(self) if self.weights is None else self.weights.sum()

    def __getitem__(self, rows: Any) -> "Examples":
        """Return some rows, by a slice or by their numbers."""
        return self._each(lambda part: part[rows])

    def to(self, device: Any) -> "Examples":
        """Return the rows on a device."""
        return self._each(lambda part: part.to(device))

    def dense(self) -> "Examples":
        """Return the rows with sparse inputs made dense."""
        return self._each(to_dense)

    def _each(self, change: Callable[[Any], Any]) -> "Examples":
        weights = None if self.weights is None else change(self.weights)
        return Examples(change(self.inputs), change(self.targets), weights)
