"""Pieces of sentences: lists of names, and guesses at what was meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def _names(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _short(value: object) -> str:
    """Return a value in one line of at most 80 characters."""
    words = " ".join(repr(value).split())
    return words if len(words) <= 80 else f"{words[:78]} …"


def _near(word: object, words: Sequence[str]) -> str:
    near = get_close_matches(str(word), words, n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""
