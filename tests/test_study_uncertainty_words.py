"""What is said of uncertainty, word for word, for measures made by hand."""

from matplotlib.figure import Figure

from noisegate.study.judge.stats import Estimate
from noisegate.study.judge.uncertainty import PredictorSummary, Uncertainty
from noisegate.study.judge.uncertainty.outcomes import Coverage, Histogram, Outcome, Reliability
from noisegate.study.show import uncertainty_figures as figures
from noisegate.study.show.uncertainty import (
    LABELS,
    describe_uncertainty,
    table_headings,
    tabulate_uncertainty,
)

HISTOGRAM = Histogram((0.01, 0.1, 1.0, 10.0), (0.5, 0.5, 0.0), (0.0, 0.5, 0.5))
MEASURES = {
    "accuracy": 0.95,
    "accuracy_rejected_20": 0.99,
    "accuracy_area": 0.98,
    "ece": 0.03,
    "overconfidence": 0.02,
    "nll": 0.25,
    "brier": 0.1,
    "entropy_test": 0.2,
    "entropy_ood": 1.5,
    "entropy_auroc": 0.9,
    "information_auroc": 0.93,
}
VALUES = {
    "rmse": 1.5,
    "rmse_rejected_20": 1.25,
    "rmse_area": 1.0,
    "residual_sd": 1.5,
    "coverage_90": 0.9,
    "width_90": 4.5,
    "noise_coverage_90": 0.4,
    "noise_width_90": 2.0,
    "noise_sd_test": 0.5,
    "noise_sd_ood": 0.75,
    "sd_auroc": 0.8,
}


def predictor(name: str, measures: dict[str, float], **changes: float) -> PredictorSummary:
    """Make a way of predicting; a standard error is a tenth of its mean."""
    found = {key: Estimate(value, value / 10) for key, value in {**measures, **changes}.items()}
    line = tuple(Estimate(value, 0.01) for value in (0.8, 0.9))
    sources = ("noise and residuals", "noise alone") if name == "on" else ("residuals",)
    return Outcome(
        name,
        found,
        line,
        Reliability((20, 9, 30), (0.6, 0.7, 0.9), (0.5, 0.7, 0.95)),
        tuple(Coverage(source, (0.5, 0.9), line, line) for source in sources),
        None if name == "none" else HISTOGRAM,
    )


def result(task: str, *predictors: PredictorSummary, seeds: int = 3) -> Uncertainty:
    return Uncertainty(task, "hidden dropout", seeds, 50, 200, 100, (0.0, 0.5), predictors)


NONE = {key: value for key, value in MEASURES.items() if key != "information_auroc"}
CLASSES = result(
    "classification",
    predictor("none", NONE, overconfidence=-0.03),
    predictor("off", NONE, overconfidence=0.0),
    predictor("on", MEASURES),
)
NUMBERS = result(
    "regression",
    predictor("none", {key: VALUES[key] for key in ("rmse", "coverage_90", "width_90")}),
    predictor("on", VALUES),
)


def test_the_words_on_classes():
    assert describe_uncertainty(CLASSES) == [
        "Rejecting the most uncertain 20 % of the test rows takes accuracy from 95.0 % to 99.0 % "
        "without noise, from 95.0 % to 99.0 % with hidden dropout in training only, and from "
        "95.0 % to 99.0 % with it in prediction too.",
        "Confidence differs from accuracy by 3.0 % (too unsure) without noise, 3.0 % with hidden "
        "dropout in training only, and 3.0 % (too sure) with it in prediction too (expected "
        "calibration error).",
        "The chance that an out-of-distribution input is more uncertain than a test row (AUROC; "
        "0.5 is guessing) is 0.90 without noise, 0.90 with hidden dropout in training only, and "
        "0.90 with it in prediction too. With noise in prediction, AUROC by mutual information: "
        "0.93.",
        "These are means over 3 seeds; the standard errors in the table show how sure a difference "
        "between them is.",
    ]


def test_the_words_on_numbers():
    assert describe_uncertainty(NUMBERS)[:3] == [
        "With hidden dropout in prediction too, rejecting the most uncertain 20 % of the test rows "
        "lowers the RMSE from 1.50 to 1.25. Without noise in prediction every row is equally "
        "uncertain, so rejection tells nothing.",
        "Of the test targets 90 % intervals hold 90.0 % (mean width 4.50) without noise, and "
        "90.0 % (mean width 4.50) with it in prediction too. Intervals of the noise alone hold "
        "40.0 %: they leave out how far targets scatter around any prediction.",
        "The chance that an out-of-distribution input is more uncertain than a test row (AUROC; "
        "0.5 is guessing), with noise in prediction, is 0.80.",
    ]
    worse = predictor("on", VALUES, rmse_rejected_20=1.75, noise_coverage_90=0.95)
    said = describe_uncertainty(result("regression", worse, seeds=1))
    assert len(said) == 3
    assert (
        "takes the RMSE from 1.50 to 1.75: this uncertainty does not find the large errors."
        in said[0]
    )
    assert said[1].endswith("Intervals of the noise alone hold 95.0 %.")


def test_the_words_without_a_recipe():
    alone = result("regression", NUMBERS.predictors[0], seeds=1)
    assert describe_uncertainty(alone) == [
        "Without noise in prediction every row is equally uncertain, so rejection tells nothing.",
        "Of the test targets 90 % intervals hold 90.0 % (mean width 4.50) without noise.",
    ]


def test_the_table_names_every_measure():
    assert table_headings(CLASSES) == [
        "measure",
        "no noise",
        "hidden dropout in training only",
        "hidden dropout in prediction too",
    ]
    rows = tabulate_uncertainty(CLASSES) + tabulate_uncertainty(NUMBERS)
    assert [row[0] for row in rows] == [
        "accuracy, %",
        "accuracy without the most uncertain 20 %, %",
        "mean accuracy over all rejected shares, %",
        "expected calibration error, %",
        "mean confidence less accuracy, %",
        "negative log-likelihood, nats",
        "Brier score",
        "entropy of test rows, nats",
        "entropy of out-of-distribution inputs, nats",
        "AUROC, out-of-distribution over test, by entropy",
        "AUROC, the same by mutual information",
        "RMSE",
        "RMSE without the most uncertain 20 %",
        "mean RMSE over all rejected shares",
        "standard deviation of residuals",
        "targets in 90 % intervals, %",
        "mean width of 90 % intervals",
        "targets in 90 % intervals of noise alone, %",
        "mean width of 90 % intervals of noise alone",
        "standard deviation by noise, test rows",
        "standard deviation by noise, out-of-distribution inputs",
        "AUROC, out-of-distribution over test",
    ]
    assert len(rows) == len(LABELS)
    assert rows[0][1:] == ["95.0 ±9.5"] * 3
    assert rows[10][1:] == ["", "", "0.930 ±0.093"]


def test_the_words_of_the_figures():
    assert list(figures.draw_uncertainty(CLASSES)) == [
        "accuracy against rejected share",
        "calibration",
        "coverage of intervals",
        "uncertainty of out-of-distribution inputs",
    ]
    ax = Figure().subplots()
    figures._rejection(ax, CLASSES)
    assert ax.get_xlabel() == "most uncertain rows rejected, %"
    assert ax.get_legend_handles_labels()[1][0] == "no noise (at random)"
    ax = Figure().subplots()
    figures._reliability(ax, CLASSES)
    assert ax.get_xlabel() == "confidence, %, in bins of at least 10 rows"
    ax = Figure().subplots()
    figures._coverage(ax, NUMBERS)
    assert ax.get_legend_handles_labels()[1][-1] == "the same, noise alone"
    figure = Figure()
    figures._histograms(figure, NUMBERS)
    label = figure.axes[-1].get_xlabel()
    assert label == "standard deviation by noise, in those of the target"
