"""What handlers of functions share: who calls, which noise the call makes, and what replaces it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from noisegate.core.survey import Call
from noisegate.core.window import ATTENTION

from ..compiling import hold_number
from .discover import adapt_to_rank, make_dropout_call
from .draw_watch import DrawWatch, ModuleCall
from .modules import SiteFunction, apply_functions

# What replaces a noise of the model's own; None if the call has no noise then.
Replacement = Callable[[Tensor], Tensor] | None


class Caller(Protocol):
    """The module whose forward calls a function, as a handler sees it."""

    @property
    def frame(self) -> ModuleCall:
        """The running call of the module."""

    @property
    def draws(self) -> DrawWatch | None:
        """The watch on the generators in this thread, if there is one."""

    def waits_for(self, place: str) -> bool:
        """Return whether a rule names a port, or one site, where the model makes no noise."""

    def find_functions(self, port: str, call: Call) -> list[SiteFunction]:
        """Return the functions at the module's next site of a port."""

    def find_in_graph(
        self,
        port: str,
        name: str,
        words: str,
        p: float,
        rank: int,
        axis: Any,
        stays: bool,
        own: bool = True,
    ) -> Any:
        """Return the functions at the next site of a port, and how graphs apply each."""

    def note_draws_in_graph(self, function: Any) -> None:
        """Tell all listeners of a function in a graph that is known to draw."""

    def decide(self, rate: float, drawn: str) -> bool | None:
        """Return whether the module skips what a coin decides on; None if that is torch's.

        `drawn` is the site of the coin's draw, if that is keyed.
        """

    def leave_to_model(self, function: Callable[[], Any]) -> Any:
        """Return the result of the model's own call."""

    def note_unreached(self, site: str, words: str) -> None:
        """Tell all listeners of a noise that cannot be replaced."""


# The argument that is the rate, in functions where it is not `p`.
_RATES = {
    **dict.fromkeys(
        ("scaled_dot_product_attention", "F.multi_head_attention_forward"), "dropout_p"
    ),
    **dict.fromkeys(("torch.lstm", "torch.gru", "torch.rnn_tanh", "torch.rnn_relu"), "dropout"),
}


def make_call(
    name: str, words: str, p: float, rank: int, axis: Any, stays: bool, own: bool = True
) -> Call:
    """Return the call of a function that drops as a torch layer does, with an input of a rank.

    `axis` is the sample axis if the function decides it, else None. Without `own` the function
    drops nothing, and is a place for the noise of rules.
    """
    shown = f"{words}({_RATES.get(words, 'p')}={p:g})"
    call = adapt_to_rank(name, make_dropout_call(name, p, shown), rank)
    if axis is None and not stays:
        return call
    axis = call.sample_axis if axis is None else axis
    return replace(call, sample_axis=axis, stays=stays, own=own)


def find_replacement(
    caller: Caller, port: str, words: str, p: float, training: bool, axis: Any, rank: int
) -> tuple[bool, Replacement]:
    """Return whether noise is put at the next site of a port, and what it does to a tensor.

    The site is one of a function with a dropout inside: `training` says whether the function would
    drop, and `axis` is the sample axis of the tensor.
    """
    compiles = torch.compiler.is_compiling()
    p, trains = hold_number(p) if compiles else p, caller.frame.training
    stays = training and p > 0 and not trains
    acts = training and trains  # a module in evaluation has no noise, whatever its code says
    if compiles:
        found = caller.find_in_graph(port, "Dropout", words, p, rank, axis, stays)
        if not any(function.acts_in_graph(acts, p) for function, _ in found):
            return bool(found), None
        return True, partial(apply_found, found=found, training=acts, rate=p)
    call = make_call("Dropout", words, p, rank, axis, stays)
    functions = caller.find_functions(port, call)
    if not any(function.acts(acts, call) for function in functions):
        return bool(functions), None
    return True, partial(apply_functions, functions=functions, training=acts, call=call)


def find_place(caller: Caller, port: str, words: str, rank: int) -> Replacement:
    """Return what rules do to a tensor of an attention, where the model makes no noise itself.

    None if they do nothing.
    """
    given = "Dropout", words, 0.0, rank, ATTENTION, False, False
    training = caller.frame.training
    if torch.compiler.is_compiling():
        found = caller.find_in_graph(port, *given)
        if not any(function.acts_in_graph(training) for function, _ in found):
            return None
        return partial(apply_found, found=found, training=training, rate=0.0)
    if not caller.waits_for(port):
        return None
    call = make_call(*given)
    functions = caller.find_functions(port, call)
    if not any(function.acts(training, call) for function in functions):
        return None
    return partial(apply_functions, functions=functions, training=training, call=call)


def apply_found(x: Tensor, found: Sequence[Any], training: bool, rate: float) -> Tensor:
    """Return x after the functions that act, in code that a compiler traces."""
    for function, plan in found:
        if function.acts_in_graph(training, rate):
            x = function.call_in_graph(x, plan, rate)
    return x
