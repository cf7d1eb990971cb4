"""Compiled models: the noise of each step, and the models that are refused."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

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


SENTENCE = (
    "inject: code compiled of {} has already run, and would go on without the noise, silently. "
    "Inject before the first call, or call torch.compiler.reset() first."
)


@pytest.mark.parametrize("given", ["the model", "its compiled form"])
def test_a_model_that_was_compiled_and_has_run_is_refused(given: str) -> None:
    model = plain()
    fast = torch.compile(model, backend="eager")
    fast(X)
    target = model if given == "the model" else fast
    with assert_sentence(ng.InvalidValue, SENTENCE.format("Net")):
        ng.inject(target, {"hid:out": 0.5}, seed=1)
    torch.compiler.reset()
    expected = plain()
    ng.inject(expected, {"hid:out": 0.5, "drop:dropout": 0.1}, seed=1)
    ng.inject(target, {"hid:out": 0.5, "drop:dropout": 0.1}, seed=1)
    for _ in range(3):
        assert_same_bits(fast(X).detach(), expected(X).detach())


def test_a_model_of_torch_s_own_classes_is_refused_too() -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    fast = torch.compile(model, backend="eager")
    fast(X)
    with assert_sentence(ng.InvalidValue, SENTENCE.format("Sequential")):
        ng.inject(model, {"0:out": 0.5}, seed=1)
    other = nn.Sequential(nn.Linear(6, 4))
    with pytest.warns(RuntimeWarning, match="code compiled of another Sequential has already run"):
        ng.inject(other, {"0:out": 1.0}, seed=1)
    torch.compiler.reset()
    assert (torch.compile(other, backend="eager")(X) == 0).all()


def test_a_model_compiled_in_place_and_a_part_that_was_compiled_are_refused() -> None:
    model = plain()
    model.compile(backend="eager")
    model(X)
    with assert_sentence(ng.InvalidValue, SENTENCE.format("Net")):
        ng.inject(model, {"hid:out": 0.5}, seed=1)
    torch.compiler.reset()
    whole = nn.Sequential(nn.Identity(), plain())
    part = torch.compile(whole[1], backend="eager")
    part(X)
    with assert_sentence(ng.InvalidValue, SENTENCE.format("Net")):
        ng.inject(whole, {"1.hid:out": 0.5}, seed=1)


def test_compiled_and_not_run_is_fine() -> None:
    model = plain()
    fast = torch.compile(model, backend="eager")
    ng.inject(fast, {"hid:out": 0.5}, seed=1)
    expected = plain()
    ng.inject(expected, {"hid:out": 0.5, "drop:dropout": 0.3}, seed=1)
    fast.eval(), expected.eval()
    assert_same_bits(fast(X).detach(), expected(X).detach())


def test_code_of_another_instance_is_warned_of() -> None:
    torch.compile(plain(), backend="eager")(X)
    with pytest.warns(RuntimeWarning) as caught:
        ng.inject(plain(), {"hid:out": 0.5}, seed=1)
    assert str(caught[0].message) == (
        "noisegate: code compiled of another Net has already run. If this one is compiled too, it "
        "would be used without the noise; call torch.compiler.reset() before that."
    )
    assert caught[0].filename == __file__


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
