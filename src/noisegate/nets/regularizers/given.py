"""Regularizers from what a user gives: a list of them, or a dict of names."""

from collections.abc import Mapping, Sequence
from typing import Any

from noisegate.core.errors import InvalidType, InvalidValue

from .. import messages
from .base import Regularizer
from .noise import NoiseRegularizer


def known() -> dict[str, type[Regularizer]]:
    """Return every regularizer by its names: theanets', and the class's in small letters."""
    found: dict[str, type[Regularizer]] = {}
    todo: list[type[Regularizer]] = [Regularizer]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if not kind.__name__.startswith("_") and kind is not NoiseRegularizer:
            found |= dict.fromkeys((kind.__name__.lower(), *kind.NAMES), kind)
    return found


def as_list(who: str, value: Any, words: Sequence[str]) -> tuple[list[Regularizer], dict[str, Any]]:
    """Return the regularizers that a list or a dict names, and the dict's words for noise.

    A number in a dict is the weight, a dict the arguments.
    """
    if value is None:
        return [], {}
    if isinstance(value, list | tuple):
        for part in value:
            if not isinstance(part, Regularizer):
                raise InvalidType(messages.no_regularizer(who, part))
        return list(value), {}
    if not isinstance(value, Mapping):
        raise InvalidType(messages.no_regularizer(who, value))
    by_name, made, rest = known(), list[Regularizer](), dict[str, Any]()
    for name, given in value.items():
        if name in words:
            rest[name] = given
        elif str(name).lower() not in by_name:
            raise InvalidValue(messages.unknown_regularizer(who, name, [*words, *by_name]))
        else:
            kind = by_name[str(name).lower()]
            made.append(kind(**given) if isinstance(given, Mapping) else kind(weight=given))
    return made, rest
