"""Noise in an attention that is written as equations, in any order of axes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from noisegate.torch.model.eager_attention import find_axes_of_scores

SAMPLES, QUERIES, KEYS, HEADS, WIDTH, P = 3, 4, 5, 2, 6, 0.5
Q = torch.randn(SAMPLES, QUERIES, HEADS, WIDTH)
K, V = torch.randn(2, SAMPLES, KEYS, HEADS, WIDTH)

# The order of the probabilities' axes and that of the result's: batch, head, query, key, feature.
ORDERS = ["bhqk", "bqhk", "hbqk", "qbhk", "qhbk"]
RESULTS = ["bqhd", "bhqd", "qbhd"]
MASK = torch.rand(QUERIES, KEYS) < 0.8
MASK[:, 0] = True


class Attends(nn.Module):
    def __init__(self, order: str, result: str, turned: bool = False, p: float = 0.0) -> None:
        super().__init__()
        self.order, self.result, self.turned, self.p = order, result, turned, p

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.turned:
            scores = torch.einsum(f"bkhd,bqhd->{self.order}", k, q) / WIDTH**0.5
        else:
            scores = torch.einsum(f"bqhd,bkhd->{self.order}", q, k) / WIDTH**0.5
        mask = torch.einsum(
            "bhqk->" + self.order, MASK[None, None, : q.shape[1], : k.shape[1]] * 1.0
        )
        # Each as models write it: the mask's axes have the order of the scores'.
        scores = torch.where(mask > 0, scores.float(), -1e9) if self.turned else mask * 0 + scores
        probs = F.dropout(scores.softmax(-1), self.p, self.training)
        if self.turned:
            return torch.einsum(f"bkhd,{self.order}->{self.result}", v, probs)
        return torch.einsum(f"{self.order},bkhd->{self.result}", probs, v)


def to_heads(y: Tensor, result: str) -> Tensor:
    """Return (batch, head, query, feature)."""
    return torch.einsum(f"{result}->bhqd", y)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_number_drops_whole_heads_of_samples(order: str, result: str, turned: bool) -> None:
    model = Attends(order, result, turned)
    plain = to_heads(model(Q, K, V), result)
    with ng.inject(model, {":heads": P}, seed=13) as noise:
        y = to_heads(model(Q, K, V), result)
        kept = torch.from_numpy(noise.mask(":heads", 0).copy())
    assert kept.shape == plain.shape
    torch.testing.assert_close(y, torch.where(kept, plain / (1 - P), 0.0))
    gone = (y == 0).flatten(2)
    assert torch.equal(gone.all(2), gone.any(2))
    assert 0 < gone.all(2).sum() < SAMPLES * HEADS


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_axes_changes_nothing(order: str) -> None:
    runs: list[Any] = []
    for one in (order, "bhqk"):
        model = Attends(one, "bqhd")
        ng.inject(model, {":heads": [P, ng.GaussianNoise(0.1)]}, seed=13)
        runs.append(model(Q, K, V))
    torch.testing.assert_close(*runs)


@pytest.mark.parametrize("order", ORDERS)
def test_the_noise_of_a_sample_does_not_depend_on_others(order: str) -> None:
    model = Attends(order, "bqhd")
    noise = ng.inject(model, {":heads": P}, seed=13)
    with noise.at(0):
        y = model(Q, K, V)
    with noise.at(0):
        first = model(Q[:2], K[:2], V[:2])
    torch.testing.assert_close(first, y[:2])


# Values without heads, or with fewer, and positions in the place of values.
OTHERS = {
    "bhqk,bkd->bhqd": ((3, 2, 4, 5), (3, 5, 6)),
    "bghqk,bgkd->bghqd": ((3, 2, 2, 4, 5), (3, 2, 5, 6)),
    "bhqk,qkd->bhqd": ((3, 2, 4, 5), (4, 5, 6)),
}


@pytest.mark.parametrize("equation", OTHERS)
def test_values_may_lack_axes_of_the_probabilities(equation: str) -> None:
    class Weighs(nn.Module):
        def forward(self, scores: Tensor, values: Tensor) -> Tensor:
            return torch.einsum(equation, scores.softmax(-1), values)

    model, given = Weighs(), tuple(map(torch.randn, OTHERS[equation]))
    plain = model(*given)
    noise = ng.inject(model, {":heads": P}, seed=13)
    y, kept = model(*given), torch.from_numpy(noise.mask(":heads", 0).copy())
    torch.testing.assert_close(y, torch.where(kept, plain / (1 - P), 0.0))
    assert torch.equal(kept.all(-1).all(-1), kept.any(-1).any(-1))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("port", ["scores", "probs"])
@pytest.mark.parametrize("order", ORDERS)
def test_scores_and_probabilities_have_the_noise_of_the_usual_order(
    order: str, port: str, turned: bool
) -> None:
    runs: list[Any] = []
    for one in (order, "bhqk"):
        model = Attends(one, "bqhd", turned, 0.1)
        noise = ng.inject(model, {f":{port}": P}, existing=True, seed=13)
        with noise.at(0):
            y = model(Q, K, V)
        runs.append((y, torch.from_numpy(noise.mask(f":{port}", 0).copy())))
        with noise.at(0):
            torch.testing.assert_close(model(Q[:2], K[:2], V[:2]), y[:2])
        assert runs[-1][1].shape == (SAMPLES, HEADS, QUERIES, KEYS)
    torch.testing.assert_close(*runs)


@pytest.mark.parametrize("port", ["scores", "probs"])
def test_the_order_is_known_in_graphs(port: str) -> None:
    model = Attends("hbqk", "bqhd", True, 0.1)
    noise = ng.inject(model, {f":{port}": P}, existing=True, example=(Q, K, V), seed=13)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with noise.at(3):
        y = model(Q, K, V)
    with noise.at(3):
        torch.testing.assert_close(compiled(Q, K, V), y)


class Turns(nn.Module):
    """With an equation's result that is turned before the softmax."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.einsum("bqhd,bkhd->bqhk", q, k).transpose(1, 2) / WIDTH**0.5
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def test_a_result_that_is_turned_has_the_axes_that_it_is_turned_to() -> None:
    runs = []
    for model in (Turns(), Attends("bhqk", "bqhd")):
        ng.inject(model, {":scores": P}, seed=13)
        runs.append(model(Q[:, :HEADS], K[:, :HEADS], V[:, :HEADS]))
    assert runs[0].shape == (SAMPLES, HEADS, HEADS, WIDTH)  # as many queries as heads


# Equations of scores, and what they become as (samples, heads, queries, keys).
TOLD = {
    "bqhd,bkhd->hbqk": "bhqk",
    "bkhd,bqhd->bqhk": "bhqk",
    "bnqhd,bnkhd->nhbqk": "bnhqk",
    "bqd,bkd->qbk": "bqk",
    "qbhd,kbhd->bhqk": "bhqk",
}
# Which of q and h is the query cannot be told, nor what "..." is; keys that are not last.
UNTOLD = ["bqhd,bkd->hbqk", "...qhd,...khd->...qhk", "bqhd,bkhd->bhkd", "bhd,bhd->bhd"]


@pytest.mark.parametrize("equation", TOLD)
def test_what_an_equation_of_scores_tells(equation: str) -> None:
    result = equation.partition("->")[2]
    axes = find_axes_of_scores(equation)
    assert axes is not None
    assert "".join(result[axis] for axis in axes) == TOLD[equation]


@pytest.mark.parametrize("equation", UNTOLD)
def test_what_it_does_not_tell(equation: str) -> None:
    assert find_axes_of_scores(equation) is None
