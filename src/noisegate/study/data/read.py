"""Files as datasets: CSV, npz and parquet; and the digits that scikit-learn brings."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .arrays import read_npz
from .cells import Cells, Table
from .dataset import Column, Dataset
from .inputs import check_finite, input_like, input_names, input_of
from .parquet import read_parquet
from .rows import Rows
from .tables import read_csv
from .targets import in_numbers, target_like, target_of
from .tasks import Task

__all__ = ["DIGITS", "check_columns", "digits", "input_columns", "read", "read_like"]

TASKS = ("classification", "regression")
SUFFIXES = (".csv", ".npz", ".parquet")
# One row each to train on, to validate on and to test on.
LEAST_ROWS = 3
# The input and the target of the digits.
DIGITS = ("images", "digit")


def input_columns(
    path: str | Path,
    target: str,
    *,
    inputs: Sequence[str] = (),
    ignore: Sequence[str] = (),
    split: str | None = None,
) -> tuple[str, ...]:
    """Return the names of the inputs of a file; its rows are not read.

    Parameters
    ----------
    path, target, inputs, ignore, split
        As for `read`.

    Raises
    ------
    InvalidValue
        If there is no such file, or a column is not there, or has two roles.
    MissingExtra
        If parquet needs pyarrow.
    """
    return input_names(_table(path, "the data file"), target, inputs, ignore, split)


def check_columns(path: str | Path, names: Sequence[str], *, what: str) -> None:
    """Raise if a file is not there, or lacks a column; its rows are not read.

    Parameters
    ----------
    path, what
        As for `read_like`.
    names : sequence of str
        The columns of the data.

    Raises
    ------
    InvalidValue
        If there is no such file, or a column is not there.
    MissingExtra
        If parquet needs pyarrow.
    """
    _check_has(_table(path, what), names)


def read(
    path: str | Path,
    target: str,
    *,
    task: str | None = None,
    inputs: Sequence[str] = (),
    ignore: Sequence[str] = (),
    split: str | None = None,
    drop_missing: bool = False,
) -> Dataset:
    """Return the dataset of a file.

    A column is numbers if every cell is one, and text otherwise. A cell is missing if it is blank
    or one of NA, N/A, NaN, nan, null, None and ?; or null in parquet, or NaN in an array. The
    answer depends on the file and the arguments alone.

    Parameters
    ----------
    path : str or Path
        .csv (UTF-8; commas, semicolons or tabs; the first line names the columns), .npz (arrays
        with the rows along axis 0; nothing is unpickled) or .parquet (needs the extra `parquet`).
    target : str
        The column, or array of shape (rows,) or (rows, 1), to be learned.
    task : {"classification", "regression"}, optional
        Told from the target by default: text, booleans, and whole numbers of at most 20 different
        values are classes, anything else is a quantity.
    inputs : sequence of str
        What to learn from; by default everything but `target`, `split` and `ignore`. Of several
        arrays in an npz file it must be given, and only a single one may have a rank above 2.
    ignore : sequence of str
        Columns to leave out.
    split : str, optional
        The column, or array, whose equal values are one group.
    drop_missing : bool
        Whether rows with a missing value are left out, which a note tells; else they are an error.

    Raises
    ------
    InvalidValue
        If the file, a column, a row or the target is not fit to learn from: with its place in the
        file, and the way out.
    MissingExtra
        If parquet needs pyarrow.
    """
    if task is not None and task not in TASKS:
        raise InvalidValue(messages.unknown_task(task))
    table = _table(path, "the data file")
    names = input_names(table, target, inputs, ignore, split)
    groups = () if split is None else (split,)
    columns, dropped = _complete(table, (*names, target, *groups), drop_missing)
    count = len(columns[target].values)
    if count < LEAST_ROWS:
        raise InvalidValue(messages.too_few_rows(table.path, count, LEAST_ROWS))
    _check_ranks(table.path, [columns[name] for name in names])
    found, values, told = target_of(_one_number(columns[target]), task)
    unused = [name for name in table.names if name not in {*names, target, *groups}]
    left_out = messages.left_out(unused) if unused else ""
    given = [input_of(columns[name]) for name in names]
    return Dataset(
        Path(path).name,
        tuple(column for column, _ in given),
        target,
        values,
        found,
        None if split is None else _codes(_one_number(columns[split])),
        _notes(told, dropped, left_out, *(note for _, note in given)),
    )


def read_like(
    path: str | Path,
    dataset: Dataset,
    *,
    what: str,
    drop_missing: bool = False,
    target: bool = True,
) -> Dataset:
    """Return the dataset of another file with the columns of `dataset`, found by name.

    Whatever else the file holds is ignored, and noted. Categories that `dataset` lacks are kept:
    the encoder has no feature for them.

    Parameters
    ----------
    path : str or Path
        As for `read`; it may be another kind of file.
    dataset : Dataset
        Whose inputs, target and task these are. Only its names, kinds and classes are used.
    what : str
        How sentences call the file, as "the test file".
    drop_missing : bool
        As for `read`.
    target : bool
        Whether the target is read too; if not, it need not be there, and is all zeros.

    Raises
    ------
    InvalidValue
        If a column is missing or of another kind, or a class is none of the dataset's.
    """
    words = [column.name for column in dataset.columns if column.text]
    if dataset.task.is_classification and not in_numbers(dataset.task.classes):
        words.append(dataset.target_name)
    table = _table(path, what, words)
    names = tuple(column.name for column in dataset.columns)
    names = (*names, dataset.target_name) if target else names
    _check_has(table, names)
    columns, dropped = _complete(table, names, drop_missing)
    further = [name for name in table.names if name not in {*names, dataset.target_name}]
    note = messages.further_columns(table.path, further) if further else ""
    found = tuple(input_like(columns[column.name], column) for column in dataset.columns)
    if target:
        values = target_like(_one_number(columns[dataset.target_name]), dataset.task)
    else:
        values = np.zeros(len(found[0].values), dataset.target.dtype)
    return Dataset(
        Path(path).name,
        found,
        dataset.target_name,
        values,
        dataset.task,
        notes=_notes(dropped, note),
    )


def digits() -> Dataset:
    """Return the 1,797 digits of scikit-learn, pixels divided by 16; nothing is downloaded.

    One input, "images", float32 (1797, 1, 8, 8) in [0, 1], and ten classes.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.data / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    task = Task("classification", tuple(str(digit) for digit in range(10)))
    name, target = DIGITS
    column = Column(name, images, text=False)
    return Dataset("scikit-learn digits", (column,), target, bunch.target.astype(np.int64), task)


def _table(path: str | Path, what: str, words: Iterable[str] = ()) -> Table:
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidValue(messages.unknown_suffix(what, str(path)))
    if file.is_dir():
        raise InvalidValue(messages.cannot_read(what, str(path), "it is a folder"))
    if not file.exists():
        raise InvalidValue(messages.no_file(what, str(path)))
    if suffix == ".csv":
        return read_csv(str(path), what, frozenset(words))
    return (read_npz if suffix == ".npz" else read_parquet)(str(path), what)


def _check_has(table: Table, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.names:
            raise InvalidValue(messages.lacking_column(table.what, table.path, name, table.names))


def _complete(
    table: Table, names: Sequence[str], drop_missing: bool
) -> tuple[dict[str, Rows], str]:
    """Return columns without the rows in which one of them misses a value, and a note of those."""
    cells = {name: table.cells(name) for name in names}
    counts = {name: len(column.missing) for name, column in cells.items()}
    if len(set(counts.values())) > 1:
        raise InvalidValue(messages.unequal_rows(table.path, counts))
    if not min(counts.values()):
        raise InvalidValue(messages.no_rows(table.path))
    missing = np.logical_or.reduce([column.missing for column in cells.values()])
    note = _missing_note(table, cells, missing, drop_missing) if missing.any() else ""
    kept = np.flatnonzero(~missing)
    columns = {
        name: Rows(
            table.path,
            name,
            column.values[kept] if note else column.values,
            partial(_place, table, kept),
        )
        for name, column in cells.items()
    }
    for rows in columns.values():
        check_finite(rows)
    return columns, note


def _place(table: Table, kept: np.ndarray, row: int) -> str:
    return table.place(int(kept[row]))


def _missing_note(
    table: Table, cells: dict[str, Cells], missing: np.ndarray, drop_missing: bool
) -> str:
    counts = {name: int(column.missing.sum()) for name, column in cells.items()}
    counts = {name: count for name, count in counts.items() if count}
    count, rows = int(missing.sum()), len(missing)
    if not drop_missing:
        place = table.place(int(np.argmax(missing)))
        raise InvalidValue(messages.missing_values(table.path, count, rows, counts, place))
    if count == rows:
        raise InvalidValue(messages.all_missing(table.path, rows, counts))
    return messages.dropped_rows(table.path, count, rows, counts)


def _check_ranks(path: str, columns: Sequence[Rows]) -> None:
    high = [rows.name for rows in columns if rows.values.ndim > 2]
    if high and len(columns) > 1:
        raise InvalidValue(messages.high_rank(path, high[0]))


def _one_number(rows: Rows) -> Rows:
    """Return a target or groups of shape (rows, 1) as (rows,)."""
    shape = rows.values.shape
    if len(shape) > 2 or shape[1:] not in ((), (1,)):
        raise InvalidValue(messages.no_vector(rows.path, rows.name, shape))
    return rows._replace(values=rows.values.reshape(-1))


def _codes(rows: Rows) -> np.ndarray:
    return np.unique(rows.values, return_inverse=True)[1].astype(np.int64)


def _notes(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)
