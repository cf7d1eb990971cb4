"""What doubt is measured by: rejection, ranking, coverage. Functions of NumPy arrays alone."""

from statistics import NormalDist

import numpy as np
from scipy.stats import rankdata

__all__ = ["LEVELS", "SHARES", "at_shares", "auroc", "coverage", "rejection", "shares_in_bins"]

# Which shares of the rows a rejection curve is told at.
SHARES = tuple(round(0.05 * i, 2) for i in range(20))
# The nominal levels of intervals.
LEVELS = (0.5, 0.8, 0.9, 0.95)


def rejection(values: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Return the mean value of the rows that are left when the most doubtful are rejected.

    Rows of equal doubt are rejected in a random order: the mean is the expected one over all of
    them, so that it depends neither on the order of the rows nor on a draw.

    Parameters
    ----------
    values : ndarray of shape (rows,)
        1 where a prediction is right and 0 elsewhere, or squared errors.
    doubt : ndarray of shape (rows,)
        Larger is rejected sooner.

    Returns
    -------
    ndarray of shape (rows,)
        Entry k is for k rejected rows, from 0 to all but one.

    References
    ----------
    Geifman, El-Yaniv (2017), Selective classification for deep neural networks.
    """
    _, group, counts = np.unique(doubt, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    expected = (np.bincount(group, values) / counts)[np.sort(group)]
    kept = np.arange(1, len(values) + 1)
    return np.asarray((np.cumsum(expected) / kept)[::-1])


def at_shares(curve: np.ndarray) -> np.ndarray:
    """Return a rejection curve at `SHARES`; of rows that are not whole, the part is kept."""
    # The little more is for products such as 0.15 · 20, which end below their whole number.
    rejected = np.floor(np.array(SHARES) * len(curve) + 1e-9).astype(np.int64)
    return np.asarray(curve[rejected])


def auroc(doubt: np.ndarray, others: np.ndarray) -> float:
    """Return the chance that one of the others is more doubtful than one of the first.

    Equal doubt counts as half: 0.5 is what guessing has, 1 tells all of them.

    Reference: Hanley, McNeil (1982), The meaning and use of the area under a receiver operating
    characteristic (ROC) curve.
    """
    ranks = rankdata(np.concatenate([doubt, others]))[len(doubt) :]
    pairs = len(doubt) * len(others)
    return float((ranks.sum() - len(others) * (len(others) + 1) / 2) / pairs)


def coverage(errors: np.ndarray, sd: np.ndarray | float, level: float) -> tuple[float, float]:
    """Return the share of targets inside normal intervals, and the intervals' mean width.

    Parameters
    ----------
    errors : ndarray of shape (rows,)
        Prediction less target.
    sd : ndarray of shape (rows,) or float
        The predictive standard deviation, in the unit of the errors.
    level : float
        The nominal level in (0, 1): intervals reach ``z · sd`` to both sides, where z is the
        normal quantile of ``(1 + level) / 2``.
    """
    half = NormalDist().inv_cdf((1 + level) / 2) * np.broadcast_to(sd, errors.shape)
    return float((np.abs(errors) <= half).mean()), float(2 * half.mean())


def shares_in_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin; the outermost bins take what is beyond them."""
    place = np.searchsorted(edges[1:-1], values, side="right")
    return np.bincount(place, minlength=len(edges) - 1) / len(values)
