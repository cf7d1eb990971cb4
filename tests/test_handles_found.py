"""Handles found from every place of the noise: wrappers, parents, parts, copies."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import noisegate as ng
from noisegate.injection import Injection

X = torch.randn(8, 6)


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))


class Holder(nn.Module):
    """A training loop's module, such as Lightning's, which has the network for an attribute."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({"student": net})

    def forward(self, x: Tensor) -> Any:
        return self.nets["student"](x)


WRAPPERS: dict[str, Any] = {
    "DataParallel": nn.DataParallel,
    "torch.compile": lambda net: torch.compile(net, backend="eager"),
    "compiled in a wrapper": lambda net: nn.DataParallel(torch.compile(net, backend="eager")),
    "a parent": nn.Sequential,
    "a holder": Holder,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_s_handles_are_the_model_s(name: str) -> None:
    net = model()
    noise = ng.inject(net, {"1:out": 0.5}, seed=1)
    wrapped = WRAPPERS[name](net).train()
    assert ng.handles(wrapped) == (noise,)
    wrapped(X)
    assert noise.step == 1
    noise.remove()
    assert ng.handles(wrapped) == ()


def test_a_model_that_was_wrapped_before_has_one_handle() -> None:
    net = model()
    wrapped = nn.DataParallel(net)
    noise = ng.inject(wrapped, {"1:out": 0.5}, existing=True, seed=1)
    assert ng.handles(wrapped) == ng.handles(net) == (noise,)


def test_an_averaged_model_has_a_handle_of_its_own() -> None:
    net = model()
    noise = ng.inject(net, {"1:out": 0.5}, seed=1)
    averaged = AveragedModel(net)
    (handle,) = ng.handles(averaged)
    assert handle is not noise
    assert handle.sites == noise.sites
    assert ng.handles(copy.deepcopy(nn.Sequential(net))) != (noise,)


def test_a_part_bears_the_handles_of_the_whole() -> None:
    net = nn.Sequential(model(), nn.Linear(3, 3))
    inner: Any = net[0]
    rules: dict[str, Any] = {"0.0:in": 0.5, "0.1:out": 0.5, "1:out": 0.2}
    noise = ng.inject(net, rules, existing=True, seed=1)
    for part in (inner, inner[0], inner[1], inner[2], net[1]):
        assert ng.handles(part) == (noise,)
    assert ng.handles(inner[3]) == ()  # which has none of its noise
    own = ng.inject(inner, {"1:out": 0.5}, seed=2)
    assert ng.handles(inner) == (own, noise)
    assert ng.handles(net) == (noise, own)
    assert ng.handles(nn.ModuleList([inner, net])) == (own, noise)
    for handle in ng.handles(net):
        handle.remove()
    assert ng.handles(net) == ng.handles(inner) == ()


def test_what_a_prediction_puts_in_is_gone_after_it() -> None:
    net = model()
    ng.predict(net, X, 2, rules={"1:out": 0.5}, seed=1)
    assert ng.handles(nn.Sequential(net)) == ()
    assert ng.handles(net[1]) == ()


def test_a_handle_can_be_registered_as_what_has_a_state() -> None:
    """As Accelerate, Lightning and `torch.distributed.checkpoint` ask for it."""

    def registered(thing: Any) -> dict[str, Any]:
        assert all(hasattr(thing, name) for name in ("state_dict", "load_state_dict"))
        return thing.state_dict()

    from torch.distributed.checkpoint.stateful import Stateful

    noise: Injection = ng.inject(model(), {"1:out": 0.5}, seed=1)
    assert isinstance(noise, Stateful)
    noise.step = 7
    state = registered(noise)
    noise.step = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise.load_state_dict(state)
    assert noise.step == 7
