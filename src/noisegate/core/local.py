"""Values that belong to whoever is running: a thread, or a task of asyncio."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# One variable for all owners, since a context never forgets a variable that was set in it.
_values: ContextVar[Mapping["Local[Any]", Any]] = ContextVar(
    "noisegate", default=MappingProxyType({})
)


class Local(Generic[T]):
    """A value that each thread, and each task of asyncio, has for itself.

    It is `default` where nothing was set; setting the default forgets it. A copy starts anew.
    """

    __slots__ = ("default",)

    def __init__(self, default: T) -> None:
        self.default = default

    def get(self) -> T:
        """Return the value that is set here, or the default."""
        value: T = _values.get().get(self, self.default)
        return value

    def set(self, value: T) -> None:
        """Set the value here; no other thread or task sees it."""
        values = {owner: kept for owner, kept in _values.get().items() if owner is not self}
        if value is not self.default:
            values[self] = value
        _values.set(values)

    def __reduce__(self) -> Any:
        """Return how a copy is made."""
        return Local, (self.default,)
