"""Whether this process is the child of a fork, in which none of its parent's threads run."""

import os

_children: list[int] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _children.append(os.getpid()))


def is_child() -> bool:
    """Return whether there was a fork since noisegate was imported, and this is its child."""
    return bool(_children)
