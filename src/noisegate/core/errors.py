"""The errors that noisegate raises; every one is a `NoisegateError`."""

from types import TracebackType
from typing import Self

__all__ = [
    "InvalidType",
    "InvalidValue",
    "MissingAttribute",
    "MissingExtra",
    "NoisegateError",
    "RandomnessError",
    "RecomputationError",
    "UnmatchedRule",
]


class NoisegateError(Exception):
    """Base of every error that noisegate raises on purpose."""

    _has_prefix = False

    def prefix(self, name: str) -> Self:
        """Put a name and ": " before the sentence, unless a name stands there already."""
        if not self._has_prefix:
            self.args = (f"{name}: {self}" if self.args else name, *self.args[1:])
            self._has_prefix = True
        return self

    def __str__(self) -> str:
        # An ImportError would show its first text, without the prefix.
        return str(self.args[0]) if self.args else ""


class InvalidValue(NoisegateError, ValueError):
    """An argument has the right type, but a value out of bounds."""


class InvalidType(NoisegateError, TypeError):
    """An argument has a type that cannot be used."""


class MissingAttribute(InvalidValue, AttributeError):
    """An object lacks an attribute, for a reason that the sentence gives."""


class UnmatchedRule(InvalidValue):
    """A rule of an injection matches no site of the model."""


class RecomputationError(NoisegateError, RuntimeError):
    """Seeded noise was called inside a backward pass, where its step is unknown."""


class RandomnessError(NoisegateError, RuntimeError):
    """A map of torch.func does not say which noise its members have."""


class MissingExtra(NoisegateError, ImportError):
    """A part of noisegate needs a package that is not installed."""


class prefix_errors:
    """Put the name of what was called before the errors of a block.

    So a check need not know its caller. The block costs 0.2 µs; where that counts, catch the
    error and raise `error.prefix(name)`.

    Examples
    --------
    >>> with prefix_errors("Dropout"):
    ...     raise InvalidValue("`p` must be in [0, 1]; got 2.")
    Traceback (most recent call last):
    noisegate.core.errors.InvalidValue: Dropout: `p` must be in [0, 1]; got 2.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, NoisegateError):
            error.prefix(self.name)
