"""Measures of uncertainty: rejection, ranking, coverage. Functions of NumPy arrays alone."""

from statistics import NormalDist

import numpy as np
from scipy.stats import rankdata

# The rejected shares at which a rejection curve is reported.
SHARES = tuple(round(0.05 * i, 2) for i in range(20))
# The nominal levels of intervals.
LEVELS = (0.5, 0.8, 0.9, 0.95)


def compute_rejection(values: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Return the mean value of the samples that are left when the k most uncertain are rejected.

    Entry k of the result runs from 0 to all but one. Equally uncertain samples are rejected in a
    random order: the mean is the expected one over all orders, so it depends on no order of the
    samples and on no draw.

    Reference: Geifman, El-Yaniv (2017), Selective classification for deep neural networks.
    """
    _, group, counts = np.unique(uncertainty, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    expected = (np.bincount(group, values) / counts)[np.sort(group)]
    return np.asarray((np.cumsum(expected) / np.arange(1, len(values) + 1))[::-1])


def take_shares(curve: np.ndarray) -> np.ndarray:
    """Return a rejection curve at `SHARES`; of samples that are not whole, the part stays."""
    # The little more is for products such as 0.15 · 20, which end below their whole number.
    rejected = np.floor(np.array(SHARES) * len(curve) + 1e-9).astype(np.int64)
    return np.asarray(curve[rejected])


def compute_auroc(uncertainty: np.ndarray, others: np.ndarray) -> float:
    """Return the chance that one of the others is more uncertain than one of the first.

    Equal uncertainty counts as half: guessing has 0.5, and 1 separates them all.

    Reference: Hanley, McNeil (1982), The meaning and use of the area under a receiver operating
    characteristic (ROC) curve.
    """
    ranks = rankdata(np.concatenate([uncertainty, others]))[len(uncertainty) :]
    pairs = len(uncertainty) * len(others)
    return float((ranks.sum() - len(others) * (len(others) + 1) / 2) / pairs)


def compute_coverage(
    errors: np.ndarray, sd: np.ndarray | float, level: float
) -> tuple[float, float]:
    """Return the share of errors inside normal intervals, and the intervals' mean width.

    At the nominal level in (0, 1) they reach z · sd to both sides, where z is the normal quantile
    of (1 + level) / 2. The standard deviation is in the unit of the errors.
    """
    half = NormalDist().inv_cdf((1 + level) / 2) * np.broadcast_to(sd, errors.shape)
    return float((np.abs(errors) <= half).mean()), float(2 * half.mean())


def compute_shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin; the outermost bins take what is beyond them."""
    return np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)
