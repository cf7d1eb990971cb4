"""What the report is made of: text that is escaped, tables, code, pictures within the page."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = [
    "Cell",
    "code",
    "facts",
    "figure",
    "figures",
    "listed",
    "paragraph",
    "section",
    "table",
]

SHORT = 15


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its text, what stands small below it, and its class."""

    text: str
    small: str = ""
    kind: str = ""


def section(title: str, *parts: str, level: int = 2) -> str:
    """Return a heading and what is below it; nothing at all if there is nothing below it."""
    below = "\n".join(part for part in parts if part)
    return f"<h{level}>{escape(title)}</h{level}>\n{below}" if below else ""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; nothing for an empty text."""
    return f"<p{_class(kind)}>{escape(text)}</p>" if text else ""


def listed(items: Iterable[str]) -> str:
    """Return a list; nothing if it is empty."""
    lines = "\n".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>\n{lines}\n</ul>" if lines else ""


def code(text: str, *, wraps: bool = False) -> str:
    """Return text as it is; lines that are not to be copied one by one may wrap."""
    return f"<pre{_class('wraps' if wraps else '')}>{escape(text)}</pre>"


def table(headings: Sequence[str | Cell], rows: Iterable[Sequence[str | Cell]]) -> str:
    """Return a table, whose rows are cards on a phone; the first cell names its row."""
    columns = [_cell(heading) for heading in headings]
    head = "".join(f'<th{_class(c.kind)} scope="col">{escape(c.text)}</th>' for c in columns)
    body = "\n".join(f"<tr>{_row(columns, cells)}</tr>" for cells in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values."""
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table class="facts">\n<tbody>\n{body}\n</tbody>\n</table>'


def figure(title: str, svg: bytes, alt: str, more: str = "") -> str:
    """Return a picture that is part of the page."""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    told = f" {escape(more)}" if more else ""
    caption = f"<figcaption><b>{escape(title)}</b>{told}</figcaption>"
    return f'<figure>{caption}<img alt="{escape(alt)}" src="{source}"></figure>'


def figures(pictures: Iterable[str], kind: str = "") -> str:
    """Return pictures beside each other where there is room."""
    inside = "\n".join(pictures)
    return f"<div{_class(f'figures {kind}'.strip())}>\n{inside}\n</div>" if inside else ""


def _row(columns: Sequence[Cell], cells: Sequence[str | Cell]) -> str:
    first, *others = map(_cell, cells)
    named = zip(columns[1:], others, strict=True)
    return f'<th scope="row">{_inside(first)}</th>' + "".join(
        f'<td{_class(cell.kind if cell.text else "empty")} data-heading="{escape(column.text)}">'
        f"<span>{_inside(cell)}</span></td>"
        for column, cell in named
    )


def _cell(given: str | Cell) -> Cell:
    return given if isinstance(given, Cell) else Cell(given)


def _inside(cell: Cell) -> str:
    # A short number keeps its error beside it; a long one may take two lines.
    text = cell.text.replace(" ±", "\u00a0±") if len(cell.text) <= SHORT else cell.text
    return escape(text) + (f" <small>{escape(cell.small)}</small>" if cell.small else "")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
