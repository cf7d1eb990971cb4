"""Means, standard errors and paired differences over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

__all__ = ["LEVEL", "Difference", "Estimate", "Row", "estimate", "paired_difference"]

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of the differences seed by seed, and its t-interval; below 0 is better."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`helped` or `hurt` if the interval leaves out 0, else `unclear`."""
        if self.high < 0:
            return "helped"
        return "hurt" if self.low > 0 else "unclear"


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and standard error, stdev / sqrt(n), of at least two values."""
    return Estimate(fmean(values), stdev(values) / math.sqrt(len(values)))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """Return the t-interval of ``values - baseline``, paired by position, at `LEVEL`.

    Pairing takes out what a seed does to both: an easy split is easy with and without noise.

    Reference: Student, "The probable error of a mean", Biometrika, 1908.
    """
    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    mean = estimate(differences)
    # Quantile of Student's t with n - 1 degrees of freedom.
    quantile = float(stdtrit(len(differences) - 1, (1 + LEVEL) / 2))
    half = quantile * mean.standard_error
    return Difference(mean.mean, mean.mean - half, mean.mean + half)


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe on one model over the seeds, at each run's best epoch.

    The differences are paired with the recipe `none`, which has none itself.
    """

    model: str
    recipe: str
    seeds: int
    best_epoch: Estimate
    train_loss: Estimate
    validation_loss: Estimate
    validation_error: Estimate
    loss_difference: Difference | None
    error_difference: Difference | None
