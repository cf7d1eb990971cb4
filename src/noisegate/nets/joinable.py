"""What `>>` and `|` put together."""

from typing import Any


class Joinable:
    """Something that `>>` and `|` put together with layers and networks."""

    def __rshift__(self, other: Any) -> Any:
        """Return a network in which `other` takes what this gives."""
        from .joining import join

        return join(self, other)

    def __rrshift__(self, other: Any) -> Any:
        """Return a network in which this takes what `other` gives."""
        from .joining import join

        return join(other, self)

    def __or__(self, other: Any) -> Any:
        """Return a network of two branches beside each other."""
        from .joining import parallel

        return parallel(self, other)

    def __ror__(self, other: Any) -> Any:
        """Return a network of two branches beside each other."""
        from .joining import parallel

        return parallel(other, self)
