"""The errors that noisegate raises; every one is a `NoisegateError`."""

import sys
from types import TracebackType
from typing import Self, cast

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


def pass_compiler(error: NoisegateError) -> NoisegateError:
    """Return an error that torch's compiler passes on, if it traces the calling code now.

    It would raise its own error in the place of any other.
    """
    guards, compiler = (sys.modules.get(f"torch.{name}") for name in ("_guards", "_dynamo.exc"))
    if guards is None or compiler is None or guards.TracingContext.try_get() is None:
        return error
    if sys.modules["torch"].compiler.is_exporting():
        return error  # torch.export passes on any error
    passed = getattr(compiler, "ShortenTraceback", None)
    kind = type(error)
    if passed is None or isinstance(error, passed):
        return error
    words = {"__module__": kind.__module__, "first_useful_frame": None}
    made = type(kind.__name__, (kind, passed), words)
    result = cast(NoisegateError, made.__new__(made, *error.args))
    result._has_prefix = error._has_prefix
    return result


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
