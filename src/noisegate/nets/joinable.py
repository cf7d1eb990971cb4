"""The operators `>>` and `|` of layers and networks."""

import copy
from typing import Any, Self


def _joining() -> Any:
    # The package's one circle: `layer >> layer` makes a Network, and a Network is made of layers.
    from . import joining

    return joining


class Joinable:
    """A layer or a network, which `>>` and `|` combine with others."""

    def __rshift__(self, other: Any) -> Any:
        """Return a network in which `other` takes what this gives."""
        return _joining().join(self, other)

    def __rrshift__(self, other: Any) -> Any:
        """Return a network in which this takes what `other` gives."""
        return _joining().join(other, self)

    def __or__(self, other: Any) -> Any:
        """Return a network of two branches beside each other."""
        return _joining().parallel(self, other)

    def __ror__(self, other: Any) -> Any:
        """Return a network of two branches beside each other."""
        return _joining().parallel(other, self)

    def __sklearn_clone__(self) -> Self:
        """Return a copy with its weights, where scikit-learn would make a new one."""
        return copy.deepcopy(self)

    def nested_config(self) -> dict[str, Any]:
        """Return its form in the config of a layer that has it as an argument."""
        raise NotImplementedError
