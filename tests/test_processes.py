"""Many processes: equal masks on all ranks cause a warning; rows give the masks of one process."""

import os
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed, nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.torch import ranks

X = torch.ones(8, 64)
RANKS = 2


def work(rank: int, port: int, folder: str, given: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    model: Any = nn.Sequential(nn.Identity(), nn.Linear(64, 1))
    layer = ng.torch.Dropout(0.5, seed=3, site="a")
    rows = range(rank * 4, rank * 4 + 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        noise = ng.inject(model, {"0:out": 0.5}, seed=3)
        model = nn.parallel.DistributedDataParallel(model)
        seen: list[Any] = []
        model.module[0].register_forward_hook(lambda module, args, y: seen.append(y.detach()))
        for step in range(2):
            if given == "rows":
                noise.rows = rows
            if given == "pinned":
                with noise.at(step, rows=rows):
                    model(X[:4])
            else:
                model(X[:4])
        layer(X[:4], rows=rows if given != "nothing" else None)
        layer(X[:4], rows=rows if given != "nothing" else None)
    sentences = [str(warning.message) for warning in caught]
    torch.save((seen, sentences, noise.report().notes), Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize("given", ["nothing", "rows", "pinned"])
def test_ranks(given: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(tmp_path), given), nprocs=RANKS)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    key = ng.Stream(3).site("0:out")
    for step in range(2):
        parts = [seen[step] for seen, _, _ in found]
        if given == "nothing":
            assert_same_bits(parts[0], parts[1])
        else:
            whole = ng.Dropout(0.5)(X, key.at(step))
            assert_same_bits(torch.cat(parts), whole)
    note = (
        "all 2 ranks of the process group have the same masks, since sample i of each is row i. "
        "Give each its own samples' ids: noise.rows = ids."
    )
    layers = (
        "Dropout: all 2 ranks of the process group have the same masks, since sample i of each is "
        "row i and the layer's seed is the same. Give each its own samples' ids, layer(x, "
        "rows=ids), or each rank another seed."
    )
    for _, sentences, notes in found:
        if given == "nothing":
            assert sentences == [f"noisegate: {note}", layers]
            assert note in notes
        else:
            assert sentences == []
            assert note not in notes


def train(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    model = make_linear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        noise = ng.inject(model, {":weight": 0.5}, seed=3)
        wrapped = nn.parallel.DistributedDataParallel(model)
        wrapped(DATA[rank * 4 : rank * 4 + 4]).square().sum().backward()
    assert not caught
    torch.save((model.weight.grad, noise.mask(":weight")), Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


DATA = torch.arange(32.0).reshape(8, 4)


def make_linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(4, 3)


def test_noise_on_a_weight_is_that_of_the_step_on_all_ranks(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(train, (port, str(tmp_path)), nprocs=RANKS)
    model = make_linear()
    noise = ng.inject(model, {":weight": 0.5}, seed=3)
    model(DATA).square().sum().backward()
    assert model.weight.grad is not None
    for rank in range(RANKS):
        grad, mask = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert (mask == noise.mask(":weight")).all()
        torch.testing.assert_close(grad * RANKS, model.weight.grad)  # DDP takes the mean


def test_a_process_by_itself_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks.world_size() == 1
    monkeypatch.setattr(ranks.distributed, "is_available", lambda: False)
    assert ranks.world_size() == 1
