"""Lightning, transformers and Accelerate on two processes have the noise of one, which goes on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import noisegate as ng
from _deadline import DEADLINE
from _loops import SEED, X

PROGRAM = Path(__file__).parent / "_loop_ranks.py"
KEY = ng.Stream(SEED).site("net.0:in")


def run(library: str, folder: Path, world: int, first: int, last: int) -> list[Any]:
    """Train in some processes; return what the noise of each rank has left."""
    words = [str(PROGRAM), library, str(folder), str(first), str(last)]
    start = [sys.executable]
    if world > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--local-addr", "localhost"]
        start += ["--nproc-per-node", str(world)]
    settings = {"OMP_NUM_THREADS": "1", "TRANSFORMERS_OFFLINE": "1", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(
        [*start, *words],
        env={**os.environ, **settings, "WORLD_SIZE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]
    files = [folder / f"seen-{world}-{first}-{rank}.pt" for rank in range(world)]
    return [torch.load(file) for file in files]


def assert_masks(ranks: list[Any], first: int, last: int) -> None:
    """Assert that each sample of each step has the noise of its place in the whole batch.

    Samples come in their order, so the place of one in its batch of 16 is that in the data.
    """
    seen: dict[int, Any] = {}
    for micro_batches in ranks:
        assert len(micro_batches) == 2 * (last - first)
        for number, values in enumerate(micro_batches):
            step = first + number // 2
            mask = ng.mask(ng.Dropout(0.5), (16, 64), KEY.at(step))
            expected = X[16 * step : 16 * step + 16] * torch.from_numpy(mask) * 2
            for value in values:
                (places,) = torch.nonzero((expected == value).all(1), as_tuple=True)
                assert len(places) == 1
                seen[16 * step + int(places[0])] = True
    assert sorted(seen) == list(range(16 * first, 16 * last))


@pytest.mark.slow  # `test_loops.py` has the rows of their samplers, in one process
@pytest.mark.parametrize("library", ["lightning", "transformers", "accelerate"])
def test_two_processes_have_the_noise_of_one_and_one_goes_on(library: str, tmp_path: Path) -> None:
    assert_masks(run(library, tmp_path, 2, 0, 2), 0, 2)
    assert_masks(run(library, tmp_path, 1, 1, 3), 1, 3)
