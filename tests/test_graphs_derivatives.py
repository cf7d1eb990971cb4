"""Derivatives of compiled code, and of what a compiled function differentiates itself."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import linearize

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _graphs import EXACT, Bank, make_inputs
from test_graphs import assert_equal_outputs

DROPOUT = ng.Dropout(0.5)
KEY = ng.Stream(1).site("a").at(3)
X = torch.ones(8, 8)
# torch's own, at any constant that `linearize` folds.
pytestmark = pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")
BACKENDS = ("eager", "aot_eager")
each_backend = pytest.mark.parametrize("backend", BACKENDS)


def add_dropout(x: Tensor) -> Tensor:
    return DROPOUT(x, KEY) + x


def push(function: Callable[[Tensor], Tensor], x: Tensor) -> Any:
    with forward_ad.dual_level():
        y = function(forward_ad.make_dual(x, torch.ones_like(x)))
        return forward_ad.unpack_dual(y).tangent


@each_backend
def test_a_dual_that_compiled_code_makes_keeps_its_tangent(backend: str) -> None:
    fast = torch.compile(lambda x: push(add_dropout, x), backend=backend, fullgraph=True)
    assert_same_bits(fast(X), push(add_dropout, X))


@each_backend
def test_a_dual_from_outside_keeps_its_tangent(backend: str) -> None:
    fast = torch.compile(add_dropout, backend=backend, fullgraph=True)
    for _ in range(2):  # one graph for each, and back again
        assert_same_bits(fast(X), add_dropout(X))
        assert_same_bits(push(fast, X), push(add_dropout, X))


def get_penalty(function: Callable[[Tensor], Tensor]) -> Tensor:
    x = torch.full((4, 8), 2.0, requires_grad=True)
    y = function(x) ** 3 + x**3
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x, create_graph=True)
    return torch.autograd.grad(second.sum(), x)[0]


def test_a_derivative_of_a_derivative_of_compiled_code() -> None:
    layer = ng.torch.Dropout(0.5, seed=1, site="a")
    fast = torch.compile(copy.deepcopy(layer), backend="eager", fullgraph=True)
    assert_same_bits(get_penalty(fast), get_penalty(layer))


@pytest.mark.parametrize("argument", [0, 1])
def test_a_second_derivative_by_a_rate_is_refused(argument: int) -> None:
    fast = torch.compile(
        lambda x, p: ng.torch.concrete_dropout(x, p, key=KEY), backend="eager", fullgraph=True
    )
    given = torch.ones(4, 8, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    y = fast(*given).square().sum()
    (first,) = torch.autograd.grad(y, given[argument], create_graph=True)
    sentence = (
        "noise: a rate that is a tensor has no second derivative in compiled code. "
        "Call it outside of torch.compile."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        first.sum().backward()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, p: ng.torch.dropout(x, p, key=KEY),
        lambda x, p: DROPOUT(x, KEY, p=p),
    ],
)
def test_a_rate_without_a_derivative_is_refused_before_backward(function: Any) -> None:
    rate = torch.tensor(0.3, requires_grad=True)
    sentence = (
        "Dropout: `p` requires grad, but the decision to remove has no gradient. ConcreteDropout "
        "has one; or pass p.detach()."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        function(X, rate)
    fast = torch.compile(function, backend="eager", fullgraph=True)
    with pytest.raises(ng.InvalidValue) as caught:
        fast(X, rate)
    assert str(caught.value).startswith(sentence)
    assert_same_bits(fast(X, rate.detach()), function(X, rate.detach()))


# A field of the kind's own, one of the input's shape, one of the user's; and all together.
@pytest.mark.parametrize(
    "names",
    [("Dropout",), ("SignFlip",), pytest.param(tuple(sorted(EXACT)), marks=pytest.mark.slow)],
    ids=len,
)
def test_linearize_in_compiled_code(names: tuple[str, ...]) -> None:
    bank, xs = Bank("call", names), make_inputs(3, names)

    def run(*xs: Tensor) -> Any:
        value, push_forward = linearize(lambda *zs: bank(*zs), *xs)
        return value, push_forward(*xs)

    eager = run(*xs)
    fast = torch.compile(run, backend="eager")(*xs)
    assert_equal_outputs("Dropout", fast, eager)
