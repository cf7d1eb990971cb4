"""Functions that run outside of compiled graphs."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch._C._dynamo import eval_frame

P = ParamSpec("P")
R = TypeVar("R")


# What compiles the frames that are entered; private, as are other names of torch's in this face.
_callback: Callable[[], Any] = getattr(eval_frame, "get_eval_frame_callback", lambda: None)


def compiler_looks_on() -> bool:
    """Return whether a compiler traces this, or would compile what this calls."""
    return torch.compiler.is_compiling() or _callback() is not None


def eager_only(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function run outside of compiled graphs: a graph break, and the right noise.

    Keys are worked out in Python integers, which no compiler traces. Where nothing is compiled,
    this costs the question alone: torch's own wrapper takes some microseconds.
    """
    outside = torch.compiler.disable(function)

    @wraps(function)
    def front(*args: P.args, **kwargs: P.kwargs) -> R:
        if compiler_looks_on():
            return cast(R, outside(*args, **kwargs))
        return function(*args, **kwargs)

    return front
