"""The report of an injection: plain text that rich and notebooks show as a table."""

from collections.abc import Iterable, Sequence
from typing import Any

from noisegate.core.html import paragraphs, table
from noisegate.core.plan import Placement

from .site import SiteNoise


class Report(str):
    """A table and notes in plain text; rich and notebooks show a table of their own style.

    Attributes
    ----------
    columns : tuple of str
        `site`, `noise`, `slot`, `rule`; after a forward with noise also `shape`, `calls` and
        `removed`, the share that the mask of the last call removes.
    rows : tuple of tuple of str
        One row for each noise.
    notes : tuple of str
        Remarks on rules and sites, in sentences.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __new__(
        cls, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
    ) -> "Report":
        """Return the report of a table and notes."""
        table = [tuple(columns), *map(tuple, rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        report = super().__new__(cls, "\n".join([*lines, *(f"note: {note}" for note in notes)]))
        report.columns, report.rows, report.notes = table[0], tuple(table[1:]), tuple(notes)
        return report

    def __reduce__(self) -> Any:
        """Return how a copy is made."""
        return Report, (self.columns, self.rows, self.notes)

    __repr__ = str.__str__  # so that a console shows the table without quotes

    def _repr_html_(self) -> str:
        """Return the table and its notes as HTML for notebooks."""
        return table(self.columns, self.rows) + paragraphs(f"note: {note}" for note in self.notes)

    def __rich__(self) -> Any:
        """Return a table of rich's; only rich calls this, so rich is installed."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(*self.columns)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(table, *(Text(f"note: {note}") for note in self.notes))


def make_report(
    placements: Sequence[Placement], noises: Iterable[SiteNoise], notes: Sequence[str]
) -> Report:
    """Return the report of the placements, with the noises' last calls once one has acted."""
    by_name = {noise.placement.name: noise for noise in noises}
    columns = ["site", "noise", "slot", "rule"]
    acted = any(noise.last is not None for noise in by_name.values())
    if acted:
        columns += ["shape", "calls", "removed"]
    rows = []
    for placement in placements:
        row = [placement.site, repr(placement.kind), str(placement.slot), placement.rule]
        rows.append([*row, *_describe_last(by_name[placement.name])] if acted else row)
    words = {type(p.kind).__name__: p.kind.outcomes[1] for p in placements} if acted else {}
    others = [
        f"`removed` is the share of elements that {name} leaves {word}."
        for name, word in words.items()
        if word != "removed"
    ]
    return Report(columns, rows, [*notes, *others])


def _describe_last(noise: SiteNoise) -> tuple[str, str, str]:
    """Return the last call's shape, the number of calls, and the share that its mask removes."""
    last = noise.last
    if last is None:
        return "", "0", ""
    removed = f"{1 - last.mask().mean():.4f}" if last.kind.removes else ""
    return str(tuple(last.shape)), str(last.calls), removed
