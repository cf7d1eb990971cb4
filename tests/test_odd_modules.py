"""Modules that are built otherwise than torch's: traced graphs, lazy ones, odd attributes."""

import functools
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import noisegate as ng
from _asserts import assert_same_bits
from _functional import key

X = torch.randn(6, 8)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.drop = nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Any:
        return self.drop(self.second(self.first(x)))


class KeyErrors(Net):
    """Raises what `hasattr` does not catch."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise KeyError(name) from None


class AnswersAll(Net):
    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return MagicMock()


class NotComparable(Net):
    """Compares as a tensor does, and has neither a truth nor a length."""

    __hash__ = nn.Module.__hash__

    def __eq__(self, other: object) -> Any:
        raise ValueError

    def __bool__(self) -> bool:
        raise ValueError

    def __len__(self) -> int:
        return 0


class PropertyForward(Net):
    @property
    def forward(self) -> Any:
        return super().forward


class PartialForward(Net):
    forward = functools.partialmethod(Net.forward)


class Calls(Net):
    def __call__(self, x: Tensor) -> Any:
        return super().__call__(x)


def of_its_own() -> nn.Module:
    net = Net()
    net.forward = lambda x: Net.forward(net, x)  # type: ignore[method-assign]
    return net


def lazy() -> nn.Module:
    net = Net()
    net.first = nn.LazyLinear(8)
    return net


def graph() -> nn.Module:
    return torch.fx.symbolic_trace(Net())


def parametrized() -> nn.Module:
    net = Net()
    parametrizations.weight_norm(net.first)
    return net


def exported() -> Any:
    net = nn.Sequential(Net())
    return nn.Sequential(torch.export.export(net.eval(), (X,)).module(), nn.Dropout(0.3))


MAKERS: list[Callable[[], Any]] = [
    *(Net, KeyErrors, AnswersAll, NotComparable, PropertyForward, PartialForward, Calls),
    *(of_its_own, lazy, graph, parametrized),
]


@pytest.mark.parametrize("make", MAKERS)
def test_modules_of_any_build_have_sites_and_noise(make: Callable[[], Any]) -> None:
    net = make().train()
    net.first(X)  # a lazy one is ready then
    rules: dict[str, Any] = {"second:out": 0.5, "first:in": 0.5}
    noise = ng.inject(net, rules, existing=True, example=X, seed=1)
    assert noise.sites == ("second:out", "first:in", "drop:dropout")
    y = net(X)
    ones = torch.ones(6, 8)
    kept = ng.Dropout(0.3)(ng.Dropout(0.5)(ones, key("second:out")), key("drop:dropout"))
    assert not y[kept == 0].any()
    noise.step = 0
    assert_same_bits(net(X), y)
    noise.remove()
    assert ng.handles(net) == ()
    prediction = ng.predict(net, X, 3, existing=True, seed=1)
    assert (prediction.std > 0).any()


@pytest.mark.parametrize("make", [PropertyForward, Net])
def test_compiled_code_is_looked_for_in_any_forward(make: Callable[[], Any]) -> None:
    torch.compile(nn.Identity(), backend="eager")(X)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ng.inject(make(), {"second:out": 0.5}, seed=1)
    finally:
        torch.compiler.reset()


def test_an_exported_program_has_noise_at_its_ends() -> None:
    net = exported()
    noise = ng.inject(net, {"0:in": 0.5, "0:out": 0.5}, existing=True, seed=1)
    noise_of = ng.Dropout(0.5)(torch.ones(6, 8), key("0:out"))
    values: list[Tensor] = []
    net[0].register_forward_hook(lambda m, args, y: values.append(y))
    net(X)
    assert not values[0][noise_of == 0].any()
    assert noise.sites == ("0:in", "0:out", "1:dropout")
