"""Handle torch's functions of attention, whose dropout is inside."""

import sys
from collections.abc import Callable
from inspect import signature
from types import FunctionType, ModuleType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from noisegate.core.window import ATTENTION

from .attention import compute_attention
from .replacing import Caller, find_replacement

_OF_SDPA = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_OF_MULTI_HEAD = tuple(signature(F.multi_head_attention_forward).parameters)


def _handle_attention(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(_OF_SDPA, args, strict=False)) | kwargs
    p, rank = float(given.pop("dropout_p", 0.0)), max(3, given["query"].ndim)
    words = "scaled_dot_product_attention"
    found, noise = find_replacement(caller, "probs", words, p, True, ATTENTION, rank)
    if not found:
        return caller.leave_to_model(lambda: func(*args, **kwargs))
    if noise is None:
        return func(**given)  # without dropout_p, which the noise replaces
    return compute_attention(noise, **given)


def _handle_multi_head(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(_OF_MULTI_HEAD, args, strict=False)) | kwargs
    p, training = float(given["dropout_p"]), bool(given.get("training", True))
    words = "F.multi_head_attention_forward"
    found, noise = find_replacement(caller, "probs", words, p, training, ATTENTION, 4)
    if not found:
        return caller.leave_to_model(lambda: func(*args, **kwargs))
    if noise is None:
        return func(**{**given, "dropout_p": 0.0})
    rate = _NoiseAsRate(noise, given["num_heads"])
    return _compute_multi_head(**{**given, "dropout_p": rate, "training": True})


# torch's own code of multi-head attention, with other functions for its dropout. ---------------


class _NoiseAsRate:
    """Noise on probabilities, in the place of the rate that torch's code passes to its dropout."""

    def __init__(self, noise: Callable[[Tensor], Tensor], heads: int) -> None:
        self.noise, self.heads = noise, heads

    def __gt__(self, other: float) -> bool:
        """Return True: torch's code calls its dropout if the rate is above 0."""
        return True


def _drop_merged(x: Tensor, p: _NoiseAsRate) -> Tensor:
    """Return probabilities (batch · heads, query, key) with noise, in place of a dropout."""
    return p.noise(x.unflatten(0, (-1, p.heads))).flatten(0, 1)


def _attend_with_noise(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: _NoiseAsRate,
    is_causal: bool,
) -> Tensor:
    """Return attention with noise on its probabilities, in place of torch's fused function."""
    return compute_attention(dropout_p.noise, query, key, value, attn_mask, is_causal)


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
