"""What users have reported of dropout in compiled code, as programs with noise of noisegate's.

Numbers are those of pytorch/pytorch on GitHub. Each test says what torch's dropout does there, or
did: some reports are closed. Each program runs with graph breaks, and as one whole graph.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._inductor.config as inductor
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_rate, assert_same_bits

# torch's own: its default backend imports a module that scripts methods.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")

KEY = ng.Stream(13).site("reports").at(3)

whole_or_not = pytest.mark.parametrize("whole", [False, True], ids=["broken", "whole"])


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compile_with(function: Any, whole: bool, backend: Any = "inductor") -> Any:
    return torch.compile(function, backend=backend, fullgraph=whole)


def differentiate(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Return the output, and the gradients of its sum by each input."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y.sum(), leaves)]


# Masks that the compiler changes ----------------------------------------------------------------


@whole_or_not
def test_198333_channels_of_a_materialised_transpose_have_masks_of_their_own(whole: bool) -> None:
    """Since 2.13, on a GPU, groups of four channels have one mask, and the rate is off."""
    noise = ng.torch.Dropout(0.5, seed=1, site="a")
    fast = compile_with(lambda x: noise(x.transpose(1, 2).contiguous()), whole)
    y = fast(torch.ones(2, 512, 64))
    assert_same_bits(y, ng.Dropout(0.5)(torch.ones(2, 64, 512), ng.Stream(1).site("a").at(0)))
    masks = (y != 0).reshape(2 * 64, 512)
    assert len(masks.unique(dim=0)) == len(masks)
    assert_rate(int((y == 0).sum()), y.numel(), 0.5)


@whole_or_not
@pytest.mark.parametrize("outside", [False, True], ids=["within", "around"])
def test_198333_and_121966_backward_has_the_mask_of_forward_under_checkpointing(
    whole: bool, outside: bool
) -> None:
    """On a GPU the gradient had another mask; with the checkpoint around, backward raised."""

    def segment(x: Tensor) -> Tensor:
        y = (x * 5).transpose(1, 2).contiguous()
        return ng.torch.dropout(y, 0.5, key=KEY)

    def step(x: Tensor) -> Tensor:
        run: Any = compile_with(segment, whole) if outside else segment
        return checkpoint(run, x, use_reentrant=False)

    x = torch.ones(2, 32, 8)
    y, grad = differentiate(step if outside else compile_with(step, whole), x)
    assert (y == 0).any()
    assert_same_bits(grad, y.transpose(1, 2).contiguous())  # as x is ones: 5 · scale, or 0


@whole_or_not
def test_174078_the_mask_of_a_transpose_is_that_of_the_eager_one(whole: bool) -> None:
    """With `fallback_random`, which promises eager's masks, the order of memory changed them."""

    def transpose(x: Tensor) -> Tensor:
        return ng.torch.dropout(x.t().contiguous(), 0.5, key=KEY)

    x = torch.arange(1.0, 65, dtype=torch.float64).reshape(8, 8)
    with inductor.patch(fallback_random=True):
        assert_same_bits(compile_with(transpose, whole)(x), transpose(x))


@whole_or_not
def test_192635_a_changed_order_of_branches_changes_no_mask(whole: bool) -> None:
    """With these settings the decoder's dropout runs first, and gets the encoder's mask."""

    def run(encoder: Tensor, decoder: Tensor) -> Tensor:
        large = ng.torch.dropout(encoder.sin(), 0.5, key=ng.Stream(1).site("encoder").at(0))
        pooled = large.reshape(8, -1, 16).sum(1)
        small = ng.torch.dropout(decoder.cos(), 0.5, key=ng.Stream(1).site("decoder").at(0))
        return pooled + small

    inputs = torch.randn(8, 4096), torch.randn(8, 16)
    with inductor.patch(fallback_random=True, reorder_for_peak_memory=True):
        ours = differentiate(compile_with(run, whole), *inputs)
    for one, other in zip(ours, differentiate(run, *inputs), strict=True):
        torch.testing.assert_close(one, other)
        assert_same_bits(one == 0, other == 0)


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, self.training).cumsum(0)


SHAPES: dict[Any, tuple[int, ...]] = {
    Functions: (16, 8),
    nn.Dropout: (16, 72),
    nn.Dropout1d: (16, 8, 4),
    nn.Dropout2d: (16, 8, 3, 4),
    nn.Dropout3d: (16, 8, 2, 3, 4),
}


@whole_or_not
@pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__)
def test_158643_142853_113169_compiled_and_eager_dropouts_have_one_mask(
    make: Any, whole: bool
) -> None:
    """torch's have other masks where they are compiled, by the same seed."""
    x = torch.randn(SHAPES[make])
    model, reference = nn.Sequential(make()), nn.Sequential(make())
    for each in (model, reference):
        ng.inject(each, existing=True, example=x, seed=7)
    fast = compile_with(model, whole)
    for _ in range(3):
        assert_same_bits(fast(x), reference(x))


# Values ---------------------------------------------------------------------------------------


@whole_or_not
def test_107942_100025_a_rate_of_1_removes_all(whole: bool) -> None:
    """It raised a ZeroDivisionError, compiled; now an inf is 0 there, and NaN eagerly (59421)."""
    fast = compile_with(lambda x: ng.torch.dropout(x * 1, 1.0, key=KEY), whole)
    x = torch.tensor([[1.0, -2.0, torch.inf, torch.nan]])
    for values in differentiate(fast, x):
        assert_same_bits(values, torch.zeros(1, 4))


@whole_or_not
def test_59421_a_removed_infinity_is_0_and_so_is_its_gradient(whole: bool) -> None:
    """On a CPU torch multiplies by a mask, which makes NaN of it."""
    fast = compile_with(lambda x: ng.torch.dropout(x * 1, 0.5, key=KEY), whole)
    y, grad = differentiate(fast, torch.full((4, 16), torch.inf))
    assert sorted(y.unique().tolist()) == [0, torch.inf]
    assert_same_bits(grad, torch.where(y == 0, 0.0, 2.0))


@whole_or_not
def test_98970_whole_numbers_are_refused_compiled_as_eager(whole: bool) -> None:
    """Compiled, torch returned whole numbers, scaled."""
    fast = compile_with(lambda x: ng.torch.dropout(x * 2, 0.5, key=KEY), whole)
    with pytest.raises(Exception, match="floating-point"):
        fast(torch.tensor([[1, 2, 3], [4, 5, 6]]))


# Randomness that is frozen, or tied to other randomness -----------------------------------------


class Residual(nn.Module):
    """A branch that each sample skips by chance, of shape (samples, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


@whole_or_not
def test_95425_every_step_drops_other_layers(whole: bool) -> None:
    """A layer drop by Python's generator was frozen when the code was compiled."""
    torch.manual_seed(0)
    model = Residual()
    reference = copy.deepcopy(model)
    for each in (model, reference):
        ng.inject(each, {"branch:out": ng.drop_path(0.5)}, seed=7)
    fast, x = compile_with(model, whole), torch.randn(8, 6)
    outputs = [fast(x).detach() for _ in range(6)]
    for y in outputs:
        torch.testing.assert_close(y, reference(x).detach())
    assert len({tuple((y == x).all(1).tolist()) for y in outputs}) > 3


@whole_or_not
def test_76580_noise_is_its_own_whatever_else_is_drawn(whole: bool) -> None:
    """torch's dropout takes no generator: all that draws before it changes its mask."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU())
    noise = ng.inject(model, {"1:out": 0.5}, seed=7)
    fast, x = compile_with(model, whole), torch.randn(5, 6)
    first = fast(x).detach()
    torch.rand(3)
    noise.step = 0
    assert_same_bits(fast(x).detach(), first)
    # As a line search needs it (functorch's number 408): one function, evaluated again and again.
    for _ in range(2):
        with noise.at(0):
            assert_same_bits(fast(x).detach(), first)


# Hooks ----------------------------------------------------------------------------------------


@whole_or_not
def test_117758_noise_that_comes_after_the_first_call_acts(whole: bool) -> None:
    """A hook that is registered after the first call of compiled code is ignored, silently."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(6, 6), nn.ReLU()] * 3)
    fast, x = compile_with(model, whole, "eager"), torch.randn(5, 6)
    fast(x)
    noise = ng.inject(model, {"*:out": 0.5}, seed=7)
    y = fast(x).detach()
    noise.step = 0
    assert_same_bits(y, model(x).detach())


@whole_or_not
@pytest.mark.parametrize("port", ["in", "out"])
def test_170110_hooks_with_arguments_by_name_are_compiled_once(port: str, whole: bool) -> None:
    """Equal models with such hooks were each compiled anew, until the limit of recompilations."""
    counter: Any = CompileCounterWithBackend("eager") if whole else CompileCounter()
    x, counts = torch.randn(5, 6), set()
    for seed in range(12):
        model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 2))
        fast = compile_with(model, whole, counter)
        for _ in range(2):
            noise = ng.inject(model, {f"1:{port}": 0.5}, seed=seed)
            y = fast(x).detach()
            noise.step = 0
            assert_same_bits(y, model(x).detach())
            noise.remove()
        counts.add(counter.frame_count)
    assert len(counts) == 1
