"""Figures of a study's runs: curves, differences, seeds. Equal studies give equal bytes."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from noisegate.estimators import Epoch

from ..recipes import BASELINE, RECIPES
from ..results import Study
from .drawing import NUMBERS, STYLE, encoded, logarithmic
from .wording import model_title, shortened

__all__ = ["COLOURS", "PANELS", "looks", "overview", "panel", "panels"]

# Okabe and Ito's colours, told apart by colour-blind readers too; black is no noise.
COLOURS = dict(zip(RECIPES, ("#000000", "#0072b2", "#e69f00", "#d55e00", "#009e73"), strict=True))
# For recipes of other names. Their yellow is left out: on white it cannot be seen.
MORE_COLOURS = ("#cc79a7", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))

LONGEST_TICK, LONGEST_LABEL, LONG_LABEL, LONG_MODEL = 16, 36, 24, 6


def overview(study: Study, format: str) -> bytes:
    """Return one picture of the main panels, a row for each model, as `png` or `svg`."""
    shown = {title for model in study.models for title in panels(study, model)}
    # One at least, be it empty: there is a picture of every study.
    titles = [title for title in list(PANELS)[:4] if title in shown] or list(PANELS)[:1]
    heights = [max(2.8, 1.2 + 0.25 * len(study.settings.recipes[model])) for model in study.models]
    lines = math.ceil(len(_names(study, study.models)) / _columns(study, study.models, wide=True))
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(11.5, sum(heights) + 0.2 + 0.2 * lines),
            layout=ConstrainedLayoutEngine(w_pad=0.1),
        )
        grid = figure.subplots(len(heights), len(titles), squeeze=False, height_ratios=heights)
        for axes, model in zip(grid, study.models, strict=True):
            for ax, title in zip(axes, titles, strict=True):
                if not _shows(study, model, title):
                    ax.remove()
                    continue
                PANELS[title](ax, study, model)
                ax.set_title(_title(model, title), loc="left", fontsize=9)
        _legend(figure, study, study.models, wide=True)
        return encoded(figure, format)


def panels(study: Study, model: str) -> list[str]:
    """Return the titles of the panels that have something to show of a model."""
    return [title for title in PANELS if _shows(study, model, title)]


def panel(study: Study, model: str, title: str) -> bytes:
    """Return one panel on its own, as SVG."""
    recipes = len(study.settings.recipes[model])
    has_legend = title not in (DIFFERENCES, SEEDS)
    lines = math.ceil(recipes / _columns(study, (model,)))
    height = 2.6 + 0.2 * lines if has_legend else max(3.4, 1.2 + 0.3 * recipes)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, height), layout="constrained")
        PANELS[title](figure.subplots(), study, model)
        if has_legend:
            _legend(figure, study, (model,))
        return encoded(figure, "svg")


def _shows(study: Study, model: str, title: str) -> bool:
    """Return whether anything can be seen in a panel: a study may have no recipe but none."""
    ax = Figure().subplots()
    PANELS[title](ax, study, model)
    points = [np.asarray(line.get_xydata(), float) for line in ax.get_lines()]
    return any(np.isfinite(each).all(axis=1).any() for each in points)


# Curves ---------------------------------------------------------------------------------------


def _train_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.train_loss)
    ax.yaxis.set_major_formatter(NUMBERS)
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.get_lines()])
    finite = values[np.isfinite(values)]
    if len(finite):
        logarithmic(ax, float(finite.min()), float(finite.max()))
    ax.set_ylabel(f"{_loss(study)},\nnoise on", fontsize=8)


def _validation_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.validation_loss)
    _look_at_the_end(ax)
    ax.set_ylabel(f"{_loss(study)},\nnoise off", fontsize=8)


def _validation_error(ax: Axes, study: Study, model: str) -> None:
    task = study.settings.task
    factor = task.error_factor
    _curves(ax, study, model, lambda epoch: factor * _number(epoch.validation_error))
    _look_at_the_end(ax)
    name = "wrong rows, %" if task.is_classification else task.error_name
    ax.set_ylabel(f"{name},\nnoise off", fontsize=8)


def _curves(ax: Axes, study: Study, model: str, value: Callable[[Epoch], float]) -> None:
    """Draw the mean over the seeds for each recipe, epoch by epoch."""
    styles = looks(study)
    for recipe in study.settings.recipes[model]:
        histories = [run.history.epochs for run in study.runs_of(model, recipe.name)]
        means = [fmean(map(value, epochs)) for epochs in zip(*histories, strict=True)]
        marker = "." if len(means) == 1 else ""
        epochs = range(1, len(means) + 1)
        ax.plot(epochs, means, **styles[recipe.name], linewidth=1.3, marker=marker)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlabel("epoch")


def _look_at_the_end(ax: Axes) -> None:
    """Cut off the first epochs' heights, beside which the recipes could not be told apart."""
    ax.yaxis.set_major_formatter(NUMBERS)
    lines = [np.asarray(line.get_ydata(), float) for line in ax.get_lines()]
    last = [line[-1] for line in lines if math.isfinite(line[-1])]
    if not last:
        return
    every = np.concatenate(lines)
    lowest, end = float(every[np.isfinite(every)].min()), max(last)
    bottom = 0.0 if lowest < end / 2 else lowest - 0.1 * (end - lowest)
    top = bottom + 2.5 * (end - bottom)
    if top > bottom:
        ax.set_ylim(bottom, top)


# Differences and seeds ------------------------------------------------------------------------


def _differences(ax: Axes, study: Study, model: str) -> None:
    compared = [row for row in study.table if row.model == model and row.loss_difference]
    styles, base = looks(study), _best(study, model, BASELINE)
    for place, row in enumerate(reversed(compared)):
        difference, colour = row.loss_difference, styles[row.recipe]["color"]
        assert difference is not None
        points = _best(study, model, row.recipe) - base
        ax.plot(points, [place - 0.25] * len(points), "o", color=colour, alpha=0.5, markersize=3)
        wide = [difference.corrected_low, difference.corrected_high]
        ax.plot(wide, [place, place], color=colour, linewidth=0.8, marker="|", markersize=4)
        ax.plot([difference.low, difference.high], [place, place], color=colour, linewidth=2.5)
        ax.plot([difference.mean], [place], "D", color=colour, markersize=5)
    if any(row.loss_difference and math.isfinite(row.loss_difference.mean) for row in compared):
        ax.axvline(0, color=COLOURS[BASELINE], linewidth=1, zorder=1)
    _recipes_below(ax, [row.recipe for row in compared])
    ax.set_xlabel("below 0: better than none", fontsize=8)
    ax.xaxis.set_major_formatter(NUMBERS)
    ax.locator_params(axis="x", nbins=4)


def _seeds(ax: Axes, study: Study, model: str) -> None:
    """Draw a line for each seed, from no noise through every recipe."""
    recipes = [recipe.name for recipe in study.settings.recipes[model]]
    styles = looks(study)
    found = [_best(study, model, recipe) for recipe in recipes]
    places = range(len(recipes))[::-1]
    for seed in range(study.settings.design.seeds):
        ax.plot([one[seed] for one in found], places, color="#b0b0b0", linewidth=0.7, zorder=1)
    for place, recipe, values in zip(places, recipes, found, strict=True):
        colour = styles[recipe]["color"]
        ax.plot(values, [place] * len(values), "o", color=colour, alpha=0.7, markersize=4)
    _recipes_below(ax, recipes)
    ax.set_xlabel(f"{_loss(study)}, noise off;\na line is a seed", fontsize=8)
    ax.xaxis.set_major_formatter(NUMBERS)
    ax.locator_params(axis="x", nbins=4)


def _recipes_below(ax: Axes, recipes: Sequence[str]) -> None:
    """Give each recipe its name at the vertical axis, the first at the top."""
    names = [shortened(recipe, LONGEST_TICK) for recipe in reversed(recipes)]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, max(len(names) - 0.5, 0.5))


def _best(study: Study, model: str, recipe: str) -> np.ndarray:
    return np.array([r.history.best.validation_loss for r in study.runs_of(model, recipe)])


DIFFERENCES, SEEDS = "difference in loss", "loss of each seed"
PANELS: Mapping[str, Callable[[Axes, Study, str], None]] = {
    "training loss": _train_loss,
    "validation loss": _validation_loss,
    "validation error": _validation_error,
    DIFFERENCES: _differences,
    SEEDS: _seeds,
}


# Names and looks ------------------------------------------------------------------------------


def _loss(study: Study) -> str:
    task = study.settings.task
    unit = "in nats" if task.is_classification else "in the target's unit"
    return f"{task.loss_name} {unit}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def looks(study: Study) -> dict[str, dict[str, Any]]:
    """Return the colour and the dashes of each recipe, the same in every panel of a study."""
    names = list(study.labels)
    unused = [colour for name, colour in COLOURS.items() if name not in names]
    every = [colour for name, colour in COLOURS.items() if name != BASELINE] + [*MORE_COLOURS]
    free = [(colour, DASHES[0]) for colour in (*MORE_COLOURS, *unused) if colour != "#000000"]
    dashed = ((colour, dash) for dash in cycle(DASHES[1:]) for colour in every)
    others = [name for name in names if name not in COLOURS]
    more = list(islice(dashed, max(0, len(others) - len(free))))
    found: dict[str, Any] = {name: (colour, DASHES[0]) for name, colour in COLOURS.items()}
    found |= dict(zip(others, [*free, *more], strict=False))
    return {name: {"color": found[name][0], "linestyle": found[name][1]} for name in names}


def _title(model: str, title: str) -> str:
    name = shortened(model_title(model), 20)
    return f"{name}: {title}" if len(name) <= LONG_MODEL else f"{name}\n{title}"


def _names(study: Study, models: Sequence[str]) -> list[str]:
    """Return the recipes of models, each once."""
    return list(dict.fromkeys(r.name for model in models for r in study.settings.recipes[model]))


def _labels(study: Study, models: Sequence[str]) -> list[str]:
    """Return what the recipes of models are called in a legend, the shorter the more there are."""
    names = _names(study, models)
    longest = LONGEST_LABEL if len(names) <= 6 else LONG_LABEL
    return [shortened(study.labels[name], longest) for name in names]


def _columns(study: Study, models: Sequence[str], wide: bool = False) -> int:
    """Return how many columns of a legend fit below a panel, or below all panels."""
    if max(map(len, _labels(study, models))) > LONG_LABEL:
        return 3 if wide else 1
    return 5 if wide else 2


def _legend(figure: Figure, study: Study, models: Sequence[str], wide: bool = False) -> None:
    styles = looks(study)
    handles = [Line2D([], [], **styles[n], linewidth=1.5) for n in _names(study, models)]
    labels, columns = _labels(study, models), _columns(study, models, wide)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
