"""Checks of what users pass in; each returns the value in its one stored form or raises."""

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, ParamSpec, SupportsIndex, TypeGuard, TypeVar, cast

from . import messages
from .errors import InvalidType, InvalidValue
from .old_words import OLD_WORDS, OldWords

P = ParamSpec("P")
R = TypeVar("R")


def is_number(value: object) -> bool:
    """Return whether `value` is a real number on the host: Python's or NumPy's, no array."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_host(rate: object) -> TypeGuard[float]:
    """Return whether a checked rate is a host number; else it is a live array.

    A live rate of NumPy may decay to a np.float64, which is a float by inheritance.
    """
    return type(rate) is float


def number(who: str, name: str, value: object) -> float:
    """Return `value` as the float that it holds in its own precision."""
    if type(value) is float:
        return value
    if not is_number(value):
        raise InvalidType(messages.not_a_number(who, name, value))
    return float(cast(float, value))


def bounded(who: str, name: str, value: object, bounds: tuple[float, float]) -> float:
    """Return a number within closed bounds; an upper bound of inf means any finite number."""
    rate, (low, high) = number(who, name, value), bounds
    if not low <= rate <= high or rate == float("inf"):
        raise InvalidValue(messages.out_of_bounds(who, name, bounds, rate))
    return rate + 0.0  # -0.0 becomes 0.0, so that equal kinds have equal hashes and reprs


def finite(who: str, name: str, value: object) -> float:
    """Return a finite number."""
    result = number(who, name, value)
    if not abs(result) < float("inf"):
        raise InvalidValue(messages.not_finite(who, name, result))
    return result + 0.0


def positive(who: str, name: str, value: object) -> float:
    """Return a finite number > 0."""
    result = number(who, name, value)
    if not 0 < result < float("inf"):
        raise InvalidValue(messages.not_positive(who, name, result))
    return result


def whole(who: str, name: str, value: object, bits: int) -> int:
    """Return a whole number in [0, 2**bits)."""
    if isinstance(value, bool):
        raise InvalidType(messages.not_whole(who, name, value))
    try:
        result = operator.index(cast(SupportsIndex, value))
    except TypeError:
        raise InvalidType(messages.not_whole(who, name, value)) from None
    if not 0 <= result < 2**bits:
        raise InvalidValue(messages.out_of_range(who, name, bits, result))
    return result


def flag(who: str, name: str, value: object) -> bool:
    """Return a bool; numbers are refused, since `Dropout(0.5, 0.5)` is a slip."""
    if not isinstance(value, bool):
        raise InvalidType(messages.not_a_flag(who, name, value))
    return value


def one_of(*choices: str) -> Callable[[str, str, object], str]:
    """Return the check of a word that must be one of several."""

    def check(who: str, name: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InvalidValue(messages.not_a_choice(who, name, value, choices))
        return value

    return check


def keywords(
    who: str, given: Iterable[str], known: Sequence[str], old: OldWords = OLD_WORDS
) -> None:
    """Refuse a keyword that is not known, and say what it is here, or name the nearest."""
    for word in given:
        if word not in known:
            raise InvalidType(messages.unknown_keyword(who, word, known, old))


def places(who: str, by_place: Sequence[str], args: Sequence[object]) -> None:
    """Refuse more arguments by place than go by place."""
    if len(args) > len(by_place):
        raise InvalidType(messages.too_many(who, by_place, len(args)))


def arguments(
    who: str,
    call: inspect.Signature,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    old: OldWords = OLD_WORDS,
) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included; or say which is wrong."""
    parameters = call.parameters.values()
    keywords(who, kwargs, list(call.parameters), old)
    by_place = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    places(who, by_place, args)
    for name in by_place[: len(args)]:
        if name in kwargs:
            raise InvalidType(messages.given_twice(who, name))
    given = {*by_place[: len(args)], *kwargs}
    for parameter in parameters:
        if parameter.default is inspect.Parameter.empty and parameter.name not in given:
            raise InvalidType(messages.missing_word(who, parameter.name))
    bound = call.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def binder(
    who: str, call: inspect.Signature
) -> Callable[[Sequence[object], Mapping[str, object]], dict[str, Any]]:
    """Return `arguments` for one signature, which has no stars: quick where nothing is wrong."""
    parameters = call.parameters.values()
    by_place = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    defaults = {p.name: p.default for p in parameters}
    needed = {p.name for p in parameters if p.default is inspect.Parameter.empty}

    def bind(args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, Any]:
        given = dict(zip(by_place, args, strict=False))
        if len(args) <= len(by_place) and given.keys().isdisjoint(kwargs):
            given.update(kwargs)
            if needed <= given.keys() <= defaults.keys():
                return {**defaults, **given}
        return arguments(who, call, args, kwargs)

    return bind


def known_keywords(who: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function say which argument is unknown, missing, given twice, or one too many.

    A function that takes any keyword is left to answer for those that its signature lacks.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        own = int("self" in parameters)
        named = {
            name: parameter
            for name, parameter in parameters.items()
            if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        }
        takes_any = len(named) + own < len(parameters)
        bind = binder(who, inspect.Signature(list(named.values())))

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            words = {w: v for w, v in kwargs.items() if w in named} if takes_any else kwargs
            bind(args[own:], words)
            return function(*args, **kwargs)

        return checked

    return decorate


class TableSignature:
    """`__signature__` of classes whose arguments stand in a table.

    A class with an `__init__` of its own shows that, and an instance how it is called.
    """

    def __init__(self, function: Callable[[Any], inspect.Signature]) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        """Take note of the `__init__` that the table stands behind."""
        self.init = vars(owner)["__init__"]

    def __get__(self, instance: object, owner: Any = None) -> inspect.Signature | None:
        """Return the signature of a class; None leaves it to Python."""
        shown = instance is None and owner.__init__ is self.init
        return self.function(owner) if shown else None


def shape(who: str, value: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of whole numbers; a bare whole number is one extent."""
    try:
        extents = tuple(value) if isinstance(value, Iterable) else (value,)
        result = tuple(operator.index(extent) for extent in extents)
    except TypeError:
        raise InvalidType(messages.bad_shape(who, value)) from None
    if any(extent < 0 for extent in result):
        raise InvalidValue(messages.bad_shape(who, value))
    return result
