"""Handle flex_attention: noise on its scores is a `score_mod`, after the user's own."""

from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops import utils

from noisegate.core.checks import at_trace_time

from ..flex_scores import FlexScores
from .attention import MASKED
from .replacing import Caller, find_place

_NAMES = (
    *("query", "key", "value", "score_mod", "block_mask", "scale", "kernel_options"),
    *("score_mod_other_buffers", "mask_mod_other_buffers"),
)


def _handle_flex(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    given = dict(zip(_NAMES, args, strict=False)) | kwargs
    compiles = torch.compiler.is_compiling()
    if _is_inside(compiles, isinstance(given["score_mod"], torch.fx.GraphModule)):
        return func(*args, **kwargs)
    scores = find_place(caller, "scores", "flex_attention", 4)
    heads = find_place(caller, "heads", "flex_attention", 4)
    if scores is not None:
        query, key = given["query"], given["key"]
        stand_in: Any = FlexScores((*query.shape[:-1], key.shape[-2]), query.device)
        given = _compose(given, scores(stand_in))
    # By place, as a compiler wants it.
    y, *others = func(*(given[name] for name in _NAMES if name in given))
    return (y if heads is None else heads(y), *others)


@at_trace_time
def _is_inside(compiles: bool, traced: bool) -> bool:
    """Return whether this call is within another one, which is handled.

    Called outside of compiled code, flex_attention compiles a function around its operation by
    itself: the operation is seen as that is traced, and as it runs. In code that a user compiles it
    is handled as it is traced, and perhaps seen as it runs.
    """
    alone = getattr(utils._hop_compile_tls, "in_hop_compile", False)
    return alone if compiles else traced and not alone


def _compose(given: dict[str, Any], noisy: Any) -> dict[str, Any]:
    """Return the arguments of flex_attention with noise after its own `score_mod`."""
    own, noises = given["score_mod"], noisy.functions
    buffers = tuple(given.get("score_mod_other_buffers", ()))
    added = tuple(words for noise in noises for words in noise.buffers)

    def modify(score: Tensor, *rest: Any) -> Tensor:
        """Return a score after the user's function and the noise."""
        place, extra = rest[:4], rest[4 : 4 + len(buffers)]
        before = own(score, *place, *extra)
        y, first = before, 4 + len(buffers)
        for noise in noises:
            y = noise.add(y, place, *rest[first : first + len(noise.buffers)])
            first += len(noise.buffers)
        # What the user's function has masked stays hidden.
        return torch.where(before < MASKED, before, y)

    if not added:
        return {**given, "score_mod": modify}
    return {**given, "score_mod": modify, "score_mod_other_buffers": (*buffers, *added)}


FLEX_HANDLERS: dict[Any, Any] = {torch.ops.higher_order.flex_attention: _handle_flex}
