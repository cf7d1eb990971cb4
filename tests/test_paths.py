"""Canonical paths: names that wrappers add to a module's path are left out."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _blocks import X, plain


class PeftModel(nn.Module):
    """As PEFT has it: the model is `base_model.model`, with more beside it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model
        self.prompt_encoder = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.base_model.model(x)


class Checkpointed(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._checkpoint_wrapped_module = module

    def forward(self, *args: Any) -> Any:
        return self._checkpoint_wrapped_module(*args)


class Sharded(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._fsdp_wrapped_module = module

    def forward(self, *args: Any) -> Any:
        return self._fsdp_wrapped_module(*args)


def inside() -> nn.Module:
    net = plain()
    net.block = Checkpointed(net.block)
    net.hid = torch.compile(net.hid, backend="eager")
    return net


WRAPPERS: dict[str, Any] = {
    "_orig_mod": lambda: torch.compile(plain(), backend="eager"),
    "module": lambda: nn.DataParallel(plain()),
    "module of a mean": lambda: AveragedModel(plain()),
    "base_model.model": lambda: PeftModel(plain()),
    "_fsdp_wrapped_module": lambda: Sharded(plain()),
    "two": lambda: nn.DataParallel(torch.compile(plain(), backend="eager")),
    "within": inside,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_left_out_of_the_path_and_the_noise_is_the_same(name: str) -> None:
    rules = {"hid:out": 0.5, "block.0:out": 0.3, ":in": 0.2, ":out": ng.GaussianNoise(0.1)}
    expected = plain()
    ng.inject(expected, rules, seed=1)
    torch.compiler.reset()
    model = WRAPPERS[name]()
    noise = ng.inject(model, rules, seed=1)
    assert noise.sites == tuple(rules)
    for _ in range(2):
        assert_same_bits(model(X).detach(), expected(X).detach())
    torch.compiler.reset()


def test_a_module_of_the_user_s_called_module_keeps_its_name() -> None:
    class Distributed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x).softmax(-1)

    assert ng.inject(Distributed(), {"module:out": 0.5}, seed=1).sites == ("module:out",)


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: torch.compile(net, backend="eager"),
        nn.DataParallel,
        AveragedModel,
        Checkpointed,
        Sharded,
    ],
)
def test_functions_of_a_wrapped_part_have_its_path(wrap: Any) -> None:
    model = nn.Sequential(nn.Linear(6, 4), wrap(Functions()))
    noise = ng.inject(model, existing=True, example=torch.ones(2, 6), seed=1)
    assert noise.sites == ("1:dropout",)


def test_collisions_are_refused() -> None:
    model = nn.DataParallel(plain())
    model.hid = nn.Linear(2, 2)
    with assert_sentence(
        ng.InvalidValue,
        "inject: the modules 'module.hid' and 'hid' would both be 'hid', since names of wrappers "
        "are left out. Rename one of them.",
    ):
        ng.inject(model, {"hid:out": 0.5}, seed=1)
