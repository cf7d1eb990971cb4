"""Datasets as tensors: numbers standardised, text one-hot, by what the training rows tell."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .dataset import Column, Dataset

__all__ = ["Encoder", "input_shape"]


def input_shape(dataset: Dataset) -> tuple[int, ...]:
    """Return the shape of one row as a model gets it.

    Parameters
    ----------
    dataset : Dataset
        All rows but the test rows: a text column is as wide as it has categories in them.
    """
    first = dataset.columns[0]
    if first.values.ndim > 2:
        return first.values.shape[1:]
    return (sum(_width(column) for column in dataset.columns),)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes tensors of a dataset, by what the training rows tell and nothing else.

    Parameters
    ----------
    columns : tuple
        For each input how it is encoded.
    shape : tuple of int
        Of one row of the inputs.
    center, scale : float
        Mean and standard deviation of the training rows' targets; 0 and 1 for classification, and
        1 where those targets are all the same.
    """

    columns: "tuple[_Numbers | _Categories, ...]"
    shape: tuple[int, ...]
    center: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(cls, dataset: Dataset, train_rows: np.ndarray) -> "Encoder":
        """Return the encoder of some training rows.

        A text column has one feature for each category of the dataset, in the order of their code
        points, so that every split has the same width. A category that is in no training row has
        zeros in all of them, wherever it comes.

        Parameters
        ----------
        dataset : Dataset
            All rows but the test rows.
        train_rows : ndarray
            Numbers of the rows to train on, at least one.
        """
        columns = tuple(_encoding(column, train_rows) for column in dataset.columns)
        shape = input_shape(dataset)
        if dataset.task.is_classification:
            return cls(columns, shape)
        center, scale = _moments(dataset.target[train_rows], (0,))
        return cls(columns, shape, float(center[0]), float(scale[0]))

    def inputs(self, dataset: Dataset) -> Tensor:
        """Return the inputs, float32: (rows, features), or (rows, ...) of the one array."""
        # Filled, not stacked: torch tells the memory format, and so a convolution its rounding,
        # from the strides, and those of an axis of 1 must be the same in every process.
        found = np.empty((dataset.rows, *self.shape), np.float32)
        if len(self.shape) > 1:
            found[...] = self.columns[0].encoded(dataset.columns[0].values)
            return _tensor(found)
        start = 0
        for encoding, column in zip(self.columns, dataset.columns, strict=True):
            found[:, start : start + encoding.width] = encoding.encoded(column.values)
            start += encoding.width
        return _tensor(found)

    def targets(self, dataset: Dataset) -> Tensor:
        """Return the targets: classes, int64 (rows,); or standardised, float32 (rows, 1)."""
        if dataset.task.is_classification:
            return _tensor(dataset.target.astype(np.int64))
        values = (dataset.target - self.center) / self.scale
        return _tensor(values.astype(np.float32).reshape(-1, 1))


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Numbers, (rows, ...), less `center` and divided by `scale`: each (1, ...), or broadcast."""

    center: np.ndarray
    scale: np.ndarray
    width: int

    def encoded(self, values: np.ndarray) -> np.ndarray:
        if values.ndim == 1:
            values = values.reshape(-1, 1)
        return np.asarray((values - self.center) / self.scale)


@dataclass(frozen=True, slots=True)
class _Categories:
    """One feature for each category; `places` has those of the training rows only."""

    places: dict[str, int]
    width: int

    def encoded(self, values: np.ndarray) -> np.ndarray:
        places = np.array([self.places.get(value, -1) for value in values], np.int64)
        return np.asarray(places.reshape(-1, 1) == np.arange(self.width))


def _width(column: Column) -> int:
    if column.text:
        return len(set(column.values))
    return int(np.prod(column.values.shape[1:]))


def _encoding(column: Column, train_rows: np.ndarray) -> _Numbers | _Categories:
    values, width = column.values[train_rows], _width(column)
    if column.text:
        known = set(values)
        order = sorted(set(column.values))
        return _Categories({name: i for i, name in enumerate(order) if name in known}, width)
    if values.ndim == 1:
        values = values.reshape(-1, 1)
    # A table's features each for itself; images by channel, (rows, channels, ...); a single
    # map, (rows, height, width), as a whole.
    axes = tuple(axis for axis in range(values.ndim) if axis != 1 or values.ndim == 3)
    return _Numbers(*_moments(values, axes), width)


def _moments(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (of the population), axes kept; where constant, 1."""
    center = values.mean(axes, dtype=np.float64, keepdims=True)
    scale = values.std(axes, dtype=np.float64, keepdims=True)
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    # The mean of equal numbers may be rounded to another one.
    center = np.where(low == high, low, center)
    return center, np.where((low == high) | (scale == 0), 1.0, scale)


def _tensor(values: np.ndarray) -> Tensor:
    # Cloned into torch's own memory, whose alignment is the same in every process.
    return torch.from_numpy(values).clone()
