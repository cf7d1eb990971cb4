"""Noise inside the transformations of torch.func: whether the members of a map share it."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active, _functorch
from torch._C._functorch import TransformType, is_functorch_wrapped_tensor
from torch._functorch import pyfunctorch, vmap
from torch.utils import _pytree

from noisegate.core import apply as core
from noisegate.core.checks import MAPPED_IN_GRAPH, at_trace_time
from noisegate.core.errors import InvalidType, InvalidValue, RandomnessError, prefix_errors
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import prepare
from noisegate.core.schedule import Schedule
from noisegate.core.window import SampleAxis, Window, rows_count
from noisegate.engines.torch import FLOATS

from .application import CPU, Noise, apply_transformed, take_rate
from .cursors import draw_cursor
from .members import Address, read_schedule


@dataclass(frozen=True, slots=True)
class Following:
    """Rows of a model's samples that follow those of a forward before, in each member of a map.

    They are those of the first member; the members take theirs one after the other.
    """

    rows: range


def transforms_act() -> bool:
    """Return whether a transformation of torch.func is running."""
    return bool(_are_functorch_transforms_active())


def count_members(step: Any = None) -> int:
    """Return how many members, that differ, the maps around a forward have; 0 without such maps.

    A map over the step of the forward does not count: its members have the same rows.
    """
    if not _are_functorch_transforms_active():
        return 0
    decided = set(_find_levels(step)) if isinstance(step, Tensor) else set[int]()
    interpreters: Any = pyfunctorch.retrieve_all_functorch_interpreters()
    sizes = [
        one.batch_size()
        for one in interpreters
        if one.key() == TransformType.Vmap and one.randomness() == "different"
        if one.level() not in decided
    ]
    return prod(sizes) if sizes else 0


count_traced_members = at_trace_time(count_members)


def apply_in_maps(
    kind: Kind, x: Tensor, key: Key, rows: Any, sample_axis: SampleAxis, live: Mapping[str, Any]
) -> Tensor:
    """Return x with the noise of a key on it, inside transformations of torch.func."""
    step = ids = None
    follows = isinstance(rows, Following)
    if follows:
        rows = rows.rows
    if isinstance(key, Key) and isinstance(key.step, Tensor):
        step, key = key.step, key._replace(step=0)
        rate = live.get(kind.RATE, kind.rate)
        if isinstance(rate, Schedule):
            if not kind.takes_live:
                _refuse_schedule(kind)
            live = {kind.RATE: read_schedule(kind, rate, step)}
    if isinstance(rows, Tensor) and any(_find_levels(rows)):
        ids, rows = rows, (range(len(rows)) if rows.ndim else None)
    while isinstance(rows, Tensor) and is_functorch_wrapped_tensor(rows):
        rows = _functorch.get_unwrapped(rows)  # made inside of a derivative, the same everywhere
    call = prepare(kind, key, x.shape, rows, sample_axis, live)
    with prefix_errors(type(kind).__name__):
        if x.dtype not in FLOATS:
            core.check_input(CPU, kind, x)
        if call.idle or not x.numel():
            return x if call.idle else x.clone()
        mapped = [tensor for tensor in (step, ids) if tensor is not None]
        ids = None if ids is None else _check_ids(ids, call.window)
        given = rows is not None and not follows and call.window.sample_axis is not None
        place = _find_place(mapped, ids is not None or given, follows)
        if follows and place is not None:
            place = _follow(place, call.window)
    live_rate = None
    if type(call.rate) is not float:
        live_rate, call = take_rate(kind, x, call)
    address = Address(ids if place is None else place, step)
    return apply_transformed(x, live_rate, Noise(kind, key, call), address)


def _follow(place: Tensor, window: Window) -> Tensor:
    """Return the rows of a member, by its index and the rows of the first member."""
    with torch._C._DisableFuncTorch():
        rows = torch.tensor(window.rows, device="cpu")
    return place * len(window.rows) + rows


def _check_ids(ids: Tensor, window: Window) -> Tensor | None:
    """Return mapped rows as a vector, one for each sample; None if all samples share row 0."""
    if ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
        raise InvalidType(
            f"`rows` that torch maps must be a tensor of whole numbers; got {ids.dtype}."
        )
    if ids.ndim:
        return None if window.sample_axis is None else ids
    if len(window.rows) != 1:
        raise InvalidValue(rows_count(1, len(window.rows)))
    return ids.reshape(1)


def _find_place(mapped: list[Tensor], named: bool, follows: bool) -> Tensor | None:
    """Return the index of each member among all whose noise is to differ; None if none is to.

    A map over rows or steps, `mapped`, decides by itself. Any other does as its `randomness` says:
    "different" numbers its members, "same" does not, and "error" raises. `named` says that the
    call names its rows, which leaves no number for a member; `follows`, that its forward is not the
    first one of a block, so that each chunk of a map is a forward of its own.
    """
    decided = {level for tensor in mapped for level in _find_levels(tensor)}
    place = None
    calls = None
    interpreter: Any
    for interpreter in pyfunctorch.retrieve_all_functorch_interpreters():
        if interpreter.key() == TransformType.Functionalize:
            _refuse_functionalize()
        if interpreter.key() != TransformType.Vmap or interpreter.level() in decided:
            continue
        randomness = interpreter.randomness()
        if randomness == "same":
            continue
        level = interpreter.level()
        calls = _find_calls() if calls is None else calls
        if randomness == "error" and _is_of_directions(calls.get(level)):
            continue
        if randomness == "error":
            _refuse_randomness()
        if named:
            _refuse_rows()
        first, count = _find_chunk(calls.get(level), interpreter.batch_size())
        if follows:
            if place is not None and count != interpreter.batch_size():
                _refuse_inner_chunks()
            first, count = 0, interpreter.batch_size()
        # A transformation inside of this map would wrap a new tensor as its own.
        with torch._C._DisableFuncTorch():
            index = torch.arange(first, first + interpreter.batch_size(), device="cpu")
        index = _functorch._add_batch_dim(index, 0, level)
        place = index if place is None else place * count + index
    return None if place is None else place.reshape(1)


def find_traced_maps(named: bool) -> list[tuple[int, Tensor]]:
    """Return the level of each map whose members have noise of their own, and their indices.

    The maps are those around the code that torch's compiler traces now, outermost first. `named`
    says that the call names its rows. A map over the steps or the rows, which the calling code has
    as `cursor` and `ids`, decides by itself.
    """
    interpreters: Any = pyfunctorch.retrieve_all_functorch_interpreters()
    maps = [interpreter for interpreter in interpreters if interpreter.key() == TransformType.Vmap]
    if all(interpreter.randomness() == "same" for interpreter in maps):
        return []
    traced = _list_traced()
    codes = [one.f_code for one in traced]
    decided = {level for name in ("cursor", "ids") for level in _find_traced_levels(traced, name)}
    places = [place for place, code in enumerate(codes) if code is _MAP]
    if len(places) < len(maps):
        raise InvalidValue(
            "vmap: a graph breaks inside of a map, so the compiler does not know which member it "
            "computes. Find the break with fullgraph=True, or call vmap outside of torch.compile."
        )
    found = []
    for interpreter, place in zip(maps, places[-len(maps) :], strict=True):
        if interpreter.randomness() == "same" or interpreter.level() in decided:
            continue
        if interpreter.randomness() == "error":
            if codes[place + 1].co_name == _DIRECTIONS[1]:
                continue
            _refuse_randomness()
        if named:
            _refuse_rows()
        if codes[place - 1] is _MAP_CHUNKS:
            raise InvalidValue(
                "vmap: compiled code does not know which chunk of a map it computes, so all would "
                "have one noise. Leave out `chunk_size`, or call vmap outside of torch.compile."
            )
        with torch._C._DisableFuncTorch():
            index = torch.arange(interpreter.batch_size(), device="cpu")
        found.append((interpreter.level(), index))
    return found


def is_mapped_in_graph(step: Any) -> bool:
    """Return whether a step differs between the members of a map that a compiler traces."""
    if not torch.compiler.is_compiling() or not isinstance(step, Tensor):
        return False
    return _are_functorch_transforms_active() and _is_step_mapped()


@at_trace_time
def _is_step_mapped() -> bool:
    """Return whether `step` of the calling code is mapped; raise if it is of no whole numbers."""
    traced = _list_traced()
    if not any(_find_traced_levels(traced, "step")):
        return False
    dtype = traced[-1].symbolic_locals["step"].realize().dtype
    if dtype.is_floating_point or dtype.is_complex or dtype is torch.bool:
        raise InvalidType(
            f"Site.at: `step` that torch maps must be a tensor of whole numbers; got {dtype}."
        )
    return True


MAPPED_IN_GRAPH.append(is_mapped_in_graph)


def draw_cursor_in_maps() -> Tensor:
    """Return `draw_cursor`, or raise where a map does not say whether its members share it."""
    if _are_functorch_transforms_active():
        _check_randomness()
    return draw_cursor()


@at_trace_time
def _check_randomness() -> None:
    interpreters: Any = pyfunctorch.retrieve_all_functorch_interpreters()
    for interpreter in interpreters:
        if interpreter.key() == TransformType.Vmap and interpreter.randomness() == "error":
            _refuse_randomness()


def _find_traced_levels(traced: list[Any], name: str) -> Iterator[int]:
    """Yield the level of each map that maps a variable of the innermost code."""
    variable = traced[-1].symbolic_locals[name].realize()
    if variable.is_tensor():
        yield from _find_levels(variable.as_proxy().node.meta["example_value"])


def _list_traced() -> list[Any]:
    """Return what traces each function that the compiler is inside of, outermost first.

    These functions are not on the stack, but what traces them is.
    """
    traced: list[Any] = []
    frame: Any = sys._getframe()
    while frame is not None:
        one = frame.f_locals.get("self")
        if hasattr(one, "f_code") and (not traced or traced[-1] is not one):
            traced.append(one)
        frame = frame.f_back
    return traced[::-1]


def _find_levels(tensor: Tensor) -> Iterator[int]:
    """Yield the level of each map that maps a tensor."""
    while is_functorch_wrapped_tensor(tensor):
        if _functorch.is_batchedtensor(tensor):
            yield _functorch.maybe_get_level(tensor)
        tensor = _functorch.get_unwrapped(tensor)


def _find_code(name: str) -> Any:
    """Return the code of a function of torch's, or None; torch has no public name for it."""
    function = getattr(vmap, name, None)
    return getattr(getattr(function, "__wrapped__", function), "__code__", None)


# Each map runs in a frame of the first; a map in chunks runs in the second, which calls the first
# for each chunk.
_MAP, _MAP_CHUNKS = _find_code("_flat_vmap"), _find_code("_chunked_vmap")


def _find_calls() -> dict[int, Any]:
    """Return the frames of the running maps by their level."""
    calls = {}
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code is _MAP:
            calls[frame.f_locals.get("vmap_level")] = frame
        frame = frame.f_back
    return calls


def _is_of_directions(call: Any) -> bool:
    """Return whether a map is torch's own over the directions of a derivative, as in `jacfwd`.

    Its members are tangents of one function, whose noise is one. `hessian` has no word for it.
    """
    if call is None:
        return False
    function = call.f_locals.get("func")
    place = getattr(function, "__module__", ""), getattr(function, "__name__", "")
    return place == _DIRECTIONS


# torch's function that `jacfwd` maps.
_DIRECTIONS = ("torch._functorch.eager_transforms", "push_jvp")


def _find_chunk(call: Any, size: int) -> tuple[int, int]:
    """Return the index of the first member of a map, and the number of all members.

    Chunks of a map are maps of their own, of `size` members.
    """
    chunks = None if call is None else call.f_back
    if chunks is None or chunks.f_code is not _MAP_CHUNKS:
        return 0, size
    given, whole = chunks.f_locals, chunks.f_back.f_locals
    first = 0
    for output in given["chunks_output"]:
        leaves, spec = _pytree.tree_flatten(output)
        axes: Any = _pytree._broadcast_to_and_flatten(given["out_dims"], spec)
        first += leaves[0].shape[axes[0]]
    return first, vmap._validate_and_get_batch_size(whole["flat_in_dims"], whole["flat_args"])


def _refuse_randomness() -> NoReturn:
    """Raise because a map of torch.func does not say whether its members share noise."""
    raise RandomnessError(
        "vmap: called random operation while in randomness error mode. Write "
        "vmap(..., randomness='different') for other noise in each member of the map, or "
        "randomness='same' for one noise in all."
    )


def _refuse_rows() -> NoReturn:
    """Raise because a map asks for different noise, and the call's rows are the same everywhere."""
    raise RandomnessError(
        "vmap with randomness='different' numbers the rows of its members, and this call names "
        "rows itself, the same in each. Map the rows too, or leave out `rows`."
    )


def _refuse_inner_chunks() -> NoReturn:
    """Raise because a block of one step has chunks of a map inside of another map."""
    raise InvalidValue(
        "vmap: in a block of `at`, a map with `chunk_size` inside of another map would give two of "
        "its members one row. Leave out `chunk_size`, or give it to the outer map."
    )


def _refuse_schedule(kind: Kind) -> NoReturn:
    """Raise because a kind needs its rate as a number, and each member has another step."""
    raise InvalidValue(
        f"`{kind.RATE}` is a schedule, whose rate must be a number on the host, and torch maps "
        "this call over its steps. Write a loop over the steps."
    ).prefix(type(kind).__name__)


def _refuse_functionalize() -> NoReturn:
    """Raise because torch has no rule to functionalize a function of ours."""
    raise InvalidValue(
        "torch.func.functionalize has no rule for noise. Leave it out: noise changes no tensor "
        "in place."
    )
