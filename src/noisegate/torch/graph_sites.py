"""The sites of compiled graphs: what a graph names by numbers, and what it did last."""

import struct
from ast import literal_eval
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, NoReturn, cast

import torch
from torch import Tensor, compiler

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import NoisegateError
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.kinds import KINDS
from noisegate.core.schedule import Schedule
from noisegate.core.window import ATTENTION, DEFAULT_AXIS, DefaultAxis, SampleAxis

from .cursors import plain_tensors


class GraphSite(NamedTuple):
    """What a noise in a graph is, but for its rate: the rest comes in tensors.

    A site without a seed takes the seed from the cursor.
    """

    kind: Kind
    seed: int | None
    site: str
    slot: int


class LastCall(NamedTuple):
    """The last application of a noise by a graph."""

    kind: Kind
    key: Key
    shape: tuple[int, ...]
    rows: Any
    axis: SampleAxis
    live: Mapping[str, Any]
    calls: int
    time: int


_SITES: dict[int, GraphSite] = {}
# By the address of the place, since two equal models have equal sites.
_LAST: dict[int, LastCall] = {}


def number_site(site: GraphSite) -> int:
    """Return the number by which graphs name a site; equal sites have equal numbers.

    It is made of the site's content: torch stores graphs on disk, and another process that loads
    one must find the same site under the number.
    """
    kind = type(site.kind)
    content = repr((kind.__module__, kind.__qualname__, site.kind, *site[1:]))
    number = int.from_bytes(blake2b(content.encode(), digest_size=7).digest(), "little")
    # A class that was defined again, as in a notebook, has the same name and does something else.
    while _SITES.setdefault(number, site) != site:
        number += 1
    return number


def get_site(number: int, text: Sequence[int] = ()) -> GraphSite:
    """Return the site with a number; in a process that does not know it yet, the one of the text.

    Raises
    ------
    NoisegateError
        If neither is known: a program that was exported elsewhere has it.
    """
    if number not in _SITES and text:
        _read_site(bytes(text).decode())
    if number not in _SITES:
        _refuse_unknown()
    return _SITES[number]


def _write_site(site: GraphSite) -> str:
    """Return a site as literals for a program that other processes run; "" if it has others."""
    kind = site.kind
    numbers = {name: getattr(kind, name) for name in kind.names()}
    text = repr((type(kind).__name__, numbers, *site[1:]))
    try:
        literal_eval(text)
    except (ValueError, SyntaxError):
        return ""
    return text if KINDS.get(type(kind).__name__) is type(kind) else ""


def _read_site(text: str) -> None:
    """Make the site of a text known."""
    name, numbers, *rest = literal_eval(text)
    number_site(GraphSite(KINDS[name](**numbers), *rest))


def _refuse_unknown() -> NoReturn:
    raise NoisegateError(
        "noise: this program was exported by another process, and has a kind of noise or a "
        "schedule of your own, which this process does not know. Export the program here."
    )


def note_call(place: Tensor, call: LastCall) -> None:
    """Note the last application of a noise by a graph."""
    _LAST[place.data_ptr()] = call


def get_last_call(place: Tensor) -> LastCall | None:
    """Return the last application of a noise by a graph, if there was one."""
    return _LAST.get(place.data_ptr())


def make_place(kind: Kind, seed: int | None, site: str, slot: int) -> Tensor:
    """Return the tensor by which a graph knows a noise.

    It holds the rate beside the number of the site, so that another rate needs no other site. It
    is replaced when the rate changes, never overwritten: a backward may need the former one.
    """
    with plain_tensors():
        numbers = find_place_numbers(kind, seed, site, slot)
        place = torch.tensor(numbers, dtype=torch.int64, device="cpu")
    _LAST.pop(place.data_ptr(), None)  # of a place that is gone
    return place


@at_trace_time
def find_place_numbers(kind: Kind, seed: int | None, site: str, slot: int) -> tuple[int, ...]:
    """Return the number of a site, and the bits of its rate; for an export its text too."""
    rate, bits = kind.rate, _OWN_RATE
    if not isinstance(rate, Schedule):
        kind, bits = kind.at_rate(kind.BOUNDS[0]), read_bits(rate)
    found = GraphSite(kind, seed, site, slot)
    text = _write_site(found) if compiler.is_exporting() else ""
    return number_site(found), bits, *text.encode()


def make_place_in_graph(numbers: tuple[int, ...]) -> Tensor:
    """Return the place with these numbers, in code that a compiler traces.

    The compiler takes two tensors that are found while it traces for one.
    """
    return torch.tensor(numbers, dtype=torch.int64, device="cpu")


# The bits of no rate, since they are a NaN: a schedule is read at each step.
_OWN_RATE = -1


def read_bits(rate: float) -> int:
    """Return the bits of a rate, as a number."""
    return cast(int, struct.unpack("q", struct.pack("d", rate))[0])


@lru_cache(maxsize=4096)
def get_kind(number: int, bits: int) -> Kind:
    """Return the kind of a site at the rate with these bits."""
    kind = _SITES[number].kind
    return (
        kind if bits == _OWN_RATE else kind.at_rate(struct.unpack("d", struct.pack("q", bits))[0])
    )


_AXES = {"default": DEFAULT_AXIS, "none": None, ATTENTION: ATTENTION}


def name_axis(axis: SampleAxis) -> str:
    """Return a sample axis as text, in which an operation takes it."""
    if isinstance(axis, DefaultAxis):
        return "default"
    return "none" if axis is None else str(axis)


def read_axis(text: str) -> Any:
    """Return the sample axis of a name."""
    return _AXES[text] if text in _AXES else int(text)
