"""Kinds written as text: `spatial_dropout(0.3)`, `gaussian_noise(0.1)`, `0.5`."""

import ast
from collections.abc import Callable
from inspect import signature
from typing import Any

from . import checks, kinds, presets, schedule
from .catalogue import LAYERS
from .errors import InvalidType, InvalidValue, prefix_errors
from .kind import Kind, check_kind
from .words import got, suggest

# What a text may call: every layer by its class's and its function's name, and shorter names.
CALLS: dict[str, Callable[..., Any]] = {
    **{name: row.make for row in LAYERS.values() for name in (row.name, row.function)},
    "spatial_dropout": presets.spatial_dropout,
    "gaussian": kinds.GaussianNoise,
    "slice": slice,
}
SCHEDULES = {f"schedule.{name}": getattr(schedule, name) for name in schedule.WORDS}


def parse(text: str) -> Kind:
    """Return the kind that a text describes; only the calls listed in this file are made.

    Parameters
    ----------
    text : str
        A call of a kind, a preset or a layer by name, with numbers, words, tuples, slices and
        schedules as arguments; the name alone, for a call without arguments; or a number p,
        which means ``dropout(p)``.

    Raises
    ------
    InvalidType, InvalidValue
        If the text has none of these forms, or the kind refuses an argument.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _no_noise(text) from None
    if isinstance(tree, ast.Name):  # with its defaults
        tree = ast.Call(tree, [], [])
    value = _read_node(tree, text)
    if isinstance(value, schedule.Schedule) or type(value) in (int, float):
        return kinds.Dropout(value)
    with prefix_errors("expression"):
        return check_kind(value)


def _no_noise(text: str) -> InvalidValue:
    return InvalidValue(
        f"{got(text)}, which is no noise. Write for example dropout(0.5) or gaussian_noise(0.1)."
    )


def _read_node(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_read_node(part, text) for part in parts)
        case ast.Call(func=function, args=args, keywords=words):
            name = ast.unparse(function)
            known = CALLS | SCHEDULES
            if name not in known:
                near = suggest(name, list(known))
                near = near or " Write for example dropout(0.5) or gaussian_noise(0.1)."
                raise InvalidValue(f"there is no noise called `{name}`.{near}")
            given = [_read_node(arg, text) for arg in args]
            named = {str(word.arg): _read_node(word.value, text) for word in words}
            if len(named) < len(words):
                raise _no_noise(text)
            try:
                return known[name](*given, **named)
            except (InvalidType, InvalidValue):
                raise
            except TypeError as error:
                if name == "slice":  # it has no signature
                    raise _no_noise(text) from None
                # Python names the function in full, a private one too; the user wrote `name`.
                with prefix_errors(name):
                    checks.bind_arguments(signature(known[name]), given, named)
                    raise InvalidType(f"{error}.") from None
    raise _no_noise(text)
