"""Checks of users' arguments; each returns the value in its one stored form, or raises."""

import functools
import inspect
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Real
from typing import Any, NoReturn, ParamSpec, SupportsIndex, TypeGuard, TypeVar, cast

from .errors import InvalidType, InvalidValue, NoisegateError, pass_compiler, prefix_errors
from .old_words import OLD_WORDS, OldWords, find_pointer
from .words import got, list_names, suggest

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

# The largest float64 below 1: the closed end of [0, 1).
BELOW_ONE = 1 - 2.0**-53


def at_trace_time(function: F) -> F:
    """Make torch's compiler run a function while it traces, and hold its result as a constant.

    Its arguments must be constants too. The compiler compares nothing when the graph runs again,
    so the caller must read whatever else the result depends on.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except NoisegateError as error:
            raise pass_compiler(error) from None

    return mark_constant(cast(F, run))


def mark_constant(function: F) -> F:
    """Make torch's compiler run a function while it traces; its errors are the compiler's."""
    # What torch.compiler.assume_constant_result does, which would import the compiler.
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def is_number(value: object) -> bool:
    """Return whether `value` is a real number on the host, Python's or NumPy's, not an array."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_host(rate: object) -> TypeGuard[float]:
    """Return whether a checked rate is a host number rather than a live array.

    The exact type decides: arithmetic turns NumPy's live rates of rank 0 into np.float64, a
    subclass of float.
    """
    return type(rate) is float


def check_number(name: str, value: object) -> float:
    """Return `value` as a float, equal to the number that it holds in its own precision."""
    if type(value) is float:
        return value
    if not is_number(value):
        remedy = ""
        if isinstance(value, str) and reads_as_number(value):
            remedy = f" Write {name}={value} without quotes."
        elif value is None:
            remedy = f" To switch the noise off, write {name}=0."
        raise InvalidType(f"`{name}` must be a number; {got(value)}.{remedy}")
    return float(cast(float, value))


def reads_as_number(text: str) -> bool:
    """Return whether Python reads a text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_bounds(name: str, value: object, bounds: tuple[float, float]) -> float:
    """Return a number within closed bounds; an upper bound of inf means any finite number."""
    rate, (low, high) = check_number(name, value), bounds
    if low <= rate <= high and rate != float("inf"):
        return rate + 0.0  # -0.0 becomes 0.0, so that equal kinds have equal reprs
    # Out of bounds: the rest looks for what the user may have meant.
    if high == float("inf"):
        remedy = f" Did you mean {-rate:g}?" if low <= -rate < high and rate < 0 else ""
        raise InvalidValue(f"`{name}` must be a finite number >= {low:g}; {got(rate)}.{remedy}")
    remedy = _guess_rate(rate) if low == 0 and high in (1, BELOW_ONE) else ""
    if rate == 1 and high == BELOW_ONE:
        remedy = f" {name}=1 would need infinite noise; take a number below 1."
    interval = f"[{low:g}, 1)" if high == BELOW_ONE else f"[{low:g}, {high:g}]"
    raise InvalidValue(f"`{name}` must be in {interval}; {got(rate)}.{remedy}")


def _guess_rate(value: float) -> str:
    """Return a guess at a rate that lacks its decimal point or has a sign too many, or ""."""
    meant = -value if value < 0 else value / 10 if value < 10 else value / 100
    return f" Did you mean {meant:g}?" if 0 < meant <= 1 else ""


def check_finite(name: str, value: object) -> float:
    """Return a finite number."""
    result = check_number(name, value)
    if not abs(result) < float("inf"):
        raise InvalidValue(f"`{name}` must be a finite number; {got(result)}.")
    return result + 0.0


def check_positive(name: str, value: object) -> float:
    """Return a finite number > 0."""
    result = check_number(name, value)
    if not 0 < result < float("inf"):
        raise InvalidValue(f"`{name}` must be a finite number > 0; {got(result)}.")
    return result


def check_whole(name: str, value: object, bits: int) -> int:
    """Return a whole number in [0, 2**bits)."""
    try:
        if isinstance(value, bool):  # `operator.index` would take it
            raise TypeError
        # `operator.index` would make a compiler hold the number as a constant.
        result = value if type(value) is int else operator.index(cast(SupportsIndex, value))
    except TypeError:
        _refuse_part(name, value)
    except RuntimeError:  # torch's own, for a tensor inside a map
        raise InvalidType(
            f"`{name}` must be one whole number; got a tensor that a map gives a value for each "
            "of its members. Only the step given to `at`, and the rows of a call, may be mapped."
        ) from None
    if not 0 <= result < 2**bits:
        _refuse_bits(name, operator.index(result), bits)  # a constant to a compiler
    return result


@at_trace_time
def _refuse_part(name: str, value: object) -> NoReturn:
    """Raise because a value is no whole number."""
    is_whole = isinstance(value, float) and value == value // 1
    remedy = f" Write {int(cast(float, value))}." if is_whole else ""
    raise InvalidType(f"`{name}` must be a whole number; {got(value)}.{remedy}") from None


@at_trace_time
def _refuse_bits(name: str, value: int, bits: int) -> NoReturn:
    """Raise because a whole number is too large, or below 0."""
    raise InvalidValue(f"`{name}` must be in [0, 2**{bits}); {got(value)}.")


# Functions of faces: whether a value, in code that a compiler traces, has one for each member.
MAPPED_IN_GRAPH: list[Callable[[Any], bool]] = []


def is_mapped(value: object) -> bool:
    """Return whether `value` is an array with a value for each member of a map."""
    try:
        operator.index(cast(SupportsIndex, value))
    except RuntimeError:
        return True
    except TypeError:
        return False
    return False


def check_flag(name: str, value: object) -> bool:
    """Return a bool; numbers are refused, since `Dropout(0.5, 0.5)` is a mistake."""
    if not isinstance(value, bool):
        raise InvalidType(f"`{name}` must be True or False; {got(value)}.")
    return value


def make_choice_check(*choices: str) -> Callable[[str, object], str]:
    """Return a check that takes one of several words."""

    def check(name: str, value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        near = get_close_matches(value, choices, n=1, cutoff=0.5) if isinstance(value, str) else []
        remedy = f" Did you mean {near[0]!r}?" if near else ""
        listed = " or ".join(map(repr, choices))
        raise InvalidValue(f"`{name}` must be {listed}; {got(value)}.{remedy}")

    return check


def check_keywords(given: Iterable[str], known: Sequence[str], old: OldWords = OLD_WORDS) -> None:
    """Raise at an unknown keyword, with noisegate's word for it, or the nearest known one."""
    for word in given:
        if word not in known:
            said = find_pointer(word, known, old)
            meant = suggest(word, known) if said is None else f" {said}"
            raise InvalidType(f"unknown keyword `{word}`; known are {list_names(known)}.{meant}")


def check_places(by_place: Sequence[str], args: Sequence[object]) -> None:
    """Raise if more arguments are given by place than may be."""
    if len(args) > len(by_place):
        words = "argument goes" if len(by_place) == 1 else "arguments go"
        raise InvalidType(
            f"at most {len(by_place)} {words} by place ({list_names(by_place)}); "
            f"got {len(args)}. Give the others by name."
        )


def check_given_once(name: str, words: Collection[str]) -> None:
    """Raise if an argument given by place is among the keywords too."""
    if name in words:
        raise InvalidType(f"`{name}` is given by place and by name. Give it once.")


def bind_arguments(
    call: inspect.Signature,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    old: OldWords = OLD_WORDS,
) -> dict[str, Any]:
    """Return the arguments of a call by name, with defaults, or raise for the one at fault."""
    parameters = call.parameters.values()
    check_keywords(kwargs, list(call.parameters), old)
    by_place = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    check_places(by_place, args)
    for name in by_place[: len(args)]:
        check_given_once(name, kwargs)
    given = {*by_place[: len(args)], *kwargs}
    for parameter in parameters:
        if parameter.default is inspect.Parameter.empty and parameter.name not in given:
            raise InvalidType(f"`{parameter.name}` is missing.")
    bound = call.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def make_binder(
    call: inspect.Signature,
) -> Callable[[Sequence[object], Mapping[str, object]], dict[str, Any]]:
    """Return `arguments` for one signature without * and **; it is fast if nothing is wrong."""
    parameters = call.parameters.values()
    by_place = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    defaults = {p.name: p.default for p in parameters}
    needed = {p.name for p in parameters if p.default is inspect.Parameter.empty}

    def bind(args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, Any]:
        # `Signature.bind` takes four times as long, so it only serves calls with a mistake.
        given = {**dict(zip(by_place, args, strict=False)), **kwargs}
        # A word that is given twice, or one too many by place, makes fewer.
        each_once = len(given) == len(args) + len(kwargs)
        if each_once and needed <= given.keys() <= defaults.keys():
            return {**defaults, **given}
        return bind_arguments(call, args, kwargs)

    return bind


def _make_name_check(call: inspect.Signature) -> Callable[[int, tuple[str, ...]], None]:
    """Return a check of a call by the number of its arguments by place, and its keywords."""
    bind = make_binder(call)

    def check(by_place: int, words: tuple[str, ...]) -> None:
        try:
            bind([None] * by_place, dict.fromkeys(words))
        except NoisegateError as error:
            raise pass_compiler(error) from None

    return mark_constant(check)  # without a wrapper, which would cost at every call


def check_call(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function to say which argument is unknown, missing, given twice or too many.

    A function with ** answers itself for the keywords that its signature does not name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        own = int("self" in parameters)
        named = {
            word: parameter
            for word, parameter in parameters.items()
            if word != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        }
        takes_any = len(named) + own < len(parameters)  # there is a ** parameter
        check = _make_name_check(inspect.Signature(list(named.values())))

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            words = [w for w in kwargs if w in named] if takes_any else kwargs
            with prefix_errors(name):
                check(len(args) - own, tuple(words))
            return function(*args, **kwargs)

        return checked

    return decorate


class TableSignature:
    """The `__signature__` of classes whose arguments are in a table.

    A subclass with an `__init__` of its own shows that one; an instance shows its `__call__`.
    """

    def __init__(self, function: Callable[[Any], inspect.Signature]) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        """Store the `__init__` whose arguments the table describes."""
        self.init = vars(owner)["__init__"]

    def __get__(self, instance: object, owner: Any = None) -> inspect.Signature | None:
        """Return the signature of a class; None lets Python find another."""
        shown = instance is None and owner.__init__ is self.init
        return self.function(owner) if shown else None


def check_shape(value: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of whole numbers; a single whole number means one axis."""
    sentence = f"`shape` must be a tuple of whole numbers >= 0; {got(value)}."
    try:
        extents = tuple(value) if isinstance(value, Iterable) else (value,)
        result = tuple(operator.index(extent) for extent in extents)
    except TypeError:
        raise InvalidType(sentence) from None
    if any(extent < 0 for extent in result):
        raise InvalidValue(sentence)
    return result
