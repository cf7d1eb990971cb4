"""Figures of uncertainty: rejection, calibration or coverage, and doubt off the data."""

from collections.abc import Callable, Sequence
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ...show.drawing import STYLE, encoded
from ..stats import Estimate
from .outcomes import Histogram
from .summary import PredictorSummary, Uncertainty
from .words import predictor_name

__all__ = ["figures"]

# Okabe and Ito's colours, told apart by colour-blind readers too; black is no noise.
COLOURS = {"none": "#000000", "off": "#e69f00", "on": "#0072b2"}
TEST, OOD = "#009e73", "#d55e00"
MARKERS = {"none": "o", "off": "s", "on": "D"}
GREY = "#777777"

WIDTH = 4.4
# Of fewer rows an accuracy says too little to be drawn.
LEAST_ROWS = 10


def figures(result: Uncertainty, format: str = "svg") -> dict[str, bytes]:
    """Return each figure by its title, as `svg` or `png`; equal results give equal bytes."""
    classes = result.task == "classification"
    with matplotlib.rc_context(STYLE):
        rejection = f"{'accuracy' if classes else 'error'} against rejected share"
        made = {rejection: _single(result, _rejection)}
        if any(map(_full_bins, result.predictors)):
            made["calibration"] = _single(result, _reliability)
        if any(predictor.coverage for predictor in result.predictors):
            made["coverage of intervals"] = _single(result, _coverage)
        if any(p.histogram for p in result.predictors):
            made["doubt about rows not of the data"] = _histograms(result)
        return {title: encoded(figure, format) for title, figure in made.items()}


def _single(result: Uncertainty, draw: Callable[[Axes, Uncertainty], None]) -> Figure:
    lines = len(result.predictors) + (draw is not _rejection)
    figure = Figure(figsize=(WIDTH, 2.8 + 0.2 * lines), layout="constrained")
    ax = figure.subplots()
    draw(ax, result)
    figure.legend(loc="outside lower center", ncols=1, frameon=False)
    return figure


def _rejection(ax: Axes, result: Uncertainty) -> None:
    percent = 100.0 if result.task == "classification" else 1.0
    shares = 100 * np.array(result.shares)
    for predictor in result.predictors:
        mean, error = (percent * part for part in _arrays(predictor.rejection))
        colour = COLOURS[predictor.name]
        ax.fill_between(shares, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
        ax.plot(
            shares,
            mean,
            color=colour,
            linewidth=1.4,
            marker=MARKERS[predictor.name],
            markersize=2.5,
            label=_name(result, predictor, "" if _ranks(predictor) else " (at random)"),
        )
    ax.set_xlabel("most doubtful rows rejected, %")
    ax.set_ylabel("accuracy, %" if percent > 1 else "RMSE")
    ax.set_xlim(0, 100)


def _reliability(ax: Axes, result: Uncertainty) -> None:
    ax.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1, label="calibrated")
    lowest = 90.0
    for predictor in result.predictors:
        bins, full = predictor.reliability, _full_bins(predictor)
        if bins is None:
            continue
        confidences, accuracies = (
            [100 * (part[i] or 0.0) for i in full] for part in (bins.confidences, bins.accuracies)
        )
        ax.plot(
            confidences,
            accuracies,
            color=COLOURS[predictor.name],
            linewidth=1.2,
            marker=MARKERS[predictor.name],
            markersize=4,
            clip_on=False,
            label=_name(result, predictor),
        )
        lowest = min([lowest, *confidences, *accuracies])
    ax.set(xlim=(lowest - 5, 100), ylim=(lowest - 5, 100))
    ax.set(xlabel=f"confidence, %, in bins of at least {LEAST_ROWS} rows", ylabel="accuracy, %")


def _full_bins(predictor: PredictorSummary) -> list[int]:
    """Return the bins of confidence that have enough rows to be drawn."""
    counts = () if predictor.reliability is None else predictor.reliability.counts
    return [i for i, count in enumerate(counts) if count >= LEAST_ROWS]


def _coverage(ax: Axes, result: Uncertainty) -> None:
    ax.plot([40, 100], [40, 100], color=GREY, linestyle="--", linewidth=1, label="as promised")
    for predictor in result.predictors:
        for line in predictor.coverage:
            alone = line.source == "noise alone"
            mean, error = (100 * part for part in _arrays(line.held))
            ax.errorbar(
                100 * np.array(line.levels),
                mean,
                np.nan_to_num(error),
                color=COLOURS[predictor.name],
                linestyle=":" if alone else "-",
                marker=MARKERS[predictor.name],
                markerfacecolor="white" if alone else None,
                markersize=4,
                linewidth=1.2,
                label="the same, noise alone" if alone else _name(result, predictor),
            )
    ax.set(xlabel="nominal level, %", ylabel="targets inside, %", xlim=(45, 100), ylim=(0, 102))


def _histograms(result: Uncertainty) -> Figure:
    drawn = [p for p in result.predictors if p.histogram is not None]
    figure = Figure(figsize=(WIDTH, max(2.6, 0.8 + 1.35 * len(drawn))), layout="constrained")
    grid = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for ax, predictor in zip(grid, drawn, strict=True):
        assert predictor.histogram is not None
        _histogram(ax, predictor.histogram)
        ax.set_title(_name(result, predictor), loc="left", fontsize=9)
    if result.task == "classification":
        grid[-1].set_xlabel("predictive entropy, nats")
    else:
        _log_axis(grid[-1], [p.histogram for p in drawn if p.histogram])
        grid[-1].set_xlabel("standard deviation by noise, in those of the target")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.supylabel("share of rows, %", fontsize=9)
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _histogram(ax: Axes, shares: Histogram) -> None:
    for values, colour, label in (
        (shares.test, TEST, "test rows"),
        (shares.ood, OOD, "rows not of the data"),
    ):
        heights = 100 * np.array(values)
        ax.stairs(heights, shares.edges, fill=True, color=colour, alpha=0.25)
        ax.stairs(heights, shares.edges, color=colour, linewidth=1.3, label=label)
    ax.set_xlim(shares.edges[0], shares.edges[-1])


def _log_axis(ax: Axes, drawn: Sequence[Histogram]) -> None:
    """Show the bins that hold rows, on a log scale with plain numbers."""
    edges = drawn[0].edges
    held = [i for h in drawn for i in range(len(edges) - 1) if h.test[i] or h.ood[i]]
    ax.set_xscale("log")
    ax.set_xlim(edges[max(min(held) - 3, 0)], edges[min(max(held) + 4, len(edges) - 1)])
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())


def _name(result: Uncertainty, predictor: PredictorSummary, more: str = "") -> str:
    """Return a predictor's name, broken into lines that fit into the figure."""
    return fill(predictor_name(result, predictor.name) + more, 44)


def _ranks(predictor: PredictorSummary) -> bool:
    """Return whether some rows are in more doubt than others."""
    return predictor.histogram is not None


def _arrays(values: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard errors."""
    return (
        np.array([value.mean for value in values]),
        np.array([value.standard_error for value in values]),
    )
