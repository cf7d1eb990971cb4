"""Compiled models: the noise of each step, and of the model's own."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits

X = torch.randn(5, 6)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hid = nn.Linear(6, 20)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Linear(20, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.hid(x)))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def plain() -> Net:
    torch.manual_seed(0)
    return Net()


def test_compiled_and_not_run_is_fine() -> None:
    model = plain()
    fast = torch.compile(model, backend="eager")
    ng.inject(fast, {"hid:out": 0.5}, seed=1)
    expected = plain()
    ng.inject(expected, {"hid:out": 0.5, "drop:dropout": 0.3}, seed=1)
    fast.eval(), expected.eval()
    assert_same_bits(fast(X).detach(), expected(X).detach())


def test_the_model_s_own_dropouts_are_taken_over_in_compiled_code() -> None:
    model, expected = plain(), plain()
    ng.inject(model, existing=True, seed=1)
    ng.inject(expected, {"drop:dropout": 0.3}, seed=1)
    fast = torch.compile(model, backend="eager")
    for _ in range(4):
        assert_same_bits(fast(X).detach(), expected(X).detach())


class Functions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 24)

    def forward(self, x: Tensor) -> Tensor:
        h = F.dropout(self.inner(x), 0.3, self.training).reshape(len(x), 2, 3, 4)
        p = 0.2 if self.training else 0.0
        return F.scaled_dot_product_attention(h, h, h, dropout_p=p)


def test_what_functions_do_is_taken_over_in_compiled_code() -> None:
    torch.manual_seed(0)
    model = Functions()
    expected = copy.deepcopy(model)
    ng.inject(model, existing=True, seed=1)
    noise = ng.inject(expected, existing=True, seed=1)
    fast = torch.compile(model, backend="eager")
    for _ in range(12):
        torch.testing.assert_close(fast(X).detach(), expected(X).detach())
    assert noise.sites == (":dropout", ":probs")


@pytest.mark.parametrize("rules", [{"hid:out": 0.5}, {"drop:dropout": 0.5}, {"*:in": 0.1}])
def test_a_model_in_evaluation_is_exported_without_noise(rules: dict[str, float]) -> None:
    model, clean = plain().eval(), plain().eval()
    ng.inject(model, rules, existing=True, seed=1)
    exported = torch.export.export(model, (X,))
    assert_same_bits(exported.module()(X).detach(), clean(X).detach())
    assert "noisegate" not in str(exported.graph)


class Attends(nn.Module):
    """Attention whose dropout has the rate 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)
        self.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        heads = self.drop(x).view(5, 1, 3, 2)
        y = F.scaled_dot_product_attention(heads, heads, heads, dropout_p=self.p)
        return F.dropout(y, self.p, self.training).flatten(1)


def test_noise_of_the_model_s_own_at_rate_0_is_not_in_the_graph() -> None:
    def count_operations(graph: torch.fx.GraphModule, _: object) -> object:
        operations.append([str(node.target) for node in graph.graph.nodes])
        return graph.forward

    operations: list[list[str]] = []
    model, expected = Attends(), Attends()
    noise = [ng.inject(m, existing=True, seed=1, example=X) for m in (model, expected)]
    fast = torch.compile(model, backend=count_operations, fullgraph=True)
    for _ in range(2):
        assert_same_bits(fast(X), expected(X))
    (seen,) = operations
    assert sum("scaled_dot_product_attention" in name for name in seen) == 1
    assert sum("autograd_function_apply" in n or "noisegate" in n for n in seen) == 1
    for handle in noise:
        handle.set_rate("existing", 0.5)
    assert torch.allclose(fast(X), expected(X))
    assert (fast(X) == 0).any()


def test_an_eager_forward_makes_no_tensor_for_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the compiler is imported, as each optimizer does, graphs may be parts of the model."""
    from noisegate.torch import graph_sites

    model, expected = plain(), plain()
    for m in (model, expected):
        m.drop.p = 0.0
        ng.inject(m, {"hid:out": 0.5, "drop:out": 0.1}, seed=1)
    model.hid.compile(backend="eager")
    made: list[int] = []
    enter = graph_sites.plain_tensors
    monkeypatch.setattr(graph_sites, "plain_tensors", lambda: made.append(0) or enter())
    for _ in range(40):
        assert_same_bits(model(X).detach(), expected(X).detach())
    assert len(made) <= 4
