"""Files that are not text: arrays of NumPy, and tables that pandas and pyarrow read."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.core.extras import missing_extra

if TYPE_CHECKING:
    import pandas as pd


# What reads a file, what pip calls it, and the extra that brings it.
READERS = {
    ".parquet": ("pyarrow", "pyarrow", "parquet"),
    ".feather": ("pyarrow", "pyarrow", "parquet"),
    ".arrow": ("pyarrow", "pyarrow", "parquet"),
    ".xlsx": ("openpyxl", "openpyxl", "excel"),
    ".xls": ("xlrd", "xlrd", ""),
    ".ods": ("odf", "odfpy", ""),
}
# What a sentence says that a file must be.
_KINDS = {".parquet": "Parquet's", ".feather": "Arrow's", ".arrow": "Arrow's"}


def list_arrays(path: str, what: str) -> tuple[str, ...]:
    """Return the names of the arrays in an npz file, from which nothing is unpickled."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return tuple(file.files)
    except OSError as error:
        if error.strerror is not None:
            raise unreadable(what, path, error.strerror) from None
    except (ValueError, EOFError, BadZipFile, TypeError):  # the last for a single array, .npy
        pass
    raise InvalidValue(
        f"study: an .npz file must be NumPy's; got '{path}', which is not. Save it with "
        "numpy.savez."
    )


def read_names(path: str, what: str, suffix: str) -> list[str]:
    """Return the names of a table's columns, of which no row is read where that is possible."""
    with _reading(path, what, suffix):
        if suffix == ".parquet":
            from pyarrow.parquet import ParquetFile

            with ParquetFile(path) as file:
                return list(file.schema_arrow.names)
        if suffix in _KINDS:
            from pyarrow.feather import read_table

            return list(read_table(path).column_names)
        return [str(name) for name in _read_sheet(path, rows=1).iloc[:1].to_numpy().ravel()]


def read_frame(path: str, what: str, suffix: str) -> "pd.DataFrame":
    """Return a table whose columns are numbered."""
    with _reading(path, what, suffix):
        if suffix == ".parquet":
            from pyarrow.parquet import ParquetFile

            with ParquetFile(path) as file:
                table = file.read()
        elif suffix in _KINDS:
            from pyarrow.feather import read_table

            table = read_table(path)
        else:
            return _read_sheet(path).iloc[1:]
        # By pandas' metadata a column would become an index.
        return table.to_pandas(ignore_metadata=True)


def _read_sheet(path: str, rows: int | None = None) -> "pd.DataFrame":
    """Return the first sheet of a spreadsheet; its first row has the names."""
    import pandas as pd

    return pd.read_excel(path, header=None, dtype=object, keep_default_na=False, nrows=rows)


@contextmanager
def _reading(path: str, what: str, suffix: str) -> Iterator[None]:
    """Have what goes wrong with a file be a sentence."""
    module, package, extra = READERS[suffix]
    if find_spec(module) is None:
        kind = f"{'A' if suffix[1] in 'pf' else 'An'} {suffix[1:]} file"
        if extra:
            raise missing_extra(kind, package, extra)
        raise MissingExtra(f"{kind} needs {package}. Install it with: pip install {package}")
    try:
        yield
    except Exception as error:  # every reader has errors of its own
        if isinstance(error, OSError) and error.strerror is not None:
            raise unreadable(what, path, error.strerror) from None
        raise InvalidValue(
            f"study: a {suffix} file must be {_KINDS.get(suffix, 'a spreadsheet')}; got '{path}', "
            "which is not. Save it anew."
        ) from None


def unreadable(what: str, path: str, reason: str) -> InvalidValue:
    """Return the error of a file that the system does not read."""
    return InvalidValue(
        f"study: {what} must be readable; got '{path}': {reason}. Name a file that you can read."
    )
