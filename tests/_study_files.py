"""Files of data, written into the working directory and read."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow
import pyarrow.parquet

from noisegate.study.data.cells import Notation
from noisegate.study.data.dataset import Dataset
from noisegate.study.data.read import read_data, read_like


def csv(text: str | bytes, target: str = "y", **options: Any) -> Dataset:
    """Read a CSV file of this text."""
    Path("d.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    named = {name: options.pop(name) for name in ("na", "decimal", "thousands") if name in options}
    return read_data("d.csv", target, notation=Notation(**named), **options)


def columns(dataset: Dataset) -> dict[str, list[object]]:
    """Return the values of each input."""
    if isinstance(dataset.inputs, np.ndarray):
        return {dataset.input_columns[0].name: dataset.inputs.tolist()}
    return {name: values.tolist() for name, values in dataset.inputs.items()}


def roles(dataset: Dataset) -> dict[str, str]:
    """Return the role of each column, in brackets where it is not used."""
    return {c.name: c.role if c.used else f"({c.role}: {c.why})" for c in dataset.columns}


def table(header: str, *rows: str) -> str:
    return "\n".join([header, *rows]) + "\n"


def column(cells: list[Any], header: str = "x,y") -> str:
    """One input and a target of the classes 0 and 1."""
    return table(header, *(f"{cell},{i % 2}" for i, cell in enumerate(cells)))


def target(cells: list[Any]) -> str:
    return table("x,y", *(f"{i}.5,{cell}" for i, cell in enumerate(cells)))


def npz(target: str = "y", *, options: dict[str, Any] | None = None, **arrays: Any) -> Dataset:
    np.savez("d.npz", **arrays)
    return read_data("d.npz", target, **(options or {}))


def parquet(columns: dict[str, Any], **options: Any) -> Dataset:
    names = list(columns)
    data = pyarrow.Table.from_arrays([pyarrow.array(c) for c in columns.values()], names)
    pyarrow.parquet.write_table(data, "d.parquet")
    return read_data("d.parquet", "y", **options)


def raw(name: str, data: bytes = b"nothing of the kind") -> Dataset:
    Path(name).write_bytes(data)
    return read_data(name, "y")


def folder(name: str) -> Dataset:
    Path(name).mkdir()
    return read_data(name, "y")


def refused(name: str) -> Dataset:
    """Read a file that the system does not open; to root it would, so it is told not to."""
    Path(name).touch()
    with (
        mock.patch.object(Path, "open", side_effect=PermissionError(13, "Permission denied")),
        mock.patch(
            "pyarrow.parquet.ParquetFile", side_effect=PermissionError(13, "Permission denied")
        ),
    ):
        return read_data(name, "y")


def without_pyarrow() -> Dataset:
    Path("d.parquet").touch()
    with mock.patch.dict(sys.modules, {"pyarrow": None}):
        return read_data("d.parquet", "y")


def damaged() -> Dataset:
    """Overwrite the array's bytes, so that its checksum is another."""
    np.savez("d.npz", x=np.arange(100.0), y=np.arange(100.0))
    data = Path("d.npz").read_bytes()
    value = np.float64(50).tobytes()
    Path("d.npz").write_bytes(data.replace(value, b"12345678", 1))
    return read_data("d.npz", "y")


DATA = table("x,c,y", "1,red,no", "2.5,blue,yes", "3,red,no", "4,red,yes")
CODED = table("x,c,y", "1,1,no", "2.5,A,yes", "3,1,no", "4,1,yes")


def like(text: str, data: str = DATA, **options: Any) -> Dataset:
    """Read a test file for `data`."""
    dataset = csv(data)
    Path("t.csv").write_text(text, "utf-8")
    return read_like("t.csv", dataset, what="the test file", **options)


def like_npz(data: Any, test: Any) -> Dataset:
    dataset = npz(x=data, y=[0, 1] * 2)
    np.savez("t.npz", x=test, y=[0, 1] * 2)
    return read_like("t.npz", dataset, what="the test file")
