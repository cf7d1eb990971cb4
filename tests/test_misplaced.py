"""Warnings when noise is put in where it does not do what is meant, and where none is due."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng

RULES = {"0:out": 0.5, "0:weight": ng.GaussianNoise(0.1)}


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.Identity())


# The same rules twice ------------------------------------------------------------------------


def test_the_same_rules_put_in_twice_are_warned_of_once() -> None:
    ng.inject(model := linear(), RULES, seed=3)
    with pytest.warns(RuntimeWarning) as caught:
        ng.inject(model, RULES, seed=3)
    assert [str(one.message) for one in caught] == [
        "inject: '0:out', '0:weight' is in this model already, by a handle with seed 3, so its "
        "noise acts twice. To put it in anew, remove the earlier one first: "
        "noisegate.handles(model)[0].remove()."
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("rules", "seed"),
    [
        ({"0:out": 0.5}, 4),
        ({"0:out": 0.25}, 3),
        ({"0:out": ng.GaussianDropout(0.5)}, 3),
        ({"0:in": 0.5}, 3),
        ({"*:out": 0.5}, 3),
    ],
)
def test_other_rules_kinds_and_seeds_are_not_warned_of(rules: Any, seed: int) -> None:
    ng.inject(model := linear(), RULES, seed=3)
    ng.inject(model, rules, seed=seed)


def test_noise_that_was_removed_and_noise_of_a_copy_or_a_prediction_is_not_warned_of() -> None:
    ng.inject(model := linear(), RULES, seed=3).remove()
    ng.inject(model, RULES, seed=3)
    copied = copy.deepcopy(model)
    ng.predict(model.eval(), torch.ones(2, 4), 3, rules={"0:out": 0.5}, seed=3)
    for handle in ng.handles(copied):
        handle.remove()
    ng.inject(copied, RULES, seed=3)


# DropKey away from scores --------------------------------------------------------------------


class Scores(nn.Module):
    """A module of somebody's own, which returns scores."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ x.transpose(1, 2)


def attending() -> nn.Module:
    parts = {"scores": Scores(), "name": nn.Identity(), "softmax": nn.Softmax(-1)}
    model = nn.Sequential()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


@pytest.mark.parametrize("site", ["scores:out", "name:in", "softmax:in"])
def test_drop_key_on_scores_is_not_warned_of(site: str) -> None:
    noise = ng.inject(model := attending(), {site: ng.DropKey(0.4)}, seed=3)
    y = model(torch.ones(2, 8, 4))
    hidden = float((y == 0).float().mean())
    assert hidden == pytest.approx(noise.rates()[site])
    assert hidden > 0.2


def test_a_layer_of_drop_key_may_be_replaced_by_drop_key() -> None:
    model = nn.Sequential(Scores(), ng.torch.DropKey(0.5), nn.Softmax(-1))
    ng.inject(model, {"1:dropout": ng.DropKey(0.25)}, seed=3)
    assert (model(torch.ones(2, 8, 4)) == 0).any()


PARTS = {
    "0:out": nn.Linear(4, 4),
    "0:in": nn.ReLU(),
    "0:dropout": nn.Dropout(0.5),
    "0:out.0": nn.LSTM(4, 4),
}


@pytest.mark.parametrize("site", PARTS)
def test_drop_key_in_a_module_without_scores_is_warned_of(site: str) -> None:
    part = PARTS[site]
    with pytest.warns(RuntimeWarning) as caught:
        noise = ng.inject(nn.Sequential(part), {site: [ng.DropKey(0.4), ng.DropKey(0.1)]}, seed=3)
    sentence = (
        f"'{site}' has DropKey, which writes -inf for the softmax that follows scores, and a "
        f"{type(part).__name__} has no scores. Name the port `scores` of an attention, or take "
        "Dropout."
    )
    assert [str(one.message) for one in caught] == [f"noisegate: {sentence}"]
    assert noise.report().notes == (sentence,)
