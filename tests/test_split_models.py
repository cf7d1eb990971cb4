"""Models that ranks split, by FSDP or in stages of a pipeline, train as one process does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from _ranks import join_group, run_ranks
from _split_models import (
    DATA,
    PIPELINES,
    SITES,
    WRAPS,
    make_blocks,
    put,
    train_pipeline,
    train_whole,
    train_wrapped,
)

WORLD = 4


def work(rank: int, folder: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh

    join_group(rank, WORLD, folder)
    found: dict[str, Any] = {name: train_wrapped(name) for name in WRAPS}
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "stage"))
    found["places"] = mesh.get_local_rank("data"), mesh.get_local_rank("stage")
    for name in PIPELINES:
        found[name] = train_pipeline(name, mesh)
    torch.save(found, Path(folder) / f"{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> Any:
    model = make_blocks()
    return train_whole(model, put(model), list(DATA))


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(work, folder, WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def assert_same_masks(
    found: list[list[Tensor]], expected: list[list[Tensor]], samples: Any
) -> None:
    for step, masks in enumerate(found):
        for mask, whole in zip(masks, expected[step], strict=True):
            # What all samples share has no axis of samples.
            assert mask.equal(whole if whole.shape[0] == 1 else whole[samples])


@pytest.mark.parametrize("name", WRAPS)
def test_wrapped_models_train_as_one_process_does(
    name: str, alone: Any, ranks_found: list[dict[str, Any]]
) -> None:
    losses, masks, weights = alone
    means = torch.tensor([found[name][0] for found in ranks_found]).mean(0)
    torch.testing.assert_close(means, torch.tensor(losses), rtol=1e-6, atol=1e-6)
    for rank, found in enumerate(ranks_found):
        assert_same_masks(found[name][1], masks, slice(rank, None, WORLD))
        torch.testing.assert_close(found[name][2], weights, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", PIPELINES)
def test_stages_have_the_noise_of_the_whole_model(
    name: str, alone: Any, ranks_found: list[dict[str, Any]]
) -> None:
    losses, masks, weights = alone
    of_last = [f[name][0] for f in ranks_found if f["places"][1] == 1]
    means = torch.tensor(of_last).mean(0)
    torch.testing.assert_close(means, torch.tensor(losses), rtol=1e-6, atol=1e-6)
    count = len(SITES[0])
    for found in ranks_found:
        data, stage = found["places"]
        expected = [each[:count] if stage == 0 else each[count:] for each in masks]
        assert_same_masks(found[name][1], expected, slice(data, None, 2))
        of_stage = weights[:4] if stage == 0 else weights[4:]
        torch.testing.assert_close(found[name][2], of_stage, rtol=1e-6, atol=1e-6)
