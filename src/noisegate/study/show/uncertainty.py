"""The uncertainty of predictions, in words and as a table."""

from collections.abc import Callable

from ..judge.uncertainty import PredictorSummary, Uncertainty
from .numbers import estimates, number

# The name of each measure, and whether it is a share, shown in %.
LABELS: dict[str, tuple[str, bool]] = {
    "accuracy": ("accuracy, %", True),
    "accuracy_rejected_20": ("accuracy without the most uncertain 20 %, %", True),
    "accuracy_area": ("mean accuracy over all rejected shares, %", True),
    "ece": ("expected calibration error, %", True),
    "overconfidence": ("mean confidence less accuracy, %", True),
    "nll": ("negative log-likelihood, nats", False),
    "brier": ("Brier score", False),
    "entropy_test": ("entropy of test rows, nats", False),
    "entropy_ood": ("entropy of out-of-distribution inputs, nats", False),
    "entropy_auroc": ("AUROC, out-of-distribution over test, by entropy", False),
    "information_auroc": ("AUROC, the same by mutual information", False),
    "rmse": ("RMSE", False),
    "rmse_rejected_20": ("RMSE without the most uncertain 20 %", False),
    "rmse_area": ("mean RMSE over all rejected shares", False),
    "residual_sd": ("standard deviation of residuals", False),
    "coverage_90": ("targets in 90 % intervals, %", True),
    "width_90": ("mean width of 90 % intervals", False),
    "noise_coverage_90": ("targets in 90 % intervals of noise alone, %", True),
    "noise_width_90": ("mean width of 90 % intervals of noise alone", False),
    "noise_sd_test": ("standard deviation by noise, test rows", False),
    "noise_sd_ood": ("standard deviation by noise, out-of-distribution inputs", False),
    "sd_auroc": ("AUROC, out-of-distribution over test", False),
}

OOD = (
    "The chance that an out-of-distribution input is more uncertain than a test row (AUROC; 0.5 "
    "is guessing)"
)


def describe_uncertainty(result: Uncertainty) -> list[str]:
    """Return what was found, in a few plain sentences."""
    describe = _describe_classes if result.task == "classification" else _describe_values
    sentences = describe(result)
    if result.seeds > 1:
        sentences.append(
            f"These are means over {result.seeds} seeds; the standard errors in the table show how "
            "sure a difference between them is."
        )
    return sentences


def table_headings(result: Uncertainty) -> list[str]:
    """Return the headings of `table`: the measure, and each way of predicting."""
    return ["measure", *(name_predictor(result, p.name) for p in result.predictors)]


def tabulate_uncertainty(result: Uncertainty) -> list[list[str]]:
    """Return a row of text for each measure: mean ± standard error, "" where there is none."""
    rows = []
    for key, (label, is_share) in LABELS.items():
        found = {p.name: p.measures[key] for p in result.predictors if key in p.measures}
        if found:
            factor, decimals = (100, 1) if is_share else (1, None)
            texts = dict(
                zip(found, estimates([*found.values()], decimals, factor=factor), strict=True)
            )
            rows.append([label, *(texts.get(p.name, "") for p in result.predictors)])
    return rows


def name_predictor(result: Uncertainty, name: str) -> str:
    """Return the name of a way of predicting for a legend or a heading."""
    return {
        "none": "no noise",
        "off": f"{result.recipe} in training only",
        "on": f"{result.recipe} in prediction too",
    }[name]


def _describe_classes(result: Uncertainty) -> list[str]:
    rejected = _each(
        result, lambda p: f"from {_percent(p, 'accuracy')} to {_percent(p, 'accuracy_rejected_20')}"
    )
    apart = _each(result, lambda p: f"{p.measures['entropy_auroc'].mean:.2f}")
    sentences = [
        f"Rejecting the most uncertain 20 % of the test rows takes accuracy {rejected}.",
        f"Confidence differs from accuracy by {_each(result, _gap)} (expected calibration error).",
        f"{OOD} is {apart}.",
    ]
    if (on := _find(result, "on")) is not None:
        value = on.measures["information_auroc"].mean
        sentences[-1] += f" With noise in prediction, AUROC by mutual information: {value:.2f}."
    return sentences


def _describe_values(result: Uncertainty) -> list[str]:
    on = _find(result, "on")
    held = _each(
        result, lambda p: f"{_percent(p, 'coverage_90')} (mean width {_value(p, 'width_90')})"
    )
    intervals = f"Of the test targets 90 % intervals hold {held}."
    flat = "Without noise in prediction every row is equally uncertain, so rejection tells nothing."
    if on is None:
        return [flat, intervals]
    measures = on.measures
    before, after = measures["rmse"].mean, measures["rmse_rejected_20"].mean
    found = (
        f"lowers the RMSE from {number(before)} to {number(after)}."
        if after < before
        else f"takes the RMSE from {number(before)} to {number(after)}: this uncertainty does not "
        "find the large errors."
    )
    alone = f"Intervals of the noise alone hold {_percent(on, 'noise_coverage_90')}"
    if measures["noise_coverage_90"].mean < measures["coverage_90"].mean:
        alone += ": they leave out how far targets scatter around any prediction"
    return [
        f"With {result.recipe} in prediction too, rejecting the most uncertain 20 % of the test "
        f"rows {found} {flat}",
        f"{intervals} {alone}.",
        f"{OOD}, with noise in prediction, is {measures['sd_auroc'].mean:.2f}.",
    ]


def _each(result: Uncertainty, describe: Callable[[PredictorSummary], str]) -> str:
    """Return what there is to say of each way of predicting, in one phrase."""
    place = {
        "none": "without noise",
        "off": f"with {result.recipe} in training only",
        "on": "with it in prediction too",
    }
    parts = [f"{describe(p)} {place[p.name]}" for p in result.predictors]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _gap(predictor: PredictorSummary) -> str:
    """Return the calibration error, and its direction where it has one."""
    gap, ece = (predictor.measures[key].mean for key in ("overconfidence", "ece"))
    if abs(gap) < ece / 2:
        return _percent(predictor, "ece")
    return f"{_percent(predictor, 'ece')} (too {'sure' if gap > 0 else 'unsure'})"


def _find(result: Uncertainty, name: str) -> PredictorSummary | None:
    return next((p for p in result.predictors if p.name == name), None)


def _percent(predictor: PredictorSummary, key: str) -> str:
    return f"{100 * predictor.measures[key].mean:.1f} %"


def _value(predictor: PredictorSummary, key: str) -> str:
    return number(predictor.measures[key].mean)
