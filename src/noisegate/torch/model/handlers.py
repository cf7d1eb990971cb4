"""Handle each torch function that makes noise when a model's forward calls it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisegate.core.errors import NoisegateError
from noisegate.core.survey import Call
from noisegate.core.window import ATTENTION

from .attention import compute_attention
from .coins import find_coin
from .discover import adapt_to_rank, make_dropout_call
from .draw_watch import DrawWatch, ModuleCall
from .modules import SiteFunction, apply_functions, write_in_place


class Caller(Protocol):
    """The module whose forward calls a function, as a handler sees it."""

    @property
    def frame(self) -> ModuleCall:
        """The running call of the module."""

    @property
    def draws(self) -> DrawWatch | None:
        """The watch on the generators in this thread, if there is one."""

    def find_functions(self, port: str, call: Call) -> list[SiteFunction]:
        """Return the functions at the module's next site of a port."""

    def find_in_graph(
        self,
        port: str,
        name: str,
        words: str,
        p: float,
        rank: int,
        probabilities: bool,
        stays: bool,
    ) -> Any:
        """Return the functions at the next site of a port, and how graphs apply each."""

    def note_draws_in_graph(self, function: Any) -> None:
        """Tell all listeners of a function in a graph that is known to draw."""

    def leave_to_model(self, function: Callable[[], Any]) -> Any:
        """Return the result of the model's own call."""

    def note_unreached(self, site: str, words: str) -> None:
        """Tell all listeners of a noise that cannot be replaced."""


# Marks tensors that are attention probabilities: a softmax's result, and what is computed from one.
_MARK = "_noisegate_probabilities"


def make_call(name: str, words: str, p: float, rank: int, probabilities: bool, stays: bool) -> Call:
    """Return the call of a dropout function with an input of a rank."""
    attention = words.startswith("scaled")
    shown = f"{words}(dropout_p={p:g})" if attention else f"{words}(p={p:g})"
    call = make_dropout_call(name, p, shown)
    call = call if attention else adapt_to_rank(name, call, rank)
    if probabilities or stays:
        axis = ATTENTION if probabilities else call.sample_axis
        call = replace(call, sample_axis=axis, stays=stays)
    return call


def _make_dropout_handler(name: str, words: str, inplace: bool = False) -> Any:
    """Return the handler of a dropout function with arguments (input, p, training, inplace)."""
    # F.alpha_dropout and F.feature_alpha_dropout have training=False by default.
    default = not words.startswith(("F.alpha", "F.feature_alpha"))

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        given = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
        x, p = given["input"], float(given.get("p", 0.5))
        training = bool(given.get("training", given.get("train", default)))
        trains = caller.frame.training
        # A softmax's result with more than two axes is an attention's, not a classifier's.
        probabilities = name == "Dropout" and x.ndim > 2 and hasattr(x, _MARK)
        inplace_ = inplace or bool(given.get("inplace", False))
        if torch.compiler.is_compiling():
            port = "probs" if probabilities else "dropout"
            stays = training and p > 0 and not trains
            found = caller.find_in_graph(port, name, words, p, x.ndim, probabilities, stays)
            if not found:
                return func(*args, **kwargs)
            y = _apply_found(x, found, training and trains, p)
            return write_in_place(x, y, inplace_, training and p > 0)
        call = adapt_to_rank(name, make_dropout_call(name, p, f"{words}(p={p:g})"), x.ndim)
        if probabilities or (training and p > 0 and not trains):
            axis = ATTENTION if probabilities else call.sample_axis
            call = replace(call, sample_axis=axis, stays=training and p > 0 and not trains)
        # Attention noise has the same port, and so the same key, as in fused attention.
        functions = caller.find_functions("probs" if probabilities else "dropout", call)
        if not functions:
            return caller.leave_to_model(lambda: func(*args, **kwargs))
        # A module in evaluation has no noise, whatever its code says.
        y = apply_functions(x, functions, training and trains, call, name)
        draws = training and p > 0
        try:
            return write_in_place(x, y, inplace_, draws)
        except NoisegateError as error:
            error.prefix(words)
            raise

    return handle


def _apply_found(x: Tensor, found: Any, training: bool, rate: float) -> Tensor:
    """Return x after the functions that act, in code that a compiler traces."""
    for function, plan in found:
        if function.acts_in_graph(training, rate):
            x = function.call_in_graph(x, plan, rate)
    return x


def _handle_attention(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, args, strict=False)) | kwargs
    p = float(given.pop("dropout_p", 0.0))
    if torch.compiler.is_compiling():
        training = caller.frame.training
        words = "scaled_dot_product_attention"
        rank = max(3, given["query"].ndim)
        stays = p > 0 and not training
        found = caller.find_in_graph("probs", "Dropout", words, p, rank, True, stays)
        if not found:
            return func(*args, **kwargs)
        if not any(function.acts_in_graph(training, p) for function, _ in found):
            return func(**given)
        return compute_attention(lambda x: _apply_found(x, found, training, p), **given)
    words = f"scaled_dot_product_attention(dropout_p={p:g})"
    stays = p > 0 and not caller.frame.training
    call = replace(make_dropout_call("Dropout", p, words), sample_axis=ATTENTION, stays=stays)
    functions = caller.find_functions("probs", call)
    if not functions:
        return caller.leave_to_model(lambda: func(*args, **kwargs))
    training = caller.frame.training
    if not any(function.acts(training, call) for function in functions):
        return func(**given)  # without dropout_p, which the functions replace
    return compute_attention(lambda x: apply_functions(x, functions, training, call), **given)


def _mark_softmax(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    y = func(*args, **kwargs)
    setattr(y, _MARK, True)
    return y


def _pass_mark_on(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Mark the result of an elementwise function of probabilities as probabilities."""
    y = func(*args, **kwargs)
    if any(isinstance(x, Tensor) and hasattr(x, _MARK) for x in args) and isinstance(y, Tensor):
        setattr(y, _MARK, True)
    return y


def _run_drawing(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a function that models build dropouts from, and report its draw."""
    # As a handler it runs in compiled models too: `_run_handler` breaks the graph.
    if torch.compiler.is_compiling():
        caller.note_draws_in_graph(func)
        return func(*args, **kwargs)
    draws = caller.draws
    if draws is None:
        return func(*args, **kwargs)
    return draws.run_drawing(caller.frame, func, args, kwargs)


def _note_decision(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
    """Note that a coin is compared with a rate, or becomes a Python number."""
    if torch.compiler.is_compiling():
        return func(*args, **kwargs)
    draws, coin = caller.draws, find_coin(args)
    if draws is not None and coin is not None:
        rates = (float(rate) for rate in args if isinstance(rate, int | float))
        draws.note_decision(coin, next(rates, None))
    return func(*args, **kwargs)


# Handlers that only take notes: they need no check whether the forward still runs.
SILENT = (_mark_softmax, _pass_mark_on, _note_decision)

# torch modules that draw random numbers for something other than dropout.
DRAWING = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)


def _make_inside_handler(
    words: str, port: str, names: Sequence[str], rate: str, training: str
) -> Any:
    """Return the handler of a function with a dropout inside that cannot be replaced."""

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        p = given.get(rate, 0.0)
        if p and given.get(training, True):
            caller.note_unreached(f"{caller.frame.path}:{port}", f"{words}({rate}={p:g})")
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)
        return caller.leave_to_model(lambda: func(*args, **kwargs))

    return handle


_OF_ATTENTION = tuple(signature(F.multi_head_attention_forward).parameters)
_OF_RNN = ("input", "hx", "params", "has_biases", "num_layers", "dropout", "train")

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

# Functions that models call between the softmax and its dropout; each keeps all elements in place.
_ELEMENTWISE = (
    *(Tensor.to, Tensor.type_as, Tensor.type),
    *(Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.double),
    *(Tensor.mul, Tensor.__mul__, torch.mul),
    *(Tensor.masked_fill, Tensor.masked_fill_, torch.masked_fill),
    *(Tensor.clone, torch.clone, Tensor.contiguous, torch.nan_to_num),
    *(Tensor.view, Tensor.reshape, torch.reshape),
)
_DRAWS = (
    *(torch.bernoulli, Tensor.bernoulli, Tensor.bernoulli_),
    *(torch.native_dropout, torch.feature_dropout, torch.rand, torch.rand_like),
)
_COMPARISONS = ("lt", "le", "gt", "ge", "less", "greater")
_DECISIONS = (
    *(getattr(Tensor, name) for name in (*_COMPARISONS, "item", "tolist", "__float__")),
    *(getattr(torch, name) for name in _COMPARISONS),
)

HANDLERS: dict[Any, Any] = {
    **_DROPOUTS,
    F.scaled_dot_product_attention: _handle_attention,
    F.multi_head_attention_forward: _make_inside_handler(
        "F.multi_head_attention_forward", "probs", _OF_ATTENTION, "dropout_p", "training"
    ),
    **{
        getattr(torch, name): _make_inside_handler(
            f"torch.{name}", "dropout", _OF_RNN, "dropout", "train"
        )
        for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
    },
    **dict.fromkeys(
        (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax), _mark_softmax
    ),
    **dict.fromkeys(_ELEMENTWISE, _pass_mark_on),
    **dict.fromkeys(_DRAWS, _run_drawing),
    **dict.fromkeys(_DECISIONS, _note_decision),
}
