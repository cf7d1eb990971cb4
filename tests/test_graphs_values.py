"""What a handle does to compiled code, which acts at once; and operations, dtypes and layouts."""

import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits

X = torch.randn(6, 4, 6, 8, generator=torch.Generator().manual_seed(1))
RULES = {"0:out": 0.5, "1:out": ng.GaussianNoise(0.2)}


def make_pair() -> tuple[Any, Any, Any, Any]:
    """Return two equal models with noise, the second compiled, and their handles."""
    torch.compiler.reset()
    models = [nn.Sequential(nn.Identity(), nn.Identity()) for _ in range(2)]
    noises = [ng.inject(model, RULES, seed=5) for model in models]
    fast = torch.compile(models[1], backend="aot_eager", fullgraph=True)
    return models[0], fast, *noises


def test_what_a_handle_does_acts_at_once() -> None:
    model, fast, *noises = make_pair()

    def check(x: Tensor = X) -> Tensor:
        y = model(x)
        assert_same_bits(fast(x), y)
        assert noises[0].step == noises[1].step
        return y

    check(), check()
    for noise in noises:
        noise.step = 100
    check()
    for noise in noises:
        noise.set_rate("0:out", 0.2)
    check()
    for noise in noises:
        noise.set_rate("0:out", ng.schedule.linear(0.0, 0.9, 10))
    check()
    for noise in noises:
        noise.rows = list(range(50, 56))
    check()
    for noise in noises:
        noise.rows = None
    with noises[0].at(7), noises[1].at(7):
        first, second = check(), check()
    assert not torch.equal(first, second)
    with noises[0].at(7, rows=range(30, 42)), noises[1].at(7, rows=range(30, 42)):
        check(), check()
    with noises[0].off(), noises[1].off():
        assert_same_bits(check(), X)
    assert not torch.equal(check(), X)
    assert (noises[1].mask("0:out") == noises[0].mask("0:out")).all()
    for noise in noises:
        noise.remove()
    assert_same_bits(fast(X), X)


def test_a_report_after_compiled_forwards_is_that_of_eager_ones() -> None:
    model, fast, *noises = make_pair()
    model(X), fast(X)
    assert str(noises[1].report()) == str(noises[0].report())


def test_the_last_noise_is_that_of_the_last_forward_compiled_or_not() -> None:
    model, fast, *noises = make_pair()
    for run in (fast, fast._orig_mod, fast, fast._orig_mod):
        model(X), run(X)
        assert (noises[1].mask("0:out") == noises[0].mask("0:out")).all()
        assert str(noises[1].report()) == str(noises[0].report())


def test_a_thread_has_its_own_block_of_a_step() -> None:
    model, fast, *noises = make_pair()
    found: dict[int, list[Tensor]] = {}

    def run(step: int) -> None:
        with noises[1].at(step):
            found[step] = [fast(X), fast(X)]

    fast(X)
    threads = [threading.Thread(target=run, args=(step,)) for step in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for step, outputs in found.items():
        with noises[0].at(step):
            for y in outputs:
                assert_same_bits(y, model(X))
    assert len(found) == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_dtypes(dtype: torch.dtype) -> None:
    kind, key = ng.Dropout(0.4), ng.Stream(13).site("a").at(3)
    fast = torch.compile(lambda x: kind(x, key), backend="aot_eager", fullgraph=True)
    x = X.to(dtype)
    assert_same_bits(torch.view_as_real(fast(x)) if x.is_complex() else fast(x), real(kind(x, key)))


def real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


@pytest.mark.parametrize("view", ["channels_last", "transposed", "autocast"])
def test_layouts_and_autocast(view: str) -> None:
    model, fast, *_ = make_pair()
    x = {
        "channels_last": X.contiguous(memory_format=torch.channels_last),
        "transposed": X.transpose(0, 1).contiguous().transpose(0, 1),
        "autocast": X,
    }[view]
    with torch.autocast("cpu", torch.bfloat16, enabled=view == "autocast"):
        y, expected = fast(x), model(x)
    assert_same_bits(y, expected)
    assert y.stride() == expected.stride()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_compiled_model_have_handles_and_noise(copied: Any) -> None:
    model, fast, _, noise = make_pair()
    fast(X), model(X)
    other = copied(fast._orig_mod)
    again = torch.compile(other, backend="aot_eager", fullgraph=True)
    (handle,) = ng.handles(again)
    assert handle.step == noise.step == 1
    assert_same_bits(again(X), model(X))
    assert (handle.step, noise.step) == (2, 1)


def test_a_layer_that_is_called_in_a_loop_counts_each_call() -> None:
    torch.compiler.reset()
    eager, fast = (ng.torch.Dropout(0.4, seed=3, site="a") for _ in range(2))

    def run(layer: nn.Module, x: Tensor) -> Tensor:
        for _ in range(3):
            x = layer(x.sin())
        return x

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        assert_same_bits(compiled(fast, X), run(eager, X))
    assert fast.step == eager.step == 9


def test_a_module_that_is_called_twice_numbers_its_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(self.inner(x).sin())

    torch.compiler.reset()
    model, other = Twice(), Twice()
    for one in (model, other):
        ng.inject(one, {"inner:out": 0.4}, seed=5)
    fast = torch.compile(other, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        assert_same_bits(fast(X), model(X))


def test_the_operations_pass_the_checks_of_torch() -> None:
    from noisegate.torch import cursors, graph_sites
    from noisegate.torch import in_graph as graph

    place = graph_sites.make_place(ng.Dropout(0.4), 13, "a", 0)
    rest = (cursors.make_cursor(3), place, None, None, -1, 0, "default", None)
    for linear in (False, True):
        torch.library.opcheck(graph._noise, (X, *rest, linear))
    torch.library.opcheck(graph._field, (X, "float32", None, *rest))
    torch.library.opcheck(cursors._advance, (cursors.make_cursor(3, 0), 0, 6))
