"""Tables of the terminal."""

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

# The colour of a verdict.
STYLES = {"helped": "green", "hurt": "red", "unclear": ""}


def make_table(title: str) -> Table:
    """Return an empty table of the terminal."""
    return Table(
        title=escape(title),
        box=SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=True,
    )
