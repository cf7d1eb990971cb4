"""CSV files, read row by row."""

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .cells import Cells, Table, Words, numbers, of_numbers

__all__ = ["check_names", "read_csv"]

BLOCK = 4096
DELIMITERS = ",;\t"


def read_csv(path: str, what: str, text: Collection[str] = ()) -> Table:
    """Return the table of a CSV file, UTF-8, whose first line names the columns.

    The delimiter is a comma, a semicolon or a tab: whichever splits the first line into most
    names. Blank lines are skipped. Numbers are kept as such from block to block of rows, so the
    text of a column is in memory only where it is a column of text.

    Parameters
    ----------
    path, what : str
        The file, and how sentences call it.
    text : collection of str
        Columns that are text whatever they hold.
    """
    with _opened(path, what) as file:
        names = _names(path, _records(path, file))

    @cache
    def rows() -> tuple[dict[str, _Column], np.ndarray]:
        return _rows(path, what, text)

    return Table(what, path, names, lambda name: rows()[0][name].cells(), lambda: rows()[1])


def check_names(path: str, names: Sequence[str]) -> None:
    """Refuse a column without a name, and a name that two have."""
    for i, name in enumerate(names):
        if not name:
            raise InvalidValue(messages.empty_name(path, i + 1))
        if name in names[:i]:
            raise InvalidValue(messages.same_name(path, name, names.index(name) + 1, i + 1))


@dataclass(slots=True)
class _Column:
    """A column while it is read: numbers until a cell is none."""

    name: str
    text: bool
    late: bool = False
    blocks: list[np.ndarray] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    words: Words = field(default_factory=Words)

    def add(self, cells: Sequence[str]) -> None:
        if not self.text:
            block = numbers(cells)
            if block is not None:
                self.blocks.append(block)
                return
            self.text, self.late = True, bool(self.blocks)
            self.blocks.clear()
        if not self.late:
            self.texts.extend(self.words[cell] for cell in cells)

    def cells(self) -> Cells:
        if self.text:
            return self.words.cells(self.texts)
        return of_numbers(np.concatenate(self.blocks))


@contextmanager
def _opened(path: str, what: str) -> Iterator[TextIO]:
    """Open a file, and have what cannot be read in it be a sentence."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError:
        raise InvalidValue(messages.not_utf8(path, _undecodable(path))) from None
    except OSError as error:
        raise InvalidValue(messages.cannot_read(what, path, error.strerror)) from None


def _names(path: str, records: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
    """Return the names of the columns, which are the first record."""
    header = next(records, None)
    if header is None:
        raise InvalidValue(messages.empty_file(path))
    names = tuple(name.strip() for name in header[1])
    check_names(path, names)
    return names


def _rows(path: str, what: str, text: Collection[str]) -> tuple[dict[str, _Column], np.ndarray]:
    """Return every column by its name, and the line of each row."""
    while True:
        with _opened(path, what) as file:
            columns, lines = _columns(path, file, text)
        late = {column.name for column in columns if column.late}
        if not late:
            return {column.name: column for column in columns}, np.array(lines, np.int64)
        # Numbers at first and text further down: their first words are gone, so read again.
        text = {*text, *late}


def _columns(path: str, file: TextIO, text: Collection[str]) -> tuple[list[_Column], list[int]]:
    records = _records(path, file)
    names = _names(path, records)
    columns = [_Column(name, name in text) for name in names]
    lines: list[int] = []
    for block in _blocks(path, records, len(names)):
        lines.extend(line for line, _ in block)
        for column, cells in zip(
            columns, zip(*(row for _, row in block), strict=True), strict=True
        ):
            column.add(cells)
    if not lines:
        raise InvalidValue(messages.no_rows(path))
    return columns, lines


def _records(path: str, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, and the line where it begins."""
    blank: list[str] = []
    first = file.readline()
    while first and not first.strip():
        blank.append(first)
        first = file.readline()
    # Strictly, so that a quote that is never closed is an error, not one long cell.
    line = 1
    try:
        reader = csv.reader(chain(blank, [first], file), delimiter=_delimiter(first), strict=True)
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidValue(messages.no_csv(path, line, str(error))) from None


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))


def _blocks(
    path: str, records: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[list[tuple[int, list[str]]]]:
    block: list[tuple[int, list[str]]] = []
    for line, record in records:
        if len(record) != width:
            raise InvalidValue(messages.ragged_row(path, line, len(record), width))
        block.append((line, record))
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _undecodable(path: str) -> int:
    """Return the first line that is not UTF-8."""
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
