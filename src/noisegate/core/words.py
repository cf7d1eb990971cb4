"""Pieces of the sentences of errors: what was received, lists of names, the nearest name."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def got(value: object) -> str:
    """Return the words for what was received: "got 3"."""
    return f"got {value!r}"


def list_names(names: Iterable[object], quote: str = "`") -> str:
    """Return names in quotes, separated by commas."""
    return ", ".join(f"{quote}{name}{quote}" for name in names)


def suggest(word: object, words: Sequence[str]) -> str:
    """Return " Did you mean `x`?" for the nearest of some words; "" if no word is near."""
    near = get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""


def shorten(value: object, length: int = 80) -> str:
    """Return the repr of a value in one line of at most `length` characters."""
    words = " ".join(repr(value).split())
    return words if len(words) <= length else f"{words[: length - 2]} …"
