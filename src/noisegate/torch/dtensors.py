"""Noise on a DTensor: each rank puts its part of the global field on its part of the tensor."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from torch import Tensor, distributed, nn

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared, Works
from noisegate.core.window import Window


def is_dtensor(x: Any) -> bool:
    """Return whether x is a DTensor."""
    # Not imported, since whoever has made one has done so.
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(x, tensors.DTensor)


def is_split(parameter: Any, gathered: bool) -> bool:
    """Return whether ranks compute with parts of a parameter, and so may have the same samples.

    `gathered` says that it is FSDP's, which has the whole of it for a forward. What FSDP holds may
    be split over other ranks besides, and FSDP may join some of all ranks only.
    """
    if not is_dtensor(parameter):
        return False
    shards = sum(not placement.is_replicate() for placement in parameter.placements)
    return not gathered or shards > 1 or parameter.device_mesh.size() < distributed.get_world_size()


def find_local(kind: Kind, x: Any, key: Key, call: Prepared) -> tuple[Tensor, Prepared]:
    """Return this rank's part of a DTensor, and the call with its part of the window.

    Raises
    ------
    InvalidType
        If x is not added up yet, or is of attention probabilities.
    InvalidValue
        If the noise has no seed, or its rate is a tensor.
    """
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    name = type(kind).__name__
    if any(placement.is_partial() for placement in x.placements):
        raise InvalidType(
            f"{name}: the input is a sum that the ranks have not added up yet, a DTensor with "
            f"{x.placements}. Put the noise where it is whole: x.redistribute(...), or another "
            "site."
        )
    if not key.site:
        raise InvalidValue(
            f"{name}: the input is a DTensor, of which each rank would draw its part from a seed "
            f"of its own. Give the noise one seed: {name}(..., seed=13, site='hid1:out')."
        )
    if type(call.rate) is not float:
        raise InvalidValue(f"{name}: the input is a DTensor, so `{kind.RATE}` must be a number.")
    if call.window.form is not None:
        raise InvalidType(
            f"{name}: attention probabilities must be a plain tensor; got DTensor. Put the noise "
            "on x.full_tensor()."
        )
    shape, start = compute_local_shape_and_global_offset(x.shape, x.device_mesh, x.placements)
    local = x.to_local(grad_placements=x.placements)
    works = None if call.works is None else Works()
    return local, call._replace(window=_cut_window(call.window, start, shape), works=works)


def give_back(x: Any, local: Tensor) -> Tensor:
    """Return the DTensor like x of which a tensor is this rank's part."""
    made = type(x).from_local(
        local, x.device_mesh, x.placements, run_check=False, shape=x.shape, stride=x.stride()
    )
    return cast(Tensor, made)


def _cut_window(window: Window, start: Sequence[int], shape: Sequence[int]) -> Window:
    """Return the part of a window from `start` on; an axis that is shared stays whole."""
    axes = range(len(window.shape))
    shared = [window.shape[axis] == 1 for axis in axes]
    first = tuple(0 if shared[axis] or axis == window.sample_axis else start[axis] for axis in axes)
    extent = tuple(1 if shared[axis] else shape[axis] for axis in axes)
    rows = window.rows
    if window.sample_axis is not None:
        begin = start[window.sample_axis]
        rows = rows[begin : begin + shape[window.sample_axis]]
        extent = tuple(len(rows) if axis == window.sample_axis else extent[axis] for axis in axes)
    return replace(window, rows=rows, start=first, extent=extent)


def watch_for_shards(module: nn.Module, site: str) -> Callable[[], None] | None:
    """Refuse outputs of a module that are one rank's part without saying so; return how to stop.

    With ``use_local_output=True``, torch's default, a layer whose weight is split over ranks
    returns plain tensors, each of other features. None for any other module.
    """
    weight = getattr(module, "weight", None)
    axis = next((axis for base, axis in _FEATURES.items() if isinstance(module, base)), None)
    if axis is None or not is_dtensor(weight):
        return None
    return module.register_forward_hook(partial(_refuse_shard, site, axis)).remove


# The axis of a layer's weight that has its output features.
_FEATURES: dict[type[nn.Module], int] = {nn.Linear: 0, nn.Embedding: 1}


def _refuse_shard(site: str, axis: int, module: Any, args: Any, y: Any) -> None:
    weight = module.weight
    if is_dtensor(weight) and not is_dtensor(y) and y.shape[-1] != weight.shape[axis]:
        raise InvalidValue(
            f"inject: '{site}' gets {y.shape[-1]} of {weight.shape[axis]} features as a plain "
            "tensor, so which ones is unknown. Parallelize the layer with use_local_output=False."
        )
