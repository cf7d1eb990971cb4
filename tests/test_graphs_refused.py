"""What compiled code cannot do is said, in one sentence."""

import re

import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits

X = torch.randn(6, 8)
BY_RULE = (
    "inject: `rows` by rule are not read by compiled code. Give ids for all samples, or call the "
    "model outside of torch.compile."
)
PARTS = (
    "inject: a part of the model that is called by itself has noise only between graphs. Compile "
    "it without fullgraph=True, or call the whole model."
)
CHUNKS = (
    "vmap: compiled code does not know which chunk of a map it computes, so all would have one "
    "noise. Leave out `chunk_size`, or call vmap outside of torch.compile."
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hid(x)


@pytest.mark.parametrize("make", [lambda: nn.Sequential(nn.Linear(8, 4)), Net])
def test_rows_by_rule_are_refused_where_a_graph_would_need_them(make) -> None:
    model = make()
    name = next(name for name, _ in model.named_children())
    noise = ng.inject(model, {f"{name}:out": 0.5}, seed=1)
    fast = torch.compile(model, backend="eager", fullgraph=True)
    fast(X)
    noise.rows = {f"{name}:out": range(10, 16)}
    eager = model(X)
    with pytest.raises(Exception, match=re.escape(BY_RULE)):
        fast(X)
    noise.rows, noise.step = None, 1
    compiled = fast(X).detach()
    noise.step = 1
    assert_same_bits(compiled, model(X).detach())
    assert not torch.equal(compiled, eager)


def test_a_map_in_chunks_is_refused() -> None:
    kind, key = ng.Dropout(0.5), ng.Stream(1).site("a").at(0)

    def map_chunks(x: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(lambda z: kind(z, key), randomness="different", chunk_size=2)(x)

    with pytest.raises(Exception, match=re.escape(CHUNKS)):
        torch.compile(map_chunks, backend="eager", fullgraph=True)(X)
    assert not torch._C._are_functorch_transforms_active()


def test_a_rate_that_is_a_tensor_has_no_derivative_in_compiled_functions() -> None:
    key, rate = ng.Stream(1).site("a").at(0), torch.tensor(0.3)

    def differentiate(x: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda z: ng.torch.concrete_dropout(z, rate, key=key).sum())(x)

    sentence = (
        "noise: a rate that is a tensor has no derivative inside of torch.func in compiled code. "
        "Call it outside of torch.compile."
    )
    with pytest.raises(Exception, match=re.escape(sentence)):
        torch.compile(differentiate, backend="eager", fullgraph=True)(X)
    assert not torch._C._are_functorch_transforms_active()


def test_a_part_that_is_called_by_itself_is_refused_as_one_graph() -> None:
    torch.compiler.reset()
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 4), nn.ReLU()), nn.Linear(4, 4))
    noise = ng.inject(model, {"0.0:out": 0.5}, seed=1)
    with noise.at(3):
        eager = model[0](X)
    with noise.at(3), pytest.raises(Exception, match=re.escape(PARTS)):
        torch.compile(model[0], backend="eager", fullgraph=True)(X)
    with noise.at(3):
        assert_same_bits(torch.compile(model[0], backend="eager")(X), eager)
    model[0].compile(backend="eager", fullgraph=True)
    model(X)


KIND, SITE = ng.Dropout(0.5), ng.Stream(1).site("a")
WRONG = {
    "rate": (lambda x: ng.torch.dropout(x, 1.5), "Dropout: `p` must be in [0, 1]; got 1.5."),
    "word": (lambda x: ng.torch.dropout(x, "a"), "Dropout: `p` must be a number; got 'a'."),
    "below": (lambda x: KIND(x, SITE.at(-1)), "`step` must be in [0, 2**32); got -1."),
    "above": (lambda x: KIND(x, SITE.at(2**32)), "`step` must be in [0, 2**32); got 4294967296."),
    "part": (lambda x: KIND(x, SITE.at(1.5)), "`step` must be a whole number; got 1.5."),
    "map": (lambda x: torch.func.vmap(lambda z: KIND(z, SITE.at(0)))(x), "vmap: called random"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_refusal_in_compiled_code_is_an_error_of_noisegate(name: str) -> None:
    function, sentence = WRONG[name]
    for run in (function, torch.compile(function, backend="eager", fullgraph=True)):
        with pytest.raises(ng.NoisegateError) as caught:
            run(X)
        assert sentence in str(caught.value)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("injected", [False, True])
def test_no_step_is_left(injected: bool, compiled: bool) -> None:
    model = Net() if injected else ng.torch.Dropout(0.5, seed=1, site="a")
    counter = ng.inject(model, {"hid:out": 0.5}, seed=1) if injected else model
    run = torch.compile(model, backend="eager", fullgraph=True) if compiled else model
    counter.step = 2**32 - 1
    run(X)
    with pytest.raises(ng.InvalidValue) as caught:
        run(X)
    name = "inject" if injected else "noise" if compiled else "Dropout"
    assert str(caught.value) == f"{name}: `step` must be in [0, 2**32); got 4294967296."
    counter.step = 0
    run(X)
    assert counter.step == 1
