"""How the columns of the data were read, in a few lines and as a table."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .numbers import plural
from .parts import Cell, Table

__all__ = ["describe_columns", "list_columns", "summarize_columns"]

WIDTH, INDENT, MOST_LINES = 80, 14, 2
# Role of an input: what several of them are called.
ROLES = {
    "number": "numbers",
    "category": "categories",
    "date": "dates",
    "text": "texts",
    "array": "arrays",
}


def describe_columns(facts: Mapping[str, Any]) -> list[str]:
    """Return what was read, in at most a dozen lines of 80 columns.

    Parameters
    ----------
    facts : mapping
        The facts of a study's settings.
    """
    data, columns = facts["data"], _columns(facts)
    lines = [f"Read {plural(data['rows'], 'row')} of {data['name']}; target {data['target']}."]
    inputs = [column for column in columns if column["used"]]
    for role in dict.fromkeys(column["role"] for column in inputs):
        own = [column for column in inputs if column["role"] == role]
        items = [
            column["name"] if role == "number" else f"{column['name']} ({column['why']})"
            for column in own
        ]
        name = ROLES.get(role, role)
        lines += _list_items(f"{len(own):,} {name if len(own) > 1 else role}", items)
    others = [c for c in columns if not c["used"] and c["role"] not in ("target", "groups")]
    lines += _list_items("left out", (f"{c['name']} ({c['why']})" for c in others))
    missing = [f"{c['name']} ({_count_missing(c)})" for c in columns if c["missing"]]
    return lines + _list_items("missing", missing)


def summarize_columns(facts: Mapping[str, Any]) -> str:
    """Return how many inputs there are, of which roles, and how many columns are left out."""
    columns = _columns(facts)
    inputs = [column["role"] for column in columns if column["used"]]
    roles = [
        f"{inputs.count(role):,} {ROLES.get(role, role) if inputs.count(role) > 1 else role}"
        for role in dict.fromkeys(inputs)
    ]
    others = [c for c in columns if not c["used"] and c["role"] not in ("target", "groups")]
    left = f"; left out: {plural(len(others), 'column')}" if others else ""
    return f"Inputs: {', '.join(roles)}{left}."


def list_columns(facts: Mapping[str, Any]) -> Table:
    """Return a row for each column: its role, whether it is an input, why, what is missing."""
    rows: list[Sequence[str | Cell]] = [
        (
            column["name"],
            Cell(column["role"], kind="text"),
            Cell("yes" if column["used"] else "no", kind="text"),
            Cell(column["why"], kind="text"),
            Cell(_count_missing(column), kind="text"),
        )
        for column in _columns(facts)
    ]
    names = ("role", "input", "why", "missing")
    return Table(("column", *(Cell(name, kind="text") for name in names)), rows)


def _columns(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(facts["data"].get("columns", ()))


def _count_missing(column: Mapping[str, Any]) -> str:
    """Return how many cells are missing, by the word that stands there: `3 empty, 2 "NA"`."""
    return ", ".join(
        f'{count:,} "{word}"' if word else f"{count:,} empty"
        for word, count in column["missing"].items()
    )


def _list_items(label: str, items: Iterable[str]) -> list[str]:
    """Return a label and its items as lines; what does not fit is counted."""
    every, start = list(items), f"  {label}".ljust(INDENT)
    for kept in range(len(every), 0, -1):
        more = f", … {len(every) - kept:,} more" if kept < len(every) else ""
        text = f"{start} {', '.join(every[:kept])}{more}"
        lines = textwrap.wrap(text, WIDTH, subsequent_indent=" " * (INDENT + 1))
        if len(lines) <= MOST_LINES or kept == 1:
            return [textwrap.shorten(line, WIDTH) if len(line) > WIDTH else line for line in lines]
    return []
