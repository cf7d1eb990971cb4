"""Start the ranks of a process group, which must all end well and in time."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.multiprocessing as mp
from torch import distributed

from _deadline import DEADLINE


def join_group(rank: int, world: int, folder: str) -> None:
    """Join a group of processes that meet at a file."""
    meeting = f"file://{Path(folder) / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)


def run_ranks(work: Callable[..., None], folder: Path, world: int) -> None:
    """Run `work(rank, folder)` in each of some processes; raise what one of them raises."""
    ranks: Any = mp.spawn(work, (str(folder),), nprocs=world, join=False)
    end = time.monotonic() + DEADLINE
    while not ranks.join(timeout=1):
        if time.monotonic() > end:
            for process in ranks.processes:
                process.kill()
            raise AssertionError(f"the ranks did not end within {DEADLINE:g} s")
