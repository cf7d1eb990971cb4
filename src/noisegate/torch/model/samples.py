"""Take some samples of everything that a block is given, and put back what it returns."""

import copy
import enum
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .values import find_tensors, is_floating, replace_part

# What a block may be given beside tensors, if it is not to store anything there.
_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), enum.Enum),
    *(Tensor, torch.dtype, torch.device, torch.layout, torch.memory_format),
)


class KeptSamples(Protocol):
    """Which samples of a block are kept in one call of it."""

    @property
    def kept(self) -> tuple[int, ...]:
        """The places of the kept samples."""

    @property
    def count(self) -> int:
        """How many samples there are."""

    @property
    def axis(self) -> int:
        """The axis of the samples."""

    @property
    def whole(self) -> bool:
        """Whether the kept samples take the block's output as it is."""

    def scale(self, branch: Tensor) -> Tensor:
        """Return the branch of the kept samples with their noise."""

    def narrow(self) -> AbstractContextManager[None]:
        """Let all noise in a block see the rows of the kept samples."""


def find_floating(values: Any) -> tuple[Any, ...] | None:
    """Return where the first floating tensor is in nested tuples, lists and mappings."""
    if is_floating(values):
        return ()
    if not isinstance(values, Mapping | list | tuple):
        return None
    for name in values if isinstance(values, Mapping) else range(len(values)):
        place = find_floating(values[name])
        if place is not None:
            return (name, *place)
    return None


def get_at(values: Any, place: tuple[Any, ...]) -> Any:
    """Return the value at a place in nested tuples, lists and mappings."""
    for name in place:
        values = values[name]
    return values


def put_at(values: Any, place: Any, value: Any) -> Any:
    """Return a copy of nested tuples, lists and mappings with another value at a place."""
    if not place:
        return value
    first, *rest = place
    return replace_part(values, str(first), put_at(values[first], rest, value))


def has_tensors_beside(template: Any) -> bool:
    """Return whether an output holds tensors beside the one that was taken out of it."""
    return bool(find_tensors(template)) or _find_stateful(template) is not None


def describe_call(given: Any, x: Tensor) -> tuple[Any, ...] | None:
    """Return what the form of a block's output follows from: all but what its tensors hold.

    Calls with equal descriptions have outputs of one form. None if there is more than can be told:
    a function among the arguments.
    """
    device = x.device.type
    told: list[Any] = [torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)]
    return tuple(told) if _add_description(given, told) else None


def _add_description(value: Any, told: list[Any]) -> bool:
    """Add the description of a value; return whether it is complete."""
    told.append(type(value))  # since 1, 1.0 and True are equal
    if isinstance(value, Tensor):
        told += value.dtype, value.device, value.ndim
    elif isinstance(value, Mapping):
        told.append(tuple(value))
        return all(_add_description(value[name], told) for name in value)
    elif isinstance(value, list | tuple):
        told.append(len(value))
        return all(_add_description(part, told) for part in value)
    elif isinstance(value, _PLAIN):
        told.append(value)
    else:
        return False
    return True


def find_obstacle(given: Any, x: Tensor | None = None, axis: int = 0) -> str | None:
    """Return why a block must compute all samples that it is given, or None.

    Without x, it is about a call that is left out as a whole.
    """
    stateful = _find_stateful(given)
    if stateful is not None:
        return f"it is given a {stateful}, which may store them"
    if x is None:
        return None
    for tensor in find_tensors(given):
        if tensor is not x and _is_ambiguous(tensor, x, axis):
            shapes = f"{tuple(tensor.shape)} beside {tuple(x.shape)}"
            return f"which axis of a tensor of shape {shapes} holds samples is unclear"
    return None


def _is_ambiguous(tensor: Tensor, x: Tensor, axis: int) -> bool:
    """Return whether a tensor beside x may or may not hold its samples."""
    count, extents = x.shape[axis], [n for i, n in enumerate(x.shape) if i != axis]
    if tensor.ndim <= axis or not count:
        return False
    extent = tensor.shape[axis]
    if extent == count:  # a mask of (length, length) may have as many of them as samples
        return count in extents and tensor.ndim < 3 and set(tensor.shape) == {count}
    # Masks of torch's attention have (samples · heads, length, length).
    return tensor.ndim == 3 and count > 1 and extent % count == 0


def _find_stateful(values: Any) -> str | None:
    """Return the class of the first value that a block may store something in, or None."""
    if isinstance(values, _PLAIN):
        return None
    if isinstance(values, PackedSequence) or not isinstance(values, Mapping | list | tuple):
        return None if callable(values) else type(values).__name__
    inner = values.values() if isinstance(values, Mapping) else values
    return next((name for value in inner if (name := _find_stateful(value)) is not None), None)


def take_samples(values: Any, kept: KeptSamples) -> Any:
    """Return the kept samples of every tensor that holds samples; all else stays as it is."""
    places: dict[torch.device, Tensor] = {}

    def take(x: Tensor) -> Tensor:
        if x.ndim <= kept.axis or x.shape[kept.axis] != kept.count:
            return x
        if x.device not in places:
            places[x.device] = torch.tensor(kept.kept, dtype=torch.int64, device=x.device)
        return x.index_select(kept.axis, places[x.device])

    return map_tensors(values, take)


def scatter_others(values: Any, kept: KeptSamples) -> Any:
    """Return outputs of the kept samples with zeros for all others."""

    def scatter(x: Tensor) -> Tensor:
        if x.ndim <= kept.axis or x.shape[kept.axis] != len(kept.kept):
            return x
        shape = list(x.shape)
        shape[kept.axis] = kept.count
        places = torch.tensor(kept.kept, dtype=torch.int64, device=x.device)
        return x.new_zeros(shape).index_copy(kept.axis, places, x)

    return map_tensors(values, scatter)


def zero_dropped(values: Any, kept: KeptSamples) -> Any:
    """Return outputs of all samples with zeros for those that are dropped."""
    dropped = sorted({*range(kept.count)} - {*kept.kept})

    def zero(x: Tensor) -> Tensor:
        if x.ndim <= kept.axis or x.shape[kept.axis] != kept.count:
            return x
        places = torch.tensor(dropped, dtype=torch.int64, device=x.device)
        return x.index_fill(kept.axis, places, 0)

    return map_tensors(values, zero)


def map_tensors(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a copy of nested tuples, lists and mappings with every tensor changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, Mapping):
        changed: Any = dict(values) if type(values) is dict else copy.copy(values)
        for name in values:
            changed[name] = map_tensors(values[name], change)
        return changed
    if not isinstance(values, list | tuple):
        return values
    items = [map_tensors(value, change) for value in values]
    return type(values)(*items) if hasattr(values, "_fields") else type(values)(items)
