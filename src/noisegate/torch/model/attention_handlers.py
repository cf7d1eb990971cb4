"""Handle torch's functions of attention, whose dropout is inside."""

import sys
from collections.abc import Callable
from functools import partial
from inspect import signature
from types import FunctionType, ModuleType
from typing import Any, NoReturn, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidType
from noisegate.core.window import ATTENTION

from .attention import AttentionNoise, compute_attention
from .replacing import Caller, find_place, find_replacement

_OF_SDPA = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_OF_MULTI_HEAD = tuple(signature(F.multi_head_attention_forward).parameters)


def _handle_attention(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(_OF_SDPA, args, strict=False)) | kwargs
    p, rank = float(given.pop("dropout_p", 0.0)), max(3, given["query"].ndim)
    noise, rate = _find_noise(caller, "scaled_dot_product_attention", p, True, rank)
    return _run_attention(caller, noise, rate, given)


def _find_noise(
    caller: Caller, words: str, p: float, training: bool, rank: int
) -> tuple[AttentionNoise, float]:
    """Return the noise in an attention, and the rate of the model's own dropout that stays."""
    scores = find_place(caller, "scores", words, rank)
    found, probs = find_replacement(caller, "probs", words, p, training, ATTENTION, rank)
    heads = find_place(caller, "heads", words, rank)
    return AttentionNoise(scores, probs, heads), 0.0 if found or not training else p


def _run_attention(
    caller: Caller, noise: AttentionNoise, rate: float, given: dict[str, Any]
) -> Tensor:
    """Return attention with noise inside, and with the model's own dropout of a rate.

    Where there is noise on the heads alone, or none, torch's fused function computes it.
    """
    if given["query"].is_nested and any((noise.scores, noise.probs, noise.heads)):
        _refuse_nested(caller.frame.path)
    if noise.scores is None and noise.probs is None:
        fused = partial(F.scaled_dot_product_attention, **given, dropout_p=rate)
        y: Tensor = caller.leave_to_model(fused) if rate else fused()
        if noise.heads is None:
            return y
        return noise.heads(y[None])[0] if y.ndim == 2 else noise.heads(y)
    if rate:
        noise = noise._replace(probs=_leave_dropout(caller, rate), whole=True)
    return compute_attention(noise, **given)


@at_trace_time
def _refuse_nested(path: str) -> NoReturn:
    raise InvalidType(
        f"inject: noise inside of the attention in '{path}' takes no nested tensors. Pad them "
        "with x.to_padded_tensor(0.0), and mask what is padded."
    )


def _leave_dropout(caller: Caller, rate: float) -> Callable[[Tensor], Tensor]:
    """Return the model's own dropout, which draws from torch's generator."""

    def drop(x: Tensor) -> Tensor:
        y: Tensor = caller.leave_to_model(lambda: F.dropout(x, rate))
        return y

    return drop


def _handle_multi_head(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(_OF_MULTI_HEAD, args, strict=False)) | kwargs
    p, training = float(given["dropout_p"]), bool(given.get("training", True))
    noise, rate = _find_noise(caller, "F.multi_head_attention_forward", p, training, 4)
    if noise.scores is not None or noise.heads is not None:
        return _compute_with_places(_NoiseAsRate(caller, noise, rate, given["num_heads"]), given)
    if noise.probs is not None:
        given["dropout_p"] = _NoiseAsRate(caller, noise, rate, given["num_heads"])
        return _compute_multi_head(**{**given, "training": True})
    if rate or not training:
        return caller.leave_to_model(lambda: func(*args, **kwargs))
    return func(**{**given, "dropout_p": 0.0})


# torch's own code of multi-head attention, with other functions for its dropout. ---------------


class _NoiseAsRate:
    """Noise in an attention, in the place of the rate that torch's code passes to its dropout."""

    def __init__(self, caller: Caller, noise: AttentionNoise, rate: float, heads: int) -> None:
        self.caller, self.noise, self.rate, self.heads = caller, noise, rate, heads

    def __gt__(self, other: float) -> bool:
        """Return True: torch's code calls its dropout if the rate is above 0."""
        return True


def _drop_merged(x: Tensor, p: _NoiseAsRate) -> Tensor:
    """Return probabilities (batch · heads, query, key) with noise, in place of a dropout."""
    assert p.noise.probs is not None
    y: Tensor = p.noise.probs(x.unflatten(0, (-1, p.heads))).flatten(0, 1)
    return y


def _attend_with_noise(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: _NoiseAsRate,
    is_causal: bool,
) -> Tensor:
    """Return attention with noise inside, in place of torch's fused function."""
    given: dict[str, Any] = {"query": query, "key": key, "value": value}
    given |= {"attn_mask": attn_mask, "is_causal": is_causal}
    return _run_attention(dropout_p.caller, dropout_p.noise, dropout_p.rate, given)


def _compute_with_places(rate: _NoiseAsRate, given: dict[str, Any]) -> Any:
    """Return multi-head attention with noise on scores or heads, and its weights if wanted.

    Where torch's code returns weights it has no function for what comes before and after them, so
    the weights are kept here, with the noise on them.
    """
    given = {**given, "dropout_p": rate, "training": True}
    if not given.get("need_weights", True):
        return _compute_multi_head(**given)
    kept: list[Tensor] = []
    drop = rate.noise.probs or (_leave_dropout(rate.caller, rate.rate) if rate.rate else None)

    def keep(x: Tensor) -> Tensor:
        kept.append(x if drop is None else drop(x))
        return kept[0]

    rate.noise, rate.rate = rate.noise._replace(probs=keep, whole=True), 0.0
    # A mask counts, not the hint that it is causal, as where torch returns weights.
    y, _ = _compute_multi_head(**{**given, "need_weights": False, "is_causal": False})
    weights = kept[0].mean(1) if given.get("average_attn_weights", True) else kept[0]
    return y, weights if given["query"].ndim == 3 else weights[0]


def _copy_multi_head() -> Any:
    """Return torch's function with globals of its own, in which its dropout is noise.

    The globals are those of a module, since a compiler looks up there what the function calls.
    """
    module = ModuleType(f"{__name__}.functional")
    own = vars(module).copy()
    vars(module).update(vars(F) | own)
    vars(module).update(
        dropout=_drop_merged,
        scaled_dot_product_attention=_attend_with_noise,
        has_torch_function=lambda tensors: False,
    )
    sys.modules[module.__name__] = module
    function = cast(FunctionType, F.multi_head_attention_forward)
    return FunctionType(function.__code__, vars(module), function.__name__, function.__defaults__)


_compute_multi_head = _copy_multi_head()


# What cannot be replaced. ----------------------------------------------------------------------


def _make_fused_handler(name: str, names: tuple[str, ...]) -> Any:
    """Return the handler of a fused operation, whose dropout cannot be replaced."""

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        p = (dict(zip(names, args, strict=False)) | kwargs).get("dropout_p", 0.0)
        if p:
            words = f"torch.ops.aten.{name}(dropout_p={p:g})"
            caller.note_unreached(f"{caller.frame.path}:probs", words)
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)
        return caller.leave_to_model(lambda: func(*args, **kwargs))

    return handle


def _make_fused_handlers() -> dict[Any, Any]:
    handlers: dict[Any, Any] = {}
    for kernel in ("flash", "efficient", "cudnn"):
        name = f"_scaled_dot_product_{kernel}_attention"
        packet = getattr(torch.ops.aten, name, None)
        if packet is not None:
            names = tuple(argument.name for argument in packet.default._schema.arguments)
            handlers |= dict.fromkeys((packet, packet.default), _make_fused_handler(name, names))
    return handlers


ATTENTION_HANDLERS: dict[Any, Any] = {
    F.scaled_dot_product_attention: _handle_attention,
    F.multi_head_attention_forward: _handle_multi_head,
    **_make_fused_handlers(),
}
