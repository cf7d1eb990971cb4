"""Values of their own for each thread and each asyncio task."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# One variable for all owners, since a context never frees a variable that was set in it.
_values: ContextVar[Mapping["Local[Any]", Any]] = ContextVar(
    "noisegate", default=MappingProxyType({})
)


class Local(Generic[T]):
    """A value that each thread, and each asyncio task, has for itself.

    It is `default` until it is set; setting the default frees the stored value. A copy has the
    default everywhere.
    """

    __slots__ = ("default",)

    def __init__(self, default: T) -> None:
        self.default = default

    def get(self) -> T:
        """Return this thread's or task's value, or the default."""
        value: T = _values.get().get(self, self.default)
        return value

    def set(self, value: T) -> None:
        """Set the value of this thread or task alone."""
        # A new mapping, since a task shares its parent's until it sets a value.
        values = {owner: kept for owner, kept in _values.get().items() if owner is not self}
        if value is not self.default:
            values[self] = value
        _values.set(values)

    def __reduce__(self) -> Any:
        """Return how pickle and copy make a new one, without values."""
        return Local, (self.default,)
