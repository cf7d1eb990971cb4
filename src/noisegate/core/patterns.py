"""The grammar of sites, ``path:port``, and of the patterns that name them.

A pattern's path is a shell glob in which ``*`` crosses dots. Its port is a word, not a glob:

- ``*`` means `pre` and `out`; a bare ``*`` means these two ports of every path.
- `dropout`, `noise`, `probs`, `heads`, `scores`, `state`, `cell`, `layers` mean all calls of that
  module; ``dropout.0``, ``dropout.1`` … one.
- ``out.logits`` or ``out.1`` means one part of what a module returns.
- `branch` means whole residual blocks, and `tokens` sequences that modules are given: those of the
  outermost modules that the path matches.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import NoReturn

from .errors import InvalidType, InvalidValue, UnmatchedRule
from .words import got, list_names

# Ports at which a hook sees a tensor; before an activation; at a module's own noises, counted.
HOOKED, PRE = ("in", "out"), "pre"
# In the attention that a module computes: its probabilities, its heads' outputs, and its scores.
ATTENTION_PORTS = ("probs", "heads", "scores")
# In a recurrent layer: the state and the cell that it carries on, and between its layers.
STATE, CELL, LAYERS = "state", "cell", "layers"
RECURRENT_PORTS = (STATE, CELL, LAYERS)
COUNTED = ("dropout", "noise", "skip", *ATTENTION_PORTS, *RECURRENT_PORTS)
# A residual block as a whole, and the sequence that a module is given.
BRANCH, TOKENS = "branch", "tokens"
PORTS = (*HOOKED, PRE, BRANCH, TOKENS, *COUNTED)
# The wildcard, and the ports that it stands for.
ANY, OF_ANY = "*", ("pre", "out")
_PORT = re.compile(
    rf"(?P<hooked>{'|'.join(HOOKED)})(\.(?P<part>[^.:*?\[\]]+))?"
    rf"|(?P<counted>{'|'.join(COUNTED)})(\.(?P<number>\d+))?"
    rf"|{PRE}|{BRANCH}|{TOKENS}|(?P<parameter>[A-Za-z_]\w*)"
)

# theanets' names for a model's own input and output; a module of that name comes first.
ALIASES = {"in:out": ":in", "out:out": ":out"}


_EXAMPLE = "Write for example 'hid1:out'."


@dataclass(frozen=True, slots=True)
class Port:
    """The port of a site or pattern: what follows the colon.

    Attributes
    ----------
    name : str
        `in`, `out`, `pre`, `branch`, `tokens`, `dropout`, `noise`, `probs`, `heads`, `scores`,
        `state`, `cell`, `layers`, `skip`, or a parameter's name.
    part : str or None
        One of the values that a module takes or returns, by name or number.
    number : int or None
        The number of one of the module's own calls.
    """

    name: str
    part: str | None = None
    number: int | None = None

    @property
    def own(self) -> bool:
        """Whether it is the place of a noise that the module makes itself."""
        return self.name in COUNTED

    @property
    def outside(self) -> bool:
        """Whether a hook sees its tensor: what enters a module or its activation, or leaves it."""
        return self.name in (*HOOKED, PRE)

    @property
    def parameter(self) -> bool:
        """Whether it is a parameter's name: any word but the known ones."""
        return self.name not in (*PORTS, ANY)


def split(site: str) -> tuple[str, str]:
    """Return the path and the port of a site or a pattern."""
    path, _, port = site.rpartition(":")
    return path, port


def parse_port(site: str) -> Port:
    """Return the port of a well-formed site or pattern."""
    word = split(site)[1]
    if word == ANY:
        return Port(ANY)
    match = _PORT.fullmatch(word)
    if match is None:
        *inner, name = word.split(".")
        path = ".".join([split(site)[0], *inner]).strip(".")
        of_parameter = inner and all(map(str.isidentifier, (*inner, name)))
        refuse_port(site, f"Write '{path}:{name}'." if of_parameter else _EXAMPLE)
    number = None if match["number"] is None else int(match["number"])
    return Port(match["hooked"] or match["counted"] or word, match["part"], number)


def refuse_port(pattern: str, remedy: str) -> NoReturn:
    """Raise, since noise cannot be put at the port that a pattern names."""
    raise InvalidValue(
        "the port of a rule must be `in`, `out`, `pre`, `branch`, `tokens`, `dropout`, `noise`, "
        "`probs`, `heads`, `scores`, `state`, `cell`, `layers` or a parameter's name; got "
        f"`{split(pattern)[1]}` in '{pattern}'. {remedy}"
    )


def own_site(path: str, port: str, number: int) -> str:
    """Return the site of one of the noises that a module makes itself, counted from 0."""
    return f"{path}:{port}.{number}" if number else f"{path}:{port}"


def check_pattern(pattern: object) -> str:
    """Return a pattern if it is well formed, or raise."""
    if not isinstance(pattern, str) or (":" not in pattern and pattern != ANY):
        raise InvalidType(
            f"a pattern must be text of the form `path:port`; {got(pattern)}. "
            "Write for example 'hid1:out'."
        )
    parse_port(pattern)
    return pattern


def matches(pattern: str, sites: Sequence[str]) -> list[str]:
    """Return the sites that a pattern names, in their order, with the pattern's part if any."""
    alias = ALIASES.get(pattern)
    if alias is not None and pattern not in sites:
        return [alias] if alias in sites else []
    glob, port = ANY if pattern == ANY else split(pattern)[0], parse_port(pattern)
    suffix = "" if port.part is None else f".{port.part}"
    found = [
        site + suffix
        for site in sites
        if fnmatchcase(split(site)[0], glob) and _has_port(site, port)
    ]
    return _keep_outermost(found) if port.name in (BRANCH, TOKENS) else found


def refuse_unmatched(pattern: str, sites: Sequence[str]) -> NoReturn:
    """Raise, since a pattern names none of the sites; the sentence lists the nearest."""
    # No cutoff: whatever the pattern, the user sees how sites are written.
    near = list_names(get_close_matches(pattern, sites, n=3, cutoff=0.0), "'")
    raise UnmatchedRule(f"the rule '{pattern}' matches no site. The nearest sites are {near}.")


def strip_part(site: str) -> str:
    """Return a site without the part that its port names."""
    path, port = split(site)[0], parse_port(site)
    return site if port.part is None else f"{path}:{port.name}"


def _keep_outermost(sites: Sequence[str]) -> list[str]:
    """Return the sites of modules that are inside none of the others."""
    paths = {split(site)[0] for site in sites}

    def is_inside(path: str) -> bool:
        names = path.split(".")
        return any(".".join(names[:count]) in paths for count in range(1, len(names)))

    return [site for site in sites if not is_inside(split(site)[0])]


def _has_port(site: str, port: Port) -> bool:
    other = parse_port(site)
    if port.own:
        return port.name == other.name and port.number in (None, other.number or 0)
    return other.name in OF_ANY if port.name == ANY else port.name == other.name
