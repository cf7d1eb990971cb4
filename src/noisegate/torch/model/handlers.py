"""How each function of torch's that is a noise is handled where a model's forward calls it."""

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisegate.core.errors import NoisegateError
from noisegate.core.window import ATTENTION

from .attention import attention
from .coins import marked
from .discover import at_rank, own_dropout
from .modules import changed, in_place

if TYPE_CHECKING:
    from .watch import Calls

# What is known to be the probabilities of an attention: a softmax, and what is made of one.
_MARK = "_noisegate_probabilities"


def _dropout(name: str, words: str, inplace: bool = False) -> Any:
    """Return the handler of a dropout function: (input, p, training, inplace)."""
    # torch's functions of alpha dropout are off unless they are told.
    default = not words.startswith(("F.alpha", "F.feature_alpha"))

    def handle(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
        given = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
        x, p = given["input"], float(given.get("p", 0.5))
        training = bool(given.get("training", given.get("train", default)))
        trains = calls.frame.module.training
        probabilities = name == "Dropout" and x.ndim > 2 and hasattr(x, _MARK)
        call = at_rank(name, own_dropout(name, p, f"{words}(p={p:g})"), x.ndim)
        if probabilities or (training and p > 0 and not trains):
            axis = ATTENTION if probabilities else call.sample_axis
            call = replace(call, sample_axis=axis, stays=training and p > 0 and not trains)
        functions = calls.at("probs" if probabilities else "dropout", call)
        if not functions:
            return calls.left(lambda: func(*args, **kwargs))
        # A module in evaluation has no noise, whatever its code says.
        y = changed(x, functions, training and trains, call, name)
        draws = training and p > 0
        try:
            return in_place(x, y, inplace or bool(given.get("inplace", False)), draws)
        except NoisegateError as error:
            error.prefix(words)
            raise

    return handle


def _attention(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, args, strict=False)) | kwargs
    p = float(given.get("dropout_p", 0.0))
    words = f"scaled_dot_product_attention(dropout_p={p:g})"
    stays = p > 0 and not calls.frame.module.training
    call = replace(own_dropout("Dropout", p, words), sample_axis=ATTENTION, stays=stays)
    functions = calls.at("probs", call)
    if not functions:
        return calls.left(lambda: func(*args, **kwargs))
    training = calls.frame.module.training
    if not any(function.acts(training, call) for function in functions):
        return func(**{**given, "dropout_p": 0.0})
    return attention(lambda x: changed(x, functions, training, call), **given)


def _softmax(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
    y = func(*args, **kwargs)
    setattr(y, _MARK, True)
    return y


def _passing_on(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
    """Let what is made of probabilities, element by element, be probabilities."""
    y = func(*args, **kwargs)
    if any(isinstance(x, Tensor) and hasattr(x, _MARK) for x in args) and isinstance(y, Tensor):
        setattr(y, _MARK, True)
    return y


def _drawing(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
    """Look for the draw of a function of which models make dropouts, in compiled ones too."""
    draws = calls.draws
    if draws is None:
        return func(*args, **kwargs)
    return draws.draw(calls.frame, func, args, kwargs)


def _deciding(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
    """Take note that a coin is compared, and with which rate; or that it becomes a number."""
    draws, coin = calls.draws, marked(args)
    if draws is not None and coin is not None:
        rates = (float(rate) for rate in args if isinstance(rate, int | float))
        draws.decides(coin, next(rates, None))
    return func(*args, **kwargs)


# Handlers that only remember something.
SILENT = (_softmax, _passing_on, _deciding)

# Modules of torch's that draw, for no dropout.
DRAWING = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


def _inside(words: str, port: str, names: Sequence[str], rate: str, training: str) -> Any:
    """Return the handler of a function that has a dropout inside, out of reach."""

    def handle(calls: "Calls", func: Any, args: Any, kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        p = given.get(rate, 0.0)
        if p and given.get(training, True):
            for listener in calls.listeners:
                listener.note_unreached(f"{calls.frame.path}:{port}", f"{words}({rate}={p:g})")
        return calls.left(lambda: func(*args, **kwargs))

    return handle


_OF_ATTENTION = tuple(signature(F.multi_head_attention_forward).parameters)
_OF_RNN = ("input", "hx", "params", "has_biases", "num_layers", "dropout", "train")

DROPOUTS = (
    F.dropout,
    F.dropout1d,
    F.dropout2d,
    F.dropout3d,
    F.alpha_dropout,
    F.feature_alpha_dropout,
    torch.dropout,
    torch.dropout_,
    torch.alpha_dropout,
    torch.alpha_dropout_,
)

HANDLERS: dict[Any, Any] = {
    F.dropout: _dropout("Dropout", "F.dropout"),
    F.dropout1d: _dropout("Dropout1d", "F.dropout1d"),
    F.dropout2d: _dropout("Dropout2d", "F.dropout2d"),
    F.dropout3d: _dropout("Dropout3d", "F.dropout3d"),
    F.alpha_dropout: _dropout("AlphaDropout", "F.alpha_dropout"),
    F.feature_alpha_dropout: _dropout("FeatureAlphaDropout", "F.feature_alpha_dropout"),
    torch.dropout: _dropout("Dropout", "torch.dropout"),
    torch.dropout_: _dropout("Dropout", "torch.dropout_", inplace=True),
    torch.alpha_dropout: _dropout("AlphaDropout", "torch.alpha_dropout"),
    torch.alpha_dropout_: _dropout("AlphaDropout", "torch.alpha_dropout_", inplace=True),
    F.scaled_dot_product_attention: _attention,
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax), _softmax),
    **dict.fromkeys(
        (
            Tensor.to,
            Tensor.type_as,
            Tensor.type,
            Tensor.float,
            Tensor.half,
            Tensor.bfloat16,
            Tensor.double,
            Tensor.mul,
            Tensor.__mul__,
            torch.mul,
            Tensor.masked_fill,
            Tensor.masked_fill_,
            torch.masked_fill,
            Tensor.clone,
            torch.clone,
            Tensor.contiguous,
            torch.nan_to_num,
            Tensor.view,
            Tensor.reshape,
            torch.reshape,
        ),
        _passing_on,
    ),
    F.multi_head_attention_forward: _inside(
        "F.multi_head_attention_forward", "probs", _OF_ATTENTION, "dropout_p", "training"
    ),
    **{
        getattr(torch, name): _inside(f"torch.{name}", "dropout", _OF_RNN, "dropout", "train")
        for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
    },
    **dict.fromkeys(
        (
            torch.bernoulli,
            Tensor.bernoulli,
            Tensor.bernoulli_,
            torch.native_dropout,
            torch.feature_dropout,
            torch.rand,
            torch.rand_like,
        ),
        _drawing,
    ),
    **dict.fromkeys(
        (
            getattr(owner, name)
            for owner, more in ((Tensor, ("item", "tolist", "__float__")), (torch, ()))
            for name in ("lt", "le", "gt", "ge", "less", "greater", *more)
        ),
        _deciding,
    ),
}
