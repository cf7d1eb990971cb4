"""The study in a terminal: a table for each model, then the report, the sentence, what next."""

import math
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..judge.stats import ALPHA, Difference, Row
from ..judge.uncertainty.words import words
from ..results import Study
from . import wording
from .sentences import interval, number

__all__ = ["cells", "show"]

# Of 80 columns: a longer name takes a second line.
NAME_WIDTH = 14
STYLES = {"helped": "green", "hurt": "red", "unclear": ""}


def cells(study: Study, model: str) -> list[tuple[str, ...]]:
    """Return a model's table as text, of two lines where there is more than a number."""
    rows = [row for row in study.table if row.model == model]
    texts = wording.estimates(study.settings.task, rows)
    digits = wording.shared_decimals(rows)
    return [
        (
            fill(row.recipe, NAME_WIDTH),
            *(text.replace(" ±", "\n±") for text in each),
            _difference(row, digits),
        )
        for row, each in zip(rows, texts, strict=True)
    ]


def show(study: Study, report: Path, console: Console | None = None) -> None:
    """Print notes, tables, the report's path, the sentences, and what to do on one's own model."""
    console = console or Console()
    for note in study.settings.notes:
        console.print(note, highlight=False, markup=False)
    for model in study.models:
        console.print(_table(study, model))
    console.print(_key(study), style="dim", highlight=False, markup=False)
    lines = [
        "",
        f"Report: {report}",
        study.sentence,
        *wording.scored_sentences(study),
        *_doubts(study),
        *_next(study),
    ]
    for line in lines:
        # Text to be copied is never broken in the middle.
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(study: Study, model: str) -> Table:
    settings = study.settings
    name = escape(wording.model_title(model))
    table = Table(
        title=f"{name} · seeds: {settings.design.seeds} · epochs: {settings.design.epochs}",
        box=SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("recipe", no_wrap=True)
    *headings, last = wording.headings(settings.task)
    for heading in (*(fill(each, 13) for each in headings), fill(last, 16)):
        # Wrapped here: rich would break a number's line before a heading's.
        table.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    rows = [row for row in study.table if row.model == model]
    for row, texts in zip(rows, cells(study, model), strict=True):
        verdict = row.loss_difference.verdict if row.loss_difference else "unclear"
        table.add_row(*map(escape, texts), style=STYLES[verdict])
    return table


def _difference(row: Row, digits: int) -> str:
    one = row.loss_difference
    if one is None:
        return ""
    if not math.isfinite(one.mean):
        return "not finite"
    ends = interval(one.low, one.high, digits).replace(" to ", ",\u00a0")
    return f"{number(one.mean, digits, sign=True)} {one.verdict}\n[{ends}]"


def _key(study: Study) -> str:
    optimistic = any(row.loss_difference and row.loss_difference.optimistic for row in study.table)
    more = " (optimistic: see the report)" if optimistic else ""
    key = (
        "mean ± standard error over the seeds; difference from none, paired by seed, below 0 is "
        f"better, [{wording.PERCENT} t-interval]{more}; training with the noise on."
    )
    if any(_is_surprising(row.loss_difference) for row in study.table if row.loss_difference):
        key += (
            " Where the interval leaves 0 out and the verdict is unclear, p is not below "
            f"{ALPHA} after Holm's correction for the number of recipes."
        )
    return key


def _is_surprising(difference: Difference) -> bool:
    """Return whether a difference is unclear, though its interval, which knows no Holm, is not."""
    return difference.verdict == "unclear" and (difference.low > 0 or difference.high < 0)


def _next(study: Study) -> Iterator[str]:
    """Yield the lines with the recipes to try, and of models without one the reason."""
    for advice in study.advice:
        yield f"Next, in Python: {advice.text}" if advice.python else advice.text
        yield from (f"    {line}" for line in advice.python.splitlines())


def _doubts(study: Study) -> list[str]:
    """Return a line for each model on whether its doubt can be trusted."""
    return [
        f"{wording.model_title(model)}, its doubt: {' '.join(words(result))}"
        for model, result in study.uncertainty.items()
    ]
