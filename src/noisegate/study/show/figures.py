"""Figures of a study's runs: curves, differences, seeds. Equal studies give equal bytes."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, cycle
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from noisegate.estimators import Epoch

from ..recipes import BASELINE, RECIPES
from ..results import Study
from . import drawing
from .drawing import (
    BLACK,
    BLUE,
    GREEN,
    NUMBERS,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    draw_figure,
    log_axis,
)
from .sentences import shorten_middle, title_model

# Of the usual recipes; the others take those of recipes of one's own.
COLOURS = dict(zip(RECIPES, (BLACK, BLUE, ORANGE, VERMILION, GREEN), strict=False))
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))

LONGEST_TICK, LONGEST_LABEL, LONG_LABEL, LONG_MODEL = 16, 36, 24, 6


def draw_overview(study: Study, format: str) -> bytes:
    """Return one picture of the main panels, a row for each model, as `png` or `svg`."""
    shown = {title for model in study.models for title in list_panels(study, model)}
    # One at least, even if it is empty: every study has a picture.
    titles = [title for title in list(PANELS)[:4] if title in shown] or list(PANELS)[:1]
    heights = [max(2.8, 1.2 + 0.25 * len(study.settings.recipes[model])) for model in study.models]
    legend = _legend(study, study.models, wide=True)
    lines = math.ceil(len(legend["labels"]) / legend["columns"])

    def fill(figure: Figure) -> None:
        figure.get_layout_engine().set(w_pad=0.1)  # type: ignore[union-attr, call-arg]  # it is constrained
        grid = figure.subplots(len(heights), len(titles), squeeze=False, height_ratios=heights)
        for axes, model in zip(grid, study.models, strict=True):
            for ax, title in zip(axes, titles, strict=True):
                PANELS[title](ax, study, model)
                ax.set_title(_title(model, title), loc="left", fontsize=9)
                if not _has_points(ax):
                    ax.remove()
        drawing.legend_below(figure, **legend)

    return draw_figure(fill, (11.5, sum(heights) + 0.2 + 0.2 * lines), format)


def draw_effects(study: Study) -> bytes | None:
    """Return the differences from no noise of every recipe and model; None if there are none.

    It is SVG without paper.
    """
    models = [model for model in study.models if DIFFERENCES in list_panels(study, model)]
    heights = [0.9 + 0.28 * (len(study.settings.recipes[model]) - 1) for model in models]

    def fill(figure: Figure) -> None:
        axes = figure.subplots(len(models), squeeze=False, height_ratios=heights)[:, 0]
        for ax, model in zip(axes, models, strict=True):
            _differences(ax, study, model)
            title = f"{title_model(model)}: difference in {_name_loss(study)}"
            ax.set_title(title, loc="left", fontsize=9)

    return draw_figure(fill, (5.2, 0.3 + sum(heights)), clear=True) if models else None


def list_panels(study: Study, model: str) -> list[str]:
    """Return the titles of the panels that have something to show of a model."""
    found = []
    for title, fill in PANELS.items():
        ax = Figure().subplots()
        fill(ax, study, model)
        found += [title] if _has_points(ax) else []
    return found


def draw_panel(study: Study, model: str, title: str) -> bytes:
    """Return one panel on its own, as SVG without paper."""
    recipes = len(study.settings.recipes[model])
    has_legend = title not in (DIFFERENCES, SEEDS)
    legend = _legend(study, (model,))
    lines = math.ceil(recipes / legend["columns"])

    def fill(figure: Figure) -> None:
        PANELS[title](figure.subplots(), study, model)
        if has_legend:
            drawing.legend_below(figure, **legend)

    height = 2.6 + 0.2 * lines if has_legend else max(3.0, 1.2 + 0.3 * recipes)
    return draw_figure(fill, (4.0, height), clear=True)


def _has_points(ax: Axes) -> bool:
    points = [np.asarray(line.get_xydata(), float) for line in ax.get_lines()]
    return any(np.isfinite(each).all(axis=1).any() for each in points)


# Curves ---------------------------------------------------------------------------------------


def _train_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.train_loss)
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.get_lines()])
    finite = values[np.isfinite(values)]
    if len(finite):
        log_axis(ax, "y", float(finite.min()), float(finite.max()))
    ax.set_ylabel(f"{_name_loss(study)},\nnoise on", fontsize=8)


def _validation_loss(ax: Axes, study: Study, model: str) -> None:
    _curves(ax, study, model, lambda epoch: epoch.validation_loss)
    _show_the_end(ax)
    ax.set_ylabel(f"{_name_loss(study)},\nnoise off", fontsize=8)


def _validation_error(ax: Axes, study: Study, model: str) -> None:
    task = study.settings.task

    def error(epoch: Epoch) -> float:
        value = epoch.validation_error
        return math.nan if value is None else task.error_factor * value

    _curves(ax, study, model, error)
    _show_the_end(ax)
    name = "wrong rows, %" if task.is_classification else task.error_name
    ax.set_ylabel(f"{name},\nnoise off", fontsize=8)


def _curves(ax: Axes, study: Study, model: str, value: Callable[[Epoch], float]) -> None:
    """Draw the mean over the seeds for each recipe, epoch by epoch."""
    looks = styles(study)
    for recipe in study.settings.recipes[model]:
        histories = [run.history.epochs for run in study.find_runs(model, recipe.name)]
        means = [fmean(map(value, epochs)) for epochs in zip(*histories, strict=True)]
        marker = "." if len(means) == 1 else ""
        epochs = range(1, len(means) + 1)
        ax.plot(epochs, means, **looks[recipe.name], linewidth=1.3, marker=marker)
    drawing.count_axis(ax, "epoch")
    ax.yaxis.set_major_formatter(NUMBERS)


def _show_the_end(ax: Axes) -> None:
    """Cut off the heights of the first epochs, beside which all recipes look the same."""
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
    looks, base = styles(study), _best(study, model, BASELINE)
    for place, row in enumerate(reversed(compared)):
        one, colour = row.loss_difference, looks[row.recipe]["color"]
        assert one is not None
        points = _best(study, model, row.recipe) - base
        ax.plot(points, [place - 0.25] * len(points), "o", color=colour, alpha=0.5, markersize=3)
        wide = [one.corrected_low, one.corrected_high]
        ax.plot(wide, [place, place], color=colour, linewidth=0.8, marker="|", markersize=4)
        ax.plot([one.low, one.high], [place, place], color=colour, linewidth=2.5)
        ax.plot([one.mean], [place], "D", color=colour, markersize=5)
    if any(row.loss_difference and math.isfinite(row.loss_difference.mean) for row in compared):
        ax.axvline(0, color=BLACK, linewidth=1, zorder=1)
    _name_recipes(ax, [row.recipe for row in compared], "below 0: better than none")


def _seeds(ax: Axes, study: Study, model: str) -> None:
    """Draw a line for each seed, from no noise through every recipe."""
    recipes = [recipe.name for recipe in study.settings.recipes[model]]
    looks = styles(study)
    found = [_best(study, model, recipe) for recipe in recipes]
    places = range(len(recipes))[::-1]
    for seed in range(len(found[0])):
        line = [one[seed] for one in found]
        ax.plot(line, places, color=drawing.GREY, alpha=0.6, linewidth=0.7, zorder=1)
    for place, recipe, values in zip(places, recipes, found, strict=True):
        colour = looks[recipe]["color"]
        ax.plot(values, [place] * len(values), "o", color=colour, alpha=0.7, markersize=4)
    _name_recipes(ax, recipes, f"{_name_loss(study)}, noise off;\na line is a seed")


def _name_recipes(ax: Axes, recipes: Sequence[str], label: str) -> None:
    """Name each recipe at the vertical axis, the first at the top, and label the other axis."""
    names = [shorten_middle(recipe, LONGEST_TICK) for recipe in reversed(recipes)]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(-0.6, max(len(names) - 0.5, 0.5))
    ax.set_xlabel(label, fontsize=8)
    ax.xaxis.set_major_formatter(NUMBERS)
    ax.locator_params(axis="x", nbins=4)


def _best(study: Study, model: str, recipe: str) -> np.ndarray:
    return np.array([r.history.best.validation_loss for r in study.find_runs(model, recipe)])


DIFFERENCES, SEEDS = "difference in loss", "loss of each seed"
PANELS: Mapping[str, Callable[[Axes, Study, str], None]] = {
    "training loss": _train_loss,
    "validation loss": _validation_loss,
    "validation error": _validation_error,
    DIFFERENCES: _differences,
    SEEDS: _seeds,
}


# Names and styles -----------------------------------------------------------------------------


def _name_loss(study: Study) -> str:
    task = study.settings.task
    unit = "in nats" if task.is_classification else "in the target's unit"
    return f"{task.loss_name} {unit}"


def styles(study: Study) -> dict[str, dict[str, Any]]:
    """Return the colour and the dashes of each recipe, the same in every panel of a study."""
    names = list(study.labels)
    others = [name for name in names if name not in COLOURS]
    unused = [c for name, c in COLOURS.items() if name not in names and c != BLACK]
    every = [colour for colour in COLOURS.values() if colour != BLACK] + [PINK, SKY]
    looks = chain(
        ((colour, DASHES[0]) for colour in (PINK, SKY, *unused)),
        ((colour, dash) for dash in cycle(DASHES[1:]) for colour in every),
    )
    found: dict[str, Any] = {name: (colour, DASHES[0]) for name, colour in COLOURS.items()}
    found |= dict(zip(others, looks, strict=False))
    return {name: {"color": found[name][0], "linestyle": found[name][1]} for name in names}


def _title(model: str, title: str) -> str:
    name = shorten_middle(title_model(model), 20)
    return f"{name}: {title}" if len(name) <= LONG_MODEL else f"{name}\n{title}"


def _legend(study: Study, models: Sequence[str], *, wide: bool = False) -> dict[str, Any]:
    """Return the handles, labels and columns of a legend below a panel, or below all panels."""
    recipes = (recipe.name for model in models for recipe in study.settings.recipes[model])
    names, looks = list(dict.fromkeys(recipes)), styles(study)
    # The more recipes there are, the shorter are their labels.
    longest = LONGEST_LABEL if len(names) <= 6 else LONG_LABEL
    labels = [shorten_middle(study.labels[name], longest) for name in names]
    is_long = max(map(len, labels)) > LONG_LABEL
    columns = (3 if is_long else 5) if wide else (1 if is_long else 2)
    handles = [Line2D([], [], **looks[name], linewidth=1.5) for name in names]
    return {"handles": handles, "labels": labels, "columns": columns}
