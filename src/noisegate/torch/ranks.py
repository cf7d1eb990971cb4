"""Groups of processes that train one model together."""

import warnings
from typing import Any

import torch
from torch import Tensor, distributed

from noisegate.core.checks import at_trace_time
from noisegate.core.rank_rows import REPLICA, RankRows
from noisegate.core.window import resolve_sample_axis

from .cursors import join_ranks
from .maps import Following, count_members

_has_told = False


def find_rank() -> tuple[int, int]:
    """Return the rank of this process and how many the default group has; (0, 1) without one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def find_replica_rows(layer: str, shape: tuple[int, ...], axis: Any, rows: Any) -> Any:
    """Return the rows of a layer's samples, so that ranks differ; `rows` without a group.

    `rows` are those of a loop over time or of the samples that a block keeps, or None.
    """
    rank, world = find_rank()
    if world == 1:
        return rows
    _tell(layer, rank, world)
    replica = RankRows(REPLICA, rank, world)
    if rows is not None:
        return tuple(replica.base + row for row in rows)
    sample_axis = resolve_sample_axis(axis, shape)
    if sample_axis is None:
        return None
    found = replica.find(0, shape[sample_axis])
    return Following(found) if count_members() else found


def join_replica(layer: str, cursor: Tensor) -> Tensor:
    """Return a cursor by whose rows ranks differ, in code that a compiler traces."""
    numbers = _list_numbers(layer)
    if not numbers:
        return cursor
    return join_ranks(cursor, torch.tensor(numbers, dtype=torch.int64, device="cpu"))


@at_trace_time
def _list_numbers(layer: str) -> tuple[int, ...]:
    rank, world = find_rank()
    if world == 1:
        return ()
    _tell(layer, rank, world)
    return *RankRows(REPLICA, rank, world).numbers, 0


def _tell(layer: str, rank: int, world: int) -> None:
    """Say once, on the first rank, that layers differ between ranks."""
    global _has_told
    if rank or _has_told:
        return
    _has_told = True
    warnings.warn(
        f"{layer}: the {world} ranks of the process group draw different noise, each by its own "
        "rows. For the noise of one process, give each its own samples' ids, layer(x, rows=ids).",
        RuntimeWarning,
        stacklevel=5,
    )
