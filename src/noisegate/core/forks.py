"""Forks of this process: in a child, the parent's threads do not run."""

import os
from collections.abc import Callable

_children: list[int] = []


def after_in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Register a function to run in every forked child, where the system forks; return it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


@after_in_child
def _note() -> None:
    _children.append(os.getpid())


def is_child() -> bool:
    """Return whether this process was forked after it had imported noisegate."""
    return bool(_children)
