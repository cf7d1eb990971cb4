"""Rows of a training: inputs, targets and weights; sparse inputs are made dense by the batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class SparseRows:
    """A sparse matrix that is sliced, counted and moved as a tensor is, and stays sparse.

    Parameters
    ----------
    matrix : scipy.sparse CSR matrix or array of shape (rows, features)
        float32.
    device : torch.device or str
        Where `dense` puts its tensor.
    """

    def __init__(self, matrix: Any, device: Any = "cpu") -> None:
        self.matrix, self.device = matrix, device

    @property
    def shape(self) -> tuple[int, int]:
        """The shape, (rows, features)."""
        rows, features = self.matrix.shape
        return rows, features

    @property
    def ndim(self) -> int:
        """The number of axes: 2."""
        return 2

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> "SparseRows":
        """Return some rows, sparse."""
        rows = rows.cpu().numpy() if isinstance(rows, Tensor) else rows
        return SparseRows(self.matrix[rows], self.device)

    def split(self, count: int) -> list["SparseRows"]:
        """Return the rows in parts of `count`, the last of which may be smaller."""
        return [self[i : i + count] for i in range(0, len(self), count)]

    def to(self, device: Any) -> "SparseRows":
        """Return the same rows, which become dense on a device."""
        return SparseRows(self.matrix, device)

    def dense(self) -> Tensor:
        """Return the rows as a tensor of shape (rows, features)."""
        return torch.from_numpy(self.matrix.toarray()).to(self.device)


Values = Tensor | SparseRows


def dense(values: Values) -> Tensor:
    """Return values as a tensor."""
    return values.dense() if isinstance(values, SparseRows) else values


def plain(values: Any) -> Any:
    """Return values as a user knows them: sparse ones as SciPy's matrix."""
    return values.matrix if isinstance(values, SparseRows) else values


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs and targets, rows along axis 0, and what each counts for in the loss.

    Weights are of shape (rows,), or of the targets' shape; without them all count the same.
    """

    inputs: Values
    targets: Values
    weights: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    @property
    def weight(self) -> Any:
        """What the rows count for together."""
        return len(self) if self.weights is None else self.weights.sum()

    def __getitem__(self, rows: Any) -> "Rows":
        """Return some rows, by a slice or by their numbers."""
        return self._each(lambda part: part[rows])

    def to(self, device: Any) -> "Rows":
        """Return the rows on a device."""
        return self._each(lambda part: part.to(device))

    def dense(self) -> "Rows":
        """Return the rows with every field a tensor."""
        return self._each(dense)

    def _each(self, change: Callable[[Any], Any]) -> "Rows":
        weights = None if self.weights is None else change(self.weights)
        return Rows(change(self.inputs), change(self.targets), weights)
