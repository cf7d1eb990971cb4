"""Noise inside compiled graphs: one operation that graphs hold whole.

The operation reads its key and its rate from tensors when it runs. So the next step, another seed
or another rate needs no other graph, and a graph saves a few bytes in place of a mask.
"""

from time import perf_counter_ns
from typing import Any, NamedTuple, NoReturn, cast

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch._functorch.predispatch import _add_batch_dim
from torch.autograd import forward_ad

from noisegate.core import apply as core
from noisegate.core.checks import at_trace_time, check_whole
from noisegate.core.draws import Field
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.keys import STEP_BITS, Key
from noisegate.core.prepared import prepare
from noisegate.core.rank_rows import CONTIGUOUS, RankRows, check_known
from noisegate.core.window import ATTENTION, SampleAxis, rows_count

from .application import CPU, Noise
from .compiling import run_eagerly
from .dtensors import is_dtensor, refuse_in_graph
from .graph_rows import find_extent, refuse_count
from .graph_sites import LastCall, get_kind, get_site, note_call, read_axis, read_bits
from .maps import find_traced_maps
from .members import SHARED, Address, MemberEngine
from .operations import LIBRARY, define, name_operation


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
        number, bits, *text = self.place.tolist()
        if self.rate is not None:
            bits = read_bits(self.rate)
        site = get_site(number, text)
        kind, axis = get_kind(number, bits), read_axis(self.axis)
        step, *place = self.cursor.tolist()
        if site.seed is not None:
            with prefix_errors("noise"):
                check_whole("step", step, STEP_BITS)
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

    def _find_rows(
        self, x: Tensor, axis: SampleAxis, first: int = -1, batch: int = -1, *ranks: int
    ) -> Any:
        """Return the rows of x's samples; None if they count from 0."""
        if axis is None or not x.ndim or (self.ids is None and first <= 0 and not ranks):
            return None
        batch = self.batch if batch < 0 else batch
        extent = x.shape[0 if axis == ATTENTION else axis]
        if axis == ATTENTION and x.ndim == 3 and batch > 0 and extent % batch == 0:
            extent = batch  # the heads of each sample lie one after the other
        if self.ids is not None:
            ids = self.ids if first < 0 else self.ids[first : first + batch]
            rows: Any = [row % 2**64 for row in ids.tolist()]
        else:
            check_known(first)
            *numbers, largest = ranks or (0,)
            rank = RankRows.read(numbers) if ranks else RankRows(CONTIGUOUS)
            if batch < 0 or (rank.is_replica and not first):
                batch = extent  # whatever a site sees, ranks differ
            rows = rank.find(first, batch, largest)
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


_REST = (
    *("Tensor cursor", "Tensor place", "Tensor? live", "Tensor? ids"),
    *("SymInt batch", "SymInt call", "str axis", "float? rate"),
)


def _fake(x: Tensor, *rest: Any) -> Tensor:
    return torch.empty_like(x)


_noise = define("noise", ("Tensor x", *_REST, "bool linear"), _run_noise, _fake)
_slope = define(
    "slope",
    ("Tensor factor", "Tensor x", *_REST),
    _run_slope,
    lambda factor, x, *_: torch.empty_like(x),
)


def _run_field(like: Tensor, precision: str, members: Tensor | None, *rest: Any) -> list[Tensor]:
    """Return keep, gain, shift and fill in the shape of `like`, with neutral numbers for none."""
    call = GraphCall(*rest)
    noise = call.make_noise(like, False)
    kind, rows = noise.kind, noise.call.window.rows
    if members is not None and call.ids is None and rows and rows[0] > 0:
        # The rows follow those of a forward before, or are those of a replica.
        members = members * len(rows) + torch.tensor(rows, device="cpu")
    address = Address(rows=members)
    engine = CPU if members is None else MemberEngine(CPU.device, address=address)
    rate = noise.call.rate if call.live is None else call.live
    draws = core.draws_of(engine, kind, noise.key, noise.call.window, precision)
    own, number = kind.has_own_backward, getattr(torch, precision)
    idle = own and noise.call.idle
    field = Field() if idle else core.field_of(kind, draws, rate, linear=own)
    if own:  # `like` is the input: its values with noise stand for shift and fill
        y = like if idle else noise.apply_to_members(like, call.live, address)
        # A gradient of inf − inf is none.
        kept = torch.isfinite(like) if field.keep is None else torch.isfinite(like) & field.keep
        field = field._replace(keep=kept, shift=y, fill=y)
    value = like.dtype if like.is_complex() else number
    neutral = (True, torch.bool), (1.0, number), (-0.0, value), (0.0, value)
    parts = (
        torch.as_tensor(none if part is None else part, dtype=dtype, device="cpu")
        .expand(like.shape)
        .clone()
        for part, (none, dtype) in zip(field, neutral, strict=True)
    )
    return list(parts)


def _fake_field(like: Tensor, precision: str, *rest: Any) -> list[Tensor]:
    number = getattr(torch, precision)
    value = like.dtype if like.is_complex() else number
    dtypes = torch.bool, number, value, value
    return [like.new_empty(like.shape, dtype=dtype) for dtype in dtypes]


_field = define(
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
    decided = any(axis is not None for axis in axes[2:]) or like.dtype is not torch.bool
    count = info.batch_size if decided else 1
    fields = [_field(*(pick(value, axis, i) for value, axis in given)) for i in range(count)]
    if not decided:
        return fields[0], [None] * 4
    return [torch.stack(parts) for parts in zip(*fields, strict=True)], [0] * 4


torch.library.register_vmap(name_operation("field"), _map_field, lib=LIBRARY)


@at_trace_time
def _refuse_live_rate() -> None:
    # As it traces: an error when the graph runs would leave torch inside of its transformations.
    raise InvalidValue(
        "noise: a rate that is a tensor has no derivative inside of torch.func in compiled code. "
        "Call it outside of torch.compile."
    )


@at_trace_time
def _refuse_live_tangents() -> NoReturn:
    raise InvalidValue(
        "noise: a rate that is a tensor has no forward-mode derivative in compiled code. "
        "Call it outside of torch.compile."
    )


def _refuse_again(*_: Any) -> NoReturn:
    """Raise because a derivative by the rate is differentiated again."""
    raise InvalidValue(
        "noise: a rate that is a tensor has no second derivative in compiled code. "
        "Call it outside of torch.compile."
    )


def compose_noise(x: Tensor, call: GraphCall, own_backward: bool) -> Tensor:
    """Return x with noise on it by operations that torch.func transforms, in a graph.

    Autograd functions have no derivative there: the compiler would make it 0 without a word. With
    `own_backward` the derivative is of another field than the noise: its gain multiplies 0, and
    the values with noise are the shift.
    """
    # Under these names `find_traced_maps` reads them.
    cursor, ids = call.cursor, call.ids  # noqa: F841
    extent = find_extent(x, call.axis)
    members: Tensor | None = None
    maps = _find_maps(ids is not None and extent is not None)
    if call.live is not None and not _are_functorch_transforms_active():
        _refuse_live_tangents()
    if call.live is not None:
        _refuse_live_rate()
    for level, index in maps:
        part = _add_batch_dim(index, 0, level)
        members = part if members is None else members * len(index) + part
    if ids is not None and not ids.ndim:  # the row of a member that is a sample itself
        if extent not in (None, 1):
            refuse_count("noise", 1, extent)
        members, call = ids, call._replace(ids=None)
    members = None if members is None else members.reshape(1)
    like = x.detach() if own_backward else torch.zeros_like(x, dtype=torch.bool)
    precision = "float64" if x.dtype in (torch.float64, torch.complex128) else "float32"
    keep, gain, shift, fill = _field(like, precision, members, *call)
    number = gain.dtype if not x.is_complex() else x.dtype
    moved = x - like if own_backward else x
    return torch.where(keep, moved.to(number) * gain + shift, fill).to(x.dtype)


_find_maps = at_trace_time(find_traced_maps)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, cursor, place, live, ids, *ctx.rest, ctx.linear = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[3] else None, cursor, place, live, ids)


def _derive_in_graph(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients by x and by a live rate.

    The one by x is the operation itself, so that it may be differentiated again.
    """
    x, cursor, place, live, ids = ctx.saved_tensors
    rest = cursor, place, live, ids, *ctx.rest
    slope = None
    if x is not None:
        if ctx.linear:
            _refuse_again()
        slope = _slope(grad, x, *rest).sum_to_size(live.shape).to(live.dtype)
    return _noise(grad, *rest, True), None, None, slope, *(None,) * 6


# By the operation rather than by an autograd function: inside of one, the compiler would drop a
# derivative of the derivative without a word.
torch.library.register_autograd(
    name_operation("noise"),
    run_eagerly(_derive_in_graph),
    setup_context=run_eagerly(_save),
    lib=LIBRARY,
)
torch.library.register_autograd(name_operation("slope"), _refuse_again, lib=LIBRARY)


@at_trace_time
def _has_tangents() -> bool:
    """Return whether forward-mode derivatives are computed where a compiler traces now.

    What it has made is then for that alone: it does not compare the level by itself.
    """
    dynamo: Any = torch._dynamo
    guard = dynamo.variables.ctx_manager.DualLevelContextManager._guards_singleton
    dynamo.guards.install_guard(guard)
    return forward_ad._current_level >= 0


def add_noise(
    x: Tensor,
    cursor: Tensor,
    place: Tensor,
    *,
    samples: tuple[Tensor | None, int] = (None, -1),
    call: int = 0,
    axis: str = "default",
    rate: float | Tensor | None = None,
    own_backward: bool = False,
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
    own_backward : bool
        Whether the derivative is of another field than the noise.
    """
    live = rate if isinstance(rate, Tensor) else None
    number = None if isinstance(rate, Tensor) else rate
    given = GraphCall(cursor, place, live, *samples, call, axis, number)
    if is_dtensor(x):
        refuse_in_graph()
    if not isinstance(x, Tensor):  # it stands for one that is never there at once
        return x.apply_in_graph(given)
    if _are_functorch_transforms_active() or _has_tangents():
        return compose_noise(x, given, own_backward)
    return cast(Tensor, _noise(x, *given, False))
