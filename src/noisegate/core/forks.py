"""Forks of this process: in a child none of its parent's threads runs."""

import os
from collections.abc import Callable

_children: list[int] = []


def after_in_child(function: Callable[[], None]) -> Callable[[], None]:
    """Call a function in every child of a fork, where there are forks; return it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function


@after_in_child
def _note() -> None:
    _children.append(os.getpid())


def is_child() -> bool:
    """Return whether there was a fork since noisegate was imported, and this is its child."""
    return bool(_children)
