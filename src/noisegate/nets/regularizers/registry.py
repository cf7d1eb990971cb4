"""Regularizers by name, and as users give them: a list, or a dict of names."""

from collections.abc import Mapping, Sequence
from typing import Any

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import suggest

from .output_noise import NoiseRegularizer
from .regularizer import Regularizer


def list_regularizers() -> dict[str, type[Regularizer]]:
    """Return every class of regularizers by theanets' names and its own in small letters."""
    found: dict[str, type[Regularizer]] = {}
    todo: list[type[Regularizer]] = [Regularizer]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        # Bases are no regularizers; users' own subclasses are.
        if not kind.__name__.startswith("_") and kind is not NoiseRegularizer:
            found |= dict.fromkeys((kind.__name__.lower(), *kind.NAMES), kind)
    return found


def as_list(value: Any, words: Sequence[str]) -> tuple[list[Regularizer], dict[str, Any]]:
    """Return the regularizers that a list or a dict names, and the dict's words for noise.

    A number in a dict is the weight, a dict the arguments.
    """
    if value is None:
        return [], {}
    several = list(value) if isinstance(value, list | tuple) else []
    wrong = [part for part in several if not isinstance(part, Regularizer)]
    if wrong or not isinstance(value, list | tuple | Mapping):
        raise InvalidType(
            f"`regularizers` must be a list of regularizers, or a dict of name to weight; "
            f"got {(wrong or [value])[0]!r}. Write for example {{'weight_l2': 0.01}}."
        )
    if not isinstance(value, Mapping):
        return several, {}
    by_name, made, rest = list_regularizers(), list[Regularizer](), dict[str, Any]()
    for name, given in value.items():
        if name in words:
            rest[name] = given
        elif str(name).lower() not in by_name:
            raise InvalidValue(f"unknown regularizer `{name}`.{suggest(name, [*words, *by_name])}")
        else:
            kind = by_name[str(name).lower()]
            made.append(kind(**given) if isinstance(given, Mapping) else kind(weight=given))
    return made, rest
