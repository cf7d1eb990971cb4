"""Figures of uncertainty: rejection, calibration or coverage, and out-of-distribution inputs."""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..judge.stats import Estimate
from ..judge.uncertainty import Histogram, PredictorSummary, Uncertainty
from .drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    draw_figure,
    legend_below,
    log_axis,
)
from .uncertainty import name_predictor

COLOURS = {"none": BLACK, "off": ORANGE, "on": BLUE}
MARKERS = {"none": "o", "off": "s", "on": "D"}

WIDTH = 4.4
# The accuracy of fewer rows says too little to be drawn.
LEAST_ROWS = 10


def draw_uncertainty(
    result: Uncertainty, format: str = "svg", *, clear: bool = False
) -> dict[str, bytes]:
    """Return each figure by its title, as `svg` or `png`; equal results give equal bytes."""
    many, size = result.predictors, (WIDTH, 3.0 + 0.2 * len(result.predictors))
    is_class = result.task == "classification"
    found: dict[str, Callable[[Figure], None]] = {
        f"{'accuracy' if is_class else 'error'} against rejected share": lambda figure: _single(
            figure, _rejection, result
        )
    }
    if any(map(_full_bins, many)):
        found["calibration"] = lambda figure: _single(figure, _reliability, result)
    if any(predictor.coverage for predictor in many):
        found["coverage of intervals"] = lambda figure: _single(figure, _coverage, result)
    pictures = {title: draw_figure(one, size, format, clear=clear) for title, one in found.items()}
    if count := sum(p.histogram is not None for p in many):
        pictures["uncertainty of out-of-distribution inputs"] = draw_figure(
            lambda figure: _histograms(figure, result),
            (WIDTH, max(2.6, 0.8 + 1.35 * count)),
            format,
            clear=clear,
        )
    return pictures


def _single(figure: Figure, plot: Callable[[Axes, Uncertainty], None], result: Uncertainty) -> None:
    plot(figure.subplots(), result)
    legend_below(figure, columns=1)


def _rejection(ax: Axes, result: Uncertainty) -> None:
    percent = 100.0 if result.task == "classification" else 1.0
    shares = 100 * np.array(result.shares)
    for predictor in result.predictors:
        mean, error = (percent * part for part in _arrays(predictor.rejection))
        colour = COLOURS[predictor.name]
        ax.fill_between(shares, mean - error, mean + error, color=colour, alpha=0.15, linewidth=0)
        # Without a histogram all rows are equally uncertain.
        more = "" if predictor.histogram else " (at random)"
        _line(ax, shares, mean, predictor, _label_predictor(result, predictor, more))
    ax.set_xlabel("most uncertain rows rejected, %")
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
            np.array([100 * (part[i] or 0.0) for i in full])
            for part in (bins.confidences, bins.accuracies)
        )
        _line(ax, confidences, accuracies, predictor, _label_predictor(result, predictor))
        lowest = min([lowest, *confidences, *accuracies])
    ax.set(xlim=(lowest - 5, 100), ylim=(lowest - 5, 100))
    ax.set(xlabel=f"confidence, %, in bins of at least {LEAST_ROWS} rows", ylabel="accuracy, %")


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, predictor: PredictorSummary, label: str) -> None:
    colour, marker = COLOURS[predictor.name], MARKERS[predictor.name]
    words: Any = {"color": colour, "marker": marker, "label": label, "clip_on": False}
    ax.plot(x, y, linewidth=1.3, markersize=3, **words)


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
                markerfacecolor="none" if alone else None,
                markersize=4,
                linewidth=1.2,
                label="the same, noise alone" if alone else _label_predictor(result, predictor),
            )
    ax.set(xlabel="nominal level, %", ylabel="targets inside, %", xlim=(45, 100), ylim=(0, 102))


def _histograms(figure: Figure, result: Uncertainty) -> None:
    found = [(p, p.histogram) for p in result.predictors if p.histogram is not None]
    axes = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (predictor, shares) in zip(axes, found, strict=True):
        for values, colour, label in (
            (shares.test, GREEN, "test rows"),
            (shares.ood, VERMILION, "out-of-distribution inputs"),
        ):
            heights = 100 * np.array(values)
            ax.stairs(heights, shares.edges, fill=True, color=colour, alpha=0.25)
            ax.stairs(heights, shares.edges, color=colour, linewidth=1.3, label=label)
        ax.set_xlim(shares.edges[0], shares.edges[-1])
        ax.set_title(_label_predictor(result, predictor), loc="left", fontsize=9)
    if result.task == "classification":
        axes[-1].set_xlabel("predictive entropy, nats")
    else:
        low, high = _find_ends(found[0][1].edges, [shares for _, shares in found])
        log_axis(axes[-1], "x", low, high)
        axes[-1].set_xlim(low, high)
        axes[-1].set_xlabel("standard deviation by noise, in those of the target")
    figure.supylabel("share of rows, %", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    legend_below(figure, handles=handles, labels=labels, columns=2)


def _find_ends(edges: Sequence[float], found: Sequence[Histogram]) -> tuple[float, float]:
    """Return the ends of the bins that hold rows, and a little more."""
    held = [i for h in found for i in range(len(edges) - 1) if h.test[i] or h.ood[i]]
    return edges[max(min(held) - 3, 0)], edges[min(max(held) + 4, len(edges) - 1)]


def _label_predictor(result: Uncertainty, predictor: PredictorSummary, more: str = "") -> str:
    """Return a predictor's name, broken into lines that fit into the figure."""
    return fill(name_predictor(result, predictor.name) + more, 44)


def _arrays(values: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard errors."""
    means, errors = zip(*((value.mean, value.standard_error) for value in values), strict=True)
    return np.array(means), np.array(errors)
