"""How many graphs compiled noise costs, and how many bytes it saves for backward."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend

import noisegate as ng
from _cells import mark_cells

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(1))


def make_net(form: str) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    first = {"layer": ng.torch.Dropout(0.5, seed=1, site="a"), "existing": nn.Dropout(0.5)}
    second = {"layer": ng.torch.Dropout(0.4, seed=1, site="b"), "existing": nn.Dropout(0.4)}
    model = nn.Sequential(
        nn.Linear(16, 16),
        first.get(form, nn.Identity()),
        nn.GELU(),
        nn.Linear(16, 16),
        second.get(form, nn.Identity()),
    )
    if form == "rules":
        return model, ng.inject(model, {"0:out": 0.5, "3:out": 0.4}, seed=1)
    return model, ng.inject(model, existing=True, seed=1) if form == "existing" else None


FORMS = ("layer", "rules", "existing")


@pytest.mark.parametrize("form", FORMS)
def test_1000_steps_cost_one_graph(form: str) -> None:
    torch.compiler.reset()
    model, _ = make_net(form)
    counter = CompileCounterWithBackend("aot_eager")
    fast = torch.compile(model, backend=counter, fullgraph=True)
    seen = {fast(X).detach().numpy().tobytes() for _ in range(1000)}
    assert (counter.frame_count, len(seen)) == (1, 1000)


@pytest.mark.parametrize("form", FORMS)
def test_each_mode_costs_one_graph_and_toggling_back_none(form: str) -> None:
    torch.compiler.reset()
    model, _ = make_net(form)
    counter = CompileCounterWithBackend("eager")
    fast = torch.compile(model, backend=counter, fullgraph=True)
    counts = []
    for _ in range(3):
        for training in (True, False):
            for graded in (True, False):
                model.train(training)
                with torch.set_grad_enabled(graded):
                    fast(X)
                counts.append(counter.frame_count)
    assert counts == [1, 2, 3, 4, *[4] * 8]


def count_saved(model: nn.Module) -> int:
    """Return the bytes that the partitioned graph keeps from forward to backward."""
    torch.compiler.reset()
    found: list[int] = []

    def partition(*args: Any, **kwargs: Any) -> Any:
        forward, backward = min_cut_rematerialization_partition(*args, **kwargs)
        outputs = next(node for node in forward.graph.nodes if node.op == "output").args[0]
        saved = outputs[kwargs["num_fwd_outputs"] :]
        values = [node.meta["val"] for node in saved]
        # A place is a tensor of two numbers that its noise holds all the time.
        found.append(sum(v.numel() * v.itemsize for v in values if tuple(v.shape) != (2,)))
        return forward, backward

    compiler = aot_autograd(
        fw_compiler=lambda graph, _: make_boxed_func(graph.forward), partition_fn=partition
    )
    torch.compile(model, backend=compiler, fullgraph=True)(X).sum().backward()
    return found[0]


def test_graphs_save_8_bytes_a_site_or_less() -> None:
    plain = count_saved(make_net("none")[0])
    saved = {form: count_saved(make_net(form)[0]) - plain for form in FORMS}
    assert saved == {"layer": 2 * 8, "rules": 8, "existing": 8}


def test_the_count_sees_the_masks_of_torch() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_net("none")[0]

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.inner(x), 0.5)

    assert count_saved(Masked()) - count_saved(make_net("none")[0]) == X.numel()


@pytest.mark.parametrize(("form", "pinned"), mark_cells(FORMS, [True, False], every=2))
def test_inference_mode_leaves_nothing_that_training_could_not_use(form: str, pinned: bool) -> None:
    torch.compiler.reset()
    (model, noise), (eager, other) = make_net(form), make_net(form)
    fast = torch.compile(model, backend="aot_eager", fullgraph=True)
    found = []
    for run, handle in ((fast, noise), (eager, other)):
        with handle.at(3) if handle is not None and pinned else nullcontext():
            run(X).sum().backward()
            with torch.inference_mode():
                run(X)
            y = run(X)
            y.sum().backward()
        found.append(y)
    torch.testing.assert_close(*found)
