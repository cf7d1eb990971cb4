"""Handle each torch function that makes noise when a model's forward calls it."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisegate.core.errors import NoisegateError
from noisegate.core.window import ATTENTION

from ..compiling import hold_number
from .attention_handlers import ATTENTION_HANDLERS
from .coins import find_bounds, find_coin, is_coin, mark_coin
from .eager_attention import (
    EAGER_ATTENTION_HANDLERS,
    apply_in_order,
    is_marked,
    mark_dropped,
)
from .flex_attention import FLEX_HANDLERS
from .modules import apply_functions, write_in_place
from .recurrent_handlers import RECURRENT_HANDLERS
from .replacing import Caller, apply_found, make_call


def _make_dropout_handler(name: str, words: str, inplace: bool = False) -> Any:
    """Return the handler of a dropout function with arguments (input, p, training, inplace)."""
    # F.alpha_dropout and F.feature_alpha_dropout have training=False by default.
    default = not words.startswith(("F.alpha", "F.feature_alpha"))

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        y = drop(caller, func, args, kwargs)
        mark_dropped(args[0] if args else kwargs["input"], y)
        return y

    def drop(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        given = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
        x, p = given["input"], float(given.get("p", 0.5))
        training = bool(given.get("training", given.get("train", default)))
        trains = caller.frame.training
        probabilities = name == "Dropout" and is_marked(x)
        inplace_ = inplace or bool(given.get("inplace", False))
        # Attention noise has the same port, and so the same key, as in fused attention.
        port, axis = ("probs", ATTENTION) if probabilities else ("dropout", None)
        stays = training and p > 0 and not trains
        if torch.compiler.is_compiling():
            p = hold_number(p)
            stays = training and p > 0 and not trains
            found = caller.find_in_graph(port, name, words, p, x.ndim, axis, stays)
            if not found:
                return func(*args, **kwargs)
            act = partial(apply_found, found=found, training=training and trains, rate=p)
            y = apply_in_order(x, act)
            return write_in_place(x, y, inplace_, training and p > 0)
        call = make_call(name, words, p, x.ndim, axis, stays)
        functions = caller.find_functions(port, call)
        if not functions:
            return caller.leave_to_model(lambda: func(*args, **kwargs))
        # A module in evaluation has no noise, whatever its code says.
        act = partial(apply_functions, functions=functions, training=training and trains, call=call)
        y = apply_in_order(x, partial(act, name=name))
        draws = training and p > 0
        try:
            return write_in_place(x, y, inplace_, draws)
        except NoisegateError as error:
            error.prefix(words)
            raise

    return handle


def _run_drawing(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a function that models build dropouts from, and report its draw."""
    # As a handler it runs in compiled models too: `_run_handler` breaks the graph.
    if torch.compiler.is_compiling():
        caller.note_draws_in_graph(func)
        return func(*args, **kwargs)
    draws = caller.draws
    if draws is not None:
        return draws.run_drawing(caller.frame, func, args, kwargs)
    y = func(*args, **kwargs)
    if is_coin(func, y) and find_bounds(func, args, kwargs) == (0, 1):
        mark_coin(y, "")
    return y


def _note_decision(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Decide by the site's key where a coin is compared with a rate; note one that torch draws."""
    if torch.compiler.is_compiling():
        return func(*args, **kwargs)
    coin = find_coin(args)
    if coin is None:
        return func(*args, **kwargs)
    rate = next((float(rate) for rate in args if isinstance(rate, int | float)), None)
    name = func.__name__.strip("_")
    if not isinstance(coin, str):
        if caller.draws is not None:
            caller.draws.note_decision(coin, rate)
    elif rate is not None and name in _COMPARISONS and 0 <= rate <= 1:
        skips = caller.decide(rate, coin)
        if skips is not None:
            return torch.tensor(skips == (name[0] == "l"), device=args[0].device)
    return func(*args, **kwargs)


# Handlers that take notes, or check by themselves whether the forward still runs.
SILENT = (*EAGER_ATTENTION_HANDLERS.values(), _note_decision)

# torch modules that draw random numbers for something other than dropout.
DRAWING = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


_DROPOUTS = {
    F.dropout: _make_dropout_handler("Dropout", "F.dropout"),
    F.dropout1d: _make_dropout_handler("Dropout1d", "F.dropout1d"),
    F.dropout2d: _make_dropout_handler("Dropout2d", "F.dropout2d"),
    F.dropout3d: _make_dropout_handler("Dropout3d", "F.dropout3d"),
    F.alpha_dropout: _make_dropout_handler("AlphaDropout", "F.alpha_dropout"),
    F.feature_alpha_dropout: _make_dropout_handler(
        "FeatureAlphaDropout", "F.feature_alpha_dropout"
    ),
    torch.dropout: _make_dropout_handler("Dropout", "torch.dropout"),
    torch.dropout_: _make_dropout_handler("Dropout", "torch.dropout_", inplace=True),
    torch.alpha_dropout: _make_dropout_handler("AlphaDropout", "torch.alpha_dropout"),
    torch.alpha_dropout_: _make_dropout_handler(
        "AlphaDropout", "torch.alpha_dropout_", inplace=True
    ),
}
DROPOUTS = tuple(_DROPOUTS)

# Functions that models build dropouts from.
DRAWS = (
    *(torch.bernoulli, Tensor.bernoulli, Tensor.bernoulli_),
    *(torch.native_dropout, torch.feature_dropout, torch.rand, torch.rand_like, Tensor.uniform_),
)
_COMPARISONS = ("lt", "le", "gt", "ge", "less", "greater")
_DECISIONS = (
    *(getattr(Tensor, name) for name in (*_COMPARISONS, "item", "tolist", "__float__")),
    *(getattr(torch, name) for name in _COMPARISONS),
)

HANDLERS: dict[Any, Any] = {
    **_DROPOUTS,
    **ATTENTION_HANDLERS,
    **EAGER_ATTENTION_HANDLERS,
    **FLEX_HANDLERS,
    **RECURRENT_HANDLERS,
    **dict.fromkeys(DRAWS, _run_drawing),
    **dict.fromkeys(_DECISIONS, _note_decision),
}
