"""A residual block whose calls differ from one to the next."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_sentence
from _residual import Deep, expect, inputs, read_kept

RULE = "layers.*:branch"


class Told(nn.Module):
    """A block whose output depends on more than its input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)
        self.runs = 0

    def forward(self, x: Tensor, way: Any = None, **more: Any) -> Any:
        self.runs += self.training
        y = x + self.inner(x)
        if way == "pair":
            return y, {"scale": more.get("scale")}
        return y if way is None else (y,)


class Teller(nn.Module):
    """A model that passes on what its block is told."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Told()])

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.layers[0](x, *args, **kwargs)


@pytest.mark.parametrize("first", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("then", [torch.float32, torch.float64, torch.bfloat16])
def test_a_dropped_block_has_the_dtype_of_this_call(first: torch.dtype, then: torch.dtype) -> None:
    model = Deep(2).to(first)
    ng.inject(model, {RULE: 1.0}, seed=3)
    model(inputs().to(first))
    x = inputs().to(then)
    y = model.to(then)(x)
    assert y.dtype is then
    assert torch.equal(y, x)


class Sum(nn.Module):
    """A block whose output has the dtype of autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.inner(x)


@pytest.mark.parametrize("autocast", [(True, False), (False, True)])
def test_a_dropped_block_has_the_dtype_that_autocast_gives_it(autocast: tuple[bool, bool]) -> None:
    x, model = inputs().float(), Deep(1, make=Sum)
    ng.inject(model, {RULE: 1.0}, seed=3)
    for on in autocast:
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            y = model(x)
        assert y.dtype is (torch.bfloat16 if on else torch.float32)
        assert torch.equal(y, x.to(y.dtype))


MOVES = [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]


@pytest.mark.parametrize("move", MOVES)
def test_a_dropped_block_has_the_output_of_the_arguments_of_this_call(
    move: Callable[[nn.Module], nn.Module],
) -> None:
    x, model = inputs().float(), Teller()
    ng.inject(model, {RULE: 1.0}, seed=3)
    model(x)
    model = move(model)
    for scale in (1, 2.0, True, "word", None):
        y, more = model(x, "pair", scale=scale)
        assert torch.equal(y, x)
        assert more == {"scale": scale}
        assert type(more["scale"]) is type(scale)
    (y,) = model(x, way="one")
    assert torch.equal(y, x)
    assert torch.equal(model(x), x)


def test_a_dropped_block_is_computed_once_for_each_way_to_call_it() -> None:
    x, model = inputs().float(), Teller()
    ng.inject(model, {RULE: 1.0}, seed=3)
    for way in (None, "one", "pair", None, "one", "pair", None):
        model(x, way)
    assert model.layers[0].runs == 2  # the first way is known of the run in evaluation


def test_a_block_that_is_given_a_function_is_computed() -> None:
    x, model = inputs().float(), Teller()
    ng.inject(model, {RULE: 1.0}, seed=3)
    for number in range(3):
        y, more = model(x, "pair", scale=lambda value=number: value)
        assert torch.equal(y, x)
        assert more["scale"]() == number
    assert model.layers[0].runs == 3


class Normed(nn.Module):
    """A block with a batch normalization, which takes no single sample."""

    def __init__(self, norm: Any = nn.BatchNorm1d) -> None:
        super().__init__()
        self.inner, self.norm, self.seen = nn.Linear(6, 6), norm(6), list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen += [len(x)] * self.training
        return x + self.norm(self.inner(x))


def test_a_batch_normalization_never_sees_a_single_kept_sample() -> None:
    model, x = Deep(1, make=Normed), inputs(4).float()
    noise = ng.inject(model, {RULE: 0.7}, seed=3)
    for step in range(20):
        y, kept = model(x), read_kept(noise, "layers.0:branch", step)
        assert torch.equal(y[~kept], x[~kept])
        assert not torch.isclose(y[kept], x[kept]).all(1).any()
    seen = model.layers[0].seen
    assert 1 not in seen
    assert 4 in seen
    assert {2, 3} & set(seen)
    assert noise.report().notes == (
        "'layers.0:branch' computes all samples: its BatchNorm1d needs more than the one that is "
        "kept.",
    )


class Shared(nn.BatchNorm1d, nn.SyncBatchNorm):
    """A normalization that waits for the other processes, but for this test."""

    forward = nn.BatchNorm1d.forward  # type: ignore[assignment]


def test_a_block_that_waits_for_other_processes_is_always_called() -> None:
    model, x = Deep(1, make=lambda: Normed(Shared)), inputs(4).float()
    noise = ng.inject(model, {RULE: 1.0}, seed=3)
    for _ in range(3):
        y = model(x)
    assert torch.equal(y, x)
    assert model.layers[0].seen == [4, 4, 4]
    y.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
    assert noise.report().notes == (
        "'layers.0:branch' computes all samples: its Shared waits for other processes, which may "
        "keep some.",
    )


class Stem(nn.Module):
    """A model with one block of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.last = Told(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(x))  # type: ignore[no-any-return]


def test_a_module_alone_may_be_named_as_a_block() -> None:
    torch.manual_seed(0)
    model, x = Stem(), inputs().float()
    plain = copy.deepcopy(model)
    noise = ng.inject(model, {"block:branch": 0.5}, seed=3)
    y, kept = model(x), read_kept(noise, "block:branch", 0)
    assert 0 < kept.sum() < len(x)
    torch.testing.assert_close(y, plain.last(expect(plain.block, x, kept, 0.5)))
    with assert_sentence(
        ng.UnmatchedRule,
        "inject: the rule 'last:branch' matches no site. The nearest sites are 'last:in', "
        "'last:out', ':in'.",
    ):
        ng.inject(model, {"last:branch": 0.5}, seed=3)


def test_a_module_that_is_named_as_a_block_and_changes_the_shape_is_refused() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(6, 4)))
    ng.inject(model, {"0:branch": 0.5}, seed=3)
    with assert_sentence(
        ng.InvalidValue,
        "inject: '0:branch' is no residual block: its input has the shape (8, 6), and its output "
        "the shape (8, 4). Name the blocks inside of it, or leave it out.",
    ):
        model(inputs().float())
