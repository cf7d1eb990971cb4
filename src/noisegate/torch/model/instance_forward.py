"""The `forward` that an instance has in place of its class's; several may lie over each other."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

from torch import nn

from .scripted import is_scripted


class InstanceForward:
    """A `forward` of ours that is set on a module; the module's class stays as it is."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        # The functions at sites that it calls, in order.
        self.functions: list[Any] = []
        self.before = module.__dict__.get("forward")
        # A bound method: of an object, a compiler would make a graph for each module.
        module.forward = self.__call__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns."""
        return self.call_own(*args, **kwargs)

    def call_own(self, *args: Any, **kwargs: Any) -> Any:
        """Call the `forward` that the module had before."""
        # By the class, since the instance's `forward` is this object's.
        own = self.before or type(self.module).forward.__get__(self.module)
        return own(*args, **kwargs)

    @classmethod
    def find(cls, module: nn.Module) -> Self | None:
        """Return the object of this class that is a module's `forward`, or lies under it."""
        return next((found for found in walk_forwards(module) if isinstance(found, cls)), None)

    def add(self, function: Any) -> Callable[[], None]:
        """Add a function; return the callable that removes it."""
        self.functions.append(function)
        return partial(self.discard, function)

    def discard(self, function: Any) -> None:
        """Remove a function; after the last, restore the module's own forward."""
        if function in self.functions:
            self.functions.remove(function)
        if not self.functions:
            self.detach()

    def detach(self) -> None:
        """Give the module back the `forward` that it had before."""
        for found in walk_forwards(self.module):
            if _get_owner(found.before) is self:
                found.before = self.before
                return
        # Other code may have set a `forward` of its own meanwhile, which stays.
        if _get_owner(self.module.__dict__.get("forward")) is self:
            del self.module.forward
            if self.before is not None:
                self.module.forward = self.before


def walk_forwards(module: nn.Module) -> Iterator[InstanceForward]:
    """Return a module's `forward` of ours, and those under it."""
    found = None if is_scripted(module) else _get_owner(module.__dict__.get("forward"))
    while isinstance(found, InstanceForward):
        yield found
        found = _get_owner(found.before)


def _get_owner(method: Any) -> Any:
    return getattr(method, "__self__", None)
