"""Attention by `nn.MultiheadAttention` with every argument, against its formula and the mask."""

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng

SAMPLES, QUERIES, KEYS, WIDTH, HEADS, P = 3, 5, 6, 8, 2, 0.4
CAUSAL = torch.ones(QUERIES, KEYS, dtype=torch.bool).triu(1)
PADDED = torch.zeros(SAMPLES, KEYS, dtype=torch.bool)
PADDED[1, 4:] = PADDED[2, 2:] = True
BY_HEAD = torch.randn(SAMPLES * HEADS, QUERIES, KEYS, generator=torch.Generator().manual_seed(2))

# The words of the module, and those of its call.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "no bias": ({"bias": False}, {}),
    "widths of keys and values": ({"kdim": 7, "vdim": 9}, {}),
    "a bias of keys and values": ({"add_bias_kv": True}, {}),
    "attention to zeros": ({"add_zero_attn": True}, {}),
    "both, padded": ({"add_bias_kv": True, "add_zero_attn": True}, {"key_padding_mask": PADDED}),
    "padding": ({}, {"key_padding_mask": PADDED}),
    "a mask": ({}, {"attn_mask": CAUSAL}),
    "a mask that is said to be causal": ({}, {"attn_mask": CAUSAL, "is_causal": True}),
    "a mask of numbers": ({}, {"attn_mask": CAUSAL * -1.5}),
    "a mask for each head": ({}, {"attn_mask": BY_HEAD}),
    "a mask for each head, and a bias": ({"add_bias_kv": True}, {"attn_mask": BY_HEAD}),
    "a mask and padding": ({}, {"attn_mask": CAUSAL, "key_padding_mask": PADDED}),
}


def project(mha: nn.MultiheadAttention, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return queries, keys and values of heads: (samples, heads, length, width of a head)."""
    if mha.in_proj_weight is None:
        weights: Any = (mha.q_proj_weight, mha.k_proj_weight, mha.v_proj_weight)
    else:
        weights = mha.in_proj_weight.chunk(3)
    biases = [0.0] * 3 if mha.in_proj_bias is None else mha.in_proj_bias.chunk(3)
    q, k, v = (x @ w.T + b for x, w, b in zip(inputs, weights, biases, strict=True))
    if mha.bias_k is not None and mha.bias_v is not None:
        k, v = (
            torch.cat([x, b.expand(len(x), 1, WIDTH)], 1)
            for x, b in ((k, mha.bias_k), (v, mha.bias_v))
        )
    if mha.add_zero_attn:
        k, v = (torch.cat([x, x.new_zeros(len(x), 1, WIDTH)], 1) for x in (k, v))
    return [x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (q, k, v)]


def add_masks(scores: Tensor, words: dict[str, Any]) -> Tensor:
    """Return scores with masks added; keys that the module itself appends are seen by all."""
    scores = scores.clone()
    mask, padding = words.get("attn_mask"), words.get("key_padding_mask")
    if padding is not None:
        scores[..., :KEYS].masked_fill_(padding[:, None, None], float("-inf"))
    if mask is not None and mask.dtype is torch.bool:
        scores[..., :KEYS].masked_fill_(mask, float("-inf"))
    elif mask is not None:
        mask = mask if mask.ndim == 2 else mask.unflatten(0, (SAMPLES, HEADS))
        scores[..., :KEYS] += mask
    return scores


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_every_argument_by_hand(name: str, need_weights: bool) -> None:
    made, words = CASES[name]
    torch.manual_seed(1)
    mha = nn.MultiheadAttention(WIDTH, HEADS, P, batch_first=True, **made)
    q = torch.randn(SAMPLES, QUERIES, WIDTH)
    k = torch.randn(SAMPLES, KEYS, mha.kdim)
    v = torch.randn(SAMPLES, KEYS, mha.vdim)
    noise = ng.inject(mha, existing=True, seed=13)
    y, shown = mha(q, k, v, need_weights=need_weights, average_attn_weights=False, **words)

    queries, keys, values = project(mha, (q, k, v))
    scores = queries @ keys.transpose(-2, -1) / sqrt(WIDTH // HEADS)
    probabilities = add_masks(scores, words).softmax(-1)
    kept = torch.from_numpy(noise.mask(":probs").copy()).reshape(probabilities.shape)
    assert 0.4 < kept.float().mean() < 0.8
    noisy = torch.where(kept, probabilities / (1 - P), 0.0)
    expected = mha.out_proj((noisy @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(y, expected)
    if need_weights:
        torch.testing.assert_close(shown, noisy)
    else:
        assert shown is None


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_sample_alone_and_the_order_of_axes(need_weights: bool) -> None:
    torch.manual_seed(1)
    mha = nn.MultiheadAttention(WIDTH, HEADS, P, batch_first=True)
    other = nn.MultiheadAttention(WIDTH, HEADS, P)
    other.load_state_dict(mha.state_dict())
    x = torch.randn(SAMPLES, KEYS, WIDTH)
    ng.inject(mha, existing=True, seed=13)
    y = mha(x, x, x, need_weights=need_weights)[0]
    ng.inject(other, existing=True, seed=13)
    of_time = x.transpose(0, 1)
    z = other(of_time, of_time, of_time, need_weights=need_weights)[0].transpose(0, 1)
    torch.testing.assert_close(z, y)
    alone = nn.MultiheadAttention(WIDTH, HEADS, P)
    alone.load_state_dict(mha.state_dict())
    ng.inject(alone, existing=True, seed=13)
    one = alone(x[0], x[0], x[0], need_weights=need_weights)[0]
    torch.testing.assert_close(one, y[0])


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_scores_and_heads_by_hand(name: str, need_weights: bool, average: bool) -> None:
    made, words = CASES[name]
    torch.manual_seed(1)
    mha = nn.MultiheadAttention(WIDTH, HEADS, P, batch_first=True, **made)
    q = torch.randn(SAMPLES, QUERIES, WIDTH)
    k = torch.randn(SAMPLES, KEYS, mha.kdim)
    v = torch.randn(SAMPLES, KEYS, mha.vdim)
    noise = ng.inject(mha, {":scores": 0.3, ":heads": 0.4}, existing=True, seed=13)
    assert noise.sites == (":scores", ":heads", ":probs")
    y, shown = mha(q, k, v, need_weights=need_weights, average_attn_weights=average, **words)

    queries, keys, values = project(mha, (q, k, v))
    scores = add_masks(queries @ keys.transpose(-2, -1) / sqrt(WIDTH // HEADS), words)
    masks = (torch.from_numpy(noise.mask(site).copy()) for site in noise.sites)
    seen, heads, kept = masks
    probabilities = scores.masked_fill(~seen, float("-inf")).softmax(-1).nan_to_num(0.0)
    noisy = torch.where(kept, probabilities / (1 - P), 0.0)
    outputs = torch.where(heads, noisy @ values / (1 - 0.4), 0.0)
    torch.testing.assert_close(y, mha.out_proj(outputs.transpose(1, 2).flatten(2)))
    if need_weights:
        torch.testing.assert_close(shown, noisy.mean(1) if average else noisy)
    else:
        assert shown is None


@pytest.mark.parametrize("rule", [":scores", ":heads"])
def test_a_sample_alone_has_its_scores_and_heads(rule: str) -> None:
    torch.manual_seed(1)
    x, results = torch.randn(SAMPLES, KEYS, WIDTH), []
    for given in (x, x[0]):
        for need_weights in (True, False):
            torch.manual_seed(1)
            mha = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
            ng.inject(mha, {rule: 0.4}, seed=13)
            y, shown = mha(given, given, given, need_weights=need_weights)
            results.append(y if given.ndim == 2 else y[0])
            assert shown is None or shown.shape == (*given.shape[:-1], KEYS)
    for y in results[1:]:
        torch.testing.assert_close(y, results[0])


def test_torch_s_transformer_layers_list_and_have_them() -> None:
    torch.manual_seed(1)
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 16, dropout=0.0, batch_first=True)
    names = ng.torch.Host(layer).sites().names
    parts, ports = ("self_attn", "multihead_attn"), ("heads", "scores")
    wanted = [f"{part}:{port}" for part in parts for port in ports]
    assert [name for name in names if name.endswith((":heads", ":scores"))] == wanted
    noise = ng.inject(layer, {"*:heads": 0.4, "self_attn:scores": 0.4}, seed=13)
    assert set(noise.sites) == set(wanted) - {"multihead_attn:scores"}
    x = torch.randn(SAMPLES, KEYS, WIDTH)
    first = layer(x, x)
    noise.step = 0
    assert torch.equal(layer(x, x), first)
    assert {row[4:6] for row in noise.report().rows} == {
        ("(3, 2, 6, 6)", "1"),
        ("(3, 2, 6, 4)", "1"),
    }
    noise.remove()
    of_encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
    encoder = nn.TransformerEncoder(of_encoder, 2, enable_nested_tensor=False).eval()
    samples = ng.predict(encoder, x, 5, rules={"*:heads": 0.5}, keep_samples=True, seed=1).samples
    assert (samples.std(0) > 0).any()
