"""Uncertainty in words, and as a table."""

import math
from collections.abc import Callable

from ..stats import Estimate
from .summary import PredictorSummary, Uncertainty

__all__ = ["LABELS", "headings", "number", "predictor_name", "table", "words"]

# What each measure is called, and whether it is a share, told in %.
LABELS: dict[str, tuple[str, bool]] = {
    "accuracy": ("accuracy, %", True),
    "accuracy_rejected_20": ("accuracy without the most doubtful 20 %, %", True),
    "accuracy_area": ("mean accuracy over all rejected shares, %", True),
    "ece": ("expected calibration error, %", True),
    "overconfidence": ("mean confidence less accuracy, %", True),
    "nll": ("negative log-likelihood, nats", False),
    "brier": ("Brier score", False),
    "entropy_test": ("entropy of test rows, nats", False),
    "entropy_ood": ("entropy of rows not of the data, nats", False),
    "entropy_auroc": ("AUROC, rows not of the data over test rows, by entropy", False),
    "information_auroc": ("AUROC, the same by mutual information", False),
    "rmse": ("RMSE", False),
    "rmse_rejected_20": ("RMSE without the most doubtful 20 %", False),
    "rmse_area": ("mean RMSE over all rejected shares", False),
    "residual_sd": ("standard deviation of residuals", False),
    "coverage_90": ("targets in 90 % intervals, %", True),
    "width_90": ("mean width of 90 % intervals", False),
    "noise_coverage_90": ("targets in 90 % intervals of noise alone, %", True),
    "noise_width_90": ("mean width of 90 % intervals of noise alone", False),
    "noise_sd_test": ("standard deviation by noise, test rows", False),
    "noise_sd_ood": ("standard deviation by noise, rows not of the data", False),
    "sd_auroc": ("AUROC, rows not of the data over test rows", False),
}


def words(result: Uncertainty) -> list[str]:
    """Return what was found, in a few plain sentences."""
    tell = _of_classes if result.task == "classification" else _of_values
    sentences = tell(result)
    if result.seeds > 1:
        sentences.append(
            f"These are means over {result.seeds} seeds; beside a difference, look at the "
            "standard errors in the table."
        )
    return sentences


def headings(result: Uncertainty) -> list[str]:
    """Return the headings of `table`: the measure, and each way of predicting."""
    return ["measure", *(predictor_name(result, p.name) for p in result.predictors)]


def table(result: Uncertainty) -> list[list[str]]:
    """Return a row of text for each measure: mean ± standard error, empty where there is none."""
    named = [key for key in LABELS if any(key in p.measures for p in result.predictors)]
    return [
        [LABELS[key][0], *(_cell(p.measures.get(key), key) for p in result.predictors)]
        for key in named
    ]


def predictor_name(result: Uncertainty, name: str) -> str:
    """Return what a way of predicting is called in a legend or a heading."""
    return {
        "none": "no noise",
        "off": f"{result.recipe} in training only",
        "on": f"{result.recipe} in prediction too",
    }[name]


def number(value: float, digits: int = 3) -> str:
    """Return a number with some digits that count, and all of its whole part."""
    if value == 0 or abs(value) >= 10 ** (digits - 1) - 0.05:
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}"


def _of_classes(result: Uncertainty) -> list[str]:
    rejected = _each(
        result, lambda p: f"from {_share(p, 'accuracy')} to {_share(p, 'accuracy_rejected_20')}"
    )
    apart = _each(result, lambda p: f"{p.measures['entropy_auroc'].mean:.2f}")
    on = _found(result, "on")
    information = (
        f"; told by mutual information, the last is {on.measures['information_auroc'].mean:.2f}"
        if on
        else ""
    )
    return [
        f"Rejecting the most doubtful 20 % of the test rows takes accuracy {rejected}.",
        f"Confidence is off from accuracy by {_each(result, _gap)} (expected calibration error).",
        "The chance that a row not of the data is in more doubt than a test row (AUROC; 0.5 is "
        f"guessing) is {apart}{information}.",
    ]


def _of_values(result: Uncertainty) -> list[str]:
    on = _found(result, "on")
    held = _each(
        result, lambda p: f"{_share(p, 'coverage_90')} (mean width {_value(p, 'width_90')})"
    )
    intervals = f"Of the test targets, intervals of 90 % hold {held}."
    flat = "Without noise in prediction every row is in equal doubt, so rejection tells nothing."
    if on is None:
        return [flat, intervals]
    return [
        f"{_of_rejection(on, result.recipe)} {flat}",
        f"{intervals} {_of_noise_alone(on)}",
        "The chance that a row not of the data is in more doubt than a test row (AUROC; 0.5 is "
        f"guessing), with noise in prediction, is {on.measures['sd_auroc'].mean:.2f}.",
    ]


def _of_rejection(on: PredictorSummary, recipe: str) -> str:
    before, after = on.measures["rmse"].mean, on.measures["rmse_rejected_20"].mean
    change = f"the RMSE from {number(before)} to {number(after)}"
    told = (
        f"lowers {change}."
        if after < before
        else f"takes {change}: this doubt does not find the large errors."
    )
    return (
        f"With {recipe} in prediction too, rejecting the most doubtful 20 % of the test rows {told}"
    )


def _of_noise_alone(on: PredictorSummary) -> str:
    held = f"Those made of the noise alone hold {_share(on, 'noise_coverage_90')}"
    if on.measures["noise_coverage_90"].mean < on.measures["coverage_90"].mean:
        return f"{held}: they leave out how far targets scatter around any prediction."
    return f"{held}."


def _each(result: Uncertainty, tell: Callable[[PredictorSummary], str]) -> str:
    """Return what there is to tell of each way of predicting, in one phrase."""
    place = {
        "none": "without noise",
        "off": f"with {result.recipe} in training only",
        "on": "with it in prediction too",
    }
    parts = [f"{tell(p)} {place[p.name]}" for p in result.predictors]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _gap(predictor: PredictorSummary) -> str:
    """Return the calibration error, and its direction where it has one."""
    gap, ece = (predictor.measures[key].mean for key in ("overconfidence", "ece"))
    if abs(gap) < ece / 2:
        return _share(predictor, "ece")
    return f"{_share(predictor, 'ece')} (too {'sure' if gap > 0 else 'unsure'})"


def _found(result: Uncertainty, name: str) -> PredictorSummary | None:
    return next((p for p in result.predictors if p.name == name), None)


def _share(predictor: PredictorSummary, key: str) -> str:
    return f"{100 * predictor.measures[key].mean:.1f} %"


def _value(predictor: PredictorSummary, key: str) -> str:
    return number(predictor.measures[key].mean)


def _cell(value: Estimate | None, key: str) -> str:
    if value is None:
        return ""
    mean, error = (
        (f"{100 * value.mean:z.1f}", f"{100 * value.standard_error:.1f}")
        if LABELS[key][1]
        else (number(value.mean), number(value.standard_error, 2))
    )
    return mean if math.isnan(value.standard_error) else f"{mean} ±{error}"
