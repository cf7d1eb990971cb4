"""Scaled dot-product attention in separate operations, so that noise reaches its probabilities."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor


def compute_attention(
    noise: Callable[[Tensor], Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``noise(softmax(scale · query · keyᵀ + mask)) · value``.

    Arguments are those of ``torch.nn.functional.scaled_dot_product_attention``, with `noise` in
    place of `dropout_p`. Probabilities are computed in float32 at least. A query that may see no
    key has probabilities 0, as in torch.

    Reference: Vaswani et al. (2017), Attention is all you need, section 3.2.1.
    """
    if enable_gqa:
        key, value = (
            x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value)
        )
    factor = 1 / sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    precise = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    allowed = attn_mask if attn_mask is not None and attn_mask.dtype is torch.bool else None
    if is_causal:
        allowed = scores.new_ones(scores.shape[-2:], dtype=torch.bool).tril()
    if allowed is not None:
        precise = precise.masked_fill(~allowed, float("-inf"))
    elif attn_mask is not None:
        precise = precise + attn_mask
    probabilities = precise.softmax(-1)
    if attn_mask is not None:
        # A softmax over -inf alone gives NaN.
        nothing = (precise == float("-inf")).all(-1, keepdim=True)
        probabilities = probabilities.masked_fill(nothing, 0.0)
    probabilities = probabilities.to(query.dtype)
    # Without a batch the site still sees an axis of samples, of length 1.
    if probabilities.ndim == 2:
        return noise(probabilities[None])[0] @ value
    return noise(probabilities) @ value
