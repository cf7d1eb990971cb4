"""Out-of-distribution inputs, made of the data."""

from collections.abc import Sequence

import numpy as np


def shuffle_columns(columns: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Return columns whose values are shuffled over the samples, each by itself.

    Every column keeps its distribution and loses what ties it to the others: the samples look
    like the data one column at a time, and like none of it as a whole. In an array of several
    numbers a sample, each is a column. The seed, with a column's place, decides the order.
    """
    return [
        _shuffle(values, np.random.default_rng([seed, place]))
        for place, values in enumerate(columns)
    ]


def _shuffle(values: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    # One permutation for each feature: drawing them one by one holds no array of sample numbers
    # as large as the data.
    shuffled = values.reshape(len(values), -1).copy()
    for feature in range(shuffled.shape[1]):
        shuffled[:, feature] = shuffled[draws.permutation(len(shuffled)), feature]
    return shuffled.reshape(values.shape)
