"""What one way of predicting came to on one seed's rows: numbers only, ready for JSON."""

import math
from dataclasses import dataclass

import numpy as np

from noisegate.prediction.calibration import calibrate
from noisegate.prediction.moments import entropy

from .measures import LEVELS, SHARES, at_shares, auroc, coverage, rejection, shares_in_bins

__all__ = [
    "Coverage",
    "Histogram",
    "OneSeed",
    "Outcome",
    "Probabilities",
    "Reliability",
    "Values",
    "classified",
    "regressed",
]

CONFIDENCE_BINS = 15
ENTROPY_BINS = 20
# Edges for standard deviations, in those of the training targets: 0.01 to 10 on a log scale.
SPREAD_EDGES = np.logspace(-2, 1, 61)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How many rows have a confidence in each of 15 bins, their mean confidence and accuracy.

    Empty bins have None.
    """

    counts: tuple[int, ...]
    confidences: tuple[float | None, ...]
    accuracies: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What intervals hold: the share of test targets inside, and mean widths, at each level.

    `source` says what the intervals are made of: `residuals`, `noise and residuals`, `noise
    alone`. Widths are in the target's unit.
    """

    source: str
    levels: tuple[float, ...]
    held: tuple[float, ...]
    widths: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """The shares of the test rows, and of rows not of the data, in bins of doubt.

    Doubt is the entropy in nats, or the standard deviation by noise in units of the training
    targets' standard deviation; what is beyond the edges is in the outermost bins.
    """

    edges: tuple[float, ...]
    test: tuple[float, ...]
    ood: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way of predicting came to.

    `measures` are named in `LABELS`; `rejection` is accuracy, or the error in the target's unit,
    at each rejected share of `SHARES`.
    """

    measures: dict[str, float]
    rejection: tuple[float, ...]
    reliability: Reliability | None = None
    coverage: tuple[Coverage, ...] = ()
    histogram: Histogram | None = None


@dataclass(frozen=True, slots=True)
class OneSeed:
    """One trained model, evaluated without noise at prediction and, if it has rules, with it."""

    task: str
    samples: int
    rows: int
    ood_rows: int
    off: Outcome
    on: Outcome | None


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Class probabilities, shape (rows, classes), and mutual information, where noise is on."""

    mean: np.ndarray
    information: np.ndarray | None = None

    @property
    def entropy(self) -> np.ndarray:
        """The predictive entropy, in nats."""
        return entropy(self.mean, 1)


@dataclass(frozen=True, slots=True)
class Values:
    """Predicted values, shape (rows,), and their standard deviation by noise, where it is on."""

    mean: np.ndarray
    sd: np.ndarray | None = None


def classified(test: Probabilities, labels: np.ndarray, ood: Probabilities) -> Outcome:
    """Return what a classifier's probabilities come to; doubt is the predictive entropy.

    Parameters
    ----------
    test, ood : Probabilities
        For the test rows, and for rows that are not of the data.
    labels : ndarray of int, shape (rows,)
        The true classes of the test rows.
    """
    right = (test.mean.argmax(1) == labels).astype(np.float64)
    curve = rejection(right, test.entropy)
    # A probability that has run out of numbers is the least there is, not an infinite loss.
    possible = np.maximum(test.mean, np.finfo(np.float64).tiny)
    found = calibrate(possible, labels, CONFIDENCE_BINS, 1)
    measures = {
        "accuracy": found.accuracy,
        **_rejected(curve, "accuracy"),
        "ece": found.ece,
        "overconfidence": float(test.mean.max(1).mean()) - found.accuracy,
        "nll": found.nll,
        "brier": found.brier,
        "entropy_test": float(test.entropy.mean()),
        "entropy_ood": float(ood.entropy.mean()),
        "entropy_auroc": auroc(test.entropy, ood.entropy),
    }
    if test.information is not None and ood.information is not None:
        measures["information_auroc"] = auroc(test.information, ood.information)
    edges = np.linspace(0, math.log(test.mean.shape[1]), ENTROPY_BINS + 1)
    return Outcome(
        measures,
        _floats(at_shares(curve)),
        reliability=Reliability(
            tuple(int(count) for count in found.counts),
            _floats_or_none(found.confidences),
            _floats_or_none(found.accuracies),
        ),
        histogram=_histogram(edges, test.entropy, ood.entropy),
    )


def regressed(
    test: Values,
    targets: np.ndarray,
    validation: Values,
    validation_targets: np.ndarray,
    ood: Values,
    scale: float,
) -> Outcome:
    """Return what a regression's values and their spread come to; doubt is the predictive sd.

    Without noise every row has the same sd: the root mean square of the validation residuals.
    With noise the variance of the residuals is what is left of their mean square when the mean
    variance by noise is taken off, and at least 0; each row adds its own variance by noise.

    Parameters
    ----------
    test, validation, ood : Values
        For rows with targets, rows that the residuals are measured on, and rows not of the data.
    targets, validation_targets : ndarray of shape (rows,)
        Standardised, as the values are.
    scale : float
        What turns standardised numbers into the target's unit, above 0.
    """
    errors = test.mean - targets
    residual = float(((validation.mean - validation_targets) ** 2).mean())
    if validation.sd is not None:
        residual = max(0.0, residual - float((validation.sd**2).mean()))
    doubt, of_ood = _sd(test, residual), _sd(ood, residual)
    curve = np.sqrt(rejection(errors**2, doubt)) * scale
    lines = {"residuals": doubt}
    if test.sd is not None:
        lines = {"noise and residuals": doubt, "noise alone": test.sd}
    covered = tuple(_coverage(name, errors, sd, scale) for name, sd in lines.items())
    measures = {
        "rmse": float(curve[0]),
        **_rejected(curve, "rmse"),
        "residual_sd": math.sqrt(residual) * scale,
        "coverage_90": covered[0].held[LEVELS.index(0.9)],
        "width_90": covered[0].widths[LEVELS.index(0.9)],
    }
    if test.sd is not None and ood.sd is not None:
        measures["noise_coverage_90"] = covered[1].held[LEVELS.index(0.9)]
        measures["noise_width_90"] = covered[1].widths[LEVELS.index(0.9)]
        measures["noise_sd_test"] = float(test.sd.mean()) * scale
        measures["noise_sd_ood"] = float(ood.sd.mean()) * scale
    measures["sd_auroc"] = auroc(doubt, of_ood)
    return Outcome(
        measures,
        _floats(at_shares(curve)),
        coverage=covered,
        histogram=None
        if test.sd is None or ood.sd is None
        else _histogram(SPREAD_EDGES, test.sd, ood.sd),
    )


def _sd(values: Values, residual: float) -> np.ndarray:
    noise = np.zeros_like(values.mean) if values.sd is None else values.sd**2
    return np.asarray(np.sqrt(noise + residual))


def _rejected(curve: np.ndarray, name: str) -> dict[str, float]:
    """Return the curve at 20 % rejected, and the area under all of it: its mean."""
    return {
        f"{name}_rejected_20": float(at_shares(curve)[SHARES.index(0.2)]),
        f"{name}_area": float(curve.mean()),
    }


def _coverage(source: str, errors: np.ndarray, sd: np.ndarray, scale: float) -> Coverage:
    held, widths = zip(*(coverage(errors, sd, level) for level in LEVELS), strict=True)
    return Coverage(source, LEVELS, held, tuple(width * scale for width in widths))


def _histogram(edges: np.ndarray, test: np.ndarray, ood: np.ndarray) -> Histogram:
    shares = (shares_in_bins(values, edges) for values in (test, ood))
    return Histogram(_floats(edges), *map(_floats, shares))


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _floats_or_none(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else float(value) for value in values)
