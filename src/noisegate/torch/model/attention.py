"""Scaled dot-product attention in separate operations, so that noise reaches what is inside."""

from collections.abc import Callable
from functools import partial
from math import prod, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from ..query_blocks import Probabilities

# A block has at most this many probabilities, and at least this many queries.
MOST, LEAST = 1 << 24, 32

# A score below this is of a key that the query may not see: masks add −1e4, −1e9 or −inf.
MASKED = -5e3


class AttentionNoise(NamedTuple):
    """What is done to the scores, the probabilities and the heads' outputs of one attention.

    None leaves a tensor as it is. With `whole`, all queries must be computed at once.
    """

    scores: Callable[[Any], Any] | None = None
    probs: Callable[[Any], Any] | None = None
    heads: Callable[[Tensor], Tensor] | None = None
    whole: bool = False


def compute_attention(
    noise: AttentionNoise,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``heads(probs(softmax(scores(scale · query · keyᵀ) + mask)) · value)``.

    Arguments are those of ``torch.nn.functional.scaled_dot_product_attention``, with `noise` in
    place of `dropout_p`. Probabilities are computed in float32 at least. A query that may see no
    key has probabilities 0, as in torch; so has one whose keys noise has removed.

    Long sequences are computed a block of queries at a time, and again in the backward pass, so
    that memory grows with the length and not with its square. In compiled code and under
    transformations of torch.func all probabilities are computed at once.

    Reference: Vaswani et al. (2017), Attention is all you need, section 3.2.1. Rabe and Staats
    (2021), Self-attention does not need O(n²) memory.
    """
    if query.ndim == 2:  # without a batch the site still sees an axis of samples, of length 1
        rest = attn_mask, is_causal, scale, enable_gqa
        only: Tensor = compute_attention(noise, query[None], key[None], value[None], *rest)[0]
        return only
    if enable_gqa:
        key, value = (
            x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value)
        )
    query = query * (1 / sqrt(query.shape[-1]) if scale is None else scale)
    shape = (
        *torch.broadcast_shapes(query.shape[:-2], key.shape[:-2]),
        query.shape[-2],
        key.shape[-2],
    )
    size = max(LEAST, MOST // max(1, prod(shape) // max(1, shape[-2])))
    if size >= shape[-2] or noise.whole or _must_be_whole():
        y = _attend(noise, query, key, value, attn_mask, is_causal)
    else:
        if attn_mask is not None:
            attn_mask = attn_mask.expand(*attn_mask.shape[:-2], *shape[-2:])
        later = noise._replace(
            scores=None if noise.scores is None else noise.scores(Probabilities(shape)),
            probs=None if noise.probs is None else noise.probs(Probabilities(shape)),
        )
        y = _attend_in_blocks(later, size, query, key, value, attn_mask, is_causal)
    return y if noise.heads is None else noise.heads(y)


def _attend_in_blocks(
    later: Any,
    size: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
) -> Tensor:
    """Return the attention of scaled queries, computed `size` of them at a time.

    `later` has the noise of all queries, as `Probabilities`.
    """
    # The graph of a block holds its probabilities, so it is made again in the backward pass.
    needs = any(x is not None and x.requires_grad for x in (query, key, value, attn_mask))
    again = torch.is_grad_enabled() and needs
    parts = query.split(size, -2)
    masks = [None] * len(parts) if attn_mask is None else attn_mask.split(size, -2)
    outputs = []
    for first, part, mask in zip(range(0, query.shape[-2], size), parts, masks, strict=True):
        scores, probs = (
            None if of_all is None else partial(of_all.add_noise, first=first)
            for of_all in (later.scores, later.probs)
        )
        given = AttentionNoise(scores, probs), part, key, value, mask, is_causal, first
        if again:
            y = checkpoint(_attend, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            y = _attend(*given)
        outputs.append(y)
    return torch.cat(outputs, -2)


def _must_be_whole() -> bool:
    """Return whether all queries must be computed at once."""
    if torch.compiler.is_compiling():
        return True
    return _are_functorch_transforms_active() or forward_ad._current_level >= 0


def _attend(
    noise: AttentionNoise,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    first: int = 0,
) -> Tensor:
    """Return the attention of scaled queries, of which `first` is the number of the first."""
    scores = query @ key.transpose(-2, -1)
    precise = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    if noise.scores is not None:
        # Before the mask, so that no noise lets a query see a key that is masked.
        precise = noise.scores(precise)
    allowed = attn_mask if attn_mask is not None and attn_mask.dtype is torch.bool else None
    if is_causal:
        allowed = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril(first)
    if allowed is not None:
        precise = precise.masked_fill(~allowed, float("-inf"))
    elif attn_mask is not None:
        precise = precise + attn_mask
    if noise.scores is not None:
        probabilities = normalize(precise)
    else:
        probabilities = precise.softmax(-1)
        if attn_mask is not None:
            # A softmax over -inf alone gives NaN.
            nothing = (precise == float("-inf")).all(-1, keepdim=True)
            probabilities = probabilities.masked_fill(nothing, 0.0)
    probabilities = probabilities.to(query.dtype)
    return (probabilities if noise.probs is None else noise.probs(probabilities)) @ value


def normalize(scores: Tensor, softmax: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Return the probabilities of scores with noise: 0 for a query without any key to see.

    A softmax over −inf alone gives NaN, also in the gradient, and one over masked keys alone would
    show them.
    """
    nothing = (scores < MASKED).all(-1, keepdim=True)
    scores = scores.masked_fill(nothing, 0.0)
    return (scores.softmax(-1) if softmax is None else softmax(scores)).masked_fill(nothing, 0.0)
