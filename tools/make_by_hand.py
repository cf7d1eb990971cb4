"""Make the figures of docs/by_hand.md: a digit in the network, and the curves of a study."""

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from noisegate import study
from noisegate.study.show import drawing
from noisegate.study.show import figures as plots

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT / "examples"))

import by_hand  # noqa: E402

BLUE, ORANGE = "#0072b2", "#d55e00"
NOISE = by_hand.Noise(pool=0.2, hidden=0.5)
STEPS = (0, 1, 2, 3, None)
ROW = 22
MODEL, RECIPE = "mlp", "hidden"


def main() -> None:
    """Draw all three figures, and print the study's numbers."""
    save(draw_digit(), "by_hand")
    found = study.run(MODEL, RECIPE, source=study.Source(validation_share=0.5), jobs=1)
    save(draw_curves(found, "training loss", "validation loss"), "by_hand_loss")
    save(draw_curves(found, "validation error"), "by_hand_error")
    print(found.settings.command(), found.sentence, sep="\n")
    for row in found.table:
        print(row)


def save(made: Figure, name: str) -> None:
    """Write a figure into the folder of images."""
    FigureCanvasAgg(made)
    made.savefig(IMAGES / f"{name}.png", dpi=130, metadata={"Software": None})


# The curves of the study ------------------------------------------------------------------------


def draw_curves(found: study.Study, *titles: str) -> Figure:
    """Return panels of the study's own, for the network with dropout and without."""
    with matplotlib.rc_context(drawing.STYLE):
        made = Figure(figsize=(0.8 + 3.6 * len(titles), 3.3), layout="constrained")
        grid = made.subplots(1, len(titles), squeeze=False)[0]
        for ax, title in zip(grid, titles, strict=True):
            plots.PANELS[title](ax, found, MODEL)
            ax.set_title(title, loc="left", fontsize=9)
        labels = [recipe.label for recipe in found.settings.recipes[MODEL]]
        made.legend(grid[0].get_lines(), labels, loc="outside lower center", ncols=2, frameon=False)
        return made


# A digit in the network ------------------------------------------------------------------------


def draw_digit() -> Figure:
    """Return a figure of one digit in the network, at four steps and in evaluation."""
    data, (images, digits) = by_hand.split_digits(0, rows=1000)
    weights = by_hand.train(by_hand.initial_weights(), data, NOISE, epochs=60)
    image, digit = images[ROW : ROW + 1], int(digits[ROW])
    passes = [run_network(weights, image, step) for step in STEPS]
    made = Figure(figsize=(9.6, 7.6), layout="constrained")
    grid = made.subplots(4, len(STEPS), height_ratios=(1, 1, 1, 0.5))
    for column, (step, (pooled, hidden, chances)) in enumerate(zip(STEPS, passes, strict=True)):
        top, second, third, bottom = grid[:, column]
        top.set_title("evaluation" if step is None else f"step {step}", fontsize=11)
        draw_units(top, image[0], np.ones((8, 8)), 1)
        draw_units(second, *pooled, max(values.max() for (values, _), _, _ in passes))
        draw_units(third, *hidden, max(np.quantile(values, 0.97) for _, (values, _), _ in passes))
        draw_bars(bottom, chances, digit)
    words = (
        "the image",
        f"max-pooling 2×2\np = {NOISE.pool}",
        f"hidden layer\np = {NOISE.hidden}",
        "probability\nof each digit",
    )
    for ax, text in zip(grid[:, 0], words, strict=True):
        ax.set_ylabel(text, fontsize=10)
    cross = Line2D([], [], color=ORANGE, marker="x", linestyle="", markersize=8, markeredgewidth=2)
    made.legend(
        [cross, Patch(color=BLUE)],
        ["removed in this step", f"the true digit, {digit}"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return made


def run_network(
    weights: by_hand.Weights, image: np.ndarray, step: int | None
) -> tuple[Any, Any, Any]:
    """Return the values and masks after the pooling and the hidden layer, and the probabilities."""
    scores, tape = by_hand.forward(weights, image, NOISE, step)
    pooled, hidden = (
        (x.reshape(side, side), cache.mask.reshape(side, side))
        for x, cache, side in zip(tape.inputs, tape.caches, (4, 10), strict=True)
    )
    powers = np.exp(scores[0] - scores.max())
    return pooled, hidden, powers / powers.sum()


def draw_units(ax: Axes, values: np.ndarray, mask: np.ndarray, largest: float) -> None:
    """Draw units as squares, darker for larger values, with a cross on each that was removed."""
    side = len(values)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=largest)
    rows, columns = np.nonzero(mask == 0)
    size = 44 / side
    ax.plot(columns, rows, "x", color=ORANGE, markersize=size, markeredgewidth=max(1, size / 7))
    ax.set(xticks=[], yticks=[])
    ax.set_xticks(np.arange(-0.5, side), minor=True)
    ax.set_yticks(np.arange(-0.5, side), minor=True)
    ax.grid(which="minor", color="#dddddd", linewidth=0.6)
    ax.tick_params(which="minor", length=0)


def draw_bars(ax: Axes, chances: np.ndarray, digit: int) -> None:
    """Draw the probabilities of the ten digits; the true one is dark."""
    colours = [BLUE if n == digit else "#bbbbbb" for n in range(10)]
    ax.bar(range(10), chances, color=colours)
    ax.set(ylim=(0, 1), yticks=[])
    ax.set_xticks(range(10), range(10), fontsize=8)
    ax.tick_params(axis="x", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
