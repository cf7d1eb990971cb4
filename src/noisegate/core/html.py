"""Text and tables as HTML for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape

_LEFT = 'style="text-align: left"'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return an HTML table of text cells; markup in the texts is escaped."""
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(_row("td", row) for row in rows)
    return f"<table>{head}<thead>{_row('th', columns)}</thead><tbody>{body}</tbody></table>"


def paragraphs(lines: Iterable[str]) -> str:
    """Return lines of text as HTML paragraphs; markup in the lines is escaped."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _row(tag: str, cells: Sequence[str]) -> str:
    inner = "".join(f"<{tag} {_LEFT}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
