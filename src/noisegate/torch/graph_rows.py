"""Rows that a call names, as tensors, in code that a compiler traces."""

from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.window import ATTENTION, ROW_BITS, read_slice, rows_count, rows_of

from .cursors import list_ids
from .operations import define


def find_ids(rows: Any, x: Tensor, axis: str, name: str) -> Tensor | None:
    """Return the rows of a call on x as int64 numbers; `name` stands before what is refused."""
    if rows is None:
        return None
    extent = find_extent(x, axis)
    if isinstance(rows, np.ndarray):
        rows = torch.as_tensor(rows, device="cpu")
    if isinstance(rows, Tensor):
        ids = _read_tensor(rows, name)
    elif extent is None:
        refuse_without_axis(name, x.ndim)
    else:
        ids = _make_ids(rows, extent, name)
    merged = axis == ATTENTION and x.ndim == 3
    if ids.ndim and extent is not None and not merged and ids.shape[0] != extent:
        refuse_count(name, ids.shape[0], extent)
    return ids


def find_extent(x: Tensor, axis: str) -> int | None:
    """Return the number of samples of x, whose sample axis has a name; None without one."""
    if axis == "none" or not x.ndim or (axis == "default" and x.ndim < 2):
        return None
    return x.shape[0 if axis in ("default", ATTENTION) else int(axis)]


def _read_tensor(rows: Tensor, name: str) -> Tensor:
    if rows.is_floating_point() or rows.is_complex() or rows.dtype is torch.bool:
        _refuse_dtype(name, str(rows.dtype))
    ids = rows.to(torch.int64)
    if _are_functorch_transforms_active() or rows.dtype is torch.uint64:
        return ids  # an error when the graph runs would leave torch inside of its transformations
    if not ids.ndim:
        refuse_scalar(name)
    return cast(Tensor, _check_ids(ids, name))


def _make_ids(rows: Any, extent: int, name: str) -> Tensor:
    if isinstance(rows, slice):
        start, step = rows.start or 0, rows.step or 1
        stop = start + step * extent if rows.stop is None else rows.stop
        if start < 0 or step < 1 or stop < 0:
            _refuse_slice(name, rows)
        return torch.arange(start, stop, step, device="cpu")
    if isinstance(rows, range):
        if 0 <= rows.start < 2**63 and -1 <= rows.stop < 2**63:
            return torch.arange(rows.start, rows.stop, rows.step, device="cpu")
    # Numbers that differ from call to call are no constants to a compiler.
    elif isinstance(rows, list | tuple) and all(
        isinstance(row, int) and 0 <= row < 2**63 for row in rows
    ):
        return torch.tensor(rows, dtype=torch.int64, device="cpu")
    return torch.tensor(_list_ids(rows, name), dtype=torch.int64, device="cpu")


@at_trace_time
def _list_ids(rows: Any, name: str) -> tuple[int, ...]:
    try:
        return tuple(list_ids(rows_of(rows)))
    except (InvalidType, InvalidValue) as error:
        raise error.prefix(name) from None


@at_trace_time
def _refuse_slice(name: str, rows: slice) -> NoReturn:
    try:
        read_slice(rows, 1)
    except (InvalidType, InvalidValue) as error:
        raise error.prefix(name) from None
    raise AssertionError(rows)


@at_trace_time
def refuse_count(name: str, count: int, extent: int) -> NoReturn:
    """Raise because a call names other rows than it has samples."""
    raise InvalidValue(f"{name}: {rows_count(count, extent)}")


@at_trace_time
def refuse_scalar(name: str) -> NoReturn:
    """Raise because one number stands for the rows of a call."""
    raise InvalidType(
        f"{name}: `rows` must be a slice or a sequence of whole numbers in [0, 2**64); got one "
        "number."
    )


@at_trace_time
def refuse_without_axis(name: str, rank: int) -> NoReturn:
    """Raise because a call names rows, and its input has no samples."""
    raise InvalidValue(
        f"{name}: `rows` was given, but the input of rank {rank} has no sample axis. "
        "Name one with sample_axis=0, or leave out `rows`."
    )


@at_trace_time
def _refuse_dtype(name: str, dtype: str) -> NoReturn:
    raise InvalidType(f"{name}: `rows` must be a tensor of whole numbers; got {dtype}.")


def _run_check(ids: Tensor, name: str) -> Tensor:
    """Return a copy of rows, or raise if one is below 0."""
    least = min(ids.tolist(), default=0)
    if least < 0:
        raise InvalidValue(f"{name}: `rows` must be in [0, 2**{ROW_BITS}); got {least}.")
    return ids.clone()


_check_ids = define("check_ids", ("Tensor ids", "str name"), _run_check, lambda ids, _: ids.clone())
