"""What was put where: a table that is text, and that rich shows as a table."""

from collections.abc import Sequence
from typing import Any

from noisegate.core.html import paragraphs, table


class Report(str):
    """A table and notes in plain text; printed by rich, a table of its own.

    Attributes
    ----------
    columns : tuple of str
        What stands in the table: `site`, `noise`, `slot`, `rule`, and after a forward with noise
        `shape`, `calls` and `removed`, the share that the mask of the last call removes.
    rows : tuple of tuple of str
        One row for each noise.
    notes : tuple of str
        What is worth saying.
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

    __repr__ = str.__str__  # what a console shows: the table, and no quotes

    def _repr_html_(self) -> str:
        """Return the table and its notes, which a notebook shows."""
        return table(self.columns, self.rows) + paragraphs(f"note: {note}" for note in self.notes)

    def __rich__(self) -> Any:
        """Return rich's table; only rich calls this, so it is there."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(*self.columns)
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        return Group(table, *(Text(f"note: {note}") for note in self.notes))
