"""Figures of a search: its values one by one, and how much each rule mattered."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from noisegate.study.data import Task
from noisegate.study.drawing import NUMBERS, STYLE, encoded, logarithmic
from noisegate.study.wording import shortened

from .results import Trial

__all__ = ["history", "importance", "overview"]

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"


def overview(
    trials: Sequence[Trial], shares: Mapping[str, float], task: Task, format: str
) -> bytes:
    """Return both figures side by side, as `png` or `svg`; the first alone without shares."""
    panels = 2 if shares else 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 4.8 * panels, 3.4), layout="constrained")
        left, *right = figure.subplots(1, panels, squeeze=False)[0]
        _draw_history(left, trials, task)
        left.legend(frameon=False)
        for ax in right:
            _draw_importance(ax, shares)
        return encoded(figure, format)


def history(trials: Sequence[Trial], task: Task, format: str = "svg") -> bytes:
    """Return the value of each trial in its order, and the best so far, as `svg` or `png`."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        _draw_history(figure.subplots(), trials, task)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        return encoded(figure, format)


def importance(shares: Mapping[str, float], format: str = "svg") -> bytes:
    """Return a bar for each rule: its share of what made trials better or worse, in %."""
    with matplotlib.rc_context(STYLE):
        height = max(1.8, 0.9 + 0.35 * len(shares))
        figure = Figure(figsize=(4.4, height), layout="constrained")
        _draw_importance(figure.subplots(), shares)
        return encoded(figure, format)


def _draw_history(ax: Axes, trials: Sequence[Trial], task: Task) -> None:
    finished, pruned = _of(trials, "finished"), _of(trials, "pruned")
    for some, sign, colour, label in (
        (finished, "o", BLUE, "finished"),
        (pruned, "x", GREY, "given up early"),
    ):
        if some:
            numbers, values = [t.number for t in some], _values(some)
            ax.plot(numbers, values, sign, color=colour, markersize=4, alpha=0.8, label=label)
    if finished:
        best = np.minimum.accumulate(_values(finished))
        steps = [*(t.number for t in finished), max(t.number for t in trials)]
        words: Any = {"color": ORANGE, "linewidth": 1.5, "label": "best so far"}
        ax.step(steps, [*best, best[-1]], where="post", **words)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.yaxis.set_major_formatter(NUMBERS)
    seen = _values(finished + pruned)
    if len(seen):
        logarithmic(ax, float(np.nanmin(seen)), float(np.nanmax(seen)))
    ax.set_xlabel("trial")
    ax.set_ylabel(f"mean validation {task.loss_name}", fontsize=8)


def _draw_importance(ax: Axes, shares: Mapping[str, float]) -> None:
    rules = sorted(shares, key=lambda name: shares[name])
    percents = [100 * shares[name] for name in rules]
    bars = ax.barh(range(len(rules)), percents, color=BLUE, height=0.6)
    ax.bar_label(bars, [f"{percent:.0f} %" for percent in percents], padding=3)
    ax.set_yticks(range(len(rules)), [shortened(name, 24) for name in rules])
    ax.set_xlim(0, max([*percents, 1]) * 1.2)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("share of what made trials better or worse, %", fontsize=8)


def _of(trials: Sequence[Trial], state: str) -> list[Trial]:
    found = [t for t in trials if t.state == state and t.value is not None]
    return sorted(found, key=lambda trial: trial.number)


def _values(trials: Sequence[Trial]) -> np.ndarray:
    return np.array([np.nan if trial.value is None else trial.value for trial in trials])
