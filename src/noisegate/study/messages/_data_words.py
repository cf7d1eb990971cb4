"""Pieces of sentences about data: names, counts, words cut short."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

SHOWN = 8


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _near(name: str, names: Sequence[str]) -> str:
    """Return a guess at what was meant, whatever the letters' case."""
    lower = {known.lower(): known for known in names}
    near = get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f" Did you mean `{lower[near[0]]}`?" if near else ""


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(_short(word) for word in words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def _counts(columns: Mapping[str, int]) -> str:
    most = sorted(columns.items(), key=lambda item: -item[1])
    shown = ", ".join(f"`{name}`: {count}" for name, count in most[:SHOWN])
    return shown + (f" and {len(most) - SHOWN} more columns" if len(most) > SHOWN else "")


def _short(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:37]}..."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _every(rows: int) -> str:
    return "its one row" if rows == 1 else f"every one of its {rows} rows"
