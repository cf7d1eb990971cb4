"""Parquet files, by pyarrow."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.study import messages

from .cells import Cells, Table, Words, of_numbers
from .tables import check_names

__all__ = ["read_parquet"]


def read_parquet(path: str, what: str) -> Table:
    """Return the table of a parquet file; dates are text, and categories what they are made of.

    Raises
    ------
    MissingExtra
        If pyarrow is not installed, which the extra `parquet` brings.
    """

    @cache
    def columns() -> dict[str, Any]:
        table = _from_file(path, what, lambda file: file.read())
        if not table.num_rows:
            raise InvalidValue(messages.no_rows(path))
        return dict(zip(names, table.columns, strict=True))

    schema = _from_file(path, what, lambda file: file.schema_arrow)
    names = tuple(name.strip() for name in schema.names)
    check_names(path, names)
    return Table(what, path, names, lambda name: _cells(path, name, columns()[name]))


def _from_file(path: str, what: str, read: Callable[[Any], Any]) -> Any:
    """Return what `read` takes from a file, or say why it cannot be read."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtra(messages.missing_pyarrow()) from None
    try:
        with ParquetFile(path) as file:
            return read(file)
    except pyarrow.ArrowException:
        raise InvalidValue(messages.no_parquet(path)) from None
    except OSError as error:
        if error.strerror is None:
            raise InvalidValue(messages.no_parquet(path)) from None
        raise InvalidValue(messages.cannot_read(what, path, error.strerror)) from None


def _cells(path: str, name: str, column: Any) -> Cells:
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind) and not column.null_count:
        return of_numbers(column.to_numpy())
    if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind):
        return of_numbers(column.to_numpy().astype(np.float64))
    if types.is_decimal(kind) or types.is_boolean(kind):
        if types.is_boolean(kind):
            column = column.cast(pyarrow.int8())
        return of_numbers(column.cast(pyarrow.float64()).to_numpy())
    if types.is_nested(kind):
        raise InvalidValue(messages.unfit_column(path, name, "nested values"))
    try:
        return Words().cells(column.cast(pyarrow.string()).to_pylist())
    except (pyarrow.ArrowException, UnicodeDecodeError):
        raise InvalidValue(messages.unfit_column(path, name, str(kind))) from None
