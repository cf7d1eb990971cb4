"""Pieces of sentences: what was received, lists of names, guesses at what was meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def _got(value: object) -> str:
    return f"got {value!r}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _near(word: str, words: Sequence[str]) -> str:
    near = get_close_matches(word, words, n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""


def _guess(value: float) -> str:
    """Return what a rate outside [0, 1] may have been meant to be."""
    meant = -value if value < 0 else value / 10 if value < 10 else value / 100
    return f" Did you mean {meant:g}?" if 0 < meant <= 1 else ""
