"""Three processes train as one does: masks bit for bit, and losses to rounding."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn

import noisegate as ng
from _ranks import join_group, run_ranks

WORLD, STEPS, LOCAL = 3, 3, 4
TOTAL = WORLD * LOCAL
DATA = torch.arange(1.0, STEPS * TOTAL * 6 + 1).reshape(STEPS, TOTAL, 6).cos()
SITES = ("0:in", "2:dropout", "4:out")


def make_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.4), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    )


def put(model: nn.Module) -> Any:
    return ng.inject(model, {"0:in": 0.2, "4:out": 0.5}, existing=True, seed=3)


def train(model: Any, noise: Any, batches: list[Any]) -> tuple[list[float], list[Any]]:
    """Return the loss of this rank at each step, and its masks."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    losses, found = [], []
    for x in batches:
        loss = model(x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        found.append([noise.mask(site) for site in SITES])
    return losses, found


def train_accumulating(model: Any, noise: Any, batches: list[Any]) -> tuple[list[float], list[Any]]:
    """The same in micro-batches of two samples, which are added up before ranks talk."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    losses, found = [], []
    for step, x in enumerate(batches):
        optimiser.zero_grad()
        parts, masks, total = x.split(2), [], 0.0
        with noise.at(step):
            for number, part in enumerate(parts):
                context = model.no_sync() if number < len(parts) - 1 else nullcontext()
                with context:
                    loss = model(part).square().mean() / len(parts)
                    loss.backward()
                masks.append([noise.mask(site) for site in SITES])
                total += loss.item()
        optimiser.step()
        losses.append(total)
        found.append([np.concatenate(each) for each in zip(*masks, strict=True)])
    return losses, found


def wrap_ddp(model: nn.Module) -> nn.Module:
    return nn.parallel.DistributedDataParallel(model)


def wrap_fsdp(model: nn.Module) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (WORLD,))
    for part in model:  # type: ignore[attr-defined]
        if isinstance(part, nn.Linear):
            fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def compile_ddp(model: nn.Module) -> Any:
    return torch.compile(wrap_ddp(model), backend="aot_eager")


def compile_fsdp(model: nn.Module) -> Any:
    return torch.compile(wrap_fsdp(model), backend="aot_eager")


WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "ddp": wrap_ddp,
    "fsdp": wrap_fsdp,
    "compiled ddp": compile_ddp,
    "compiled fsdp": compile_fsdp,
}


def share(rank: int, policy: str) -> list[Tensor]:
    """Return the batches of a rank."""
    if policy == "interleaved":
        return [x[rank::WORLD] for x in DATA]
    return [x[rank * LOCAL : (rank + 1) * LOCAL] for x in DATA]


def work(rank: int, folder: str) -> None:
    join_group(rank, WORLD, folder)
    found: dict[str, Any] = {}
    for name, wrap in WAYS.items():
        torch.compiler.reset()
        model = make_model()
        wrapped = wrap(model)
        noise = put(model)
        noise.rows = "interleaved" if "ddp" in name else "contiguous"
        found[name] = train(wrapped, noise, share(rank, noise.rows.policy))
    found["accumulating"] = accumulate(rank)
    found["uneven"] = run_uneven(rank)
    found["resumed"] = resume(rank, folder)
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def accumulate(rank: int) -> Any:
    model = make_model()
    wrapped: Any = wrap_ddp(model)
    noise = put(model)
    noise.rows = "interleaved"
    # Two samples of each rank at a time are the next six of the batch.
    return train_accumulating(wrapped, noise, share(rank, "interleaved"))


def run_uneven(rank: int) -> Any:
    """Deal whole batches of 4, 4 and 3 samples, twice; return the masks of the second time."""
    model = make_model()
    noise = put(model)
    noise.rows = "batches"
    parts = DATA[0].split(LOCAL)
    model(parts[rank])
    model(parts[rank][: LOCAL - (rank == WORLD - 1)])
    return [noise.mask(site) for site in SITES]


def resume(rank: int, folder: str) -> Any:
    """Go on with the state of a run in one process, after its first step."""
    model = make_model()
    noise = put(model)
    noise.rows = "interleaved"
    noise.load_state(json.loads((Path(folder) / "state.json").read_text()))
    model(share(rank, "interleaved")[1])
    return [noise.mask(site) for site in SITES]


@pytest.fixture(scope="module")
def alone() -> Any:
    model = make_model()
    noise = put(model)
    losses, masks = train(model, noise, list(DATA))
    noise.remove()
    return losses, masks


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    model = make_model()
    noise = put(model)
    model(DATA[0])
    (folder / "state.json").write_text(json.dumps(noise.state()))
    run_ranks(work, folder, WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(WORLD)]


@pytest.mark.parametrize("name", WAYS)
def test_processes_train_as_one_does(name: str, alone: Any, ranks_found: list[Any]) -> None:
    losses, masks = alone
    for step in range(STEPS):
        each = [found[name][0][step] for found in ranks_found]
        assert sum(each) / WORLD == pytest.approx(losses[step], rel=1e-6)
        for rank, found in enumerate(ranks_found):
            for mask, whole in zip(found[name][1][step], masks[step], strict=True):
                mine = whole[rank * LOCAL : (rank + 1) * LOCAL]
                assert (mask == (whole[rank::WORLD] if "ddp" in name else mine)).all()


def test_micro_batches_are_parts_of_the_step(alone: Any, ranks_found: list[Any]) -> None:
    losses, masks = alone
    for step in range(STEPS):
        each = [found["accumulating"][0][step] for found in ranks_found]
        assert sum(each) / WORLD == pytest.approx(losses[step], rel=1e-6)
        for rank, found in enumerate(ranks_found):
            for mask, whole in zip(found["accumulating"][1][step], masks[step], strict=True):
                assert (mask == whole[rank::WORLD]).all()


def test_the_last_batches_may_be_uneven(ranks_found: list[Any]) -> None:
    model = make_model()
    noise = put(model)
    noise.step = 1
    model(DATA[0])
    for rank, found in enumerate(ranks_found):
        for mask, site in zip(found["uneven"], SITES, strict=True):
            mine = noise.mask(site)[rank * LOCAL : rank * LOCAL + len(mask)]
            assert len(mask) == LOCAL - (rank == WORLD - 1)
            assert (mask == mine).all()


def test_another_number_of_processes_resumes(alone: Any, ranks_found: list[Any]) -> None:
    for rank, found in enumerate(ranks_found):
        for mask, whole in zip(found["resumed"], alone[1][1], strict=True):
            assert (mask == whole[rank::WORLD]).all()
