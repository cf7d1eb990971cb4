"""Noise on a DTensor is the rank's part of the noise on the whole tensor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import noisegate as ng
from _ranks import join_group, run_ranks

WORLD = 4
X = torch.arange(1.0, 7 * 5 * 6 + 1).reshape(7, 5, 6)
KEY = ng.Stream(3).site("a").at(2)
KINDS: dict[str, ng.Kind] = {
    "Dropout": ng.Dropout(0.5),
    "GaussianNoise": ng.GaussianNoise(0.3),
    "shared features": ng.Dropout(0.5, shared_axes=2),
    "whole samples": ng.drop_path(0.5),
    "DropBlock": ng.DropBlock(0.4, block_size=2, axes=(1, 2)),
    "PatchDropout": ng.PatchDropout(0.5),
    "AlphaDropout": ng.AlphaDropout(0.4),
    "SpanMask": ng.SpanMask(0.8, 3),
    "a schedule": ng.Dropout(ng.schedule.linear(0.1, 0.5, steps=4)),
}


def list_placements() -> dict[str, Any]:
    """Return placements on a mesh of (4,) or (2, 2)."""
    from torch.distributed.tensor import Replicate, Shard

    line = {f"Shard({i})": [Shard(i)] for i in range(3)} | {"Replicate": [Replicate()]}
    grid = {
        "Shard(0), Shard(0)": [Shard(0), Shard(0)],
        "Shard(0), Shard(1)": [Shard(0), Shard(1)],
        "Replicate, Shard(2)": [Replicate(), Shard(2)],
    }
    return {name: ((4,), p) for name, p in line.items()} | {n: ((2, 2), p) for n, p in grid.items()}


def catch(call: Callable[[], Any]) -> str:
    try:
        call()
    except ng.errors.NoisegateError as error:
        return str(error)
    return ""


def work(rank: int, folder: str) -> None:
    join_group(rank, WORLD, folder)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Partial, distribute_tensor

    found: dict[Any, Any] = {}
    for name, (shape, placements) in list_placements().items():
        mesh = init_device_mesh("cpu", shape)
        for kind_name, kind in KINDS.items():
            x = distribute_tensor(X, mesh, placements).requires_grad_()
            y: Any = kind(x, KEY)
            same = y.placements == tuple(placements)
            y.full_tensor().sum().backward()
            grad: Any = x.grad
            found[name, kind_name] = y.detach().full_tensor(), grad.full_tensor(), same
    mesh = init_device_mesh("cpu", (4,))
    x = distribute_tensor(X, mesh, list_placements()["Shard(0)"][1])
    rows = [*range(100, 107)]
    found["rows"] = ng.Dropout(0.5)(x, KEY, rows=rows).full_tensor()
    partial = DTensor.from_local(X, mesh, [Partial()])
    found["errors"] = [
        catch(lambda: ng.Dropout(0.5)(partial, KEY)),
        catch(lambda: ng.torch.Dropout(0.5)(x)),
        catch(lambda: ng.GaussianNoise(0.5)(x, KEY, sigma=torch.tensor(0.5))),
        catch(lambda: ng.Dropout(0.5)(x, KEY, sample_axis="attention")),
    ]
    found["model"] = run_model(mesh)
    part = X[:, 2 * rank : 2 * rank + 2]  # of five times, as torch deals them: 2, 2, 1, none
    found["sequence"] = make_sequential()(part, mesh).detach()
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def make_model(width: int = 10) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 4))


class Sequential(nn.Module):
    """A model whose ranks may have a part of the sequence each."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.drop = nn.Linear(6, 6), nn.Dropout(0.5)

    def forward(self, x: Tensor, mesh: Any = None) -> Tensor:
        from torch.distributed.tensor import DTensor, Shard

        x = self.up(x)
        if mesh is None:
            return self.drop(x)
        whole = torch.Size((7, 5, 6))
        placed = DTensor.from_local(x, mesh, [Shard(1)], shape=whole, stride=(30, 6, 1))
        return self.drop(placed).to_local()


def make_sequential() -> Sequential:
    torch.manual_seed(0)
    model = Sequential()
    noise = ng.inject(model, existing=True, seed=3)
    noise.rows = ng.RankRows("contiguous", 0, 1)
    return model


RULES = {"0:out": 0.5, "1:out": ng.GaussianNoise(0.3), "2:out": 0.25}


def run_model(mesh: Any) -> Any:
    """Return the loss and a gradient under tensor parallelism, and the sentence for no rows."""
    from torch.distributed.tensor import parallel

    plan = {
        "0": parallel.ColwiseParallel(use_local_output=False),
        "2": parallel.RowwiseParallel(),
    }
    model = parallel.parallelize_module(make_model(), mesh, plan)
    noise = ng.inject(model, RULES, seed=3)
    sentence = catch(lambda: model(X[:, 0]))
    noise.rows = "contiguous"  # which names no rank, either
    assert catch(lambda: model(X[:, 0])) == sentence
    noise.rows = ng.RankRows("contiguous", 0, 1)
    noise.step = 0
    loss = model(X[:, 0]).square().sum()
    loss.backward()
    plan["0"] = parallel.ColwiseParallel()
    local = parallel.parallelize_module(make_model(12), mesh, plan)
    noise = ng.inject(local, {"0:out": 0.5}, seed=3)
    noise.rows = ng.RankRows("contiguous", 0, 1)
    refused = catch(lambda: local(X[:, 0]))
    noise.remove()
    plain = local(X[:, 0]).shape
    return loss.item(), model[0].weight.grad.full_tensor(), sentence, refused, plain


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(work, folder, WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_has_the_noise_of_the_whole(kind: str, ranks_found: list[dict[Any, Any]]) -> None:
    x = X.clone().requires_grad_()
    whole: Tensor = KINDS[kind](x, KEY)
    whole.sum().backward()
    for found in ranks_found:
        for name in list_placements():
            y, grad, same = found[name, kind]
            assert same
            # The addends of these are of the close tier.
            exact = kind not in ("GaussianNoise", "AlphaDropout")
            bound = {} if not exact else {"rtol": 0.0, "atol": 0.0}
            torch.testing.assert_close(y, whole.detach(), **bound)
            torch.testing.assert_close(grad, x.grad, **bound)


def test_rows_are_those_of_the_whole(ranks_found: list[dict[Any, Any]]) -> None:
    whole = ng.Dropout(0.5)(X, KEY, rows=range(100, 107))
    for found in ranks_found:
        assert torch.equal(found["rows"], whole)


def test_what_has_no_part_is_refused(ranks_found: list[dict[Any, Any]]) -> None:
    for found in ranks_found:
        assert found["errors"] == [
            "Dropout: the input is a sum that the ranks have not added up yet, a DTensor with "
            "(Partial(sum),). Put the noise where it is whole: x.redistribute(...), or another "
            "site.",
            "Dropout: the input is a DTensor, of which each rank would draw its part from a seed "
            "of its own. Give the noise one seed: Dropout(..., seed=13, site='hid1:out').",
            "GaussianNoise: the input is a DTensor, so `sigma` must be a number.",
            "Dropout: attention probabilities must be a plain tensor; got DTensor. Put the noise "
            "on x.full_tensor().",
        ]


def test_a_part_of_the_sequence_has_the_noise_of_its_positions(
    ranks_found: list[dict[Any, Any]],
) -> None:
    parts = torch.cat([found["sequence"] for found in ranks_found], 1)
    torch.testing.assert_close(parts, make_sequential()(X), rtol=1e-6, atol=1e-6)


def test_tensor_parallel_training_is_that_of_one_process(
    ranks_found: list[dict[Any, Any]],
) -> None:
    model = make_model()
    ng.inject(model, RULES, seed=3)
    loss = model(X[:, 0]).square().sum()
    loss.backward()
    for found in ranks_found:
        value, grad, sentence, refused, plain = found["model"]
        assert plain == (7, 4)
        assert refused == (
            "inject: '0' gave this rank its part (7, 3) of (7, 12) as a plain tensor, and noise on "
            "it, or behind it, cannot know which part that is. Parallelize '0' with "
            "use_local_output=False, so that the noise sees a DTensor."
        )
        assert value == pytest.approx(loss.item(), rel=1e-6)
        torch.testing.assert_close(grad, model[0].weight.grad, rtol=1e-5, atol=1e-4)
        assert sentence == (
            "inject: the model's parameters are split over ranks, which then may have the same "
            "samples. Say which rank this is of those whose samples differ: noise.rows = "
            "noisegate.RankRows('contiguous', rank=..., world=...). Where all have the same, it "
            "is rank=0, world=1."
        )
