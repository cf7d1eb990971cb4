"""What the report's templates are given: cells, tables, pictures, and a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its text, a note in small letters below it, and its CSS class."""

    text: str
    small: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row names it."""

    headings: Sequence[str | Cell]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the report; without `svg` the caption alone."""

    title: str
    svg: bytes | None
    alt: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class SearchSection:
    """What a search found: sentences, the best rules as Python, pictures, the best trials."""

    paragraphs: Sequence[str]
    rules: str
    pictures: Sequence[Picture]
    best: Sequence[Any]
