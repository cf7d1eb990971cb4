"""Rows with inputs and a target, whatever file they came from."""

import json
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from .tasks import Task

__all__ = ["Column", "Dataset"]


@dataclass(frozen=True, slots=True)
class Column:
    """One input: a column of a table, or an array of an npz file.

    Parameters
    ----------
    name : str
        Of the column, or of the array.
    values : ndarray
        Numbers, finite: float64 (rows,) of a table, float32 or float64 (rows, ...) of an array.
        Text: `str` objects, (rows,).
    text : bool
        Whether the values are text.
    """

    name: str
    values: np.ndarray
    text: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows with inputs and a target; no value is missing.

    Parameters
    ----------
    name : str
        The file's name, or "scikit-learn digits".
    columns : tuple of Column
        The inputs: never the target, the groups, or what was left out.
    target_name : str
        Name of the target's column or array.
    target : ndarray
        Shape (rows,). Classification: int64 index into ``task.classes``; regression: float64.
    task : Task
        What is learned of the target.
    groups : ndarray or None
        Shape (rows,), int64 codes: rows of one group stay together in every split.
    notes : tuple of str
        Sentences to tell the user: the task and why, rows dropped, columns left out.
    """

    name: str
    columns: tuple[Column, ...]
    target_name: str
    target: np.ndarray
    task: Task
    groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    @property
    def digest(self) -> str:
        """Blake2b, 8 bytes in hex, of inputs, target, task and groups: names, dtypes and values.

        File name and notes are left out, so the same table has the same digest as CSV and as
        parquet: numbers are float64 and text is text in both. Booleans and dates differ, which
        CSV has as text of the writer's choice. It reads every value at each call.
        """
        found = blake2b(digest_size=8)
        arrays = [(column.name, column.values) for column in self.columns]
        arrays.append((self.target_name, self.target))
        if self.groups is not None:
            arrays.append(("groups", self.groups))
        names = [self.task.name, self.task.classes, len(self.columns), self.groups is not None]
        found.update(json.dumps(names).encode())
        for name, values in arrays:
            found.update(json.dumps([name, str(values.dtype), values.shape]).encode())
            found.update(_as_bytes(values))
        return found.hexdigest()

    def take(self, rows: np.ndarray) -> "Dataset":
        """Return the dataset of some rows, by number, in that order."""
        columns = tuple(replace(column, values=column.values[rows]) for column in self.columns)
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, columns=columns, target=self.target[rows], groups=groups)


def _as_bytes(values: np.ndarray) -> bytes:
    if values.dtype == object:
        return json.dumps(values.tolist()).encode()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
