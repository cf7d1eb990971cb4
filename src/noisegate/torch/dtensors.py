"""Noise on a DTensor: each rank puts its part of the global field on its part of the tensor."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, cast

from torch import Tensor, distributed, nn

from noisegate.core.axes import ALL_BUT_SAMPLES
from noisegate.core.checks import at_trace_time
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


@at_trace_time
def refuse_in_graph() -> NoReturn:
    """Raise in code that a compiler traces, where a rank's part of the field is not known."""
    raise InvalidType(
        "noise: the input is a DTensor, of which compiled code does not know this rank's part. Run "
        "the model uncompiled."
    )


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


@at_trace_time
def _refuse_plain(path: str, which: str = "") -> NoReturn:
    raise InvalidValue(
        f"inject: '{path}' gave this rank its part{which} as a plain tensor, and noise on it, or "
        f"behind it, cannot know which part that is. Parallelize '{path}' with "
        "use_local_output=False, so that the noise sees a DTensor."
    )


class LayerWatch:
    """Watches the layers of a model that ranks compute together, for plain parts of what they give.

    With ``use_local_output=True``, torch's default, a layer returns what this rank has of a DTensor
    as a plain tensor, and noise that comes after it cannot know which part that is.
    """

    def __init__(self, model: nn.Module) -> None:
        # The layer that ran last, the shape of its part and of the whole, if it gave a part.
        self._last: tuple[str, tuple[int, ...], tuple[int, ...]] | None = None
        self._whole: tuple[int, ...] | None = None
        self._hooks = [model.register_forward_pre_hook(self._begin, prepend=True)]
        for path, module in model.named_modules():
            # torch's own hook, which gives the part, is between the two.
            note, compare = self._note, partial(self._compare, path)
            self._hooks.append(module.register_forward_hook(note, prepend=True))
            self._hooks.append(module.register_forward_hook(compare))

    def remove(self) -> None:
        """Watch no longer."""
        for hook in self._hooks:
            hook.remove()

    def refuse(self, kind: Kind, x: Any) -> None:
        """Raise if a tensor at a site may be a part of what the layer before it gave."""
        if self._last is None or is_dtensor(x) or isinstance(x, nn.Parameter):
            return
        if kind.shared == ALL_BUT_SAMPLES:
            return
        path, part, whole = self._last
        _refuse_plain(path, f" {part} of {whole}")

    def refuse_in_graph(self, x: Any) -> None:
        """Do as `refuse`, in code that a compiler traces."""
        if self._last is not None and not is_dtensor(x) and not isinstance(x, nn.Parameter):
            _refuse_plain(self._last[0])

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._last = None

    def _note(self, module: nn.Module, args: Any, y: Any) -> None:
        self._whole = tuple(y.shape) if is_dtensor(y) else None

    def _compare(self, path: str, module: nn.Module, args: Any, y: Any) -> None:
        whole, self._whole = self._whole, None
        if is_dtensor(y):
            self._last = None
        elif whole is not None and isinstance(y, Tensor):
            part = tuple(y.shape)
            self._last = None if part == whole else (path, part, whole)
