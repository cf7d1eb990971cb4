"""Stand around a method of an object, for what its callbacks are not told."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any


class Guard:
    """A method of an object, on the instance: it calls a function if it raises.

    Copies of the instance, and those that are pickled, have the method of the class again.
    """

    def __init__(self, owner: Any, name: str, failed: Callable[[], None]) -> None:
        self.owner, self.name, self.failed = owner, name, failed
        # A method that the instance has already, such as a compiled one.
        self._own = vars(owner).get(name)
        vars(owner)[name] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method; if it raises, call the function first."""
        try:
            return self.find_method()(*args, **kwargs)
        except BaseException:
            self.failed()
            raise

    def find_method(self) -> Any:
        """Return the method that the owner had before."""
        return get_own_method(self.owner, self.name) if self._own is None else self._own

    def remove(self) -> None:
        """Give the owner the method that it had before."""
        if vars(self.owner).get(self.name) is not self:
            return
        if self._own is None:
            del vars(self.owner)[self.name]
        else:
            vars(self.owner)[self.name] = self._own

    def __reduce__(self) -> Any:
        """Return how a copy of the owner gets the method of its class."""
        return get_own_method, (self.owner, self.name)


class Block(Guard):
    """A method of an object, on the instance: a context is entered around each of its calls.

    The context is made by a function, of a list of the method's arguments.
    """

    def __init__(
        self, owner: Any, name: str, make: Callable[[list[Any]], AbstractContextManager[None]]
    ) -> None:
        super().__init__(owner, name, lambda: None)
        self.make = make

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method within its context."""
        with self.make([*args, *kwargs.values()]):
            return self.find_method()(*args, **kwargs)


class Guards(list[Guard]):
    """The guards of a callback; a copy of the callback has none."""

    def remove_all(self) -> None:
        """Give all owners the methods that they had before, the last first."""
        while self:
            self.pop().remove()

    def __reduce__(self) -> Any:
        """Return how pickle and copy make an empty one."""
        return Guards, ()


def get_own_method(owner: Any, name: str) -> Any:
    """Return a method of an object's class, bound to it."""
    return getattr(type(owner), name).__get__(owner)


def find_caller(kind: type) -> Any:
    """Return the nearest object of a class whose method is running; None without one."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            return owner
        frame = frame.f_back
    return None
