"""Noise inside compiled graphs: one operation that graphs hold whole.

The operation reads its key and its rate from tensors when it runs. So the next step, another seed
or another rate needs no other graph, and a graph saves a few bytes in place of a mask.
"""

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._functorch.predispatch import _add_batch_dim

from noisegate.core import apply as core
from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import SCHEME, Key
from noisegate.core.prepared import prepare
from noisegate.core.window import ATTENTION, SampleAxis, rows_count

from .application import CPU, Noise
from .cursors import unwrap_gradients
from .graph_sites import LastCall, get_kind, get_site, note_call, read_axis, read_bits
from .maps import find_traced_maps
from .members import SHARED, Address, MemberEngine


class GraphCall(NamedTuple):
    """The arguments of the operations after x, as a graph passes them."""

    cursor: Tensor
    place: Tensor
    live: Tensor | None
    ids: Tensor | None
    batch: int
    call: int
    axis: str
    rate: float | None

    def make_noise(self, x: Tensor, linear: bool) -> Noise:
        """Return the noise of this call; note it unless it is a derivative."""
        number, bits = self.place.tolist()
        if self.rate is not None:
            bits = read_bits(self.rate)
        kind, site, axis = get_kind(number, bits), get_site(number), read_axis(self.axis)
        step, *place = self.cursor.tolist()
        if site.seed is None:
            key = Key(step % 2**64, site.site, 0, 0, 0)
        else:
            key = Key(site.seed, site.site, site.slot, self.call, step)
        rows, shape = self._find_rows(x, axis, *place), tuple(x.shape)
        given = {} if self.live is None else {kind.RATE: self.live}
        call = prepare(kind, key, shape, rows, axis, given)
        if not linear:
            about = kind, key, shape, rows, axis, given, self.call + 1, perf_counter_ns()
            note_call(self.place, LastCall(*about))
        return Noise(kind, key, call if self.live is None else call._replace(rate=None), linear)

    def _find_rows(self, x: Tensor, axis: SampleAxis, first: int = -1, batch: int = -1) -> Any:
        """Return the rows of x's samples; None if they count from 0."""
        if axis is None or not x.ndim or (self.ids is None and first <= 0):
            return None
        batch = self.batch if batch < 0 else batch
        if self.ids is None:
            rows: Any = range(first, first + batch)
        else:
            ids = self.ids if first < 0 else self.ids[first : first + batch]
            rows = [row % 2**64 for row in ids.tolist()]
        extent = x.shape[0 if axis == ATTENTION else axis]
        if axis == ATTENTION and x.ndim == 3 and batch > 0 and extent % batch == 0:
            extent = batch  # the heads of each sample lie one after the other
        if len(rows) != extent or batch not in (-1, extent):
            raise InvalidValue(f"inject: {rows_count(len(rows), extent)}")
        return rows


def _run_noise(x: Tensor, *given: Any) -> Tensor:
    """Return x with noise on it."""
    *rest, linear = given
    call = GraphCall(*rest)
    noise = call.make_noise(x, linear)
    return x.clone() if noise.call.idle else noise(x, call.live)


def _run_slope(factor: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """Return a factor times the derivative by a live rate, for each element."""
    call = GraphCall(*rest)
    assert call.live is not None
    noise = call.make_noise(x, True)
    noise.linear = False
    return noise.slope(factor, x, call.live, SHARED)


_LIBRARY = torch.library.Library("noisegate", "DEF")
_REST = (
    *("Tensor cursor", "Tensor place", "Tensor? live", "Tensor? ids"),
    *("SymInt batch", "SymInt call", "str axis", "float? rate"),
)


def _define(
    name: str, arguments: Sequence[str], run: Any, fake: Any, result: str = "Tensor"
) -> Any:
    """Define an operation without a gradient of its own, for every device; return it."""
    # The name has the scheme, since torch's caches on disk know an operation by its name alone.
    name = f"{name}_{SCHEME}"
    tags = (torch.Tag.pt2_compliant_tag,)
    _LIBRARY.define(f"{name}({', '.join(arguments)}) -> {result}", tags=tags)
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"noisegate::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.noisegate, name)


def _fake(x: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(x)


_noise = _define("noise", ("Tensor x", *_REST, "bool linear"), _run_noise, _fake)
_slope = _define(
    "slope",
    ("Tensor factor", "Tensor x", *_REST),
    _run_slope,
    lambda factor, x, *_: torch.empty_like(x),
)
_advance = _define(
    "advance",
    ("Tensor cursor", "SymInt samples"),
    lambda cursor, samples: cursor + cursor.new_tensor([0, samples]),
    _fake,
)


def advance(cursor: Tensor, samples: int) -> Tensor:
    """Return a cursor that begins `samples` rows later, in code that a compiler traces."""
    return unwrap_gradients(_advance(cursor, samples))


def _run_field(like: Tensor, precision: str, members: Tensor | None, *rest: Any) -> list[Tensor]:
    """Return keep, gain, shift and fill in the shape of `like`, with neutral numbers for none."""
    call = GraphCall(*rest)
    noise = call.make_noise(like, False)
    kind = noise.kind
    engine = CPU if members is None else MemberEngine(CPU.device, address=Address(rows=members))
    rate = noise.call.rate if call.live is None else call.live
    draws = core.draws_of(engine, kind, noise.key, noise.call.window, precision)
    field, number = core.field_of(kind, draws, rate), getattr(torch, precision)
    neutral = (True, torch.bool), (1.0, number), (-0.0, number), (0.0, number)
    parts = (
        torch.as_tensor(none if part is None else part, dtype=dtype).expand(like.shape).clone()
        for part, (none, dtype) in zip(field, neutral, strict=True)
    )
    return list(parts)


def _fake_field(like: Tensor, precision: str, *rest: Any) -> list[Tensor]:
    number = getattr(torch, precision)
    dtypes = torch.bool, number, number, number
    return [like.new_empty(like.shape, dtype=dtype) for dtype in dtypes]


_field = _define(
    "field",
    ("Tensor like", "str precision", "Tensor? members", *_REST),
    _run_field,
    _fake_field,
    "Tensor[]",
)


def _map_field(info: Any, axes: Any, like: Tensor, precision: str, members: Any, *rest: Any) -> Any:
    """Return the field of each member of a map: only what is mapped makes them differ."""

    def pick(value: Any, axis: int | None, member: int) -> Any:
        return value if axis is None else value.select(axis, member)

    given = list(zip((like, precision, members, *rest), axes, strict=True))
    decided = any(axis is not None for axis in axes[2:])
    count = info.batch_size if decided else 1
    fields = [_field(*(pick(value, axis, i) for value, axis in given)) for i in range(count)]
    if not decided:
        return fields[0], [None] * 4
    return [torch.stack(parts) for parts in zip(*fields, strict=True)], [0] * 4


torch.library.register_vmap(f"noisegate::field_{SCHEME}", _map_field, lib=_LIBRARY)


@at_trace_time
def _refuse_live_rate() -> None:
    # As it traces: an error when the graph runs would leave torch inside of its transformations.
    raise InvalidValue(
        "noise: a rate that is a tensor has no derivative inside of torch.func in compiled code. "
        "Call it outside of torch.compile."
    )


def compose_noise(x: Tensor, call: GraphCall, decided: bool) -> Tensor:
    """Return x with noise on it by operations that torch.func transforms, in a graph.

    Autograd functions have no derivative there: the compiler would make it 0 without a word.
    """
    members: Tensor | None = None
    maps = [] if decided else _find_maps()
    if call.live is not None:
        _refuse_live_rate()
    for level, index in maps:
        part = _add_batch_dim(index, 0, level)
        members = part if members is None else members * len(index) + part
    members = None if members is None else members.reshape(1)
    like = torch.zeros_like(x, dtype=torch.bool)
    precision = "float64" if x.dtype in (torch.float64, torch.complex128) else "float32"
    keep, gain, shift, fill = _field(like, precision, members, *call)
    number = gain.dtype if not x.is_complex() else x.dtype
    return torch.where(keep, x.to(number) * gain + shift, fill).to(x.dtype)


_find_maps = at_trace_time(find_traced_maps)


class _InGraph(torch.autograd.Function):
    """Autograd for the operation; without `jvp`, which the compiler refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        cursor, place, live, ids, *ctx.rest = rest
        ctx.save_for_backward(cursor, place, live, ids)
        return cast(Tensor, _noise(x, *rest, False))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _noise(grad, *ctx.saved_tensors, *ctx.rest, True), *(None,) * 8


class _LiveInGraph(torch.autograd.Function):
    """Autograd for an operation whose rate has a gradient; it saves x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        cursor, place, live, ids, *ctx.rest = rest
        ctx.save_for_backward(x, cursor, place, live, ids)
        return cast(Tensor, _noise(x, *rest, False))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, cursor, place, live, ids = ctx.saved_tensors
        rest = cursor, place, live, ids, *ctx.rest
        slope = _slope(grad, x, *rest).sum_to_size(live.shape).to(live.dtype)
        return _noise(grad, *rest, True), None, None, slope, *(None,) * 5


def add_noise(
    x: Tensor,
    cursor: Tensor,
    place: Tensor,
    *,
    samples: tuple[Tensor | None, int] = (None, -1),
    call: int = 0,
    axis: str = "default",
    rate: float | Tensor | None = None,
    decided: bool = False,
) -> Tensor:
    """Return x with noise on it, in code that a compiler traces.

    Parameters
    ----------
    cursor : Tensor
        int64 of shape (1,), (2,) or (3,): the step, the row of the first sample, and the number of
        samples. For a site without a seed, the seed.
    place : Tensor
        From `make_place`.
    samples : tuple of Tensor or None, and int
        The int64 ids of the samples, and their number if it is to be checked, else -1.
    call, axis
        The number of the call, and the name of the sample axis.
    rate : float or Tensor, optional
        In place of the rate of `place`; a tensor has a gradient if it requires one.
    decided : bool
        Whether the cursor or the ids are the user's tensors: if torch maps them, they alone tell
        which noise the members have.
    """
    live = rate if isinstance(rate, Tensor) else None
    number = None if isinstance(rate, Tensor) else rate
    given = GraphCall(cursor, place, live, *samples, call, axis, number)
    if _are_functorch_transforms_active():
        return compose_noise(x, given, decided)
    with_gradient = live is not None and live.requires_grad
    function = _LiveInGraph if with_gradient else _InGraph
    return cast(Tensor, function.apply(x, *given))  # type: ignore[no-untyped-call]
