"""Handle torch's functions of recurrent layers and cells.

The functions of layers drop between their layers; noise on the states that they carry on, and more
between the layers, comes by rules alone.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from noisegate.core.patterns import CELL, LAYERS, STATE

from .modules import apply_functions, call_unwatched
from .own_states import find_own_noise
from .recurrence import Acting, StateNoise
from .recurrent_layers import Between, run_layers
from .replacing import Caller, Replacement, apply_found, find_replacement, make_call
from .states import ADVANCES, Weights

_REST = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
_OF_PADDED = ("input", "hx", *_REST, "batch_first")
_OF_PACKED = ("data", "batch_sizes", "hx", *_REST)
_OF_CELL = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")


def _make_recurrent_handler(name: str) -> Any:
    """Return the handler of a recurrent function of layers."""
    words = f"torch.{name}"

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        packed = "batch_sizes" in kwargs or (len(args) > 3 and not isinstance(args[3], bool | int))
        given = dict(zip(_OF_PACKED if packed else _OF_PADDED, args, strict=False)) | kwargs
        p, training = float(given["dropout"]), bool(given["train"])
        # (samples, time, features), whatever the layout.
        found = [
            find_replacement(caller, "dropout", words, p, training, 0, 3)
            for _ in range(given["num_layers"] - 1)
        ]
        own = _find_between(caller, LAYERS, words) if found else []
        on_state = _find_acting(caller, STATE, words)
        on_cell = _find_acting(caller, CELL, words) if name == "lstm" else []
        if not (any(replaced for replaced, _ in found) or own or on_state or on_cell):
            return caller.leave_to_model(lambda: func(*args, **kwargs))
        if not (own or on_state or on_cell) and all(
            replaced and noise is None for replaced, noise in found
        ):
            return func(**{**given, "dropout": 0.0})

        def drop(x: Tensor) -> Tensor:
            """Return x with the model's own dropout, where no noise replaces it."""
            y: Tensor = caller.leave_to_model(lambda: F.dropout(x, p, training))
            return y

        after = [
            _chain([noise if replaced else drop if training and p else None, *own])
            for replaced, noise in found
        ]
        return run_layers(func, given, Between(after, on_state, on_cell))

    return handle


def _make_cell_handler(name: str) -> Any:
    """Return the handler of a recurrent function of one time step."""
    words = f"torch.{name}_cell"

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        on_state = _find_acting(caller, STATE, words, alone=True)
        on_cell = _find_acting(caller, CELL, words, alone=True) if name == "lstm" else []
        if not (on_state or on_cell):
            return func(*args, **kwargs)
        given = dict(zip(_OF_CELL, args, strict=False)) | kwargs
        h, *c = (given["hx"],) if isinstance(given["hx"], Tensor) else given["hx"]
        noise = StateNoise.draw(on_state, h, (len(h), 1, h.shape[-1]))
        weights = Weights(*(given.get(word) for word in _OF_CELL[2:]))
        carried = c[0] if c else None
        seen, entering = noise.change(h, 0), weights.project(given["input"])
        new_h, new_c = ADVANCES[name](entering, seen, h, carried, weights)
        new_h = noise.blend(new_h, h, 0)
        if carried is None:
            return new_h
        noise = StateNoise.draw(on_cell, carried, (len(carried), 1, carried.shape[-1]))
        return new_h, noise.blend(noise.change(new_c, 0), carried, 0)

    return handle


def _list_functions(caller: Caller, port: str, words: str) -> list[tuple[Any, Any]]:
    """Return the functions that act at a port, each with the call or how graphs apply it."""
    given = "Dropout", words, 0.0, 3, 0, False, False
    training = caller.frame.training
    if torch.compiler.is_compiling():
        found = caller.find_in_graph(port, *given)
        return [(f, plan) for f, plan in found if f.acts_in_graph(training)]
    own = find_own_noise(port)
    call = make_call(*given) if own is None else own.call
    functions: list[Any] = caller.find_functions(port, call)
    if own is not None and not functions:
        functions = [own]
    return [(function, call) for function in functions if function.acts(training, call)]


def _find_acting(caller: Caller, port: str, words: str, alone: bool = False) -> list[Acting]:
    """Return the functions that act on a state; `alone` says that they see one time step."""
    compiles, training = torch.compiler.is_compiling(), caller.frame.training
    acting = []
    for function, _ in _list_functions(caller, port, words):
        draw = partial(_draw_traced if compiles else _draw_now, function, alone)
        acting.append(Acting(function, draw, function.read_share(training)))
    return acting


def _draw_now(function: Any, alone: bool, xs: Sequence[Tensor]) -> Any:
    return call_unwatched(partial(function.draw, alone=alone), xs)  # type: ignore[arg-type]


def _draw_traced(function: Any, alone: bool, xs: Sequence[Tensor]) -> Any:
    return function.draw_in_graph(xs, alone)


def _find_between(caller: Caller, port: str, words: str) -> list[Callable[[Tensor], Tensor]]:
    """Return what the functions at a port do to a tensor of (samples, time, features)."""
    training = caller.frame.training
    found = _list_functions(caller, port, words)
    if torch.compiler.is_compiling():
        return [partial(apply_found, found=[one], training=training, rate=0.0) for one in found]
    return [partial(apply_functions, functions=[f], training=training, call=c) for f, c in found]


def _chain(functions: Sequence[Replacement]) -> Replacement:
    """Return one function that applies several, in order; None if there is none."""
    acting = [function for function in functions if function is not None]

    def apply(x: Tensor) -> Tensor:
        for function in acting:
            x = function(x)
        return x

    return apply if acting else None


RECURRENT_HANDLERS: dict[Any, Any] = {
    **{getattr(torch, name): _make_recurrent_handler(name) for name in ADVANCES},
    **{getattr(torch, f"{name}_cell"): _make_cell_handler(name) for name in ADVANCES},
}
