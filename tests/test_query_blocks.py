"""Attention in blocks of queries has the noise of all queries at once, in memory linear in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.torch.model import attention

SAMPLES, HEADS, QUERIES, KEYS, WIDTH = 3, 4, 70, 50, 8
SITE = ":probs"


class Attends(nn.Module):
    """Attention by torch's function."""

    def __init__(self, **words: Any) -> None:
        super().__init__()
        self.words = words

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        p = 0.3 if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, mask, p, **self.words)


def make_tensors(*heads: int, queries: int = QUERIES, keys: int = KEYS) -> list[Tensor]:
    torch.manual_seed(3)
    of_keys = (SAMPLES, *(heads or (HEADS,)), keys, WIDTH)
    shapes = (SAMPLES, HEADS, queries, WIDTH), of_keys, of_keys
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return what sets whether attention is computed in blocks of 16 queries."""

    def use(small: bool) -> None:
        monkeypatch.setattr(attention, "MOST", 1 if small else 1 << 40)
        monkeypatch.setattr(attention, "LEAST", 16)

    return use


def allowed() -> Tensor:
    mask = torch.rand(QUERIES, KEYS, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[3] = False  # a query that may see no key
    return mask


FORMS: dict[str, tuple[dict[str, Any], Callable[[], Tensor | None], tuple[int, ...]]] = {
    "plain": ({}, lambda: None, ()),
    "causal": ({"is_causal": True, "scale": 0.2}, lambda: None, ()),
    "bool mask": ({}, allowed, ()),
    "float mask": ({}, lambda: torch.randn(SAMPLES, 1, QUERIES, KEYS), ()),
    "padding": ({}, lambda: torch.randn(SAMPLES, 1, 1, KEYS), ()),
    "grouped": ({"enable_gqa": True}, lambda: None, (2,)),
}
KINDS = {
    "Dropout": ng.Dropout(0.3),
    "whole keys": ng.Dropout(0.3, shared_axes=(2,)),
    "whole heads": ng.Dropout(0.3, shared_axes=(2, 3)),
    "GaussianNoise": ng.GaussianNoise(0.1),
    "two": [ng.Dropout(0.2), ng.GaussianNoise(0.1)],
}


def derive(model: nn.Module, tensors: list[Tensor], mask: Tensor | None) -> list[Tensor]:
    """Return the output, its gradients, and the gradients of these."""
    y = model(*tensors, mask)
    first = torch.autograd.grad(y.square().sum(), tensors, create_graph=True)
    second = torch.autograd.grad(sum(x.square().sum() for x in first), tensors)
    return [x.detach() for x in (y, *first, *second)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_the_whole(blocks: Callable[[bool], None], form: str, kind: str) -> None:
    words, make_mask, heads = FORMS[form]
    torch.manual_seed(1)
    mask, tensors, results = make_mask(), make_tensors(*heads), []
    for small in (False, True):
        blocks(small)
        model = Attends(**words)
        noise = ng.inject(model, {SITE: KINDS[kind]}, seed=3)
        results.append(derive(model, tensors, mask))
        assert {row[4:6] for row in noise.report().rows} == {("(3, 4, 70, 50)", "1")}
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_every_block_has_the_addresses_of_the_contract(blocks: Callable[[bool], None]) -> None:
    blocks(True)
    query, key, _ = make_tensors()
    model = Attends()
    noise = ng.inject(model, existing=True, seed=3)
    ids = [7, 2, 2**61]
    for rows in (None, ids):
        noise.rows = rows
        # Times the identity, probabilities are returned as they are.
        y = model(query, key, torch.eye(KEYS).expand(SAMPLES, HEADS, KEYS, KEYS))
        where = ng.Stream(3).site(SITE).at(noise.step - 1)
        shape = SAMPLES, HEADS, QUERIES, KEYS
        words: Any = {} if rows is None else {"rows": rows}
        kept = ng.mask(ng.Dropout(0.3), shape, where, sample_axis="attention", **words)
        assert_same_bits((y != 0).numpy(), kept)
        assert_same_bits(noise.mask(SITE), kept)


class Largest(TorchDispatchMode):
    """Counts the numbers of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, Tensor)]
        self.size = max(self.size, *sizes, 0)
        return result


@pytest.mark.parametrize("training", [True, False])
def test_memory_grows_with_the_length_alone(blocks: Callable[[bool], None], training: bool) -> None:
    blocks(True)
    sizes = []
    for length in (64, 128, 256, 512):
        tensors = make_tensors(queries=length, keys=length)
        ng.inject(model := Attends(), {SITE: 0.3}, seed=3)
        with Largest() as largest, torch.set_grad_enabled(training):
            y = model(*tensors)
            if training:
                y.sum().backward()
        sizes.append(largest.size)
    assert sizes == [SAMPLES * HEADS * 16 * length for length in (64, 128, 256, 512)]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_around_blocks(blocks: Callable[[bool], None], reentrant: bool) -> None:
    gradients = []
    for small in (False, True):
        blocks(small)
        model, tensors = Attends(), make_tensors()
        noise = ng.inject(model, existing=True, seed=3)
        for step in range(2):
            noise.step = step
            y = checkpoint(model, *tensors, use_reentrant=reentrant) if small else model(*tensors)
            (y.square().sum() * (step + 1)).backward()
        gradients.append([x.grad for x in tensors])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


class Projects(nn.Module):
    """Attention of an input to itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.attends = nn.Linear(WIDTH, 3 * WIDTH), Attends()

    def forward(self, x: Tensor) -> Tensor:
        heads = [
            part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.linear(x).chunk(3, -1)
        ]
        y: Tensor = self.attends(*heads).transpose(1, 2).flatten(-2)
        return y


@pytest.mark.parametrize("size", [None, 3])
def test_predictions_in_blocks(blocks: Callable[[bool], None], size: int | None) -> None:
    x, model, samples = torch.randn(5, QUERIES, WIDTH), Projects(), []
    for small in (False, True):
        blocks(small)
        words: Any = {"keep_samples": True, "batch_size": size}
        samples.append(ng.predict(model, x, 12, existing=True, seed=3, **words).samples)
    np.testing.assert_allclose(samples[1], samples[0], atol=1e-6)


def test_transformations_compute_all_queries_at_once(blocks: Callable[[bool], None]) -> None:
    results = []
    for small in (False, True):
        blocks(small)
        model, tensors = Attends(), make_tensors()
        ng.inject(model, existing=True, seed=3)
        results.append(
            torch.func.grad(lambda q, of=model, t=tensors: of(q, *t[1:]).sum())(tensors[0])
        )
    assert_same_bits(results[1].detach(), results[0].detach())


def test_half_precision_and_one_sample_alone(blocks: Callable[[bool], None]) -> None:
    results = []
    for small in (False, True):
        blocks(small)
        model, tensors = Attends(), [x[0, 0].bfloat16() for x in make_tensors()]
        ng.inject(model, {SITE: 0.3}, seed=3)
        results.append(model(*tensors).detach())
    assert results[1].dtype is torch.bfloat16
    torch.testing.assert_close(results[1], results[0])
