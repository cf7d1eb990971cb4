"""Inputs that are not of the data, made of the data."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...data.dataset import Column

__all__ = ["shuffled"]


def shuffled(columns: Sequence[Column], seed: int) -> tuple[Column, ...]:
    """Return columns whose values are shuffled over the rows, each independently of the others.

    Every column keeps its distribution and loses what ties it to the others: the rows look like
    the data one column at a time, and like none of it as a whole. In an array with several
    numbers a row, each feature or pixel is a column.

    Parameters
    ----------
    columns : sequence of Column
        The inputs; they stay as they are.
    seed : int
        At least 0; with the columns it decides the order.
    """
    return tuple(
        replace(column, values=_permuted(column.values, np.random.default_rng([seed, number])))
        for number, column in enumerate(columns)
    )


def _permuted(values: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    # One permutation for each feature: drawing them one by one holds no array of row numbers
    # as large as the data.
    made = values.reshape(len(values), -1).copy()
    for feature in range(made.shape[1]):
        made[:, feature] = made[draws.permutation(len(made)), feature]
    return made.reshape(values.shape)
