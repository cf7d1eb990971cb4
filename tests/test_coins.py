"""Layers that a model skips at random, and the warnings of a prediction about a model's draws."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _draws import FUNCTIONS, beside
from _functional import X
from noisegate.torch import generators

# Coins ---------------------------------------------------------------------------------------


class Skipping(nn.Module):
    """An encoder that skips layers at random."""

    def __init__(self, rate: float, toss: Callable[[], Any], run_below: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Attending() for _ in range(4))
        self.drop = nn.Dropout(0.1)
        self.rate, self.toss, self.run_below = rate, toss, run_below

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if not self.training or (self.toss() < self.rate) == self.run_below:
                x = layer(x)
        return self.drop(x)


class Attending(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x[None]
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.3 * self.training)[0]


GENERATOR = torch.Generator()
COINS: dict[str, Callable[[], Any]] = {
    "torch.rand": lambda: torch.rand([]),
    "torch.rand, one": lambda: torch.rand(1),
    "torch.rand, item": lambda: torch.rand(()).item(),
    "torch.rand_like": lambda: torch.rand_like(torch.ones(())),
    "uniform_": lambda: torch.empty(1).uniform_(0, 1),
    "random.random": lambda: random.random(),
    "random.uniform": lambda: random.uniform(0, 1),
    "np.random.random": lambda: np.random.random(),  # noqa: NPY002
    "np.random.rand": lambda: np.random.rand(),  # noqa: NPY002
    "np.random.uniform": lambda: np.random.uniform(0, 1),  # noqa: NPY002
}


OTHERS = [name for name in COINS if "random." in name]


# With `draws="dropout"` these are left alone.
BY_SEED = [(name, "all") for name in COINS]
BY_SEED += [(name, "dropout") for name in COINS if name not in OTHERS]


@pytest.mark.parametrize("run_below", [False, True])
@pytest.mark.parametrize(("name", "draws"), BY_SEED)
def test_predictions_skip_layers_at_random_by_their_seed(
    name: str, run_below: bool, draws: str
) -> None:
    words = {"keep_samples": True, "draws": draws}
    model, found = Skipping(0.5, COINS[name], run_below), set()
    for seed in range(4):
        generators.seed_all(seed, later=False)
        before = generators.save_state()
        prediction = ng.predict(model, X, 8, existing=True, seed=7, **words)
        assert str(generators.save_state()) == str(before)
        assert prediction.samples is not None
        assert len({sample.tobytes() for sample in prediction.samples}) == 8
        found.add(prediction.mean.sum())
    assert len(found) == 1


@pytest.mark.parametrize("run_below", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_where_coins_are_left_alone_predictions_skip_no_layer(name: str, run_below: bool) -> None:
    model, found = Skipping(0.5, COINS[name], run_below), set()
    functions = random.random, random.uniform, np.random.random, np.random.rand
    for seed in range(4):
        generators.seed_all(seed, later=False)
        with pytest.warns(RuntimeWarning, match="predict: random numbers are drawn in training"):
            prediction = ng.predict(
                model, X, 5, existing=True, seed=7, keep_samples=True, draws="dropout"
            )
        found.add(prediction.mean.sum())
        assert prediction.samples is not None
    assert len(found) == 1
    assert functions == (random.random, random.uniform, np.random.random, np.random.rand)
    words = {"unreached": "keep", "draws": "dropout"}
    noise = ng.inject(model, existing=True, example=X, seed=1, **words)
    sites = {f"layers.{i}:probs" for i in range(4)}
    assert set(noise.sites) == sites | {"drop:dropout"}


def test_a_coin_that_is_left_alone_warns_once_and_a_rate_of_0_does_not() -> None:
    model = Skipping(0.25, lambda: torch.rand([], generator=GENERATOR))
    sentence = (
        "The model's forward decides at random what runs: torch.rand in Skipping, at rate 0.25, "
        "which existing=True does not take over."
    )
    noise = ng.inject(model, existing=True, seed=1)
    with pytest.warns(RuntimeWarning) as caught:
        model(X)
    model.rate = 0.5
    model(X)  # warns no more
    assert [str(w.message) for w in caught] == [f"noisegate: {sentence}"]
    assert noise.report().notes == (sentence,)
    noise.remove()
    kept = ng.inject(model, existing=True, unreached="keep", seed=1)
    model(X)
    assert kept.report().notes == (sentence.replace("0.25", "0.5"),)
    kept.remove()
    model.rate = 0.0
    quiet = ng.inject(model, existing=True, seed=1)
    model(X)
    assert quiet.report().notes == ()
    quiet.remove()
    ng.predict(model, X, 3, existing=True, seed=1)


@pytest.mark.parametrize(
    "toss",
    [
        lambda: torch.rand((), generator=GENERATOR).item(),
        lambda: torch.empty(1).uniform_(0, 1, generator=GENERATOR),
    ],
)
def test_a_number_decides_where_it_is_compared_and_only_there(toss: Callable[[], Any]) -> None:
    model = Skipping(0.25, toss)
    ng.inject(model, existing=True, seed=1)
    with pytest.warns(RuntimeWarning, match="decides at random what runs"):
        model(X)
    shaken = beside(lambda: X * torch.rand(1, generator=GENERATOR))
    noise = ng.inject(shaken, existing=True, seed=1)
    shaken(X)
    assert noise.report().notes == (
        "'1' draws random numbers: torch.rand in Drawing, for no known dropout.",
    )


# Predictions ---------------------------------------------------------------------------------


def said(model: nn.Module, **words: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ng.predict(model, X, 8, seed=1, **words)
    return [str(w.message) for w in caught]


def test_a_prediction_says_what_it_is_without_and_what_its_seed_does_not_reach() -> None:
    out = (
        "predict: random numbers are drawn in training alone by '1' (torch.rand in Drawing), so "
        "these samples are without them. Put noise there with rules=."
    )
    unrepeatable = (
        "predict: random numbers are drawn in evaluation by '1' ({} in Drawing), from generators "
        "that the seed does not reach, so another run gives other samples."
    )
    draw = FUNCTIONS["torch.rand"]
    left = {"existing": True, "draws": "dropout"}
    assert said(beside(draw), **left) == [out]
    for words in ({"existing": True}, {"input_dropout": 0.5}):
        assert said(beside(draw), **words) == []
    assert said(beside(draw, always=True), existing=True) == []
    for words in (left, {"input_dropout": 0.5}):
        assert said(beside(draw, always=True), **words) == [unrepeatable.format("torch.rand")]
    mask = beside(FUNCTIONS["torch.bernoulli"], always=True)
    expected = [unrepeatable.format("torch.bernoulli")]
    assert said(mask, existing=True, unreached="keep") == []
    assert said(mask, input_dropout=0.5) == expected


class AlwaysOn(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


def test_a_function_that_stays_on_is_as_its_module_s_mode_says() -> None:
    model = nn.Sequential(nn.Linear(8, 8), AlwaysOn())
    noise = ng.inject(model, existing=True, example=X, seed=1)
    assert noise.report().notes == ()
    assert (model(X) == 0).any()
    model.eval()
    assert torch.equal(model(X), model[0](X))
    assert noise.report().notes == (
        "'1:dropout' (F.dropout(p=0.5)) is on in evaluation too, as the model's code calls it; it "
        "is taken over as its module's mode says.",
    )
    noise.remove()
    assert said(model, existing=True) == []
    assert said(model, rules={"0:out": 0.3}) == [
        "predict: random numbers are drawn in evaluation by '1:dropout' (F.dropout(p=0.5)), from "
        "generators that the seed does not reach, so another run gives other samples."
    ]


def test_a_rate_that_only_evaluation_shows_is_told() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                return x
            return F.scaled_dot_product_attention(x[None], x[None], x[None])[0]

    model = nn.Sequential(nn.Dropout(0.1), Odd())
    assert said(model, existing=True, unreached="keep") == [
        "predict: '1:probs' (scaled_dot_product_attention(dropout_p=0)) was not reached in "
        "training, where its rate is looked for; it is left at 0. Give it one with rules=."
    ]
