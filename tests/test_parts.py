"""Parts of a model that are called without the model's forward, as a `training_step` does."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence

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


def test_rules_of_the_model_itself_are_told_of_once_in_the_second_step() -> None:
    model = Lit()
    rules = {"in:out": ng.GaussianNoise(1.0), "out:out": 0.5}
    ng.inject(model, rules, seed=13)
    assert told(model, 1) == []
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
    assert told(model) == [alone, NOWHERE]


def test_modules_in_lists_and_copies_too() -> None:
    model = Lit()
    ng.inject(model, {"in:out": 0.5}, seed=13)
    copied = copy.deepcopy(model)
    for one in (model, copied):
        one.heads[0](torch.ones(6, 8))  # a look
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
            assert told(model.eval()) == []
        elif first == "silence":
            with noise.off():
                assert told(model) == []
        else:
            noise.remove()
            assert told(model) == []
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


def test_every_rule_whose_noise_is_fresh_is_told_of_and_noted() -> None:
    class Two(Lit):
        def training_step(self, x: Tensor) -> Tensor:
            hidden: Tensor = self.heads[0](self.net(x))
            return hidden

    model = Two()
    noise = ng.inject(model, {"net:out": 0.5, "heads.0:out": 0.5}, seed=13)
    said = told(model)
    assert [s.partition(" is used")[0] for s in said] == [
        "noisegate: 'net:out'",
        "noisegate: 'heads.0:out'",
    ]
    assert noise.report().notes == tuple(s.removeprefix("noisegate: ") for s in said)
    assert [row[-2] for row in noise.report().rows] == ["3", "3"]


def test_a_rule_whose_part_is_not_called_is_told_of_in_the_second_step() -> None:
    model = Lit()
    ng.inject(model, {"heads*:out": 0.5}, seed=13)
    nowhere = (
        "noisegate: 'heads*:out' acted nowhere in this forward: the modules that it names were not "
        "called."
    )
    assert told(model, 1) == []
    assert told(model, 2) == [nowhere]


def test_what_functions_do_is_left_to_the_model_where_parts_are_called_alone() -> None:
    class Drops(Lit):
        def training_step(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(self.net(x), 0.5)

    model = Drops()
    model.heads.append(nn.Dropout(0.5))
    ng.inject(model, existing=True, seed=13)
    sentence = (
        "noisegate: `model.net` is called without a forward of the model, as in a `training_step`. "
        "Dropouts that functions make, and what else the model draws, are seen in a forward alone, "
        "and are left to the model here. Put the noise into the part that is called: "
        "inject(model.net, ...)."
    )
    assert told(model, 2) == [sentence]


@pytest.mark.parametrize("rule", ["in:out", ":in", "out:out", ":out"])
def test_a_model_without_a_forward_has_no_input_of_its_own(rule: str) -> None:
    class Without(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 8)

    sentence = (
        f"inject: the rule '{rule}' names the model's own input or output, and the model has no "
        "forward. Put the noise into the part that is called: inject(model.net, ...)."
    )
    with assert_sentence(ng.UnmatchedRule, sentence):
        ng.inject(Without(), {rule: 0.5}, seed=13)


def test_a_block_is_no_port_of_the_whole_model() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    sentence = (
        "inject: the rule ':branch' matches no site. The nearest sites are ':in', ':pre', '1:in'."
    )
    with assert_sentence(ng.UnmatchedRule, sentence):
        ng.inject(model, {":branch": 0.5}, seed=13)
