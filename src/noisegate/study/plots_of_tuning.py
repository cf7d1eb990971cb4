"""Figures of a search: its values one by one, and how much each rule mattered."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .data.tasks import Task
from .drawing import NUMBERS, STYLE, encoded, logarithmic
from .tuning.results import Trial, Tuning
from .wording import shortened

__all__ = ["history", "importance", "overview"]

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"


def overview(tuning: Tuning, task: Task, format: str) -> bytes:
    """Return both figures side by side, as `png` or `svg`; the first alone if no importance is."""
    panels = 2 if tuning.importance else 1
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.4 + 4.8 * panels, 3.4), layout="constrained")
        left, *right = figure.subplots(1, panels, squeeze=False)[0]
        _draw_history(left, tuning, task)
        left.legend(frameon=False)
        for ax in right:
            _draw_importance(ax, tuning)
        return encoded(figure, format)


def history(tuning: Tuning, task: Task, format: str = "svg") -> bytes:
    """Return the value of each trial in its order, and the best so far, as `svg` or `png`."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        _draw_history(figure.subplots(), tuning, task)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        return encoded(figure, format)


def importance(tuning: Tuning, format: str = "svg") -> bytes:
    """Return a bar for each rule: its share of what made trials better or worse, in %."""
    with matplotlib.rc_context(STYLE):
        height = max(1.8, 0.9 + 0.35 * len(tuning.importance))
        figure = Figure(figsize=(4.4, height), layout="constrained")
        _draw_importance(figure.subplots(), tuning)
        return encoded(figure, format)


def _draw_history(ax: Axes, tuning: Tuning, task: Task) -> None:
    finished, pruned = _of(tuning, "finished"), _of(tuning, "pruned")
    for trials, sign, colour, label in (
        (finished, "o", BLUE, "finished"),
        (pruned, "x", GREY, "given up early"),
    ):
        if trials:
            numbers, values = [t.number for t in trials], _values(trials)
            ax.plot(numbers, values, sign, color=colour, markersize=4, alpha=0.8, label=label)
    if finished:
        best = np.minimum.accumulate(_values(finished))
        steps = [*(t.number for t in finished), max(t.number for t in tuning.trials)]
        words: Any = {"color": ORANGE, "linewidth": 1.5, "label": "best so far"}
        ax.step(steps, [*best, best[-1]], where="post", **words)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.yaxis.set_major_formatter(NUMBERS)
    seen = _values(finished + pruned)
    if len(seen):
        logarithmic(ax, float(np.nanmin(seen)), float(np.nanmax(seen)))
    ax.set_xlabel("trial")
    ax.set_ylabel(f"mean validation {task.loss_name}", fontsize=8)


def _draw_importance(ax: Axes, tuning: Tuning) -> None:
    rules = sorted(tuning.importance, key=lambda name: tuning.importance[name])
    shares = [100 * tuning.importance[name] for name in rules]
    bars = ax.barh(range(len(rules)), shares, color=BLUE, height=0.6)
    ax.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=3)
    ax.set_yticks(range(len(rules)), [shortened(name, 24) for name in rules])
    ax.set_xlim(0, max([*shares, 1]) * 1.2)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("share of what made trials better or worse, %", fontsize=8)


def _of(tuning: Tuning, state: str) -> list[Trial]:
    found = [t for t in tuning.trials if t.state == state and t.value is not None]
    return sorted(found, key=lambda trial: trial.number)


def _values(trials: Sequence[Trial]) -> np.ndarray:
    return np.array([np.nan if trial.value is None else trial.value for trial in trials])
