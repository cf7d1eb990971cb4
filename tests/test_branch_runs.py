"""The port `branch` under checkpointing, compilers, transformations and wrappers."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _cells import mark_cells
from _ranks import join_group
from _residual import BATCH, Block, Deep, N, deep, inputs, read_kept

RULE = "layers.*:branch"
KINDS = {"samples": 0.5, "batch": BATCH, "elements": ng.Dropout(0.5)}


def gradients(model: nn.Module, x: Tensor, run: Callable[[], Tensor]) -> list[Tensor]:
    """Return the output and the gradients by the input and the weights."""
    y = run()
    found = torch.autograd.grad((y**2).sum(), [x, *model.parameters()])
    return [y.detach(), *found]


class Inside(Block):
    """A block that checkpoints what is inside of it."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        def segment(x: Tensor) -> Tensor:
            return self.drop(torch.tanh(self.inner(x)))

        return x + checkpoint(segment, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_repeats_the_same_samples(kind: str, inside: bool, reentrant: bool) -> None:
    rules = {RULE: KINDS[kind], "layers.*.drop:dropout": 0.3}
    plain, x = deep(drop=0.3), inputs().requires_grad_()
    torch.manual_seed(0)
    model = Deep(3, make=lambda: Inside(drop=0.3)).double() if inside else deep(drop=0.3)
    model.load_state_dict(plain.state_dict())
    for layer in model.layers:
        layer.reentrant = reentrant

    def run() -> Tensor:
        y = x
        for layer in model.layers:
            y = layer(y) if inside else checkpoint(layer, y, use_reentrant=reentrant)
        return y

    model.forward = lambda x: run()  # the segments are inside of a forward of the model
    first, second = (ng.inject(one, rules, seed=3) for one in (plain, model))
    for _ in range(3):
        expected = gradients(plain, x, lambda: plain(x))
        y = model(x)
        with second.at(9):  # another step before the backward pass
            model(x)
        params = list(model.parameters())
        if reentrant:
            for p in (x, *params):
                p.grad = None
            (y**2).sum().backward()
            found = [
                y.detach(),
                *((torch.zeros_like(p) if p.grad is None else p.grad) for p in (x, *params)),
            ]
        else:
            found = [y.detach(), *torch.autograd.grad((y**2).sum(), [x, *params])]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert first.step == second.step == 3


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_accumulate_the_gradient_of_the_whole(kind: str) -> None:
    model, x = deep(), inputs()
    noise = ng.inject(model, {RULE: KINDS[kind]}, seed=3)
    with noise.at(4):
        model(x).square().sum().backward()
    whole = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with noise.at(4):
        for part in x.split(3):
            model(part).square().sum().backward()
    for p, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(p.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "fullgraph"), mark_cells(KINDS, [True, False], every=2))
def test_compiled_code_has_the_same_noise(kind: str, fullgraph: bool) -> None:
    torch.compiler.reset()
    model, x = deep(2), inputs().requires_grad_()
    noise = ng.inject(model, {RULE: KINDS[kind]}, seed=3)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=fullgraph)
    for step in range(3):
        with noise.at(step):
            expected = gradients(model, x, lambda: model(x))
        noise.step = step
        found = gradients(model, x, lambda: compiled(x))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    noise.set_rate(RULE, 0.0)
    assert torch.equal(compiled(x), deep(2)(x))


def test_a_compiled_part_of_a_block_sees_the_rows_of_kept_samples() -> None:
    torch.compiler.reset()
    model, x = deep(1, 0.3), inputs()
    rules = {RULE: 0.5, "layers.*.drop:dropout": 0.3}
    noise = ng.inject(model, rules, seed=3)
    expected = model(x)
    assert 0 < int(read_kept(noise, "layers.0:branch", 0).sum()) < N
    model.layers[0].drop.compile(backend="eager")
    noise.step = 0
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_functional_calls_have_the_same_noise() -> None:
    model, x = deep(), inputs()
    noise = ng.inject(model, {RULE: 0.5}, seed=3)
    weights = {name: p.detach() + 1 for name, p in model.named_parameters()}
    y = functional_call(model, weights, (x,))
    with torch.no_grad():
        for p in model.parameters():
            p += 1
    with noise.at(0):
        assert torch.equal(model(x), y)


@pytest.mark.parametrize("kind", KINDS)
def test_transformations_have_the_same_noise(kind: str) -> None:
    model, x = deep(), inputs()
    noise = ng.inject(model, {RULE: KINDS[kind]}, seed=3)
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        with noise.at(2):
            return functional_call(model, weights, (x,)).square().sum()

    found = grad(loss)(weights, x)
    with noise.at(2):
        model(x).square().sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-10, atol=1e-12)
    each = vmap(grad(loss), (None, 0), randomness="different")(weights, x[:, None])
    if kind != "batch":  # where each sample is a batch of its own
        for name, p in model.named_parameters():
            torch.testing.assert_close(each[name].sum(0), p.grad, rtol=1e-10, atol=1e-12)


def test_processes_that_share_gradients_may_drop_blocks(tmp_path: Path) -> None:
    join_group(0, 1, str(tmp_path))
    try:
        model = deep(4)
        ng.inject(model, {RULE: BATCH}, seed=3)
        parallel = nn.parallel.DistributedDataParallel(model)
        for _ in range(4):
            parallel(inputs()).sum().backward()
            assert all(p.grad is not None for p in model.parameters())
        assert any(len(seen) < 4 for seen in model.seen)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*jit.trace:DeprecationWarning")
@pytest.mark.parametrize("script", [False, True])
def test_evaluation_is_traced_without_noise(script: bool) -> None:
    model, x = deep().eval(), inputs()
    ng.inject(model, {RULE: 0.5}, seed=3)
    traced = torch.jit.trace(model, (x,)) if script else torch.fx.symbolic_trace(model)
    assert torch.equal(traced(x), copy.deepcopy(model)(x))
