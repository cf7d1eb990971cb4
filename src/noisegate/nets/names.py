"""Names of layers: given, counted by a format, or made of the class."""

import re
import string
from collections.abc import Container

from noisegate.core.errors import InvalidType, InvalidValue

from . import messages

# What a site or a pattern gives a meaning to.
RESERVED = ".:*?[]"
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])")


def checked(name: object) -> str | None:
    """Return a name, or a format of names, if it is well formed; None stays None."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidType(messages.name_no_text(name))
    fields = _fields(name)
    if len(fields) > 1:
        raise InvalidValue(messages.name_of_two_fields(name))
    text = numbered(name, 1) if fields else name
    if not text or any(sign in text for sign in RESERVED):
        raise InvalidValue(messages.bad_name(text))
    return name


def is_format(name: str) -> bool:
    """Return whether a name has a field for a number."""
    return bool(_fields(name))


def numbered(pattern: str, number: int) -> str:
    """Return the name that a format makes of a number; ``{:<03d}`` is read as ``{:03d}``."""
    text = ""
    try:
        for literal, field, spec, _ in string.Formatter().parse(pattern):
            text += literal
            if field is not None:
                # NeuPy's page means zeros in front; aligned to the left, Python puts them behind.
                spec = (spec or "").removeprefix("<") if (spec or "")[:2] == "<0" else spec or ""
                text += format(number, spec)
    except ValueError:
        raise InvalidValue(messages.bad_name_format(pattern)) from None
    return text


def of_class(name: str) -> str:
    """Return the format of the names of a class: ``LeakyRelu`` gives ``leaky-relu-{}``."""
    return f"{_BOUNDARY.sub('-', name).strip('_').lower()}-{{}}"


def counted(pattern: str, taken: Container[str]) -> str:
    """Return the first name of a format that is free."""
    number = 1
    while numbered(pattern, number) in taken:
        number += 1
    return numbered(pattern, number)


def _fields(name: str) -> list[str]:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError:
        raise InvalidValue(messages.bad_name_format(name)) from None
    if any(field for field in fields):
        raise InvalidValue(messages.bad_name_format(name))
    return fields
