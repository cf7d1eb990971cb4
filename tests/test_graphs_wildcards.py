"""A rule acts once on a tensor in each forward, however a model is cut into graphs."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

import noisegate as ng
from _cells import mark_cells

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.hid(x)


class Last(nn.Module):
    """A block that ends with a noise."""

    def __init__(self, functional: bool, rate: float = 0.1) -> None:
        super().__init__()
        self.hid, self.rate = nn.Linear(8, 8), rate
        self.drop = nn.Identity() if functional else nn.Dropout(rate)
        self.functional = functional

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.hid(x))
        return F.dropout(y, self.rate, self.training) if self.functional else y


def nest(depth: int) -> nn.Module:
    return nn.Linear(8, 8) if depth == 0 else nn.Sequential(nest(depth - 1))


def test_a_rule_acts_once_where_a_hook_runs_after_the_graph() -> None:
    torch.compiler.reset()
    model = Net()
    ng.inject(model, {"*:out": 0.5}, seed=1)
    eager = copy.deepcopy(model)
    y = torch.compile(model, backend="aot_eager")(X)
    torch.testing.assert_close(y, eager(X))
    assert not vars(y)


def test_a_rule_acts_once_in_nested_blocks_that_are_compiled_one_by_one() -> None:
    torch.compiler.reset()
    model = nn.Sequential(*[nest(2) for _ in range(12)])
    ng.inject(model, {"*:out": 0.5}, seed=1)
    eager = copy.deepcopy(model)
    counter = CompileCounterWithBackend("aot_eager")
    for block in model:
        block.compile(backend=counter, fullgraph=True)
    torch.testing.assert_close(model(X), eager(X))
    assert counter.frame_count == 2


def test_handles_of_one_rule_act_both() -> None:
    torch.compiler.reset()
    model = Net()
    for seed in (1, 2):
        ng.inject(model, {"*:out": 0.5}, seed=seed)
    eager = copy.deepcopy(model)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager")(X), eager(X))
    whole = nn.Sequential(model)
    fast = torch.compile(whole, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(fast(X), eager(X))


def test_an_output_that_is_fed_back_gets_noise_again() -> None:
    torch.compiler.reset()
    model = nn.Sequential(nn.Identity(), nn.Linear(8, 8))
    ng.inject(model, {"*:out": 0.3}, seed=1)
    eager = copy.deepcopy(model)
    fast = torch.compile(model, backend="aot_eager")
    a = b = X
    for _ in range(3):
        a, b = fast(a), eager(b)
        torch.testing.assert_close(a, b)
    thrice = torch.compile(lambda x: model(model(model(x))), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(thrice(X), eager(eager(eager(X))))


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("rules", [{}, {"*.hid:out": 0.1}])
def test_equal_blocks_that_end_with_a_noise_share_a_graph(functional: bool, rules: Any) -> None:
    torch.compiler.reset()
    model = nn.Sequential(*[Last(functional) for _ in range(12)])
    ng.inject(model, rules, existing=True, example=X, seed=1)
    _check_twelve(model)


def test_blocks_with_a_rule_each_share_a_graph() -> None:
    torch.compiler.reset()
    model = nn.Sequential(*[Net() for _ in range(12)])
    ng.inject(model, {f"{i}.hid:out": 0.1 for i in range(12)}, seed=1)
    _check_twelve(model)


def _check_twelve(model: nn.Sequential) -> None:
    eager = copy.deepcopy(model)
    counter = CompileCounterWithBackend("aot_eager")
    for block in model:
        block.compile(backend=counter, fullgraph=True)
    torch.testing.assert_close(model(X), eager(X))
    assert counter.frame_count == 2


class Attending(Last):
    def forward(self, x: Tensor) -> Tensor:
        y = self.hid(x)[None]
        return F.scaled_dot_product_attention(y, y, y, dropout_p=self.rate)[0]


@pytest.mark.parametrize(
    ("form", "dynamic"), mark_cells(["module", "function", "attention"], [None, True], every=2)
)
def test_another_rate_of_the_models_own_dropout(form: str, dynamic: bool | None) -> None:
    torch.compiler.reset()
    model = Attending(True) if form == "attention" else Last(form == "function")
    ng.inject(model, existing=True, example=X, seed=1)
    eager = copy.deepcopy(model)
    fast = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for rate in (0.1, 0.3, 0.4, 0.0, 0.5):
        for each in (model, eager):
            each.rate = each.drop.p = rate
        torch.testing.assert_close(fast(X), eager(X))


def test_another_rate_of_a_function() -> None:
    torch.compiler.reset()
    key = ng.Stream(13).site("a").at(0)

    def drop(x: Tensor, p: float) -> Tensor:
        return ng.torch.dropout(x, p, key=key)

    fast = torch.compile(drop, backend="aot_eager", fullgraph=True)
    for rate in (0.1, 0.2, 0.3, 1.0):
        assert fast(X, rate).equal(drop(X, rate))


def test_a_rate_of_a_function_with_dynamic_numbers() -> None:
    torch.compiler.reset()
    fast = torch.compile(ng.torch.dropout, backend="aot_eager", fullgraph=True, dynamic=True)
    for rate in (0.2, 0.4):
        removed = (fast(torch.ones(100, 100), rate) == 0).float().mean().item()
        assert removed == pytest.approx(rate, abs=0.03)
