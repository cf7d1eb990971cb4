"""Moments of samples that come one after the other, and quantiles of those that fit."""

from dataclasses import dataclass

import numpy as np


class Moments:
    """Mean and variance of arrays of one shape, in float64, some of them at a time.

    Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Take arrays more, which lie along the first axis."""
        count, mean = len(values), values.mean(0)
        delta, total = mean - self.mean, self.count + count
        self.mean = self.mean + delta * (count / total)
        within = ((values - mean) ** 2).sum(0)
        self._squares = self._squares + within + delta**2 * (self.count * count / total)
        self.count = total

    @property
    def std(self) -> np.ndarray:
        """The standard deviation, with the number of arrays as divisor."""
        return np.sqrt(self._squares / self.count)


def entropy(probabilities: np.ndarray, axis: int) -> np.ndarray:
    """Return the entropy in nats along an axis; 0 · log 0 is 0."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    return -np.asarray((probabilities * logs).sum(axis))


def softmax(logits: np.ndarray, axis: int) -> np.ndarray:
    """Return the softmax along an axis; of log-probabilities, the probabilities."""
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def are_probabilities(values: np.ndarray, axis: int) -> bool:
    """Return whether values are probabilities along an axis already."""
    return bool((values >= 0).all() and np.allclose(values.sum(axis), 1.0, atol=1e-3))


class Summary:
    """What is kept of the samples of some rows: moments, and what classifiers need.

    Parameters
    ----------
    outputs : {"values", "logits", "probabilities"}
        What the outputs are.
    axis : int
        The axis of the classes.
    """

    def __init__(self, outputs: str, axis: int) -> None:
        self.outputs, self.axis = outputs, axis
        self.values, self.classes, self.entropies = Moments(), Moments(), Moments()

    @property
    def class_axis(self) -> int:
        """The axis of the classes among the probabilities."""
        return self.axis if self.values.mean.ndim > 1 else -1

    def add(self, outputs: np.ndarray) -> None:
        """Take samples more, which lie along the first axis."""
        values = outputs.astype(np.float64)
        self.values.add(values)
        if self.outputs == "values":
            return
        # An axis that is counted from the front has the samples before it now.
        axis = self.axis + 1 if self.axis >= 0 else self.axis
        probabilities = as_probabilities(values, self.outputs, axis)
        self.classes.add(probabilities)
        self.entropies.add(entropy(probabilities, axis if values.ndim > 2 else -1))


def as_probabilities(values: np.ndarray, outputs: str, axis: int) -> np.ndarray:
    """Return probabilities of at least two classes, for samples along the first axis.

    One column, or none, is the probability of class 1.
    """
    if values.ndim == 2 or values.shape[axis] == 1:
        ones = values if values.ndim == 2 else values.squeeze(axis)
        ones = 1 / (1 + np.exp(-ones)) if outputs == "logits" else ones
        return np.stack([1 - ones, ones], axis if values.ndim > 2 else -1)
    return softmax(values, axis) if outputs == "logits" else values


@dataclass(frozen=True, eq=False)
class Part:
    """What is kept of some rows: their summary, quantiles by level, and samples if wanted."""

    summary: Summary
    quantiles: dict[float, np.ndarray]
    samples: np.ndarray | None
