"""The checks of a case of noise: forward, backward, mask, noise, and parts of a field."""

from typing import Any

import numpy as np
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import numpy_of, pure_engines
from _native_cases import Case, Chance, among, assert_same, laid_out, tensor_of, values
from noisegate.core import apply as core
from noisegate.core.engine import Draw
from noisegate.core.prepared import Prepared
from noisegate.core.window import ATTENTION, Window, window_of
from noisegate.engines.numpy import NumpyEngine
from noisegate.engines.torch import TorchEngine

ACTIONS = ("numpy", "torch", "numpy backward", "torch backward", "mask", "noise")


def check(case: Case, action: str) -> bool:
    """Check one action; return whether there is a result, not an error that is the same."""
    kind, key, place = case.kind, case.key, case.place
    if action == "mask":
        action = "noise" if not kind.removes else action
    if action in ("mask", "noise"):
        dtype = among(case.chance, ("float32", "float64"))
        rows = place.get("rows")
        # There, a slice selects of what there is.
        place = {**place, "rows": slice(None, None, 2)} if isinstance(rows, slice) else place
        if action == "mask":
            return assert_same(lambda: ng.mask(kind, case.shape, key, **place), case)
        return assert_same(lambda: ng.noise(kind, case.shape, key, **place, dtype=dtype), case)
    x = case.array()
    before = x.copy()
    if action == "numpy":
        done = assert_same(lambda: kind(x, key, **place), case)
    elif action == "torch":
        tensor = tensor_of(x)
        done = assert_same(lambda: kind(tensor, key, **place), case)
    elif action == "numpy backward":
        done = assert_same(lambda: by_hand(case, x), case)
    else:
        done = assert_same(lambda: by_autograd(case, tensor_of(x)), case)
    assert_same_bits(x, before)
    return done


def by_hand(case: Case, x: np.ndarray) -> Any:
    """The output, the gradient and the mask of NumPy's face."""
    y, cache = ng.numpy.forward(case.kind, x, rng=case.key, **case.place)
    dx = ng.numpy.backward(x, cache)
    return [y, dx, cache.mask] if case.kind.removes else [y, dx]


def by_autograd(case: Case, x: torch.Tensor) -> Any:
    """The output, the gradient and its gradient of torch's face."""
    if not (x.is_floating_point() or x.is_complex()):
        return case.kind(x, case.key, **case.place)
    x = x.detach().requires_grad_()
    y = case.kind(x, case.key, **case.place)
    up = x.detach()
    (dx,) = torch.autograd.grad(y, x, up, create_graph=False)
    return [y, dx]


def window_case(case: Case) -> Window | None:
    """The window of all of a case, or None where it is refused."""
    rows, axis = case.place.get("rows"), case.place.get("sample_axis", 0)
    if "sample_axis" not in case.place and len(case.shape) < 2:
        axis = None
    try:
        window = window_of(case.shape, case.kind.shared, rows, axis)
        case.kind.check_window(window)
    except ng.NoisegateError:
        return None
    return window


def part_of(window: Window, shape: tuple[int, ...], chance: Chance) -> tuple[Window, Any]:
    """A part of a window, and where it is in the array."""
    start, extent, cut = [], [], []
    for axis, whole in enumerate(shape):
        first = chance(whole) if whole else 0
        count = 1 + chance(whole - first) if whole else 0
        cut.append(slice(first, first + count))
        shared = window.extent[axis] == 1
        start.append(0 if shared or axis == window.sample_axis else first)
        extent.append(1 if shared else count)
    rows = window.rows
    if window.sample_axis is not None and window.extent[window.sample_axis] != 1:
        rows = rows[cut[window.sample_axis]]
    return Window(window.shape, window.sample_axis, rows, tuple(start), tuple(extent)), tuple(cut)


def check_part(case: Case) -> bool:
    """Check that a part of a field, as a shard has it, is that part of the whole field."""
    window = None if case.place.get("sample_axis") == ATTENTION else window_case(case)
    if window is None:
        return False
    part, cut = part_of(window, case.shape, case.chance)
    kind, key, rate = case.kind, case.key, case.kind.rate
    x = values(case.shape, case.dtype)
    linear = bool(case.chance(2))
    with pure_engines(), np.errstate(all="ignore"):
        whole = core.apply(NumpyEngine(), kind, x, key, Prepared(window, rate), linear=linear)[
            (*cut, ...)
        ]
    local = laid_out(x[(*cut, ...)], case.layout, case.chance)
    if case.layout == "broadcast":
        return False  # its values are others
    with np.errstate(all="ignore"):
        ours = core.apply(NumpyEngine(), kind, local, key, Prepared(part, rate), linear=linear)
    tensor = tensor_of(local)
    theirs = core.apply(TorchEngine(), kind, tensor, key, Prepared(part, rate), linear=linear)
    for y in (ours, numpy_of(theirs)):
        try:
            assert_same_bits(np.asarray(y), whole)
        except AssertionError as error:
            raise AssertionError(f"{case}, {part}, linear={linear}: {error}") from None
    return True


DRAWS = {"mask": "bool", "uniform": "float32", "normal": "float32", "word": "int64"}


def check_draw(case: Case) -> bool:
    """Check what is drawn of a part of a field against the same of the whole one."""
    window = None if case.place.get("sample_axis") == ATTENTION else window_case(case)
    if window is None:
        return False
    part, _ = part_of(window, window.extent, case.chance)
    what = among(case.chance, tuple(DRAWS))
    threshold = 1 + case.chance(2**32 - 1)
    draw = Draw(what, case.chance(4), threshold if what == "mask" else 0)
    with pure_engines():
        whole = core.draws_of(NumpyEngine(), case.kind, case.key, window, "float32")
        expected = _drawn(whole, draw)
    cut = tuple(
        slice(None)
        if axis == window.sample_axis
        else slice(part.start[axis], part.start[axis] + part.extent[axis])
        for axis in range(len(part.extent))
    )
    expected = expected[(*cut, ...)]
    if window.sample_axis is not None:
        index = {row: i for i, row in enumerate(window.rows)}
        expected = np.take(expected, [index[row] for row in part.rows], window.sample_axis)
    name = type(case.kind).__name__
    for engine in (NumpyEngine(), TorchEngine()):
        drawn = engine.draw(draw, case.key, name, part, DRAWS[what])
        if drawn is not None:
            assert_same_bits(numpy_of(drawn), expected)
    return True


def _drawn(draws: Any, draw: Draw) -> np.ndarray:
    if draw.what == "mask":
        return draws.u32(draw.number) >= draw.threshold
    made = {"uniform": draws.uniform, "normal": draws.normal, "word": draws.u32}
    return made[draw.what](draw.number)
