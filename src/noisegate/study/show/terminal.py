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
from .column_lines import describe_columns
from .numbers import PERCENT, chance, interval, number, row_decimals, row_estimates
from .rich_tables import STYLES, make_table
from .sentences import headings, title_model
from .uncertainty import describe_uncertainty

# Of 80 columns: a longer name takes a second line.
NAME_WIDTH = 14
VERDICTS = {"helped": "helped", "hurt": "hurt", "unclear": "is not shown to help"}


def show(study: Study, report: Path, console: Console | None = None) -> None:
    """Print the tables, the sentences, what to try next, the report's path, and the result.

    How the data were read comes first, unless it was shown on the error stream before the work.
    """
    console = console or Console()
    settings = study.settings
    if not sys.stderr.isatty():
        for line in (*describe_columns(settings.facts), *settings.notes):
            console.print(line, highlight=False, markup=False)
    for model in study.models:
        console.print(_table(study, model))
    console.print(_key(study), style="dim", highlight=False, markup=False)
    lines = [
        "",
        study.sentence,
        *sentences.describe_tests(
            study.tests, study.table, settings.task, study.labels, study.execution.scored
        ),
    ]
    for model, found in study.uncertainty.items():
        described = " ".join(describe_uncertainty(found))
        lines.append(f"{title_model(model)}, its uncertainty: {described}")
    for advice in study.advice:
        lines.append(f"Next, in Python: {advice.text}" if advice.python else advice.text)
        lines += [f"    {line}" for line in advice.python.splitlines()]
    for line in (*lines, f"Report: {report}", describe_result(study)):
        # Text to be copied is never broken in the middle.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def describe_result(study: Study) -> str:
    """Return the result in one line that can be understood alone."""
    task, parts = study.settings.task, []
    for model in study.models:
        rows = [row for row in study.table if row.model == model]
        row, name = find_leading(rows), title_model(model)
        if row is None or row.loss_difference is None:
            parts.append(f"{name}: nothing to compare")
            continue
        losses = rows[0].validation_loss.mean, row.validation_loss.mean
        before, after = (number(loss, row_decimals([rows[0], row])) for loss in losses)
        verdict = VERDICTS[row.loss_difference.verdict]
        parts.append(
            f"{name}: {study.labels[row.recipe]} {verdict} ({sentences.measure(task)} {before} to "
            f"{after}, {chance(row.loss_difference.holm)})"
        )
    return f"Result on {study.settings.data}: {'; '.join(parts)}."


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
