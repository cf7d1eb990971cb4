"""Data as datasets: files of any kind, DataFrames, arrays; and the digits of scikit-learn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd

from noisegate.core.errors import InvalidValue

from .cells import DATE, USUAL, Cells, Notation, as_labels, parse_cells
from .columns import Column, describe_mixed, find_role, give_role
from .dataset import Dataset
from .header import DIGITS, check_columns, count_text, list_some, read_header, select_inputs
from .missing import check_counts, find_complete
from .table import RawTable, open_table
from .targets import are_numbers, make_target, read_target
from .tasks import Task

TASKS = ("classification", "regression")
# One row each to train on, to validate on and to test on.
LEAST_ROWS = 3


def read_data(
    data: Any,
    target: str,
    *,
    task: str | None = None,
    inputs: Sequence[str] = (),
    ignore: Sequence[str] = (),
    split: str | None = None,
    missing: str = "error",
    notation: Notation = USUAL,
) -> Dataset:
    """Return the dataset of a file, a DataFrame or arrays, by the words of a `Source`.

    The answer depends on the data and the arguments alone. A file of text is UTF-8, and its first
    line names the columns; nothing in an .npz is unpickled, and of its arrays, with the rows along
    axis 0, only a single input may have a rank above 2. What is not fit to learn from raises: the
    data, a column, a row or the target, with its place, and the way out.
    """
    _check_task(task)
    header = read_header(data, "the data file")
    names = select_inputs(header, target, inputs, ignore, split)
    table = open_table(header)
    needed = [target] if split is None else [target, split]
    cells = {name: _parse(table, name, notation) for name in names}
    cells |= {name: _parse(table, name, notation, dates=False) for name in needed}
    check_counts(header.label, cells.values())
    columns = {
        name: give_role(cells[name], notation, named=name in inputs, impute=missing == "impute")
        for name in names
    }
    used = [name for name in names if columns[name].used]
    chosen, others = ([cells[name] for name in some] for some in (used, needed))
    _check_inputs(header.label, chosen, columns)
    complete, note = find_complete(header.label, chosen, others, missing)
    _check_count(header.label, len(complete[target].values))
    learned, values, inferred = make_target(complete[target], task, notation, header.label)
    why = f"{len(learned.classes)} classes" if learned.is_classification else "numbers"
    columns[target] = Column(target, "target", False, why, missing=cells[target].words)
    groups = None
    if split is not None:
        known, groups = np.unique(complete[split].values, return_inverse=True)
        why = count_text(len(known), "group")
        columns[split] = Column(split, "groups", False, why, missing=cells[split].words)
    for name in header.names:
        if name not in columns:
            columns[name] = _describe(table, name, notation, by_name=name in ignore)
        elif columns[name].role == "category":
            columns[name] = replace(
                columns[name], categories=tuple(sorted({*complete[name].present}))
            )
    every = tuple(columns[name] for name in header.names)
    notes = [inferred, note, _describe_unused(every)]
    notes += [describe_mixed(complete[name], notation) for name in used]
    notes.append("The DataFrame's index is not used." if table.has_index else "")
    return Dataset(
        _name_data(data),
        _join([complete[name] for name in used]),
        every,
        target,
        values,
        learned,
        groups,
        tuple(filter(None, notes)),
        missing == "impute",
        notation,
    )


def _check_task(task: str | None) -> None:
    if task is not None and task not in TASKS:
        raise InvalidValue(
            f"study: the task must be classification or regression; got {task!r}. Name one of them."
        )


def read_like(
    data: Any,
    dataset: Dataset,
    *,
    what: str,
    missing: str = "error",
    notation: Notation = USUAL,
    target: bool = True,
) -> Dataset:
    """Return the dataset of other data with the inputs of `dataset`, found by name.

    Whatever else they hold is ignored, and noted. Categories that `dataset` lacks are kept: the
    encoder has no feature for them.

    Sentences call the data `what`, as "the test file"; it may be another kind of file. `missing`
    and `notation` are as for `read_data`. Without `target` the target need not be there, and is
    all zeros. It raises if a column is missing or of another role, or a class is none of the
    dataset's.
    """
    header = read_header(data, what)
    like = dataset.input_columns
    needed = [dataset.target_name] if target else []
    check_columns(header, [*(column.name for column in like), *needed])
    table = open_table(header)
    only_text = dataset.task.is_classification and not are_numbers(dataset.task.classes)
    inputs = [_parse_like(table, column, dataset, notation) for column in like]
    targets = [_parse(table, name, notation, dates=False, only_text=only_text) for name in needed]
    check_counts(header.label, [*inputs, *targets])
    complete, note = find_complete(header.label, inputs, targets, missing)
    count = len(complete[like[0].name].values)
    values = np.zeros(count, dataset.target.dtype)
    if target:
        values = read_target(complete[dataset.target_name], dataset.task)
    notes = [note, *(_describe_new(header.label, column, complete[column.name]) for column in like)]
    known = {*complete, dataset.target_name, ""}
    others = [name for name in header.names if name not in known]
    further = (
        f"Not used of {header.label}, as the data do not have them as inputs: {list_some(others)}."
    )
    return Dataset(
        _name_data(data),
        _join([complete[column.name] for column in like]),
        tuple(replace(c, missing=one.words) for c, one in zip(like, inputs, strict=True)),
        dataset.target_name,
        values,
        dataset.task,
        notes=tuple(filter(None, [*notes, further if others else ""])),
    )


def _describe_new(label: str, column: Column, cells: Cells) -> str:
    """Return a note on the categories of other data that the data lack; "" if there are none."""
    new = sorted({*cells.present} - {*column.categories}) if column.categories else []
    return (
        f"`{column.name}` of {label} has categories that the data lack, {list_some(new)}: the "
        "network gets zeros for them."
        if new
        else ""
    )


def digits() -> Dataset:
    """Return the 1,797 digits of scikit-learn, pixels divided by 16; nothing is downloaded.

    One input, "images", float32 (1797, 1, 8, 8) in [0, 1], and ten classes.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.data / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    name, target = DIGITS
    columns = (
        Column(name, "array", True, "1 x 8 x 8 numbers a row"),
        Column(target, "target", False, "10 classes"),
    )
    task = Task("classification", tuple(map(str, range(10))))
    classes = bunch.target.astype(np.int64)
    return Dataset("scikit-learn digits", images, columns, target, classes, task)


def _name_data(data: Any) -> str:
    if isinstance(data, str | PathLike):
        return Path(data).name
    return "DataFrame" if hasattr(data, "columns") or hasattr(data[0], "columns") else "arrays"


def _parse(table: RawTable, name: str, notation: Notation, **how: bool) -> Cells:
    values, source = table.column(name), table.header.label
    return parse_cells(name, values, notation, table.place, source=source, **how)


def _parse_like(table: RawTable, column: Column, dataset: Dataset, notation: Notation) -> Cells:
    """Return the cells of an input of other data, in the role and shape of the dataset's."""
    name, role, label = column.name, column.role, table.header.label
    cells = _parse(table, name, notation, only_text=role == "category", any_code=role == "number")
    shape, expected = cells.values.shape[1:], _find_shape(dataset, column)
    if shape != expected:
        raise InvalidValue(
            f"study: a row of `{name}` must have the shape {expected}, as in the data; got "
            f"{shape} in {label}. Save it in that shape."
        )
    if cells.missing.all() or role == "array":
        return cells
    if role == "category":
        texts = as_labels(cells)
        known = set(texts.present) & set(column.categories)
        numbers = all(notation.parse(word) is not None for word in texts.present)
        if numbers and not known:
            word, place = texts.find(lambda word: True)
            raise InvalidValue(
                f"study: `{name}` must hold text, as in the data; got {word} at {place}, and "
                "numbers that are no values of the data in all rows. Check that the column is the "
                "same one."
            )
        return texts
    if cells.values.dtype.kind != ("M" if role == "date" else "f"):
        held = "dates as YYYY-MM-DD" if role == "date" else "numbers"
        word, place = as_labels(cells).find(
            lambda word: (
                not DATE.fullmatch(word) if role == "date" else notation.parse(word) is None
            )
        )
        raise InvalidValue(
            f"study: `{name}` must hold {held}, as in the data; got {word} at {place}. Fix that "
            "cell."
        )
    return cells


def _find_shape(dataset: Dataset, column: Column) -> tuple[int, ...]:
    """Return the shape of a row of an array."""
    if column.role != "array":
        return ()
    if isinstance(dataset.inputs, np.ndarray):
        return dataset.inputs.shape[1:]
    return (len(dataset.features(column)),)


def _check_count(label: str, rows: int) -> None:
    if rows < LEAST_ROWS:
        raise InvalidValue(
            f"study: at least {LEAST_ROWS} complete rows are needed, to train on, to validate on "
            f"and to test on; got {rows} in {label}. Bring more rows: a study needs hundreds to "
            "tell much."
        )


def _check_inputs(label: str, used: Sequence[Cells], columns: Mapping[str, Column]) -> None:
    """Raise if no input is left, or an array of images is beside others."""
    if not used:
        why = ", ".join(f"`{name}` ({column.why})" for name, column in columns.items())
        raise InvalidValue(
            f"study: there must be a column to learn from; got none of {label} but {why}. Name "
            "those that are inputs with --inputs."
        )
    high = [cells.name for cells in used if cells.values.ndim > 2]
    if high and len(used) > 1:
        raise InvalidValue(
            f"study: an array of a rank above 2 must be the only input; got `{high[0]}` of "
            f"{label} and others. Give it alone, as --inputs {quote(high[0])}."
        )


def _join(inputs: Sequence[Cells]) -> pd.DataFrame | np.ndarray:
    """Return the inputs of a dataset."""
    if inputs[0].values.ndim > 2:
        return inputs[0].values
    parts = []
    for cells in inputs:
        if cells.values.ndim == 2:
            names = [f"{cells.name}.{i}" for i in range(cells.values.shape[1])]
            parts.append(pd.DataFrame(cells.values.astype(np.float64), columns=names))
        else:
            # Its dtype is said, or pandas makes one of its own of text.
            parts.append(pd.Series(cells.values, name=cells.name, dtype=cells.values.dtype))
    return pd.concat(parts, axis=1)


def _describe(table: RawTable, name: str, notation: Notation, *, by_name: bool) -> Column:
    """Return a column that is neither an input nor the target."""
    if not name:
        return Column("", "identifier", False, "the unnamed index of the rows")
    why = "named by --ignore" if by_name else "not named by --inputs"
    if table.header.arrays:
        return Column(name, "array", False, why)  # it may be large, and unfit
    try:
        cells = _parse(table, name, notation)
    except InvalidValue:  # what nobody uses may be unfit
        return Column(name, "text", False, why)
    return Column(name, find_role(cells, impute=False)[0], False, why, missing=cells.words)


def _describe_unused(columns: Sequence[Column]) -> str:
    """Return a note of the columns that are not used."""
    unused = [c for c in columns if not c.used and c.role not in ("target", "groups")]
    names = [f"`{column.name}` ({column.why})" if column.name else column.why for column in unused]
    return f"Not used: {list_some(names, quote='')}." if names else ""
