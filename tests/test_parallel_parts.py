"""Layers that ranks compute together give plain parts, which noise refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

import noisegate as ng
from _ranks import join_group, run_ranks

WORLD = 2
X = torch.arange(1.0, 2 * 4 * 6 + 1).reshape(2, 4, 6) / 48


class Block(nn.Module):
    """Two layers of features, with places around them that have no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down, self.end = (
            nn.Linear(6, 8),
            nn.GELU(),
            nn.Linear(8, 6),
            nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.end(self.down(self.act(self.up(x))))
        return y


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 18), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.up(x).unflatten(-1, (3, -1, 3)).permute(2, 0, 3, 1, 4)
        heads = nn.functional.scaled_dot_product_attention(*parts, dropout_p=0.5)
        y: Tensor = self.down(heads.transpose(1, 2).flatten(-2))
        return y


# By name: the layer that is parallelized, whether its output is local, the layouts, and the rules.
CASES: dict[str, tuple[str, bool, str, Any]] = {
    "its own output": ("up", True, "features", {"up:out": 0.5}),
    "its own DTensor": ("up", False, "features", {"up:out": 0.5}),
    "behind a part": ("up", True, "features", {"act:out": 0.5}),
    "behind a DTensor": ("up", False, "features", {"act:out": 0.5}),
    "a whole": ("down", True, "whole", {"down:out": 0.5}),
    "behind a whole": ("down", True, "whole", {"end:out": 0.5}),
    "a part of the sequence": ("down", True, "sequence", {"down:out": 0.5}),
    "behind a part of the sequence": ("down", True, "sequence", {"end:out": 0.5}),
    "a DTensor of the sequence": ("down", False, "sequence", {"end:out": 0.5}),
    "whole samples": ("down", True, "sequence", {"end:out": ng.drop_path(0.5)}),
    "a weight": ("down", True, "sequence", {"down:weight": 0.5}),
}
REFUSED = {
    "its own output": ("up", (2, 4, 4), (2, 4, 8)),
    "behind a part": ("up", (2, 4, 4), (2, 4, 8)),
    "a part of the sequence": ("down", (2, 2, 6), (2, 4, 6)),
    "behind a part of the sequence": ("down", (2, 2, 6), (2, 4, 6)),
}


def parallelize(model: nn.Module, mesh: Any, name: str, local: bool, layouts: str) -> Any:
    from torch.distributed.tensor import Replicate, Shard, parallel

    given: dict[str, Any] = {"use_local_output": local}
    if layouts != "features":
        given["output_layouts"] = Shard(1) if layouts == "sequence" else Replicate()
    plan: dict[str, Any] = {"down": parallel.RowwiseParallel(input_layouts=Replicate(), **given)}
    if name == "up":
        plan = {"up": parallel.ColwiseParallel(**given), "down": parallel.RowwiseParallel()}
    return parallel.parallelize_module(model, mesh, plan)


def make(model: type[nn.Module]) -> Any:
    torch.manual_seed(0)
    return model()


def put(model: Any, rules: Any, **words: Any) -> Any:
    noise = ng.inject(model, rules, seed=3, **words)
    noise.rows = ng.RankRows("contiguous", 0, 1)
    return noise


def catch(model: Any) -> Any:
    try:
        y = model(X)
    except (ng.errors.InvalidValue, ng.errors.InvalidType) as error:
        return str(error)
    whole = y.full_tensor() if hasattr(y, "full_tensor") else y
    return whole.detach() + 0  # what a collective gives is another class until it is read


def work(rank: int, folder: str) -> None:
    join_group(rank, WORLD, folder)
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", (WORLD,))
    found: dict[str, Any] = {}
    for name, (layer, local, layouts, rules) in CASES.items():
        model = parallelize(make(Block), mesh, layer, local, layouts)
        hooks = count_hooks(model)
        noise = put(model, rules)
        found[name] = catch(model)
        noise.remove()
        found[f"{name} removed"] = count_hooks(model) == hooks
        torch.compiler.reset()
        put(model, rules)
        call: Any = torch.compile(model, backend="aot_eager", fullgraph=True)
        found[f"{name} compiled"] = catch(call)
    attention = parallelize(make(Attention), mesh, "up", True, "features")
    put(attention, {}, existing=True)
    found["attention"] = catch(attention)
    late = make(Block)
    put(late, {"act:out": 0.5})
    found["late"] = catch(parallelize(late, mesh, "up", True, "features"))
    only = parallelize(make(Block), mesh, "up", True, "features").up
    put(only, {":in": 0.5})
    only(X)
    found["the next forward"] = catch(only)
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def count_hooks(model: nn.Module) -> int:
    modules = list(model.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


@pytest.fixture(scope="module")
def ranks_found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(work, folder, WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", CASES)
def test_parts_are_refused_and_what_is_whole_has_the_noise_of_one_process(
    name: str, ranks_found: list[dict[str, Any]]
) -> None:
    _, _, layouts, rules = CASES[name]
    for rank, found in enumerate(ranks_found):
        assert found[f"{name} removed"]
        if name in REFUSED:
            layer, part, whole = REFUSED[name]
            assert found[name] == say(layer, part, whole)
            continue
        model = make(Block)
        put(model, rules)
        expected = model(X)
        if layouts == "sequence" and found[name].shape[1] == 2:
            expected = expected[:, 2 * rank : 2 * rank + 2]
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_compiled_code_refuses_parts_and_dtensors(
    name: str, ranks_found: list[dict[str, Any]]
) -> None:
    for found in ranks_found:
        compiled = found[f"{name} compiled"]
        if name in REFUSED:
            layer, _, _ = REFUSED[name]
            assert compiled.startswith(say(layer))
        elif name in ("a whole", "behind a whole"):
            torch.testing.assert_close(compiled, found[name], rtol=1e-5, atol=1e-6)
        elif name == "whole samples":
            assert "'down' gave this rank its part" in compiled
        else:
            assert compiled.startswith(
                "noise: the input is a DTensor, of which compiled code does not know this rank's "
                "part. Run the model uncompiled."
            )


def say(layer: str, *shapes: tuple[int, ...]) -> str:
    which = f" {shapes[0]} of {shapes[1]}" if shapes else ""
    return (
        f"inject: '{layer}' gave this rank its part{which} as a plain tensor, and noise on it, "
        f"or behind it, cannot know which part that is. Parallelize '{layer}' with "
        "use_local_output=False, so that the noise sees a DTensor."
    )


def test_attention_of_some_heads_is_refused(ranks_found: list[dict[str, Any]]) -> None:
    for found in ranks_found:
        assert found["attention"] == say("up", (2, 4, 9), (2, 4, 18))


def test_noise_before_the_model_is_parallelized_is_refused(
    ranks_found: list[dict[str, Any]],
) -> None:
    for found in ranks_found:
        assert found["late"] == (
            "inject: the model was parallelized after the noise was put in, which then may see "
            "plain parts of tensors. Inject after parallelize_module."
        )


def test_a_forward_does_not_follow_the_last_layer_of_the_one_before(
    ranks_found: list[dict[str, Any]],
) -> None:
    model = make(Block).up
    put(model, {":in": 0.5})
    model(X)
    expected = model(X)
    for rank, found in enumerate(ranks_found):
        part = expected[..., 4 * rank : 4 * rank + 4]
        torch.testing.assert_close(found["the next forward"], part, rtol=1e-5, atol=1e-6)
