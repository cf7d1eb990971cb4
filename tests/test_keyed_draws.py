"""Whatever a model's own code draws is made from the seed, by site, step and sample."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _draws import DISTRIBUTIONS, FUNCTIONS, UNSEEN, arguments, operators, read_states, run_at, seed
from _families import FAMILIES, make, run
from noisegate.core.distributions import sample
from noisegate.core.window import window_of
from noisegate.torch.application import CPU

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Calling(nn.Module):
    """A module that keeps what a call of random numbers gives."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self.call, self.drawn = call, None

    def forward(self, x: Tensor) -> Tensor:
        self.drawn = self.call()
        return x


class Function(nn.Module):
    """A module of a function of its input, in training alone."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) if self.training else x


def of_operator(operator: Any) -> Any:
    args, kwargs = arguments(operator)
    return operator(*args, **kwargs)


def find_calls() -> dict[str, Callable[[], Any]]:
    """Return every call that draws, but for those with a generator and those that seed one."""
    calls = {**FUNCTIONS, **{name: call for name, (call, _) in DISTRIBUTIONS.items()}}
    calls |= {name: call for name, (call, _) in UNSEEN.items() if name != "seeding"}
    for name, operator in operators().items():
        if not name.partition(".")[2].count("generator"):
            calls[f"aten.{name}"] = lambda operator=operator: of_operator(operator)
    return calls


CALLS = find_calls()
# Its cells saturate, or it takes one of few values.
SATURATED = ("aten.rnn", "F.fractional_max_pool2d", "np.random.permutation", "random.choice")


def show(drawn: Any) -> Any:
    return drawn.tolist() if isinstance(drawn, Tensor | np.ndarray) else repr(drawn)


@pytest.mark.parametrize("name", CALLS)
def test_every_draw_is_the_same_at_a_step_and_moves_no_generator(name: str) -> None:
    model = nn.Sequential(Calling(CALLS[name]))
    noise = ng.inject(model, existing=True, seed=1)
    drawn = []
    for number, step in enumerate((0, 0, 1)):
        run_at(noise, step, lambda: model(X), number)
        drawn.append(show(model[0].drawn))
    assert drawn[0] == drawn[1]
    assert name.startswith(SATURATED) or drawn[0] != drawn[2]


# Samples -----------------------------------------------------------------------------------------


def drop_paths(x: Tensor) -> Tensor:
    return x * torch.rand(len(x), 1).add(0.7).floor() / 0.7


def drop_patches(x: Tensor) -> Tensor:
    return x.gather(1, torch.rand(x.shape).argsort(1)[:, :3])


def sample_gaussian(x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def mask_by_hand(x: Tensor) -> Tensor:
    return x * torch.bernoulli(torch.full_like(x, 0.5))


def drop_in_windows(x: Tensor) -> Tensor:
    windows = x.reshape(len(x) * 2, 3)  # two of each sample
    return (windows * torch.rand(len(windows), 1)).reshape(x.shape)


def slope(x: Tensor) -> Tensor:
    return F.rrelu(x, training=True)


def scale_by_others(x: Tensor) -> Tensor:
    return x * torch.from_numpy(np.random.rand(6)).float() * random.random()  # noqa: NPY002


BY_SAMPLE = [drop_paths, drop_patches, sample_gaussian, mask_by_hand]


@pytest.mark.parametrize("example", [None, X])
@pytest.mark.parametrize("function", BY_SAMPLE)
def test_a_sample_s_draw_depends_on_no_other_sample(function: Any, example: Tensor | None) -> None:
    model = nn.Sequential(Function(function))
    noise = ng.inject(model, existing=True, seed=1, example=example)
    whole = run_at(noise, 3, lambda: model(X))
    assert_same_bits(run_at(noise, 3, lambda: model(X[:2]), 1), whole[:2])
    parts = run_at(noise, 3, lambda: torch.cat([model(X[:1]), model(X[1:])]), 2)
    assert_same_bits(parts, whole)
    order = [2, 0, 3, 1]
    noise.rows = order
    assert_same_bits(run_at(noise, 3, lambda: model(X[order]), 3), whole[order])
    assert "the numbers of each sample" in noise.report().notes[0]


def test_samples_in_parts_are_found_by_runs_on_an_example() -> None:
    model = nn.Sequential(Function(drop_in_windows))
    noise = ng.inject(model, existing=True, seed=1, example=X)
    whole = run_at(noise, 3, lambda: model(X))
    assert_same_bits(run_at(noise, 3, lambda: model(X[:2])), whole[:2])
    rows = noise.draws.known["0:draw"]
    assert rows == (0, 2)


def test_an_axis_of_the_batch_s_length_is_not_the_batch_if_runs_have_shown_it() -> None:
    def shift(x: Tensor) -> Tensor:
        return x + torch.rand(4, 6).mean()

    model = nn.Sequential(Function(shift))
    noise = ng.inject(model, existing=True, seed=1, example=X)
    whole = run_at(noise, 3, lambda: model(X))
    noise.rows = [5, 6, 7, 8]
    assert_same_bits(run_at(noise, 3, lambda: model(X)), whole)


# Predictions -------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """A variational encoder: it samples in training alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mean, self.out = nn.Linear(6, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.mean(x)
        if self.training:
            z = z + torch.randn_like(z)
        y: Tensor = self.out(z)
        return y


@pytest.mark.parametrize("model", [Encoder(), nn.Sequential(nn.Linear(6, 6), Function(drop_paths))])
def test_a_prediction_has_the_draws_of_training_for_any_batches(model: nn.Module) -> None:
    model.eval()
    words: dict[str, Any] = {"existing": True, "seed": 1, "quantiles": (), "keep_samples": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = ng.predict(model, X, 12, **words).samples
        parts = ng.predict(model, X, 12, batch_size=1, **words).samples
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert whole.std(0).min() > 0 or "drop" in str(model)
    assert not any(module.training for module in model.modules())


# What stays as it was ----------------------------------------------------------------------------


def test_only_dropouts_are_made_from_the_seed_if_asked_for() -> None:
    def draw(x: Tensor) -> Tensor:
        return x + torch.rand(4, 1) * torch.bernoulli(torch.full((1, 1), 0.5)) + random.random()

    model = nn.Sequential(Function(draw))
    noise = ng.inject(model, existing=True, seed=1, draws="dropout")
    with noise.at(0):
        seed(1)
        first = model(X)
        seed(2)
        assert not torch.equal(model(X), first)
    notes = "\n".join(noise.report().notes)
    assert "'0:draw.1' (torch.bernoulli in Function) is drawn from the seed" in notes
    assert "'0' draws random numbers: torch.rand in Function" in notes
    with assert_sentence(
        ng.InvalidValue, "inject: `draws` must be 'all' or 'dropout'; got 'none'."
    ):
        ng.inject(model, existing=True, seed=1, draws="none")


def test_a_named_generator_is_respected() -> None:
    generator = torch.Generator()
    model = nn.Sequential(
        nn.Dropout(0.5), Function(lambda x: x + torch.rand(4, 6, generator=generator))
    )
    ng.inject(model, existing=True, seed=1)
    generator.manual_seed(5)
    before = generator.get_state()
    model(X)
    assert not torch.equal(generator.get_state(), before)


class Cube(torch.autograd.Function):
    """A function with rules for maps, which torch calls as an operator on functions."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x * x * grad


def branch(x: Tensor) -> Tensor:
    return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


def attend(x: Tensor) -> Tensor:
    x = x.detach()[:, None, None]
    return flex_attention(x, x, x)[:, 0, 0]


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("function", [torch.vmap(Cube.apply), branch, attend])
def test_operators_on_functions_are_called_as_ever(function: Any) -> None:
    model = nn.Sequential(Function(function), nn.Dropout(0.5))
    expected = function(X)
    ng.inject(model, existing=True, seed=1)
    y = model(X)
    assert torch.equal(y, torch.where(y == 0, 0.0, 2 * expected))
    assert 0 < (y == 0).sum() < y.numel()


def test_without_existing_and_in_evaluation_a_model_draws_as_before() -> None:
    for existing, training in ((False, True), (True, False)):
        model = nn.Sequential(nn.Identity(), Calling(lambda: torch.rand(3)))
        rules = {} if existing else {"0:out": 0.5}
        ng.inject(model, rules, existing=existing, seed=1)
        model.train(training)
        seed(1)
        expected = torch.rand(3)
        seed(1)
        model(X)
        assert torch.equal(model[1].drawn, expected)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("function", [*BY_SAMPLE, slope, scale_by_others])
def test_a_segment_that_is_computed_again_draws_the_same(function: Any, reentrant: bool) -> None:
    class Deep(nn.Module):
        def __init__(self, saves: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.part, self.saves = nn.Sequential(nn.Linear(6, 6), Function(function)), saves

        def forward(self, x: Tensor) -> Tensor:
            words: dict[str, Any] = {"use_reentrant": reentrant, "preserve_rng_state": False}
            y = checkpoint(self.part, x, **words) if self.saves else self.part(x)
            assert isinstance(y, Tensor)
            return y

    grads = []
    for saves in (False, True):
        model, leaf = Deep(saves), X.clone().requires_grad_()
        ng.inject(model, existing=True, seed=1)
        for number in range(2):  # only the first forward watches all generators
            leaf.grad = None
            seed(number)
            y = model(leaf).square().sum()
            before = read_states()
            y.backward()
            assert read_states() == before
        grads.append(leaf.grad)
    assert_same_bits(grads[1], grads[0])


def test_numbers_lie_in_logical_order_in_every_layout() -> None:
    def draw() -> list[Tensor]:
        return [
            torch.rand(3, 4),
            torch.rand_like(torch.ones(4, 3).t()),
            torch.ones(4, 3).t().uniform_(),
            torch.rand(3, 4, out=torch.ones(4, 3).t()),
        ]

    model = nn.Sequential(Calling(draw))
    noise = ng.inject(model, existing=True, seed=1)
    run_at(noise, 3, lambda: model(X))
    first = model[0].drawn
    for number, drawn in enumerate(first):
        key = ng.Stream(1).site(f"0:draw.{number}" if number else "0:draw").at(3)
        window = window_of((3, 4), (), None, None)
        assert_same_bits(drawn, sample(CPU, "uniform", key, window, "float32"))
    strides = [drawn.stride() for drawn in first]
    assert strides == [(4, 1), (1, 3), (1, 3), (1, 3)]


def test_gradients_of_draws_are_torch_s() -> None:
    concentration = torch.tensor([0.5, 2.0, 8.0], requires_grad=True)
    model = nn.Sequential(Calling(lambda: torch.distributions.Gamma(concentration, 1.0).rsample()))
    noise = ng.inject(model, existing=True, seed=1)
    run_at(noise, 3, lambda: model(X))
    drawn = model[0].drawn
    (grad,) = torch.autograd.grad(drawn.sum(), concentration)
    expected = torch._standard_gamma_grad(concentration.detach(), drawn.detach())
    assert_same_bits(grad, expected)


# Families ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_made_from_the_seed_whole(name: str) -> None:
    model, example = make(name)
    noise = ng.inject(model, existing=True, seed=3, example=example)
    first = run_at(noise, 2, lambda: run(model, example), 1)
    second = run_at(noise, 2, lambda: run(model, example), 2)
    other = run_at(noise, 9, lambda: run(model, example), 1)
    part = run_at(noise, 2, lambda: run(model, {k: x[:2] for k, x in example.items()}))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert_same_bits(b.detach(), a.detach())
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    for a, b in zip(first, part, strict=True):
        if a.shape[0] == 4:  # the rest are experts' and the like
            torch.testing.assert_close(b, a[:2], atol=2e-6, rtol=2e-5)
    noise.remove()
    seed(7)
    left = run(model, example)
    clean, _ = make(name)
    seed(7)
    for a, b in zip(left, run(clean, example), strict=True):
        assert_same_bits(a.detach(), b.detach())
