"""The study in a terminal: what was read, a table for each model, what next, and the result."""

import math
import sys
from pathlib import Path
from textwrap import fill

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..judge.stats import ALPHA, Difference, Row, find_leading
from ..results import Study
from . import sentences
from .column_lines import WIDTH, describe_reading
from .numbers import PERCENT, chance, interval, number, row_decimals, row_estimates
from .rich_tables import STYLES, make_table
from .sentences import headings, title_model
from .uncertainty import describe_uncertainty

# Of 80 columns: a longer name takes a second line.
NAME_WIDTH = 14


def show(study: Study, report: Path, console: Console | None = None) -> None:
    """Print the tables, the sentences, what to try next, the report's path, and the result.

    How the data were read comes first, unless it was shown on the error stream before the work.
    On a terminal sentences are wrapped; elsewhere each is a line. Code and the path never are.
    """
    console = console or Console()
    settings = study.settings
    if not sys.stderr.isatty():
        for line in describe_reading(settings.facts, settings.notes):
            _write(console, line, wrap=True)
    for model in study.models:
        console.print(_table(study, model))
    _write(console, _key(study), wrap=True, style="dim")
    _write(console, "")
    lines = [
        study.sentence,
        *sentences.describe_tests(
            study.tests, study.table, settings.task, study.labels, study.execution.scored
        ),
    ]
    for model, found in study.uncertainty.items():
        described = " ".join(describe_uncertainty(found))
        lines.append(f"{title_model(model)}, its uncertainty: {described}")
    for line in lines:
        _write(console, line, wrap=console.is_terminal)
    for advice in study.advice:
        text = f"Next, in Python: {advice.text}" if advice.python else advice.text
        _write(console, text, wrap=console.is_terminal)
        for line in advice.python.splitlines():
            _write(console, f"    {line}")
    _write(console, f"Report: {report}")
    for model in study.models:
        _write(console, describe_result(study, model), wrap=console.is_terminal)


def describe_result(study: Study, model: str) -> str:
    """Return the result of a model in one line that can be understood alone.

    It has 80 characters at most, unless names or numbers are long.
    """
    rows = [row for row in study.table if row.model == model]
    row, place = find_leading(rows), f"{study.settings.data}, {title_model(model)}"
    if row is None or row.loss_difference is None:
        return f"{place}: nothing to compare"
    losses = rows[0].validation_loss.mean, row.validation_loss.mean
    before, after = (number(loss, row_decimals([rows[0], row])) for loss in losses)
    one, label, line = row.loss_difference, study.labels[row.recipe], ""
    measure = sentences.measure(study.settings.task)
    short = measure.removeprefix("validation ")
    for recipe, loss in ((label, measure), (row.recipe, measure), (row.recipe, short)):
        line = f"{place}, {recipe}: {one.verdict}, {loss} {before} to {after}, {chance(one.holm)}"
        if len(line) <= WIDTH:
            break
    return line


def cells(study: Study, model: str) -> list[tuple[str, ...]]:
    """Return a model's table as text, of two lines where there is more than a number."""
    rows = [row for row in study.table if row.model == model]
    texts, decimals = row_estimates(study.settings.task, rows), row_decimals(rows)
    return [
        (
            fill(row.recipe, NAME_WIDTH),
            *(text.replace(" ±", "\n±") for text in each),
            _write_difference(row.loss_difference, decimals),
        )
        for row, each in zip(rows, texts, strict=True)
    ]


def _write(console: Console, text: str, *, wrap: bool = False, style: str | None = None) -> None:
    """Print a text; if `wrap`, in lines of 80 columns at most, broken between words only."""
    if wrap:
        width = min(console.width, WIDTH)
        text = fill(text, width, break_long_words=False, break_on_hyphens=False)
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)


def _table(study: Study, model: str) -> Table:
    design = study.settings.design
    title = f"{title_model(model)} · seeds: {design.seeds} · epochs: {design.epochs}"
    table = make_table(title)
    table.add_column("recipe", no_wrap=True)
    *estimated, last = headings(study.settings.task)
    for heading in (*(fill(each, 13) for each in estimated), fill(last, 16)):
        # Wrapped here: rich would break a number's line before a heading's.
        table.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    rows = [row for row in study.table if row.model == model]
    for row, texts in zip(rows, cells(study, model), strict=True):
        table.add_row(*map(escape, texts), style=STYLES[row.verdict or "unclear"])
    return table


def _write_difference(one: Difference | None, decimals: int) -> str:
    if one is None:
        return ""
    if not math.isfinite(one.mean):
        return "not finite"
    both = interval(one.low, one.high, decimals).replace(" to ", ",\u00a0")
    return f"{number(one.mean, decimals, sign=True)} {one.verdict}\n[{both}]"


def _key(study: Study) -> str:
    optimistic = any(row.loss_difference and row.loss_difference.optimistic for row in study.table)
    more = " (optimistic: see the report)" if optimistic else ""
    key = [
        "mean ± standard error over the seeds; difference from none, paired by seed, below 0 is "
        f"better, [{PERCENT} t-interval]{more}; training with the noise on."
    ]
    if any(map(_is_surprising, study.table)):
        key.append(
            "Where the interval leaves 0 out and the verdict is unclear, p is not below "
            f"{ALPHA} after Holm's correction for the number of recipes."
        )
    return " ".join(key)


def _is_surprising(row: Row) -> bool:
    """Return whether a difference is unclear, though its interval, which knows no Holm, is not."""
    one = row.loss_difference
    return one is not None and one.verdict == "unclear" and (one.low > 0 or one.high < 0)
