"""Streams, sites and keys: where in the field noise is read. Rules: `spec/streams.md`."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, NoReturn, cast

from . import checks
from .errors import InvalidType, InvalidValue, prefix_errors
from .philox import plane_key
from .words import got

# The number of this definition of the noise. Other bits would be another scheme, never a fix.
SCHEME = 1

# Stands where a class of noise stands in the name of what a model draws: `site#slot:Draw`.
DRAW = "Draw"

SEED_BITS, STEP_BITS, CALL_BITS, SLOT_BITS = 64, 32, 32, 32


class Key(NamedTuple):
    """One application of noise: seed, site, slot, call and step.

    Made by ``Stream(seed).site(name).at(step)``. A kind of noise adds its own name when it draws,
    so two kinds under one key are independent.
    """

    seed: int
    site: str
    slot: int
    call: int
    step: int

    def plane(self, kind: str, plane: int) -> tuple[int, int]:
        """Return the Philox key, two 32-bit words, of one plane of a kind's draws."""
        return _plane_key(self.seed, self.site, self.slot, kind, self.call, plane)


@dataclass(frozen=True, slots=True)
class Site:
    """A named place in a stream; `at` gives the key of a step."""

    seed: int
    name: str
    slot: int = 0

    @checks.check_call("Site.at")
    def at(self, step: int, call: int = 0) -> Key:
        """Return the key of this site at a step.

        Parameters
        ----------
        step : int
            The training step, in [0, 2³²); inside a map of torch.func also a tensor that is mapped.
        call : int
            The number of the site's use within one forward pass, in [0, 2³²).

        Examples
        --------
        >>> import noisegate as ng
        >>> ng.Stream(13).site("hid1:out").at(2)
        Key(seed=13, site='hid1:out', slot=0, call=0, step=2)
        """
        with prefix_errors("Site.at"):
            step = check_step(step)
            call = checks.check_whole("call", call, CALL_BITS)
        return Key(self.seed, self.name, self.slot, call, step)


def check_step(value: int) -> int:
    """Return a step, or a tensor that is mapped: its values are checked when they are read."""
    if type(value) is not int:
        for is_mapped in checks.MAPPED_IN_GRAPH:
            if is_mapped(value):
                return value
    try:
        return checks.check_whole("step", value, STEP_BITS)
    except InvalidType:
        if checks.is_mapped(value):
            return value
        raise


@dataclass(frozen=True, slots=True)
class Stream:
    """All noise of a seed: every site, step and element.

    Parameters
    ----------
    seed : int
        A whole number in [0, 2⁶⁴). Nothing is ever added to it.

    Raises
    ------
    InvalidType, InvalidValue
        If the seed is not a whole number, is negative, or is too large.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.Stream(13).site("hid1:out")
    Site(seed=13, name='hid1:out', slot=0)
    """

    seed: int

    def __post_init__(self) -> None:
        with prefix_errors("Stream"):
            object.__setattr__(self, "seed", checks.check_whole("seed", self.seed, SEED_BITS))

    @checks.check_call("Stream.site")
    def site(self, name: str, slot: int = 0) -> Site:
        """Return the site called `name` in this stream.

        Parameters
        ----------
        name : str
            Any text; for a module's noise its ``path:port``, as injection names it.
        slot : int
            Distinguishes several noises of one kind at one site, in [0, 2³²).
        """
        if not isinstance(name, str):
            raise InvalidType(
                f"Stream.site: `name` must be text; {got(name)}. Write for example 'hid1:out'."
            )
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InvalidValue(
                f"Stream.site: `name` must be text that UTF-8 can hold; {got(name)}."
            ) from None
        with prefix_errors("Stream.site"):
            return Site(self.seed, name, checks.check_whole("slot", slot, SLOT_BITS))


# Stands for a key that a call leaves out, so that our sentence answers rather than Python's.
NO_KEY = cast(Key, None)


def check_key(value: object) -> Key:
    """Return `value` if it is a key, or raise."""
    if value is NO_KEY:
        raise InvalidType(
            "`key` is missing; it says which noise to draw. Make one with "
            "noisegate.Stream(seed).site(name).at(step), or use a layer of noisegate.torch, which "
            "needs none."
        )
    if not isinstance(value, Key):
        raise InvalidType(
            f"`key` must be a Key; {got(value)}. "
            "Make one with noisegate.Stream(seed).site(name).at(step)."
        )
    return value


def refuse_mapped_step(kind: str) -> NoReturn:
    """Raise because a key has a step for each member of a map, and its noise is no tensor's."""
    raise InvalidType(
        "the step of `key` is a tensor that a map gives a value for each of its members, and a "
        "NumPy array has no members. Give the input as a tensor."
    ).prefix(kind)


# Every forward of a model asks for the same few names.
@lru_cache(maxsize=4096)
def site_hash(site: str, slot: int, kind: str) -> int:
    """Return the 64-bit name of a noise: BLAKE2b of ``site#slot:Kind``, little-endian."""
    digest = blake2b(f"{site}#{slot}:{kind}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@lru_cache(maxsize=4096)
def _plane_key(
    seed: int, site: str, slot: int, kind: str, call: int, plane: int
) -> tuple[int, int]:
    return plane_key(seed, site_hash(site, slot, kind), call, plane)
