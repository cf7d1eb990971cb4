"""Arrays of an npz file, as a table of columns of any rank."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .cells import Cells, Table, Words, of_numbers

__all__ = ["read_npz"]

# Integers of at most 16 bits are exact in float32.
SMALL = ("int8", "uint8", "int16", "uint16", "float16", "float32")


def read_npz(path: str, what: str) -> Table:
    """Return the arrays of an npz file; each is read when it is asked for, and none unpickled."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = tuple(file.files)
    except OSError as error:
        if error.strerror is None:
            raise InvalidValue(messages.no_npz(path)) from None
        raise InvalidValue(messages.cannot_read(what, path, error.strerror)) from None
    except (ValueError, EOFError, BadZipFile, TypeError):  # the last for a single array, .npy
        raise InvalidValue(messages.no_npz(path)) from None
    return Table(what, path, names, lambda name: _cells(path, name), arrays=True)


def _cells(path: str, name: str) -> Cells:
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            array = np.asarray(file[name])
    except (OSError, EOFError, ValueError, RuntimeError, BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):  # which only pickle would read
            raise InvalidValue(messages.unfit_array(path, name, "objects")) from None
        raise InvalidValue(messages.damaged(path, name, str(error))) from None
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise InvalidValue(messages.no_rows_axis(path, name, array.shape))
    kind = array.dtype.kind
    if kind == "U" and array.ndim == 1:
        return Words().cells(array.tolist())
    if kind == "b":
        return of_numbers(array)
    if kind not in "iuf":
        held = "text of rank 2 or more" if kind == "U" else str(array.dtype)
        raise InvalidValue(messages.unfit_array(path, name, held))
    return of_numbers(array.astype(np.float32 if array.dtype.name in SMALL else np.float64))
