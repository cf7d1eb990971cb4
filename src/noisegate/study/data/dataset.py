"""Rows with inputs and a target, whatever file they came from."""

import json
import re
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pandas as pd

from .cells import USUAL, Notation
from .columns import Column
from .tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows with inputs and a target.

    `name` is the file's, "DataFrame", "arrays", or "scikit-learn digits". `inputs` are in the
    file's order, with a RangeIndex: a number is float64, NaN where missing; a category is `str`
    objects, or None; a date is datetime64[s], or NaT. Or they are one array, (rows, ...), of rank 3
    or more. `columns` are all of the file, used or not.

    `target`, (rows,), is an int64 index into ``task.classes``, or float64 for regression. `groups`,
    (rows,), are int64 codes: rows of one group stay together in every split. `notes` are sentences
    to print: the task and why, rows left out, columns left out. With `impute` the missing values
    of inputs are filled in; none is missing otherwise. `notation` is how texts were read.
    """

    name: str
    inputs: pd.DataFrame | np.ndarray
    columns: tuple[Column, ...]
    target_name: str
    target: np.ndarray
    task: Task
    groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    impute: bool = False
    notation: Notation = USUAL

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """The columns that are inputs."""
        return tuple(column for column in self.columns if column.used)

    def features(self, column: Column) -> tuple[str, ...]:
        """Return the names in `inputs` of one column: several of an array of rank 2."""
        if column.role != "array":
            return (column.name,)
        names = re.compile(re.escape(column.name) + r"\.\d+")
        return tuple(name for name in self.inputs if names.fullmatch(name))

    @property
    def digest(self) -> str:
        """Blake2b, 8 bytes in hex, of inputs, target, task and groups: names, dtypes and values.

        File name and notes are left out, so the same table has the same digest as CSV and as
        parquet. It reads every value at each call.
        """
        arrays: list[tuple[str, np.ndarray]]
        if isinstance(self.inputs, pd.DataFrame):
            arrays = [(name, self.inputs[name].to_numpy()) for name in self.inputs]
        else:
            arrays = [(self.input_columns[0].name, self.inputs)]
        names = [self.task.name, self.task.classes, len(arrays), self.groups is not None]
        arrays.append((self.target_name, self.target))
        if self.groups is not None:
            arrays.append(("groups", self.groups))
        found = blake2b(json.dumps(names).encode(), digest_size=8)
        for name, values in arrays:
            found.update(json.dumps([name, str(values.dtype), values.shape]).encode())
            found.update(_as_bytes(values))
        return found.hexdigest()

    def take(self, rows: np.ndarray) -> "Dataset":
        """Return the dataset of some rows, by number, in that order."""
        if isinstance(self.inputs, pd.DataFrame):
            inputs = self.inputs.iloc[rows].reset_index(drop=True)
        else:
            inputs = self.inputs[rows]
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, inputs=inputs, target=self.target[rows], groups=groups)


def _as_bytes(values: np.ndarray) -> bytes:
    if values.dtype == object:
        return json.dumps(values.tolist()).encode()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
