"""The base of regularizers: a pattern, a weight and three methods."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, prefix_errors
from noisegate.core.patterns import matches

Pattern = str | Sequence[str]


class Regularizer:
    """A change of a network in training; your own overrides any of its three methods.

    Parameters
    ----------
    pattern : str or sequence of str
        Which outputs, or parameters, it is for.
    weight : float
        How much of it: finite, at least 0.

    Attributes
    ----------
    matched : tuple of str
        The names that the pattern named, once it was used.
    """

    # Other names by which ``regularizers={name: ...}`` knows it.
    NAMES: ClassVar[tuple[str, ...]] = ()
    DEFAULT: ClassVar[Pattern | None] = "*"
    BOUNDS: ClassVar[tuple[float, float]] = (0.0, float("inf"))

    def __init__(self, pattern: Pattern | None = None, weight: float = 0.0) -> None:
        if pattern is None:
            pattern = type(self).DEFAULT
        several = isinstance(pattern, Sequence) and all(isinstance(p, str) for p in pattern)
        if not several or not pattern:
            raise InvalidType(
                f"`pattern` must be text, or several; got {pattern!r}. Write for example "
                "'hid1:out'."
            ).prefix(type(self).__name__)
        self.pattern: Pattern = pattern if isinstance(pattern, str) else tuple(pattern)
        with prefix_errors(type(self).__name__):
            self.weight = checks.check_bounds("weight", weight, self.BOUNDS)
        self.matched: tuple[str, ...] = ()

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns, as a tuple."""
        return (self.pattern,) if isinstance(self.pattern, str) else tuple(self.pattern)

    def modify_graph(self, outputs: dict[str, Tensor]) -> None:
        """Change an output: called once for each place, with ``{name: tensor}``.

        What is left under the name goes downstream; other names are kept beside.
        """

    def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Any:
        """Return a term of the loss, which is multiplied by the weight; shape ().

        Parameters
        ----------
        layers : sequence of Module
            The network's layers.
        outputs : mapping of str to Tensor
            All named outputs of this forward, with their gradients.
        """
        return 0.0

    def log(self) -> None:
        """Print what the regularizer is, and what it matched."""
        print(self._line())

    def _line(self) -> str:
        places = ", ".join(self.matched or self.patterns)
        return f"regularizer: {self.weight:g} * {type(self).__name__}({places})"

    @property
    def modifies(self) -> bool:
        """Whether it overrides `modify_graph`."""
        return type(self).modify_graph is not Regularizer.modify_graph

    needs_slopes: ClassVar[bool] = False  # of the inputs

    @property
    def has_loss(self) -> bool:
        """Whether it adds to the loss."""
        return type(self).loss is not Regularizer.loss

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"{type(self).__name__}(pattern={self.pattern!r}, weight={self.weight!r})"


def matches_any(patterns: Sequence[str], names: list[str]) -> list[str]:
    """Return the names that match one of several patterns, each once."""
    return list(dict.fromkeys(name for part in patterns for name in matches(part, names)))
