"""Kinds written as text: `spatial_dropout(0.3)`, `gaussian_noise(0.1)`, `0.5`."""

import ast
from collections.abc import Callable
from typing import Any

from . import kinds, messages, presets, schedule
from .catalogue import LAYERS
from .errors import InvalidType, InvalidValue
from .kind import Kind, checked_kind

# What may be called: every layer by both of its names, and the shorter ones.
CALLS: dict[str, Callable[..., Any]] = {
    **{name: row.make for row in LAYERS.values() for name in (row.name, row.function)},
    "spatial_dropout": presets.spatial_dropout,
    "gaussian": kinds.GaussianNoise,
    "slice": slice,
}
SCHEDULES = {f"schedule.{name}": getattr(schedule, name) for name in schedule.WORDS}


def parse(text: str) -> Kind:
    """Return the kind that a text says; nothing in it is executed but the calls listed here.

    Parameters
    ----------
    text : str
        A call of a kind, a preset or a layer by its name, with numbers, words, tuples, slices
        and schedules as arguments, or its name alone; or a number p, which means
        ``dropout(p)``.

    Raises
    ------
    InvalidType, InvalidValue
        If the text is no such call, or the kind refuses what it says.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InvalidValue(messages.not_an_expression(text)) from None
    if isinstance(tree, ast.Name):  # with its defaults
        tree = ast.Call(tree, [], [])
    value = _value(tree, text)
    if isinstance(value, schedule.Schedule) or type(value) in (int, float):
        return kinds.Dropout(value)
    return checked_kind("expression", value)


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_value(part, text) for part in parts)
        case ast.Call(func=function, args=args, keywords=words):
            name = ast.unparse(function)
            known = CALLS | SCHEDULES
            if name not in known:
                raise InvalidValue(messages.unknown_call(name, list(known)))
            given = [_value(arg, text) for arg in args]
            named = {str(word.arg): _value(word.value, text) for word in words}
            if len(named) < len(words):
                raise InvalidValue(messages.not_an_expression(text))
            try:
                return known[name](*given, **named)
            except (InvalidType, InvalidValue):
                raise
            except TypeError as error:
                raise InvalidType(messages.bad_call(name, error)) from None
    raise InvalidValue(messages.not_an_expression(text))
