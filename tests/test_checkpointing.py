"""Activation checkpointing: a segment that is computed again has the same noise."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    set_checkpoint_early_stop,
)

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _cells import mark_cells

Run = Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]


def selected(*_: Any, **__: Any) -> CheckpointPolicy:
    return CheckpointPolicy.PREFER_RECOMPUTE


WAYS: dict[str, Run] = {
    "reentrant": lambda f, x: checkpoint(f, x, use_reentrant=True),
    "non-reentrant": lambda f, x: checkpoint(f, x, use_reentrant=False),
    "without torch's RNG state": lambda f, x: checkpoint(
        f, x, use_reentrant=False, preserve_rng_state=False
    ),
    "reentrant, without torch's RNG state": lambda f, x: checkpoint(
        f, x, use_reentrant=True, preserve_rng_state=False
    ),
    "selective": lambda f, x: checkpoint(
        f,
        x,
        use_reentrant=False,
        context_fn=partial(create_selective_checkpoint_contexts, selected),
    ),
}
# torch's own, of a reentrant segment within another, whose forward runs without gradients.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
each_way = pytest.mark.parametrize("way", WAYS)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.act = nn.Linear(8, 8), nn.Tanh()
        self.drop = ng.torch.Dropout(0.4, seed=5, site="block")

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.act(self.lin(x)))


class Net(nn.Module):
    """A block that is used several times, alone and in segments of segments."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.a, self.b, self.run = Block(), Block(), run

    def nested(self, x: Tensor) -> Tensor:
        return self.run(self.a, self.run(self.b, self.run(self.a, x)))

    def forward(self, x: Tensor) -> Tensor:
        for block in (self.a, self.b, self.a):
            x = self.run(block, x)
        return self.run(self.nested, x).sum()


def plainly(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x)


def noised(run: Run) -> tuple[Net, Tensor, Any]:
    torch.manual_seed(0)
    model, x = Net(run), torch.randn(4, 8, requires_grad=True)
    noise = ng.inject(model, {"*act:out": 0.5, "b.lin:in": ng.GaussianNoise(0.3)}, seed=3)
    return model, x, noise


def gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    found = [x.grad, *(parameter.grad for parameter in model.parameters())]
    assert all(grad is not None for grad in found)
    return found  # type: ignore[return-value]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@each_way
@pytest.mark.parametrize("order", ["first", "last", "sum"])
def test_gradients_are_those_without_checkpointing(way: str, order: str) -> None:
    def train(run: Run) -> tuple[list[Tensor], list[int]]:
        model, x, noise = noised(run)
        losses = [model(x), model(2 * x)]  # two forwards before the backwards
        if order == "sum":
            (losses[0] + losses[1]).backward()
        else:
            for loss in losses if order == "first" else losses[::-1]:
                loss.backward()
        return gradients(model, x), [noise.step, model.a.drop.step, model.b.drop.step]

    plain, counts = train(plainly)
    checkpointed, same = train(WAYS[way])
    assert_equal(checkpointed, plain)
    assert counts == same == [2, 8, 4]  # a replay advances nothing


def test_the_check_can_fail() -> None:
    """A counter that goes on counting in the replay gives other gradients."""

    class Naive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = 0

        def forward(self, x: Tensor) -> Tensor:
            key = ng.Stream(5).site("block").at(self.step)
            self.step += 1
            return ng.Dropout(0.4)(x, key)

    def train(run: Run) -> list[Tensor]:
        model, x, _ = noised(run)
        model.a.drop = model.b.drop = Naive()
        model(x).backward()
        return gradients(model, x)

    with pytest.raises(AssertionError, match="not close"):
        assert_equal(train(WAYS["non-reentrant"]), train(plainly))


@pytest.mark.parametrize("early_stop", [True, False])
def test_early_stop_and_a_second_backward(early_stop: bool) -> None:
    model, x, _ = noised(WAYS["non-reentrant"])
    with set_checkpoint_early_stop(early_stop):
        loss = model(x)
        first = torch.autograd.grad(loss, x, retain_graph=True)[0]
        second = torch.autograd.grad(loss, x)[0]
    plain, y, _ = noised(plainly)
    expected = torch.autograd.grad(plain(y), y)[0]
    assert_equal([first, second], [expected, expected])


@each_way
def test_a_whole_model_in_one_segment(way: str) -> None:
    def train(run: Run) -> list[Tensor]:
        model, x, noise = noised(plainly)
        (run(model, x) + run(model, x)).backward()
        assert noise.step == 2
        return gradients(model, x)

    assert_equal(train(WAYS[way]), train(plainly))


def test_segments_remember_a_rate_and_a_silence() -> None:
    layer = ng.torch.Dropout(0.5, seed=1, site="a")
    x = torch.ones(6, 50, requires_grad=True)
    y = checkpoint(lambda x: layer(x).sin(), x, use_reentrant=False)
    layer.p = 0.9
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert_same_bits(grad != 0, y != 0)
    model, x, noise = noised(WAYS["non-reentrant"])
    with noise.off():
        loss = model(x)
    plain, z, other = noised(plainly)
    other.remove()
    (grad,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(grad, torch.autograd.grad(plain(z), z)[0])


@each_way
@pytest.mark.parametrize("whole", [True, False])
def test_segments_remember_ids_of_samples(way: str, whole: bool) -> None:
    def train(run: Run) -> list[Tensor]:
        model, x, noise = noised(plainly if whole else run)
        losses = []
        for first in (10, 20):
            ids = range(first, first + 4)
            noise.rows = {"*act:out": ids, "b.lin:in": ids[::-1]} if first == 10 else ids
            losses.append(run(model, x) if whole else model(x))
        noise.rows = [7, 8, 9, 1]
        torch.stack(losses).sum().backward()
        assert list(noise.rows) == [7, 8, 9, 1]
        return gradients(model, x)

    assert_equal(train(WAYS[way]), train(plainly))


class PassingOn(nn.Module):
    """A model with a segment that begins by passing on the tensor it is given."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin, self.run = nn.Linear(8, 8), run
        self.segment = nn.Sequential(nn.Identity(), nn.Linear(8, 8), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.segment, self.lin(x)).sin()


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("reentrant")])
def test_a_rule_acts_once_on_a_tensor_that_a_segment_is_given(way: str) -> None:
    def train(run: Run) -> list[Tensor]:
        model, x = PassingOn(run), torch.ones(4, 8, requires_grad=True)
        ng.inject(model, {"*:out": 0.5}, seed=1)
        y = model(x)
        y.sum().backward()
        return [y, *gradients(model, x)]

    assert_equal(train(WAYS[way]), train(plainly))


def test_copies_count_and_are_replayed_on_their_own() -> None:
    model, _, _ = noised(WAYS["non-reentrant"])
    twin = copy.deepcopy(model)
    results = []
    for each in (model, twin):
        x = torch.ones(4, 8, requires_grad=True)
        each(x).backward()
        results.append(x.grad)
    assert_same_bits(*results)


class Unknown(torch.autograd.Function):
    """Checkpointing that noisegate does not know, as some libraries bring their own."""

    @staticmethod
    def forward(ctx: Any, function: Any, x: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            again = x.detach().requires_grad_()
            return None, torch.autograd.grad(ctx.function(again), again, grad)[0]


def test_an_unknown_checkpointing_raises_and_never_draws_another_mask() -> None:
    layer = ng.torch.Dropout(0.5, seed=1, site="a")
    model = nn.Sequential(nn.Linear(4, 4))
    ng.inject(model, {"0:out": 0.5}, seed=1)
    rest = (
        ": a seeded noise was called inside a backward pass that torch.utils.checkpoint does not "
        "know, where its step is unknown, and another mask would make the gradient wrong. Use "
        "torch.utils.checkpoint, leave the noise out of that part, or call a kind there with a "
        "key of your own."
    )
    for function, who in ((layer, "Dropout"), (model, "inject ('0:out')")):
        y = Unknown.apply(function, torch.randn(4, 4, requires_grad=True))
        with assert_sentence(ng.RecomputationError, who + rest):
            y.sum().backward()


class CallingFunctions(nn.Module):
    """A block whose dropout is a function, within a model that computes it again by itself."""

    def __init__(self, run: Run | None = None) -> None:
        super().__init__()
        self.lin, self.run = nn.Linear(8, 8), run
        self.inner = None if run is None else CallingFunctions()

    def forward(self, x: Tensor) -> Tensor:
        if self.run is None:
            return F.dropout(self.lin(x), 0.5, self.training)
        return self.run(self.inner, x)


@pytest.mark.parametrize("example", [None, torch.ones(4, 8)])
def test_an_unknown_checkpointing_of_functions_raises_too(example: Tensor | None) -> None:
    model, x = CallingFunctions(Unknown.apply), torch.ones(4, 8, requires_grad=True)
    noise = ng.inject(model, existing=True, seed=1, example=example)
    with pytest.raises(ng.RecomputationError, match=r"^inject \('inner:dropout'\): a seeded noise"):
        model(x).sum().backward()
    model.eval()(x).sum().backward()
    with noise.off():
        model.train()(x).sum().backward()
    known = CallingFunctions(WAYS["non-reentrant"])
    ng.inject(known, existing=True, seed=1)
    known(x).sum().backward()
    known.inner(x).sum().backward()


def attend(model: nn.Module, x: Tensor) -> Tensor:
    every = x[None, None]
    return F.scaled_dot_product_attention(every, every, every, dropout_p=0.5)[0, 0]


class InSegments(CallingFunctions):
    def __init__(self, run: Run, form: str) -> None:
        super().__init__(run)
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "module":
            return self.run(self.inner, self.run(self.inner, x)) + F.dropout(x, 0.5, self.training)
        if self.form == "nested":
            return self.run(lambda y: self.run(self.inner, y) + 1, x)
        if self.form == "attention":
            return self.run(partial(attend, self), x)
        return self.run(lambda y: F.dropout(self.lin(y), 0.5, self.training), x)


@each_way
@pytest.mark.parametrize("form", ["function", "module", "nested", "attention"])
def test_segments_of_functions_have_the_gradients_without_checkpointing(
    way: str, form: str
) -> None:
    found = []
    for run in (plainly, WAYS[way]):
        torch.manual_seed(0)
        model, x = nn.Sequential(InSegments(run, form)), torch.randn(10, 8, requires_grad=True)
        ng.inject(model, {"0:out": 0.1}, existing=True, seed=3)
        model(x).square().sum().backward()
        found.append([x.grad])
    assert_equal(found[1], found[0])


@pytest.mark.parametrize(
    ("known", "form", "way"),
    mark_cells(
        [True, False],
        ["function", "module", "nested", "attention"],
        ["reentrant", "non-reentrant"],
        every=2,
    ),
)
def test_compiled_segments_have_the_noise_of_functions(way: str, form: str, known: bool) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    model, x = nn.Sequential(InSegments(WAYS[way], form), nn.ReLU()), torch.randn(10, 8)
    example = x if known else None
    noise = ng.inject(model, {"1:out": 0.1}, existing=True, seed=3, example=example)
    fast = torch.compile(model, backend="aot_eager", fullgraph=True)
    found = []
    for run in (model, fast, fast):
        leaf = x.clone().requires_grad_()
        with noise.at(0):
            y = run(leaf)
            y.square().sum().backward()
        found.append([y.detach(), leaf.grad])
    assert_equal(found[1], found[0])
    assert_equal(found[2], found[0])
