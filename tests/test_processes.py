"""Many processes: ranks differ unless their samples are declared or have ids."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

import noisegate as ng
from _asserts import assert_same_bits
from _ranks import join_group, run_ranks
from noisegate.torch import ranks

X = torch.ones(8, 64)
RANKS = 2


def watch(module: nn.Module) -> list[torch.Tensor]:
    """Return a list that gets what a module returns."""
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda module, args, y: seen.append(y.detach()))
    return seen


def work(rank: int, folder: str) -> None:
    join_group(rank, RANKS, folder)
    found: dict[str, Any] = {}
    rows = range(rank * 4, rank * 4 + 4)
    for given in GIVEN:
        model: Any = nn.Sequential(nn.Identity(), nn.Linear(64, 1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            noise = ng.inject(model, {"0:out": 0.5}, seed=3)
            model = nn.parallel.DistributedDataParallel(model)
            seen = watch(model.module[0])
            if given in ("contiguous", "replica"):
                noise.rows = given
            for step in range(2):
                if given == "rows":
                    noise.rows = rows
                if given == "pinned":
                    with noise.at(step, rows=rows):
                        model(X[:4])
                else:
                    model(X[:4])
        sentences = [str(warning.message) for warning in caught]
        state = json.loads(json.dumps(noise.state()))
        found[given] = seen, sentences, noise.report().notes, state
    torch.save((found, call_layers(rows)), Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def call_layers(rows: range) -> Any:
    """Return what layers of a seed make of equal samples, and what is warned of."""
    layer = ng.torch.Dropout(0.5, seed=3, site="a")
    compiled = torch.compile(ng.torch.Dropout(0.5, seed=3, site="a"), backend="aot_eager")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = layer(X[:4], rows=rows)
        free = [layer(X[:4]), layer(X[:4])]
        in_graph = [compiled(X[:4]) for _ in range(2)]
    return given, free, in_graph, [str(warning.message) for warning in caught]


GIVEN = ("nothing", "contiguous", "replica", "rows", "pinned")


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(work, folder, RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


SAID = (
    "the 2 ranks of the process group draw different noise, each by its own rows (noise.rows = "
    "'replica'). For the noise of one process, declare what the samples of a rank are, as in "
    "noise.rows = 'interleaved' for torch's DistributedSampler, or give ids."
)


@pytest.mark.parametrize("given", GIVEN)
def test_ranks(given: str, ranks_found: list[Any]) -> None:
    key = ng.Stream(3).site("0:out")
    for rank, (found, _) in enumerate(ranks_found):
        seen, sentences, notes, state = found[given]
        first, policy = rank * 4, "contiguous"
        if given in ("nothing", "replica"):
            first, policy = rank * 2**48, "replica"
        for step in range(2):
            rows = range(first, first + 4)
            assert_same_bits(seen[step], ng.Dropout(0.5)(X[:4], key.at(step), rows))
        # Said once, by the first rank; what is declared is not said.
        assert sentences == ([f"noisegate: {SAID}"] if given == "nothing" and not rank else [])
        declared = f"this is rank {rank} of 2; its rows are '{policy}'."
        assert (SAID in notes) == (given in ("nothing", "pinned"))
        assert (declared in notes) == (given in ("contiguous", "replica"))
        if given == "rows":
            assert "rows" not in state
        else:
            policy = "replica" if given == "pinned" else policy
            declared = given in ("contiguous", "replica")
            place = {"world": RANKS, "largest": 0}
            assert state["rows"] == {"policy": policy, "declared": declared, **place}


def test_layers_of_a_seed_differ_between_ranks(ranks_found: list[Any]) -> None:
    said = (
        "Dropout: the 2 ranks of the process group draw different noise, each by its own rows. "
        "For the noise of one process, give each its own samples' ids, layer(x, rows=ids)."
    )
    key = ng.Stream(3).site("a")
    for rank, (_, (given, free, in_graph, sentences)) in enumerate(ranks_found):
        rows = range(rank * 2**48, rank * 2**48 + 4)
        own = range(rank * 4, rank * 4 + 4)
        assert_same_bits(given, ng.Dropout(0.5)(X[:4], key.at(0), own))
        for step in range(2):
            assert_same_bits(free[step], ng.Dropout(0.5)(X[:4], key.at(step + 1), rows))
            assert_same_bits(in_graph[step], ng.Dropout(0.5)(X[:4], key.at(step), rows))
        assert [s for s in sentences if "ranks" in s] == ([] if rank else [said])


def train(rank: int, folder: str) -> None:
    join_group(rank, RANKS, folder)
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
    run_ranks(train, tmp_path, RANKS)
    model = make_linear()
    noise = ng.inject(model, {":weight": 0.5}, seed=3)
    model(DATA).square().sum().backward()
    assert model.weight.grad is not None
    for rank in range(RANKS):
        grad, mask = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert (mask == noise.mask(":weight")).all()
        torch.testing.assert_close(grad * RANKS, model.weight.grad)  # DDP takes the mean


def test_a_process_by_itself_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks.find_rank() == (0, 1)
    monkeypatch.setattr(ranks.distributed, "is_available", lambda: False)
    assert ranks.find_rank() == (0, 1)


def draw_seeds(rank: int, folder: str) -> None:
    join_group(rank, RANKS, folder)
    found: dict[str, Any] = {}
    for name, (rules, rows, existing) in SEEDLESS.items():
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            noise = ng.inject(model, rules, existing=existing)
            noise.rows = rows
            for _ in range(2):
                model(X[:4])
        found[name] = [str(warning.message) for warning in caught]
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


SEEDLESS: dict[str, Any] = {
    "weight": ({"1:weight": 0.5}, None, False),
    "whole batch": ({"0:out": ng.Dropout(0.5, shared_axes=0)}, "replica", False),
    "declared": ({"0:out": 0.5}, "interleaved", False),
    "ids": ({"0:out": 0.5}, range(4), False),
    "layers that may be skipped": ({}, "replica", True),
    "replica": ({"0:out": 0.5}, "replica", False),
}


def test_a_seed_that_each_rank_draws_is_told_where_ranks_share_noise(tmp_path: Path) -> None:
    run_ranks(draw_seeds, tmp_path, RANKS)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS))
    said = (
        "noisegate: no seed was given, so each rank of the process group has drawn its own, and "
        "what should be the same on all of them differs, unless torch.manual_seed was called with "
        "one number before: noise on weights, layers that are skipped, and the rows that are "
        "declared. Give one: inject(..., seed=13)."
    )
    assert first == {name: [] if name == "replica" else [said] for name in SEEDLESS}
    assert second == {name: [] for name in SEEDLESS}
