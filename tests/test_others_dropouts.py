"""Drop paths, DropBlock and other dropouts of other libraries: their formulas, with keyed draws."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from _draws import run_at, seed
from noisegate.core.distributions import sample
from noisegate.core.window import window_of
from noisegate.torch.application import CPU

X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
# Draws numbers of a distribution, given a tensor of the wanted shape and the probability.
Draw = Callable[[str, Tensor, float], Tensor]


def draw_by_torch(distribution: str, like: Tensor, p: float = 0.5) -> Tensor:
    if distribution == "uniform":
        return torch.rand(like.shape)
    return torch.empty_like(like).bernoulli_(p)


def drop_path(x: Tensor, draw: Draw) -> Tensor:  # as timm's
    return x * draw("bernoulli", torch.empty(len(x), 1, 1, 1), 0.7).div_(0.7)


def drop_batch(x: Tensor, draw: Draw) -> Tensor:  # as torchvision's with mode="batch"
    return x * draw("bernoulli", torch.empty(1, 1, 1, 1), 0.7).div_(0.7)


def drop_connect(x: Tensor, draw: Draw) -> Tensor:  # as EfficientNet's
    return x / 0.7 * (0.7 + draw("uniform", torch.empty(len(x), 1, 1, 1), 0.0)).floor_()


def drop_time(x: Tensor, draw: Draw) -> Tensor:  # as fastai's: one mask for all steps
    return x * draw("bernoulli", torch.empty(len(x), 1, 6, 6), 0.7).div_(0.7)


def drop_columns(x: Tensor, draw: Draw) -> Tensor:  # as TabNet's obfuscator
    return (1 - draw("bernoulli", torch.empty(len(x), 6), 0.3))[:, None, None] * x


def drop_block(x: Tensor, draw: Draw) -> Tensor:  # as timm's, which scales by the batch
    seeds = (draw("uniform", torch.empty(x.shape), 0.0) < 0.1).float()
    keep = 1 - F.max_pool2d(seeds, 3, 1, 1)
    return x * keep * (keep.numel() / keep.sum().add(1e-7))


def drop_block_unscaled(x: Tensor, draw: Draw) -> Tensor:  # as torchvision's, but for the scale
    seeds = draw("bernoulli", torch.empty(len(x), 3, 4, 4), 0.1)
    return x * (1 - F.max_pool2d(F.pad(seeds, [1] * 4), 3, 1, 1))


FORMULAS = [
    drop_path, drop_batch, drop_connect, drop_time, drop_columns, drop_block, drop_block_unscaled
]  # fmt: skip


class Dropping(nn.Module):
    """A module of a formula, in training alone."""

    def __init__(self, formula: Callable[[Tensor, Draw], Tensor]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x, draw_by_torch) if self.training else x


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_of_another_library_has_keyed_draws(formula: Any) -> None:
    model = nn.Sequential(nn.Identity(), Dropping(formula))
    noise = ng.inject(model, existing=True, seed=1, example=X)
    y = run_at(noise, 3, lambda: model(X))

    def draw(distribution: str, like: Tensor, p: float = 0.5) -> Tensor:
        key = ng.Stream(1).site("1:draw").at(3)
        rows, axis = (range(len(X)), 0) if len(like) == len(X) else (None, None)
        window = window_of(tuple(like.shape), (), rows, axis)
        words = {"uniform": {"low": 0.0, "high": 1.0}, "bernoulli": {"p": p}}[distribution]
        drawn: Tensor = sample(CPU, distribution, key, window, "float32", **words)
        return drawn

    assert_same_bits(y, formula(X, draw))
    assert not torch.equal(y, X)
    if formula is not drop_block:
        assert_same_bits(run_at(noise, 3, lambda: model(X[:2]), 5), y[:2])
    noise.remove()
    seed(1)
    left = model(X)
    seed(1)
    assert_same_bits(left, formula(X, draw_by_torch))


# Rules -------------------------------------------------------------------------------------------


class DropBlock2d(Dropping):
    """DropBlock under another library's name, with that library's formula."""

    def __init__(self) -> None:
        super().__init__(drop_block)
        self.p = 0.1


class RNNDropout(Dropping):
    """One mask for all steps."""

    def __init__(self) -> None:
        super().__init__(drop_time)


class DropPath(Dropping):
    """A drop path with its usual name."""

    def __init__(self) -> None:
        super().__init__(drop_path)
        self.drop_prob = 0.3


REPLACED: list[tuple[Callable[[], nn.Module], ng.Kind]] = [
    (DropBlock2d, ng.DropBlock(0.2, 3)),
    (RNNDropout, ng.Dropout(0.2, shared_axes=(1,))),
    (DropPath, ng.drop_path(0.2)),
]


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(("make", "kind"), REPLACED)
def test_a_rule_takes_the_place_of_another_library_s_dropout(
    make: Callable[[], nn.Module], kind: ng.Kind, existing: bool
) -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(make()))
    clean = copy.deepcopy(model)
    noise = ng.inject(model, {"*.0:dropout": kind}, existing=existing, seed=1)
    x = model[0](X)
    y = run_at(noise, 3, lambda: model(X))
    assert_same_bits(y, kind(x, ng.Stream(1).site("1.0:dropout").at(3)))
    assert noise.sites == ("1.0:dropout",)
    assert noise.report().notes == ()
    assert torch.equal(model.eval()(X), x)
    model.train()
    for other in (noise.off(), None):
        if other is None:
            noise.on()
            noise.remove()
        seed(1)
        left = model(X)
        seed(1)
        assert_same_bits(left, clean(X))
    assert "forward" not in vars(model[1][0])


def test_a_rule_takes_its_place_in_a_compiled_model_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), DropBlock2d())
    noise = ng.inject(model, {"1:dropout": ng.DropBlock(0.2, 3)}, seed=1)
    y = run_at(noise, 3, lambda: model(X))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with noise.at(3):
        assert_same_bits(compiled(X), y)
    torch.compiler.reset()


def test_without_a_rule_their_own_formula_stays() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), DropBlock2d())
    noise = ng.inject(model, existing=True, seed=1)
    first = run_at(noise, 3, lambda: model(X), 1)
    assert_same_bits(run_at(noise, 3, lambda: model(X), 2), first)
    assert noise.sites == ()
    assert noise.report().notes == (
        "'1:draw' (torch.rand in DropBlock2d) is drawn from the seed: the numbers of each sample.",
    )
