"""Cells of a column: which are missing, and which are numbers, dates or text."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from noisegate.core.errors import InvalidValue
from noisegate.core.words import shorten

# Words that are missing values where nobody says otherwise.
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?")
# At most so many whole numbers can be classes or categories.
CODES = 20
CODE = re.compile(r"0\d+")
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True, slots=True)
class Notation:
    """How cells of text write numbers and missing values.

    `na` are the words that are missing, beside empty cells: `MISSING` if None.
    """

    na: tuple[str, ...] | None = None
    decimal: str = "."
    thousands: str | None = None

    def is_missing(self, word: str) -> bool:
        """Return whether a stripped word is a missing value."""
        return not word or word in (MISSING if self.na is None else self.na)

    def parse(self, word: str) -> float | None:
        """Return the number that a word shows, or None: a sign, digits, a point, an exponent."""
        if self.thousands:
            if self.thousands == " ":
                word = re.sub(r"\s", " ", word)  # blanks that do not break
            grouped = rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(self.thousands)}\d{{3}})+(?!\d)"
            if found := re.match(grouped, word):
                word = found[0].replace(self.thousands, "") + word[found.end() :]
            elif self.thousands in word:
                return None
        if self.decimal != ".":
            word = "_" if "." in word else word.replace(self.decimal, ".", 1)
        # float() would also take 1_000, and the digits of any script.
        if "_" in word or not word.isascii():
            return None
        try:
            return float(word)
        except ValueError:
            return None


USUAL = Notation()


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The values of one column.

    `values` are float64, datetime64[s] or `str` objects, (rows,); or floating, (rows, ...), of an
    array: NaN, NaT or None where `missing`, bool (rows,), is true. `words` has each word that is
    missing, as it stands in the file, and in how many cells; "" is an empty cell. ``place(row)`` is
    how a sentence names a row. `codes` are texts that all show numbers and yet are none, as 02134.
    """

    name: str
    values: np.ndarray
    missing: np.ndarray
    words: Mapping[str, int]
    place: Callable[[int], str]
    codes: bool = False

    @property
    def is_text(self) -> bool:
        """Whether these are text."""
        return self.values.dtype == object

    @property
    def present(self) -> np.ndarray:
        """The values that are not missing."""
        return self.values[~self.missing] if self.missing.any() else self.values

    def take(self, rows: np.ndarray) -> "Cells":
        """Return the cells of some rows, by number, which keep their places."""
        values, missing, place = self.values[rows], self.missing[rows], self.place
        return replace(
            self, values=values, missing=missing, place=lambda row: place(int(rows[row]))
        )

    def find(self, holds: Callable[[Any], bool]) -> tuple[str, str]:
        """Return the first value that a condition holds for, and its place; or "" twice."""
        for row, value in enumerate(self.values):
            if not self.missing[row] and holds(value):
                return shorten(value, 42), self.place(row)
        return "", ""


def parse_cells(
    name: str,
    values: Any,
    notation: Notation,
    place: Callable[[int], str],
    *,
    source: str = "",
    only_text: bool = False,
    any_code: bool = False,
    dates: bool = True,
) -> Cells:
    """Return the cells of a Series, or of an array of any rank.

    Text is numbers, or dates, if every cell is one that is not missing. With `only_text` texts stay
    texts, whatever they show; with `any_code` 02134 is a number too; without `dates` there are
    none. `source` is how sentences call the file.
    """
    if isinstance(values, np.ndarray):
        axes = tuple(range(1, values.ndim))
        missing = np.asarray(np.isnan(values).any(axis=axes))
        return Cells(name, values, missing, _count_empty(missing), place)
    found = _as_plain(values, source)
    if found.dtype != object:
        missing = np.asarray(pd.isna(found))
        return Cells(name, found, missing, _count_empty(missing), place)
    codes, uniques = pd.factorize(found)  # None has the code -1
    words = ["" if word is None else word.strip() for word in [*uniques, None]]
    gone = np.array([notation.is_missing(word) for word in words])
    missing = gone[codes]
    counts = Counter[str]()
    for code, count in zip(*np.unique(codes[missing], return_counts=True), strict=True):
        counts[words[code]] += int(count)
    kept = [word for word, is_gone in zip(words, gone, strict=True) if not is_gone]
    numbers = [notation.parse(word) for word in kept]
    typed = not types.is_object_dtype(values.dtype) and not types.is_string_dtype(values.dtype)
    every = bool(kept) and None not in numbers
    is_code = every and not any_code and any(CODE.fullmatch(word) for word in kept)
    if not kept or (every and not is_code and not typed and not only_text):
        table = np.full(len(words), np.nan)
        table[~gone] = numbers
        return Cells(name, table[codes], missing, dict(counts), place)
    if dates and not only_text and not typed and all(map(DATE.fullmatch, kept)):
        days = pd.to_datetime(pd.Series(kept), format="ISO8601", utc=True, errors="coerce")
        if days.notna().all():
            moments = np.full(len(words), "NaT", "M8[s]")
            moments[~gone] = _as_seconds(days)
            return Cells(name, moments[codes], missing, dict(counts), place)
    texts = np.array([None if is_gone else word for word, is_gone in zip(words, gone, strict=True)])
    return Cells(name, texts.astype(object)[codes], missing, dict(counts), place, is_code)


def _as_plain(values: pd.Series, source: str) -> np.ndarray:
    """Return a Series as float64, datetime64[s], or objects that are `str` or None."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _as_texts(values.astype(object))
    kind = types.infer_dtype(values, skipna=True)
    if kind == "boolean":
        return _as_texts(values.astype(object))
    if types.is_datetime64_any_dtype(dtype) or kind in ("datetime", "date", "datetime64"):
        return _as_seconds(pd.to_datetime(values, utc=True))
    if types.is_complex_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        raise _unfit(values.name, source, str(dtype))
    if types.is_numeric_dtype(dtype) or kind in ("integer", "floating", "decimal"):
        return np.asarray(pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan))
    return _as_texts(values.astype(object), source)


def _as_seconds(days: pd.Series) -> np.ndarray:
    return np.asarray(days.dt.tz_localize(None).to_numpy("M8[s]"))


def _as_texts(values: pd.Series, source: str = "") -> np.ndarray:
    found = np.full(len(values), None, object)
    for row, value in enumerate(values):
        if isinstance(value, str):
            found[row] = value
        elif isinstance(value, bytes):
            try:
                found[row] = value.decode()
            except UnicodeDecodeError:
                raise _unfit(values.name, source, "binary") from None
        elif types.is_list_like(value):
            raise _unfit(values.name, source, "nested values")
        elif not pd.isna(value):
            found[row] = label(value)
    return found


def _unfit(name: object, source: str, kind: str) -> InvalidValue:
    return InvalidValue(
        f"study: a column must hold a number, a text or a date a row; got `{name}` of {source}, "
        f"which holds {kind}. Leave it out with --ignore {quote(str(name))}."
    )


def _count_empty(missing: np.ndarray) -> dict[str, int]:
    count = int(missing.sum())
    return {"": count} if count else {}


def label(value: Any) -> str:
    """Return the text of one value: a whole number without its point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value.item() if isinstance(value, np.generic) else value)


def as_labels(cells: Cells) -> Cells:
    """Return cells of one value a row as text."""
    if cells.is_text:
        return cells
    values = cells.values.astype(str) if cells.values.dtype.kind == "M" else cells.values
    texts = np.full(len(values), None, object)
    texts[~cells.missing] = [label(value) for value in values[~cells.missing]]
    return replace(cells, values=texts)


def is_codes(numbers: np.ndarray) -> bool:
    """Return whether numbers are few whole ones, as classes and categories are written."""
    return bool(whole(numbers).all()) and len(np.unique(numbers)) <= CODES


def whole(numbers: np.ndarray) -> np.ndarray:
    """Return which numbers are whole, and small enough to be told apart."""
    # From 2^53 on every float is whole, and two integers may have become one.
    return np.asarray((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**53))
