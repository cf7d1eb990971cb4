"""What a layer may be given: every argument with the class that owns it and its check."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from operator import index
from typing import Any, NamedTuple

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors

from . import messages, names, shapes

# Checks an argument and returns it in its stored form: (who, name, value).
Check = Callable[[str, str, Any], Any]


class Option(NamedTuple):
    """An argument of a layer.

    Attributes
    ----------
    class_name : str
        The class that owns the argument.
    check : callable
        ``check(who, name, value)`` returns what is stored, or raises.
    """

    class_name: str
    check: Check


@dataclass(frozen=True)
class Named:
    """A check with words for it, as `options` shows it, and a type, as `help` does."""

    words: str
    function: Check
    annotation: Any = Any

    def __call__(self, who: str, name: str, value: Any) -> Any:
        """Return the value in its stored form, or raise."""
        return self.function(who, name, value)

    def __repr__(self) -> str:
        """Return the words."""
        return self.words


def _size(who: str, name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise InvalidType(messages.bad_size(who, name, value))
    try:
        size = index(value)
    except TypeError:
        raise InvalidType(messages.bad_size(who, name, value)) from None
    if size < 1:
        raise InvalidValue(messages.bad_size(who, name, value))
    return size


size = Named("whole number >= 1", _size, int)
anything = Named("checked by torch", lambda who, name, value: value)


def without_speaker(check: Callable[[str, Any], Any]) -> Check:
    """Return a check of the core as one of a layer."""

    def checked(who: str, name: str, value: Any) -> Any:
        with prefix_errors(who):
            return check(name, value)

    return checked


flag = Named("True or False", without_speaker(checks.flag), bool)
kind_s = Named("checked by the kind", lambda who, name, value: value)


def or_none(check: Named) -> Named:
    """Return a check that lets None through."""
    return Named(
        f"{check.words}, or None",
        lambda who, name, value: None if value is None else check(who, name, value),
        check.annotation if check.annotation is Any else check.annotation | None,
    )


def _axis(who: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidType(messages.bad_axis(who, name, value))
    return index(value)


axis = Named("whole number", _axis, int)

# What every layer may be given by name: its default, and its check.
_SHAPE = Named("a shape", lambda w, n, v: shapes.checked(w, v), int | tuple[int | None, ...])
COMMON_CHECKS: dict[str, Named] = {
    "name": Named(
        "a name, a format of names, or None", lambda w, n, v: names.checked(v), str | None
    ),
    "trainable": flag,
    **dict.fromkeys(("input_shape", "batch_input_shape"), or_none(_SHAPE)),
    **dict.fromkeys(("input_dim", "input_length"), or_none(size)),
}
COMMON: dict[str, Any] = {**dict.fromkeys(COMMON_CHECKS), "trainable": True}


def annotated(parameter: Parameter, check: Check) -> Parameter:
    """Return a parameter with the type that its check has for it, if it has none of its own."""
    if parameter.annotation is not Parameter.empty:
        return parameter
    return parameter.replace(annotation=getattr(check, "annotation", Any))


def common_parameters() -> list[Parameter]:
    """Return what every layer may be given by name."""
    by_name = Parameter.KEYWORD_ONLY
    words = (Parameter(word, by_name, default=value) for word, value in COMMON.items())
    return [annotated(word, COMMON_CHECKS[word.name]) for word in words]
