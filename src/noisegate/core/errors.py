"""The errors that noisegate raises; every one is a `NoisegateError`."""

__all__ = [
    "InvalidType",
    "InvalidValue",
    "MissingAttribute",
    "MissingExtra",
    "NoisegateError",
    "RecomputationError",
    "UnmatchedRule",
]


class NoisegateError(Exception):
    """Base of every error that noisegate raises on purpose."""


class InvalidValue(NoisegateError, ValueError):
    """An argument has the right type and a value that is out of bounds."""


class InvalidType(NoisegateError, TypeError):
    """An argument has a type that cannot be used."""


class MissingAttribute(InvalidValue, AttributeError):
    """An object does not have an attribute, for a reason that the sentence gives."""


class UnmatchedRule(InvalidValue):
    """A rule of an injection matches no site of the model."""


class RecomputationError(NoisegateError, RuntimeError):
    """A noise that counts was called inside a backward pass, where its step is unknown."""


class MissingExtra(NoisegateError, ImportError):
    """A part of noisegate needs a package that is not installed."""
