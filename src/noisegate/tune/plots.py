"""Figures of a search: the value of each trial, and the importance of each rule."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisegate.study.data.tasks import Task
from noisegate.study.show.drawing import (
    BLUE,
    GREY,
    NUMBERS,
    VERMILION,
    count_axis,
    draw_figure,
    legend_below,
    log_axis,
)
from noisegate.study.show.sentences import shorten_middle

from .records import Trial


def draw_search(
    trials: Sequence[Trial], shares: Mapping[str, float], task: Task, format: str
) -> bytes:
    """Return both figures side by side, as `png` or `svg`; without shares the history alone."""
    panels = 2 if shares else 1

    def fill(figure: Figure) -> None:
        left, *right = figure.subplots(1, panels, squeeze=False)[0]
        _plot_history(left, trials, task)
        left.legend(frameon=False)
        for ax in right:
            _plot_importance(ax, shares)

    return draw_figure(fill, (0.4 + 4.8 * panels, 3.4), format)


def draw_history(trials: Sequence[Trial], task: Task, format: str = "svg") -> bytes:
    """Return the values of the trials in order, and the best so far, as `svg` or `png`."""

    def fill(figure: Figure) -> None:
        _plot_history(figure.subplots(), trials, task)
        legend_below(figure, columns=3)

    return draw_figure(fill, (4.4, 3.4), format, clear=True)


def draw_importance(shares: Mapping[str, float], format: str = "svg") -> bytes:
    """Return a bar for each rule: its importance in %, as `svg` or `png`."""

    def fill(figure: Figure) -> None:
        _plot_importance(figure.subplots(), shares)

    return draw_figure(fill, (4.4, max(1.8, 0.9 + 0.35 * len(shares))), format, clear=True)


def _plot_history(ax: Axes, trials: Sequence[Trial], task: Task) -> None:
    finished, pruned = _select(trials, "finished"), _select(trials, "pruned")
    for some, sign, colour, label in (
        (finished, "o", BLUE, "finished"),
        (pruned, "x", GREY, "given up early"),
    ):
        if some:
            numbers, values = [t.number for t in some], _read_values(some)
            ax.plot(numbers, values, sign, color=colour, markersize=4, alpha=0.8, label=label)
    if finished:
        best = np.minimum.accumulate(_read_values(finished))
        # The line of the best goes on to the last trial, whatever became of that.
        steps = [*(t.number for t in finished), max(t.number for t in trials)]
        best = np.append(best, best[-1])
        ax.step(steps, best, where="post", color=VERMILION, linewidth=1.5, label="best so far")
    count_axis(ax, "trial")
    ax.yaxis.set_major_formatter(NUMBERS)
    values = _read_values(finished + pruned)
    if len(values):
        log_axis(ax, "y", float(np.nanmin(values)), float(np.nanmax(values)))
    ax.set_ylabel(f"mean validation {task.loss_name}", fontsize=8)


def _plot_importance(ax: Axes, shares: Mapping[str, float]) -> None:
    rules = sorted(shares, key=lambda name: shares[name])
    percents = [100 * shares[name] for name in rules]
    bars = ax.barh(range(len(rules)), percents, color=BLUE, height=0.6)
    ax.bar_label(bars, [f"{percent:.0f} %" for percent in percents], padding=3)
    ax.set_yticks(range(len(rules)), [shorten_middle(name, 24) for name in rules])
    ax.set_xlim(0, max([*percents, 1]) * 1.2)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("share of what made trials better or worse, %", fontsize=8)


def _select(trials: Sequence[Trial], state: str) -> list[Trial]:
    """Return the trials of a state that have a value, by number."""
    some = [t for t in trials if t.state == state and t.value is not None]
    return sorted(some, key=lambda trial: trial.number)


def _read_values(trials: Sequence[Trial]) -> np.ndarray:
    """Return the values of trials, NaN where there is none."""
    return np.array([np.nan if trial.value is None else trial.value for trial in trials])
