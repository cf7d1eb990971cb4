"""Noise on the scores and heads of torch's flex_attention: that of every other attention."""

import warnings
from typing import Any

import pytest
import torch
import torch.nn.attention.flex_attention as flex
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _attentions import KEYS, QUERIES, SAMPLES, WIDTH, Fused, make_tensors

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without")

RULES: dict[str, dict[str, Any]] = {
    "numbers": {"*:scores": 0.4, "*:heads": 0.3},
    "whole keys": {"*:scores": ng.DropKey(0.4, shared_axes=(1, 2))},
    "all samples": {"*:scores": ng.DropKey(0.4, shared_axes=0)},
    "several": {"*:scores": [0.3, ng.GaussianNoise(0.5), ng.UniformNoise(0.2)]},
    "scaled": {"*:scores": [ng.GaussianDropout(0.2), ng.AlphaDropout(0.1)]},
    "everything": {"*:scores": 1.0},
    "nothing": {"*:scores": 0.0, "*:heads": 0.0},
}


class Flex(nn.Module):
    """Attention by flex_attention."""

    def __init__(self, **words: Any) -> None:
        super().__init__()
        self.words = words

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y: Any = flex.flex_attention(q, k, v, **self.words)
        return y


class Twice(nn.Module):
    """Two layers of flex_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Flex(), Flex()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(q, k, v), k, v)
        return y


def run(model: nn.Module, rules: Any, *tensors: Tensor) -> tuple[list[Tensor], list[Any]]:
    """Return the outputs of three forwards, the last one with ids, and the masks of the last."""
    noise = ng.inject(model, rules, seed=13)
    outputs = [model(*tensors) for _ in range(2)]
    noise.rows = [7, 2**61, 3]
    outputs.append(model(*tensors))
    masks = []
    for site in noise.sites:
        if any(n.placement.kind.removes for n in noise.noises if n.placement.site == site):
            masks.append(noise.mask(site) if noise.noises[0].last else None)
    noise.remove()
    return outputs, masks


@pytest.mark.parametrize("name", RULES)
def test_it_has_the_noise_of_the_fused_function(name: str) -> None:
    tensors = make_tensors()
    outputs, masks = run(Flex(), RULES[name], *tensors)
    expected, others = run(Fused(), RULES[name], *tensors)
    for y, z in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y, z)
    for mask, other in zip(masks, others, strict=True):
        if mask is not None:
            assert_same_bits(mask, other)
    if name == "nothing":
        assert_same_bits(outputs[0], Flex()(*tensors))
    if name == "everything":
        assert not outputs[0].any()


def test_padding_and_other_samples_change_nothing() -> None:
    def hide(b: Any, h: Any, q: Any, k: Any) -> Any:
        return k < KEYS

    rules = RULES["several"] | {"*:heads": 0.3}
    ng.inject(model := Flex(), rules, seed=13)
    y = model(*make_tensors())
    block = flex.create_block_mask(hide, None, None, 12, 15, device="cpu")
    ng.inject(padded := Flex(block_mask=block), rules, seed=13)
    z = padded(*make_tensors(5, 12, 15))
    torch.testing.assert_close(z[:SAMPLES, :, :QUERIES], y)


def test_it_comes_after_the_user_s_own_score_mod() -> None:
    bias = torch.randn(KEYS, generator=torch.Generator().manual_seed(1))

    def modify(score: Any, b: Any, h: Any, q: Any, k: Any) -> Any:
        return torch.where(k > q, -float("inf"), score + bias[k])

    tensors = make_tensors()
    mask = bias + torch.where(torch.ones(QUERIES, KEYS).tril() > 0, 0.0, -float("inf"))
    for rules in (RULES["numbers"], {"*:scores": ng.Dropout(0.5)}):
        noise = ng.inject(model := Flex(score_mod=modify), rules, seed=13)
        y = model(*tensors)
        kept = torch.from_numpy(noise.mask(":scores").copy())
        if "*:heads" in rules:
            ng.inject(other := Fused(), rules, seed=13)
            torch.testing.assert_close(y, other(*tensors, mask))
        scores = tensors[0] @ tensors[1].mT / WIDTH**0.5 + mask
        if "*:heads" not in rules:  # a score that is 0 shows no key that is masked
            noisy = torch.where(kept, scores * 2, 0.0).masked_fill(mask < -1e9, -float("inf"))
            torch.testing.assert_close(y, noisy.softmax(-1) @ tensors[2])


@pytest.mark.parametrize("name", ["numbers", "several"])
def test_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch refuses gradients on a CPU, though its operation has them.
    monkeypatch.setattr(flex, "_validate_device", lambda *_: None)
    tensors = [x.requires_grad_() for x in make_tensors(dtype=torch.float64)]
    results = []
    for model in (Flex(), Fused()):
        ng.inject(model, RULES[name], seed=13)
        y = model(*tensors)
        results.append((y, *torch.autograd.grad(y.square().sum(), tensors)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_it_is_the_same_in_compiled_code() -> None:
    tensors = make_tensors()
    rules = RULES["numbers"]
    expected, masks = run(Flex(), rules, *tensors)
    model = Flex()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    noise = ng.inject(model, rules, seed=13)
    outputs = [compiled(*tensors) for _ in range(2)]
    noise.rows = [7, 2**61, 3]
    outputs.append(compiled(*tensors))
    for y, z in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y, z)
    for site, mask in zip(noise.sites, masks, strict=True):
        assert_same_bits(noise.mask(site), mask)


def test_it_is_the_same_where_flex_attention_alone_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As transformers does it, once for all layers."""
    tensors = make_tensors()
    expected, _ = run(Twice(), RULES["numbers"], *tensors)
    compiled = torch.compile(flex.flex_attention, backend="aot_eager")
    monkeypatch.setattr(flex, "flex_attention", compiled)
    outputs, _ = run(Twice(), RULES["numbers"], *tensors)
    for y, z in zip(outputs, expected, strict=True):
        torch.testing.assert_close(y, z)


def test_other_kinds_are_refused_in_compiled_code() -> None:
    model = Flex()
    compiled = torch.compile(model, backend="aot_eager")
    ng.inject(model, {":scores": ng.GaussianNoise(0.1)}, seed=13)
    with assert_sentence(
        ng.InvalidValue,
        "inject: in compiled code the noise on the scores of flex_attention must be a DropKey; "
        "got GaussianNoise(sigma=0.1). Leave the attention out of what is compiled, or use "
        "scaled_dot_product_attention.",
    ):
        compiled(*make_tensors())


def test_transformers_have_it_in_every_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.integrations import flex_attention as theirs

    from _transformers import example, model

    def attend(*args: Any, training: bool = False, **words: Any) -> Any:
        return flex.flex_attention(*args, **words)

    # Uncompiled: each compilation takes half a minute.
    monkeypatch.setattr(theirs, "compile_friendly_flex_attention", attend)
    results = []
    for attention in ("eager", "sdpa", "flex_attention"):
        net = model("Llama", p=0.0, attention=attention)
        noise = ng.inject(net, RULES["numbers"], seed=13)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of theirs
            y = net(**example("Llama")).last_hidden_state
        results.append((y, {site: noise.mask(site) for site in noise.sites}))
    (y, masks), *others = results
    assert len(masks) == 4
    for z, more in others:
        torch.testing.assert_close(z, y, rtol=1e-4, atol=1e-5)
        assert more.keys() == masks.keys()
        for site, mask in masks.items():
            assert_same_bits(more[site], mask)
