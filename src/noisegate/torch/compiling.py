"""Keep functions out of compiled graphs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch._C._dynamo import eval_frame

from noisegate.core.checks import at_trace_time

P = ParamSpec("P")
R = TypeVar("R")

# `torch.compiler.disable` imports the compiler, which takes 2 s, when a function is wrapped. The
# wrapper that torch uses for its own functions imports it when one is called.
run_eagerly = getattr(torch, "_disable_dynamo", torch.compiler.disable)

# Returns what compiles the frames that Python enters, or None. torch has no public name for it.
_callback: Callable[[], Any] = getattr(eval_frame, "get_eval_frame_callback", lambda: None)


def compiler_looks_on() -> bool:
    """Return whether a compiler traces this call, or would compile the functions that it calls."""
    return torch.compiler.is_compiling() or _callback() is not None


def compiler_is_imported() -> bool:
    """Return whether the compiler is imported; if not, nothing is compiled. It takes 2 s."""
    return "torch._dynamo" in sys.modules


# How many blocks run uncompiled now, over all threads, and what ends the first one.
_uncompiled: list[Any] = []
_changing = Lock()


@contextmanager
def run_uncompiled() -> Iterator[None]:
    """Run a model's own code instead of what was compiled of it, for a block.

    torch has one setting for all threads, so the first block sets it and the last one resets it.
    """
    if not compiler_is_imported():
        yield
        return
    with _changing:
        _uncompiled.append(None if _uncompiled else torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _changing:
            if len(_uncompiled) == 1:
                _uncompiled[0].__exit__(None, None, None)
                _uncompiled.clear()
            else:
                _uncompiled.pop()


def eager_only(function: Callable[P, R], in_graph: Callable[P, R] | None = None) -> Callable[P, R]:
    """Make a function run outside of compiled graphs, or as another function inside of them.

    Keys are computed in Python integers, which compilers do not trace. Without `in_graph` a call
    breaks the graph. If nothing is compiled, the only cost is the check; torch's own wrapper would
    take some microseconds.
    """
    outside = run_eagerly(function)

    @wraps(function)
    def front(*args: P.args, **kwargs: P.kwargs) -> R:
        if compiler_looks_on():
            if in_graph is not None and torch.compiler.is_compiling():
                return in_graph(*args, **kwargs)
            return cast(R, outside(*args, **kwargs))
        return function(*args, **kwargs)

    never_compile_alone(front)
    return front


def never_compile_alone(function: Callable[..., Any]) -> None:
    """Keep a compiler from making a graph of a function by itself; others may inline it.

    All hooks of one class share their code, of which torch compiles only few versions.
    """
    skip = getattr(eval_frame, "_FrameAction", None)
    if skip is not None:
        strategy = eval_frame._FrameExecStrategy(skip.SKIP, skip.DEFAULT)
        eval_frame.set_code_exec_strategy(function.__code__, strategy)


def hold_number(number: float) -> float:
    """Return a number that a compiler holds as a constant, and compares at each call.

    At its second value it would make the number an input, which `at_trace_time` cannot take.
    """
    return float(number).__float__()


@at_trace_time
def traces_whole() -> bool:
    """Return whether a compiler that traces refuses to break its graph: ``fullgraph=True``."""
    from torch._dynamo.symbolic_convert import InstructionTranslator

    return bool(getattr(InstructionTranslator.current_tx(), "one_graph", False))
