"""Mean and spread of samples that arrive in parts; probabilities and their entropy."""

import numpy as np


class Moments:
    """Mean and variance of arrays of one shape, in float64, updated as arrays arrive.

    Reference: Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Include more arrays, stacked along the first axis."""
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
    # Without the maximum, large logits would overflow.
    powers = np.exp(logits - logits.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def are_probabilities(values: np.ndarray, axis: int) -> bool:
    """Return whether values along an axis are probabilities: at least 0, and 1 ± 0.001 in sum."""
    return bool((values >= 0).all() and np.allclose(values.sum(axis), 1.0, atol=1e-3))


def as_probabilities(values: np.ndarray, outputs: str, axis: int) -> np.ndarray:
    """Return the probabilities of at least two classes, with samples along the first axis.

    If the axis of the classes is missing or has one entry, the value is that of class 1 of two.
    """
    if values.ndim == 2 or values.shape[axis] == 1:
        ones = values if values.ndim == 2 else values.squeeze(axis)
        ones = 1 / (1 + np.exp(-ones)) if outputs == "logits" else ones
        return np.stack([1 - ones, ones], axis if values.ndim > 2 else -1)
    return softmax(values, axis) if outputs == "logits" else values
