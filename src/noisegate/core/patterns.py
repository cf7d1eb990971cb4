"""Patterns of sites: shell globs over ``path:port``, where ``*`` crosses dots."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from . import messages
from .errors import InvalidType, InvalidValue

PORTS = ("in", "out")

# theanets' names for a model's own input and output, unless a module bears the name.
ALIASES = {"in:out": ":in", "out:out": ":out"}


def checked(pattern: object) -> str:
    """Return a pattern if it is well formed, or raise."""
    if not isinstance(pattern, str) or ":" not in pattern:
        raise InvalidType(messages.bad_pattern(pattern))
    port = pattern.rpartition(":")[2]
    if port not in PORTS:
        raise InvalidValue(messages.no_port(pattern, port))
    return pattern


def matches(pattern: str, sites: Sequence[str]) -> list[str]:
    """Return the sites that a pattern names, in their order."""
    alias = ALIASES.get(pattern)
    if alias is not None and pattern not in sites:
        return [alias]
    return [site for site in sites if fnmatchcase(site, pattern)]
