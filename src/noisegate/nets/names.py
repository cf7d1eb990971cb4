"""Names of layers: given, counted by a format, or made of the class."""

import re
import string
from collections.abc import Container

from noisegate.core.errors import InvalidType, InvalidValue

# What a site or a pattern gives a meaning to.
RESERVED = ".:*?[]"
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])")


def check_name(name: object) -> str | None:
    """Return a name, or a format of names, if it is well formed; None stays None."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidType(
            f"a layer's name must be text; got {name!r}. Write for example name='fc1'."
        )
    fields = _fields(name)
    if len(fields) > 1:
        raise InvalidValue(
            f"a format of names must have one field for the number; got '{name}'. Write 'fc{{}}'."
        )
    text = fill_number(name, 1) if fields else name
    if not text or any(sign in text for sign in RESERVED):
        raise InvalidValue(
            "a layer's name must be text without '.', ':' and the signs of patterns (* ? [ ]), "
            f"which sites give a meaning to; got '{text}'. Write for example 'fc1'."
        )
    return name


def is_format(name: str) -> bool:
    """Return whether a name has a field for a number."""
    return bool(_fields(name))


def fill_number(pattern: str, number: int) -> str:
    """Return the name that a format makes of a number; ``{:<03d}`` is read as ``{:03d}``."""
    text = ""
    try:
        for literal, field, spec, _ in string.Formatter().parse(pattern):
            text += literal
            if field is not None:
                spec = spec or ""
                # NeuPy's page means zeros in front; aligned to the left, Python puts them behind.
                text += format(number, spec[1:] if spec.startswith("<0") else spec)
    except ValueError:
        raise _bad_format(pattern) from None
    return text


def format_of_class(name: str) -> str:
    """Return the format of the names of a class: ``LeakyRelu`` gives ``leaky-relu-{}``."""
    return f"{_BOUNDARY.sub('-', name).strip('_').lower()}-{{}}"


def find_free_name(pattern: str, taken: Container[str]) -> str:
    """Return the first name of a format that is free."""
    number = 1
    while fill_number(pattern, number) in taken:
        number += 1
    return fill_number(pattern, number)


def _fields(name: str) -> list[str]:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError:
        raise _bad_format(name) from None
    if any(field for field in fields):
        raise _bad_format(name)
    return fields


def _bad_format(name: str) -> InvalidValue:
    return InvalidValue(
        f"a format of names must have one field like {{}} or {{:03d}}; got '{name}'."
    )
