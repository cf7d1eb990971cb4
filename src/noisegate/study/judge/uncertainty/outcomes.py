"""What one way of predicting came to: numbers only, ready for JSON."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np
from scipy.stats import rankdata

from noisegate.prediction.calibration import calibrate
from noisegate.prediction.moments import entropy

from ..stats import Estimate

# The rejected shares at which a rejection curve is reported.
SHARES = tuple(round(0.05 * i, 2) for i in range(20))
# The nominal levels of intervals.
LEVELS = (0.5, 0.8, 0.9, 0.95)
CONFIDENCE_BINS = 15
ENTROPY_BINS = 20
# Edges for standard deviations, in those of the training targets: 0.01 to 10 on a log scale.
SPREAD_EDGES = np.logspace(-2, 1, 61)

# A number of one seed, or its mean over the seeds.
V = TypeVar("V", float, Estimate)


@dataclass(frozen=True, slots=True)
class Predictions:
    """Class probabilities, (samples, classes), or values, (samples,), and their spread by noise.

    The spread is mutual information in nats, or a standard deviation; None without noise.
    """

    mean: np.ndarray
    spread: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Reliability:
    """How many samples have a confidence in each of 15 bins, their mean confidence and accuracy.

    Empty bins have None.
    """

    counts: tuple[int, ...]
    confidences: tuple[float | None, ...]
    accuracies: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Coverage(Generic[V]):
    """The share of test targets inside intervals, and the intervals' mean widths, at each level.

    `source` says what the intervals are made of: `residuals`, `noise and residuals`, `noise
    alone`. Widths are in the target's unit.
    """

    source: str
    levels: tuple[float, ...]
    held: tuple[V, ...]
    widths: tuple[V, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """The shares of test samples and of out-of-distribution inputs in bins of uncertainty.

    Uncertainty is the entropy in nats, or the standard deviation by noise in units of the
    training targets' standard deviation.
    """

    edges: tuple[float, ...]
    test: tuple[float, ...]
    ood: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[V]):
    """What one way of predicting came to, on one seed or over the seeds.

    `name` is `none`, trained without noise; `off` or `on`, trained with noise, and which it is
    when predicting. `rejection` is accuracy, or the error in the target's unit, at each rejected
    share of `SHARES`.
    """

    name: str
    measures: dict[str, V]
    rejection: tuple[V, ...]
    reliability: Reliability | None = None
    coverage: tuple[Coverage[V], ...] = ()
    histogram: Histogram | None = None


def score_classes(test: Predictions, labels: np.ndarray, ood: Predictions) -> Outcome[float]:
    """Return what probabilities for test samples and out-of-distribution inputs come to.

    `labels` are the true classes of the test samples. Uncertainty is the predictive entropy.
    """
    right = (test.mean.argmax(1) == labels).astype(np.float64)
    entropies, of_ood = entropy(test.mean, 1), entropy(ood.mean, 1)
    curve = compute_rejection(right, entropies)
    # A probability that has run out of numbers is the least there is, not an infinite loss.
    possible = np.maximum(test.mean, np.finfo(np.float64).tiny)
    found = calibrate(possible, labels, CONFIDENCE_BINS, 1)
    measures = {
        "accuracy": found.accuracy,
        **_measure_rejection(curve, "accuracy"),
        "ece": found.ece,
        "overconfidence": float(test.mean.max(1).mean()) - found.accuracy,
        "nll": found.nll,
        "brier": found.brier,
        "entropy_test": float(entropies.mean()),
        "entropy_ood": float(of_ood.mean()),
        "entropy_auroc": compute_auroc(entropies, of_ood),
    }
    if test.spread is not None and ood.spread is not None:
        measures["information_auroc"] = compute_auroc(test.spread, ood.spread)
    confidences, accuracies = (
        tuple(None if math.isnan(value) else value for value in values.tolist())
        for values in (found.confidences, found.accuracies)
    )
    edges = np.linspace(0, math.log(test.mean.shape[1]), ENTROPY_BINS + 1)
    return Outcome(
        "off" if test.spread is None else "on",
        measures,
        tuple(take_shares(curve).tolist()),
        reliability=Reliability(tuple(found.counts.tolist()), confidences, accuracies),
        histogram=_make_histogram(edges, entropies, of_ood),
    )


def score_values(
    test: Predictions,
    targets: np.ndarray,
    validation: Predictions,
    validation_targets: np.ndarray,
    ood: Predictions,
    scale: float,
) -> Outcome[float]:
    """Return what values and their spread come to; uncertainty is a standard deviation.

    Without noise every sample has the same: the root mean square of the validation residuals.
    With noise the variance of the residuals is what is left of their mean square when the mean
    variance by noise is taken off, and at least 0; each sample adds its own variance by noise.
    All numbers are standardised; `scale` turns them into the target's unit.
    """
    errors = test.mean - targets
    residual = float(((validation.mean - validation_targets) ** 2).mean())
    if validation.spread is not None:
        residual = max(0.0, residual - float((validation.spread**2).mean()))
    sd, of_ood = (_add_variance(each, residual) for each in (test, ood))
    curve = np.sqrt(compute_rejection(errors**2, sd)) * scale
    coverage = [compute_coverage("residuals", errors, sd, scale)]
    if test.spread is not None:
        coverage = [
            compute_coverage("noise and residuals", errors, sd, scale),
            compute_coverage("noise alone", errors, test.spread, scale),
        ]
    at = LEVELS.index(0.9)
    measures = {
        "rmse": float(curve[0]),
        **_measure_rejection(curve, "rmse"),
        "residual_sd": math.sqrt(residual) * scale,
        "coverage_90": coverage[0].held[at],
        "width_90": coverage[0].widths[at],
    }
    histogram = None
    if test.spread is not None and ood.spread is not None:
        measures["noise_coverage_90"] = coverage[1].held[at]
        measures["noise_width_90"] = coverage[1].widths[at]
        measures["noise_sd_test"] = float(test.spread.mean()) * scale
        measures["noise_sd_ood"] = float(ood.spread.mean()) * scale
        histogram = _make_histogram(SPREAD_EDGES, test.spread, ood.spread)
    measures["sd_auroc"] = compute_auroc(sd, of_ood)
    return Outcome(
        "off" if test.spread is None else "on",
        measures,
        tuple(take_shares(curve).tolist()),
        coverage=tuple(coverage),
        histogram=histogram,
    )


def _add_variance(values: Predictions, residual: float) -> np.ndarray:
    noise = np.zeros_like(values.mean) if values.spread is None else values.spread**2
    return np.asarray(np.sqrt(noise + residual))


def _measure_rejection(curve: np.ndarray, name: str) -> dict[str, float]:
    """Return the curve at 20 % rejected, and the area under all of it: its mean."""
    return {
        f"{name}_rejected_20": float(take_shares(curve)[SHARES.index(0.2)]),
        f"{name}_area": float(curve.mean()),
    }


def _make_histogram(edges: np.ndarray, test: np.ndarray, ood: np.ndarray) -> Histogram:
    shares = (tuple(compute_shares(values, edges).tolist()) for values in (test, ood))
    return Histogram(tuple(edges.tolist()), *shares)


# Measures, functions of NumPy arrays alone ------------------------------------------------------


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
    source: str, errors: np.ndarray, sd: np.ndarray, scale: float = 1.0
) -> Coverage[float]:
    """Return the shares of errors inside normal intervals, and the mean widths times a scale.

    At a nominal level they reach z · sd to both sides, where z is the normal quantile of
    (1 + level) / 2.
    """
    halves = [NormalDist().inv_cdf((1 + level) / 2) * sd for level in LEVELS]
    held = tuple(float((np.abs(errors) <= half).mean()) for half in halves)
    widths = tuple(float(2 * half.mean()) * scale for half in halves)
    return Coverage(source, LEVELS, held, widths)


def compute_shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin; the outermost bins take what is beyond them."""
    return np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)
