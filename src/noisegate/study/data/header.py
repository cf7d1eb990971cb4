"""What can be told of data before their rows are read: that they are there, and their columns.

Nothing here needs pandas, so a call with a wrong name is answered at once.
"""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import IO, Any, TextIO
from zipfile import BadZipFile, ZipFile

from noisegate.core.checks import reads_as_number
from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import list_names, shorten, suggest

from .formats import READERS, list_arrays, read_names, unreadable

# The input and the target of scikit-learn's digits.
DIGITS = ("images", "digit")
DELIMITERS = ",;\t"
# Names that a sentence lists.
SHOWN = 8
_COMPRESSED: dict[str, Callable[[Any], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": lambda file: (archive := ZipFile(file)).open(archive.namelist()[0]),
}
SUFFIXES = (".csv", ".tsv", ".npz", *READERS)


@dataclass(frozen=True, slots=True)
class Header:
    """The data as the user gave them, and the names of their columns.

    Sentences call the data `what` ("the data file"), and quote them as `label` ("'d.csv'", "the
    DataFrame"). `suffix` is ".csv" for text, whether compressed or not, and "" without a file.
    `names` are in the file's order; only the first may be "", which pandas writes before its
    index. With `arrays` the columns are arrays, which have any rank.
    """

    data: Any
    what: str
    label: str
    suffix: str
    names: tuple[str, ...]
    arrays: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names but for an empty one."""
        return tuple(name for name in self.names if name)


def read_header(data: Any, what: str) -> Header:
    """Return the header of a file, a DataFrame, or a pair of arrays; raise if they are none."""
    if isinstance(data, str | PathLike):
        return _of_file(str(data), what)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _checked(data, what, "the DataFrame", "", [str(name) for name in data.columns])
    if isinstance(data, tuple | list) and len(data) == 2:
        inputs, _ = data
        if hasattr(inputs, "columns"):
            named = [*map(str, inputs.columns), name_target(data)]
            return _checked(data, what, "the DataFrame", "", named)
        return Header(data, what, "the arrays", "", ("x", "y"), arrays=True)
    raise InvalidType(
        f"study: {what} must be a path, a DataFrame, or a pair of arrays (X, y); got "
        f"{shorten(data)}."
    )


def name_target(data: Sequence[Any]) -> str:
    """Return the name of y in a pair (X, y): beside a DataFrame its own, if it has one, or "y"."""
    own = getattr(data[-1], "name", None) if hasattr(data[0], "columns") else None
    return "y" if own is None else str(own)


def _of_file(path: str, what: str) -> Header:
    file = Path(path)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    packed = suffixes[-1:] and suffixes[-1] in _COMPRESSED
    suffix = "".join(suffixes[-2:-1] if packed else suffixes[-1:])
    if suffix not in (SUFFIXES[:2] if packed else SUFFIXES):
        raise InvalidValue(
            f"study: {what} must be {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, or a .csv or "
            f".tsv with {', '.join(_COMPRESSED)} behind; got '{path}'. Save it as one of these, "
            "with that ending."
        )
    if file.is_dir():
        raise unreadable(what, path, "it is a folder")
    if not file.exists():
        raise InvalidValue(
            f"study: {what} must exist; got '{path}', which does not. Check its path."
        )
    if suffix == ".npz":
        return Header(path, what, f"'{path}'", suffix, list_arrays(path, what), arrays=True)
    if suffix in READERS:
        return _checked(path, what, f"'{path}'", suffix, read_names(path, what, suffix))
    with open_text(path, what) as stream:
        first = next(_scan(path, _open_reader(path, stream)), None)
    if first is None:
        raise InvalidValue(
            f"study: the first line of a CSV file must name its columns; got '{path}', which is "
            "empty. Check that it was saved."
        )
    return _checked(path, what, f"'{path}'", ".csv", first[1])


def _checked(data: Any, what: str, label: str, suffix: str, names: Sequence[str]) -> Header:
    """Return a header, or refuse a column without a name, and a name that two have."""
    names = [name.strip() for name in names]
    for i, name in enumerate(names):
        if not name and i:
            raise unnamed(label, i + 1)
        if name in names[:i]:
            raise InvalidValue(
                f"study: the columns' names must differ; got `{name}` for columns "
                f"{names.index(name) + 1} and {i + 1} of {label}. Rename one."
            )
    # Counters are names: numpy's columns have no others.
    counters = (list(map(str, range(start, start + len(names)))) for start in (0, 1))
    if suffix and all(map(reads_as_number, names)) and names not in counters:
        raise InvalidValue(
            "study: the first line of a file must name its columns; got only numbers, "
            f"{list_some(names)}, in {label}. Put a line with names before it."
        )
    return Header(data, what, label, suffix, tuple(names))


def unnamed(label: str, place: int) -> InvalidValue:
    """Return the error of a column without a name."""
    return InvalidValue(
        f"study: every column must have a name; got none for column {place} of {label}. Name it "
        "in the first line; or, if it numbers the rows, save the file without it."
    )


# Text ------------------------------------------------------------------------------------------


@contextmanager
def open_text(path: str, what: str) -> Iterator[TextIO]:
    """Open a file of text, compressed or not; what cannot be read in it becomes a sentence."""
    unpack = _COMPRESSED.get(Path(path).suffix.lower(), lambda file: file)
    try:
        with (
            Path(path).open("rb") as file,
            unpack(file) as raw,
            io.TextIOWrapper(raw, "utf-8-sig", newline="") as stream,
        ):
            yield stream
    except UnicodeDecodeError:
        raise InvalidValue(
            f"study: a CSV file must be UTF-8; got other bytes at line {_undecodable(path, unpack)}"
            f" of '{path}'. Save it as UTF-8."
        ) from None
    except (OSError, EOFError, IndexError, BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise unreadable(what, path, getattr(error, "strerror", None) or str(error)) from None


def _undecodable(path: str, unpack: Callable[[IO[bytes]], Any]) -> int:
    """Return the first line that is not UTF-8."""
    with Path(path).open("rb") as file, unpack(file) as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def find_delimiter(path: str, what: str) -> str:
    """Return the delimiter of a file of text; raise if a row has too few or too many cells.

    pandas takes such a row, and a quote that is never closed.
    """
    with open_text(path, what) as stream:
        reader, width = _open_reader(path, stream), 0
        for line, record in _scan(path, reader):
            width = width or len(record)
            if len(record) != width:
                raise InvalidValue(
                    "study: every row must have a cell for each of the "
                    f"{count_text(width, 'column')}; got {count_text(len(record), 'cell')} at line "
                    f"{line} of '{path}'. Fix that row; a cell that holds the delimiter stands in "
                    '"quotes".'
                )
        return str(reader.dialect.delimiter)


def find_line(path: str, row: int) -> int:
    """Return the line where a row begins, both from 0 and 1."""
    with open_text(path, "the file") as stream:
        lines = (line for line, _ in _scan(path, _open_reader(path, stream)))
        return next(islice(lines, row + 1, None))  # the first has the names


def _open_reader(path: str, stream: TextIO) -> Any:
    """Return a `csv.reader`, with the delimiter that the first line that is not blank tells."""
    lines = [stream.readline()]
    while lines[-1] and not lines[-1].strip():
        lines.append(stream.readline())
    # Strictly, so that a quote that is never closed is an error, not one long cell.
    return csv.reader(chain(lines, stream), delimiter=_delimiter(path, lines[-1]), strict=True)


def _scan(path: str, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, and the line where it begins."""
    line = 1
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidValue(
            "study: a CSV file must have a row to a line and its quotes closed; got a row that "
            f"begins at line {line} of '{path}' and cannot be read: {error}. Fix that row."
        ) from None


def _delimiter(path: str, line: str) -> str:
    """Return the sign that splits a line into most names; of .tsv it is the tab."""
    if ".tsv" in [suffix.lower() for suffix in Path(path).suffixes]:
        return "\t"
    return max(DELIMITERS, key=lambda sign: len(next(csv.reader([line], delimiter=sign), [])))


# Columns ---------------------------------------------------------------------------------------


def select_inputs(
    header: Header, target: str, inputs: Sequence[str], ignore: Sequence[str], split: str | None
) -> tuple[str, ...]:
    """Return the names of the inputs, in the file's order: what is asked for, or what is left.

    It raises if a column is not there, has two roles, or none is left.
    """
    roles = [(target, "--target")] if split is None else [(target, "--target"), (split, "--split")]
    roles += [(name, "--inputs") for name in inputs] + [(name, "--ignore") for name in ignore]
    seen: dict[str, str] = {}
    for name, role in roles:
        if name not in header.columns:
            raise InvalidValue(
                f"study: {role} must name a column of {header.label}; got `{name}`. It has "
                f"{list_some(header.columns)}.{_suggest_column(name, header.columns)}"
            )
        before = seen.setdefault(name, role)
        if before != role and {before, role} != {"--split", "--ignore"}:
            raise InvalidValue(
                f"study: a column has one role; got `{name}` for {before} and for {role}. Leave it "
                "out of one."
            )
    wanted = set(inputs) or set(header.columns) - {target, split, *ignore}
    found = tuple(name for name in header.columns if name in wanted)
    if not found:
        raise InvalidValue(
            f"study: there must be a column to learn from; got none of {header.label}, which has "
            f"{list_some(header.columns)}. Ignore fewer, or add inputs to the file."
        )
    if header.arrays and not inputs and len(found) > 1:
        raise InvalidValue(
            f"study: which array is the input must be said where there are several; got "
            f"{header.label} with {list_some(found)}. Name one or more, as --inputs "
            f"{quote(found[0])}."
        )
    return found


def check_columns(header: Header, names: Iterable[str]) -> None:
    """Raise if data lack a column that other data have."""
    for name in names:
        if name not in header.columns:
            raise InvalidValue(
                f"study: {header.what} must have every column that the data have; got "
                f"{header.label} without `{name}`. It has {list_some(header.columns)}."
                f"{_suggest_column(name, header.columns)}"
            )


def no_rows(label: str) -> InvalidValue:
    """Return the error of data without rows."""
    return InvalidValue(
        f"study: a file of data must have rows; got {label} with no rows. Check that it was saved."
    )


def _suggest_column(name: str, names: Sequence[str]) -> str:
    """Return a guess at what was meant, whatever the letters' case."""
    lower = {known.lower(): known for known in names}
    near = suggest(name.lower(), list(lower))
    return near.replace(word := near[15:-2], lower[word]) if near else ""


def list_some(names: Sequence[object], quote: str = "`") -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return list_names(names[:SHOWN], quote) + more


def count_text(number: int, what: str) -> str:
    """Return a number and what it counts."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
