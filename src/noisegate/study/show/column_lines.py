"""How the columns of the data were read, in a few lines."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from .numbers import plural

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
    """Return what was read by the facts of a study, in about a dozen lines of 80 columns."""
    data, columns = facts["data"], facts["data"]["columns"]
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
    lines += _list_items("left out", (f"{c['name']} ({c['why']})".lstrip() for c in others))
    missing = [f"{c['name']} ({count_missing(c)})" for c in columns if c["missing"]]
    return lines + _list_items("missing", missing)


def describe_reading(facts: Mapping[str, Any], notes: Iterable[str]) -> list[str]:
    """Return what was read and the notes on it, but for the note of what was left out."""
    return describe_columns(facts) + [note for note in notes if not note.startswith("Not used: ")]


def count_missing(column: Mapping[str, Any]) -> str:
    """Return how many cells are missing, by the word that stands there: `3 empty, 2 "NA"`."""
    return ", ".join(
        f'{count:,} "{word}"' if word else f"{count:,} empty"
        for word, count in column["missing"].items()
    )


def _list_items(label: str, items: Iterable[str]) -> list[str]:
    """Return a label and its items as lines; what does not fit is counted."""
    every, start = list(items), f"  {label}".ljust(INDENT)
    # An item takes three columns at least: of thousands most are known not to fit.
    for kept in range(min(len(every), MOST_LINES * WIDTH // 3), 0, -1):
        more = f", … {len(every) - kept:,} more" if kept < len(every) else ""
        text = f"{start} {', '.join(every[:kept])}{more}"
        lines = textwrap.wrap(text, WIDTH, subsequent_indent=" " * (INDENT + 1))
        if len(lines) <= MOST_LINES or kept == 1:
            return [textwrap.shorten(line, WIDTH) if len(line) > WIDTH else line for line in lines]
    return []
