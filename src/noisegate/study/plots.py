"""The study's figures. The only file of noisegate that imports matplotlib."""

from collections.abc import Callable, Sequence
from io import BytesIO
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from noisegate.nets import Epoch

from .recipes import BASELINE, RECIPES
from .results import Study
from .sentences import model_name

__all__ = ["PANELS", "overview", "panel"]

# Okabe and Ito's colours, told apart by colour-blind readers too; black is no noise.
COLOURS = dict(zip(RECIPES, ("#000000", "#0072b2", "#e69f00", "#d55e00", "#009e73"), strict=True))

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "svg.hashsalt": "noisegate",
    "svg.fonttype": "path",
}


def overview(study: Study, format: str) -> bytes:
    """Return one picture of all panels, a row for each model, as `png` or `svg`."""
    rows = len(study.models)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 2.8 * rows + 0.4), layout=ConstrainedLayoutEngine(w_pad=0.1))
        grid = figure.subplots(rows, len(PANELS), squeeze=False)
        for axes, model in zip(grid, study.models, strict=True):
            for ax, (title, draw) in zip(axes, PANELS.items(), strict=True):
                draw(ax, study, model)
                ax.set_title(f"{model_name(model)}: {title}", loc="left", fontsize=9)
        _legend(figure, study, columns=len(RECIPES))
        return _encoded(figure, format)


def panel(study: Study, model: str, title: str) -> bytes:
    """Return one panel on its own, as SVG."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        ax = figure.subplots()
        PANELS[title](ax, study, model)
        if not title.startswith("difference"):
            _legend(figure, study, columns=2, model=model)
        return _encoded(figure, "svg")


def _train_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.train_loss)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylabel("cross-entropy, noise on")


def _validation_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.validation_loss)
    _look_at_the_end(ax)
    ax.set_ylabel("cross-entropy, noise off")


def _validation_error(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: 100 * (epoch.validation_error or 0))
    _look_at_the_end(ax)
    ax.set_ylabel("wrong digits, %, noise off")


def _differences(ax: Axes, study: Study, model: str) -> None:
    compared = [row for row in study.table if row.model == model and row.loss_difference]
    base = [run.history.best.validation_loss for run in study.runs_of(model, BASELINE)]
    ax.axvline(0, color=COLOURS[BASELINE], linewidth=1)
    for place, row in enumerate(reversed(compared)):
        difference, colour = row.loss_difference, COLOURS[row.recipe]
        assert difference is not None
        runs = study.runs_of(model, row.recipe)
        points = [r.history.best.validation_loss - b for r, b in zip(runs, base, strict=True)]
        ax.plot(points, [place - 0.2] * len(points), "o", color=colour, alpha=0.5, markersize=3)
        ax.plot([difference.low, difference.high], [place, place], color=colour, linewidth=2)
        ax.plot([difference.mean], [place], "D", color=colour, markersize=5)
    ax.set_yticks(range(len(compared)), [row.recipe for row in reversed(compared)])
    ax.set_ylim(-0.6, max(len(compared) - 0.5, 0.5))
    ax.set_xlabel("below 0: better than none")
    ax.locator_params(axis="x", nbins=5)


PANELS: dict[str, Callable[[Axes, Study, str], None]] = {
    "training loss": _train_loss,
    "validation loss": _validation_loss,
    "validation error": _validation_error,
    "difference in loss": _differences,
}


def _curves(ax: Axes, study: Study, model: str, value: Callable[[Epoch], float]) -> None:
    """Draw the mean over the seeds for each recipe, epoch by epoch."""
    for recipe in study.settings.recipes[model]:
        histories = [run.history.epochs for run in study.runs_of(model, recipe)]
        means = [fmean(map(value, epochs)) for epochs in zip(*histories, strict=True)]
        ax.plot(range(1, len(means) + 1), means, color=COLOURS[recipe], linewidth=1.3)
    ax.set_xlabel("epoch")


def _look_at_the_end(ax: Axes) -> None:
    """Cut off the first epochs' heights, beside which the recipes could not be told apart."""
    last = [np.asarray(line.get_ydata())[-1] for line in ax.get_lines()]
    ax.set_ylim(0, 2.5 * float(max(last)) or 1)


def _legend(figure: Figure, study: Study, columns: int, model: str | None = None) -> None:
    recipes: Sequence[str] = [
        name
        for name in RECIPES
        if any(name in study.settings.recipes[m] for m in ((model,) if model else study.models))
    ]
    handles = [Line2D([], [], color=COLOURS[name]) for name in recipes]
    labels = [RECIPES[name].label for name in recipes]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _encoded(figure: Figure, format: str) -> bytes:
    # An explicit canvas: pyplot would look for a display.
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    metadata = {"Date": None} if format == "svg" else {"Software": None}
    figure.savefig(buffer, format=format, dpi=100, metadata=metadata)
    return buffer.getvalue()
