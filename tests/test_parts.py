"""Parts of a model that are called without a forward of the model, as a `training_step` does."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits

X = torch.ones(6, 4)


class Lit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8))
        self.heads = nn.ModuleList([nn.Linear(8, 2)])

    def forward(self, x: Tensor) -> Tensor:
        head: Tensor = self.heads[0](self.net(x))
        return head

    def training_step(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.net(x)
        return hidden


def told(model: nn.Module, steps: int = 3) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps):
            model.training_step(X)
    return [str(warning.message) for warning in caught]


NOWHERE = (
    "noisegate: 'in:out', 'out:out' acts nowhere, since its place is the model's own input or "
    "output, and `model.net` is called without a forward of the model, as in a `training_step`. "
    "Put the noise into the part that is called: inject(model.net, ...)."
)


def test_rules_of_the_model_itself_are_told_of_once_by_the_first_step() -> None:
    model = Lit()
    rules = {"in:out": ng.GaussianNoise(1.0), "out:out": 0.5}
    ng.inject(model, rules, seed=13)
    assert told(model) == [NOWHERE]


def test_whichever_other_rules_there_are() -> None:
    model = Lit()
    rules = {"in:out": ng.GaussianNoise(1.0), "net:out": 0.5, "out:out": 0.5}
    ng.inject(model, rules, seed=13)
    alone = (
        "noisegate: 'net:out' is used without a forward of its model, which alone knows the step. "
        "It drew fresh noise, which `mask()` cannot reproduce. Put the noise into the part that is "
        "called, `model.net` or one around it, or call it in a block: with noise.at(step)."
    )
    assert told(model) == [NOWHERE, alone]


def test_modules_in_lists_and_copies_too() -> None:
    model = Lit()
    ng.inject(model, {"in:out": 0.5}, seed=13)
    copied = copy.deepcopy(model)
    for one in (model, copied):
        with pytest.warns(RuntimeWarning, match=r"`model\.heads\.0` is called"):
            one.heads[0](torch.ones(6, 8))


@pytest.mark.parametrize("first", ["training", "evaluation", "silence", "removal"])
def test_nothing_is_told_where_all_is_well(first: str) -> None:
    model = Lit()
    noise = ng.inject(model, {"in:out": ng.GaussianNoise(1.0)}, seed=13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if first == "training":
            model(X)
            model.training_step(X)  # the noise has acted
        elif first == "evaluation":
            model.eval().training_step(X)
        elif first == "silence":
            with noise.off():
                model.training_step(X)
        else:
            noise.remove()
            model.training_step(X)
    assert not model.net._forward_pre_hooks or first in ("evaluation", "silence")


def test_parts_have_the_noise_of_a_pinned_step() -> None:
    model = Lit()
    noise = ng.inject(model, {"net:out": 0.5}, seed=13)
    clean = model.net(X) if noise.remove() is None else None
    noise = ng.inject(model, {"net:out": 0.5}, seed=13)
    key = ng.Stream(13).site("net:out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with noise.at(5):
            first, second = model.training_step(X), model.training_step(X)
        with noise.at(5, rows=range(10, 16)):
            third = model.training_step(X)
    assert_same_bits(first, ng.Dropout(0.5)(clean, key.at(5)))
    assert_same_bits(second, ng.Dropout(0.5)(clean, key.at(5, call=1)))
    assert_same_bits(third, ng.Dropout(0.5)(clean, key.at(5), rows=range(10, 16)))
    assert noise.step == 0
    assert noise.report().rows[0][-2] == "1"
