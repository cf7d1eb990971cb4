"""The study in a terminal: a table for each model, then the report, the sentence, what next."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .results import Study
from .sentences import model_name
from .stats import Difference, Estimate, Row

__all__ = ["HEADINGS", "cells", "show"]

HEADINGS = (
    "recipe",
    "training loss",
    "validation loss",
    "validation error, %",
    "difference in validation loss",
)


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the study as text, one cell for each of `HEADINGS`."""
    return (
        row.recipe,
        _estimate(row.train_loss),
        _estimate(row.validation_loss),
        _estimate(row.validation_error, scale=100, digits=2),
        "" if row.loss_difference is None else _interval(row.loss_difference),
    )


def show(study: Study, report: Path, console: Console | None = None) -> None:
    """Print the tables, the report's path, the sentence, and what to do on one's own model."""
    console = console or Console()
    for model in study.models:
        console.print(_table(study, model))
    console.print(
        "mean ± standard error over the seeds; difference from none, paired by seed, "
        "[95 % t-interval]; training loss with the noise on.",
        style="dim",
        highlight=False,
        markup=False,
    )
    lines = (
        f"Report: {report}",
        study.sentence,
        "Next, in Python, with your own torch model as `model` "
        "(name your layers in place of these):",
        *(f"    {line}" for line in study.snippet.splitlines()),
    )
    console.print()
    for line in lines:
        # Text to be copied is never broken in the middle.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(study: Study, model: str) -> Table:
    settings = study.settings
    table = Table(
        title=f"{model_name(model)} · seeds: {settings.seeds} · epochs: {settings.epochs}",
        box=SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in HEADINGS:
        table.add_column(
            _in_two_lines(heading),
            justify="left" if heading == "recipe" else "right",
            no_wrap=True,
        )
    for row in _rows(study, model):
        verdict = row.loss_difference.verdict if row.loss_difference else "unclear"
        style = {"helped": "green", "hurt": "red", "unclear": ""}[verdict]
        table.add_row(*cells(row), style=style)
    return table


def _in_two_lines(heading: str) -> str:
    words = heading.split()
    half = len(words) // 2
    return f"{' '.join(words[:half])}\n{' '.join(words[half:])}".strip()


def _rows(study: Study, model: str) -> Sequence[Row]:
    return [row for row in study.table if row.model == model]


def _estimate(value: Estimate, scale: float = 1, digits: int = 3) -> str:
    return f"{value.mean * scale:.{digits}f} ±{value.standard_error * scale:.{digits}f}"


def _interval(value: Difference) -> str:
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"
