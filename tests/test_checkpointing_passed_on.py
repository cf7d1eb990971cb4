"""A segment that passes on its input, which a rule has acted on already, runs again as it ran."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

import noisegate as ng

# torch's own, of a reentrant segment within another, whose forward runs without gradients.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")

Run = Callable[..., Any]


def nest(run: Any, *inputs: Any) -> Any:
    def outer(*inputs: Any) -> Any:
        return checkpoint(run, *inputs, use_reentrant=True)

    return checkpoint(outer, *inputs, use_reentrant=True)


def move(run: Any, *inputs: Any) -> Any:
    with save_on_cpu():
        return checkpoint(run, *inputs, use_reentrant=False)


def move_reentrant(run: Any, *inputs: Any) -> Any:
    with save_on_cpu():
        return checkpoint(run, *inputs, use_reentrant=True)


WAYS: dict[str, Run] = {
    "reentrant": lambda run, *inputs: checkpoint(run, *inputs, use_reentrant=True),
    "non-reentrant": lambda run, *inputs: checkpoint(run, *inputs, use_reentrant=False),
    "nested": nest,
    "saved on the CPU": move,
    "reentrant, saved on the CPU": move_reentrant,
}


class Waves(nn.Module):
    """Segments that begin or end by passing on what they are given."""

    def __init__(self, run: Run | None) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Tanh())
        self.wrap = nn.Sequential(nn.Identity(), nn.Identity())
        self.two, self.last = nn.ModuleList([nn.Identity(), nn.Identity()]), nn.Identity()
        self.run: Run = run or (lambda run, *inputs: run(*inputs))

    def begin(self, x: Tensor) -> Tensor:
        return self.wrap(x).exp()

    def join(self, x: Tensor, y: Tensor, scale: float) -> Tensor:
        return self.two[0](x).sin() * self.two[1](y).exp() * scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.first(x)
        x = self.run(self.begin, seen).sin()
        x = self.run(self.join, x, self.first(x), 2.0)
        x = self.run(self.begin, self.first(x))
        return self.last(self.run(self.wrap, self.first(x))).sin(), seen


def differentiate(way: str | None, compiled: str, rules: Any) -> list[Tensor]:
    torch.compiler.reset()
    model = Waves(None if way is None else WAYS[way])
    ng.inject(model, rules, seed=1)
    for name in compiled.split():
        model.get_submodule(name).compile(backend="aot_eager", fullgraph=True)
    x = torch.linspace(-1, 1, 64).reshape(8, 8).requires_grad_()
    y, seen = model(x)
    y.sum().backward()
    assert x.grad is not None
    assert not vars(seen)
    assert not vars(x)
    return [y.detach(), x.grad]


RULES: dict[str, Any] = {
    "everywhere": {"*:out": 0.5},
    "two rules": {"*:out": 0.5, "two.*:in": ng.GaussianNoise(0.3), "first.0:out": 0.2},
}


@cache
def differentiate_plainly(compiled: str, name: str) -> list[Tensor]:
    """Return what there is without segments, once for all ways."""
    return differentiate(None, compiled, RULES[name])


@pytest.mark.parametrize(
    ("compiled", "name"),
    [
        ("", "everywhere"),
        ("", "two rules"),
        ("first", "everywhere"),
        ("first wrap two.0 two.1", "everywhere"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_rule_acts_once_on_what_a_segment_passes_on(way: str, compiled: str, name: str) -> None:
    found = differentiate(way, compiled, RULES[name])
    for mine, theirs in zip(found, differentiate_plainly(compiled, name), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_pinned_step_and_another_forward_change_nothing() -> None:
    def train(way: str | None) -> list[Any]:
        model = Waves(None if way is None else WAYS[way])
        noise = ng.inject(model, {"*:out": 0.5}, seed=1)
        leaves = [torch.linspace(-1, 1, 64).reshape(8, 8).requires_grad_() for _ in range(3)]
        with noise.at(3):
            ends = [model(leaf)[0] for leaf in leaves[:2]]
            seen = model.first(leaves[2])  # by itself, outside of a forward
            ends.append(model.run(model.begin, seen).sin())
        for end in ends[::-1]:
            end.sum().backward()
        return [leaf.grad for leaf in leaves]

    for way in WAYS:
        for mine, theirs in zip(train(way), train(None), strict=True):
            torch.testing.assert_close(mine, theirs)
