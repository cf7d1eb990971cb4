"""Data of any kind as columns by name: text, files that pandas reads, DataFrames and arrays."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from noisegate.core.errors import InvalidValue

from .formats import read_frame
from .header import Header, find_delimiter, find_line, no_rows, open_text, unnamed

# Integers of at most 16 bits are exact in float32.
SMALL = ("int8", "uint8", "int16", "uint16", "float16", "float32")


@dataclass(frozen=True, slots=True)
class RawTable:
    """Columns by name: ``column(name)`` is a Series; or a floating array of rank 2 or more.

    ``place(row)`` is how a sentence names a row: by its line, or by its number from 0. An index,
    if the data have one, is not read.
    """

    header: Header
    column: Callable[[str], Any]
    place: Callable[[int], str]
    has_index: bool = False


def open_table(header: Header) -> RawTable:
    """Return the columns of data; arrays of a file are read when they are asked for."""

    def number(row: int) -> str:
        return f"row {row} (from 0) of {header.label}"

    def line(row: int) -> str:
        return f"line {find_line(data, row)} of {header.label}"

    data = header.data
    if header.suffix == ".npz":
        return RawTable(header, lambda name: _read_array(header, name), number)
    if header.arrays:
        arrays = dict(zip(header.names, map(_as_array, data), strict=True))
        return RawTable(header, lambda name: _as_column(header, name, arrays[name]), number)
    has_index, place = False, number
    if header.suffix == ".csv":
        frame, place = _read_text(data, header), line
    elif header.suffix:
        frame = read_frame(data, header.what, header.suffix)
    else:
        frame = data if hasattr(data, "columns") else data[0].assign(**{"": np.asarray(data[1])})
        has_index = not isinstance(frame.index, pd.RangeIndex)
    if not len(frame):
        raise no_rows(header.label)
    columns = {name: frame.iloc[:, i].rename(name) for i, name in enumerate(header.names)}
    if not header.names[0]:
        _check_unnamed(header, columns[""])
    return RawTable(header, columns.__getitem__, place, has_index)


def _read_text(path: str, header: Header) -> pd.DataFrame:
    """Return the cells of a file of text, as they stand there."""
    delimiter = find_delimiter(path, header.what)
    with open_text(path, header.what) as stream:
        return pd.read_csv(
            stream,
            sep=delimiter,
            header=None,
            names=range(len(header.names)),
            index_col=False,
            dtype=str,
            na_filter=False,
        ).iloc[1:]


def _check_unnamed(header: Header, cells: pd.Series) -> None:
    """Raise unless a column without a name numbers the rows."""
    numbers = pd.to_numeric(cells, errors="coerce")
    if not (numbers.is_unique and (numbers % 1 == 0).all()):
        raise unnamed(header.label, 1)


def _as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _read_array(header: Header, name: str) -> Any:
    try:
        with Path(header.data).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            array = np.asarray(file[name])
    except (OSError, EOFError, ValueError, RuntimeError, BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):  # which only pickle would read
            raise _unfit_array(header, name, "objects") from None
        raise InvalidValue(
            f"study: every array of an .npz file must be readable; got `{name}` of {header.label}: "
            f"{str(error).rstrip('.')}. Save it anew with numpy.savez."
        ) from None
    return _as_column(header, name, array)


def _as_column(header: Header, name: str, array: np.ndarray) -> Any:
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise InvalidValue(
            "study: an array must have a row along axis 0 for each sample, and something in it; "
            f"got `{name}` of {header.label} of shape {array.shape}. Leave it out with --ignore "
            f"{quote(name)}."
        )
    kind = array.dtype.kind
    if array.ndim == 1 and (kind in "bU" or (kind == "O" and not header.suffix)):
        return pd.Series(array, name=name)
    if kind not in "biuf":
        held = "text of rank 2 or more" if kind == "U" else str(array.dtype)
        raise _unfit_array(header, name, held)
    array = array.astype(np.float32 if array.dtype.name in (*SMALL, "bool") else np.float64)
    return pd.Series(array.astype(np.float64), name=name) if array.ndim == 1 else array


def _unfit_array(header: Header, name: str, held: str) -> InvalidValue:
    return InvalidValue(
        f"study: an array must hold real numbers, booleans, or text of rank 1; got `{name}` of "
        f"{header.label}, which holds {held}. Leave it out with --ignore {quote(name)}, or save it "
        "as numbers."
    )
