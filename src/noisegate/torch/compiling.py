"""Keep functions out of compiled graphs."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch._C._dynamo import eval_frame

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


def eager_only(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function run outside of compiled graphs, at the cost of a graph break.

    Keys are computed in Python integers, which compilers do not trace. If nothing is compiled, the
    only cost is the check; torch's own wrapper would take some microseconds.
    """
    outside = run_eagerly(function)

    @wraps(function)
    def front(*args: P.args, **kwargs: P.kwargs) -> R:
        if compiler_looks_on():
            return cast(R, outside(*args, **kwargs))
        return function(*args, **kwargs)

    return front
