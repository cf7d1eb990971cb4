"""The NumPy engine: the field in NumPy arrays, and the native shortcut to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from noisegate.core import normal_table as table
from noisegate.core.blocks import BIAS
from noisegate.core.draws import Field
from noisegate.core.engine import Draw
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared
from noisegate.core.trace import PRECISION
from noisegate.core.window import Window

from . import native

Array = Any

# Two biases side by side, since a word holds two lanes.
_BOTH = BIAS << 16 | BIAS


@dataclass(frozen=True, slots=True)
class NumpyEngine:
    """Reads the field into NumPy arrays; see `noisegate.core.engine.Engine`."""

    lazy: bool = True
    # Larger passes pay the fixed cost of ties less often; beyond this size there is no gain.
    blocks_per_pass: int = 32768

    def fuse(self, kind: Kind, call: Prepared, x: Array, key: Key, linear: bool) -> Array | None:
        """Return x with noise on it in one pass; None if the native engine cannot do it."""
        window, works = call.window, call.works
        if not native.can_run(window) or not _plain(x):
            return None
        y = np.empty_like(x)
        layout = linear, x.dtype, x.strides
        work = None if works is None else works.get(layout)
        if work is None:
            geometry, dtype = (x.shape, _strides(x), _strides(y)), x.dtype
            given = kind, call.rate, linear, window, geometry, dtype.name, dtype.itemsize
            work = native.make_work(*given)
            if works is not None:
                works.keep(layout, work)
        if work is native.IDLE or work is native.UNABLE:
            return None if work is native.UNABLE else x
        work.run(key, _buffer(x), _buffer(y))
        return y

    def fuse_mask(self, field: Field, x: Array, window: Window) -> Array | None:
        """Return x with a field on it whose mask is an array and whose other parts are numbers.

        None if the native engine cannot do it.
        """
        shape = window.form or window.extent
        if not native.can_run(window) or not _plain(x) or not _is_mask(field.keep, shape):
            return None
        y, keep = np.empty_like(x), np.ascontiguousarray(field.keep)
        geometry = x.shape, _strides(x), _strides(y)
        work = native.work_of_mask(field, window, geometry, x.dtype.name, x.itemsize)
        work.run(native.NO_KEY, _buffer(x), _buffer(y), keep)
        return y

    def draw(self, draw: Draw, key: Key, kind: str, window: Window, dtype: str) -> Array | None:
        """Return a draw over a window by the native engine; None if it cannot do it."""
        if not native.can_run(window):
            return None
        y = np.empty(window.form or window.extent, dtype)
        native.write_draw(draw, key, kind, window, y)
        return y

    def spread(self, kept: Array, axis: int, block: int) -> Array | None:
        """Return where `block` places in a row along an axis are all kept, by the native engine."""
        if native.load_library() is None:
            return None
        kept = np.ascontiguousarray(kept)
        shape = list(kept.shape)
        shape[axis] -= block - 1
        y = np.empty(shape, "bool")
        native.spread(kept.shape, axis, block, kept, y)
        return y

    def integers(self, values: range | tuple[int, ...]) -> Array:
        """Return an int64 vector."""
        if isinstance(values, range):
            return np.arange(values.start, values.stop, values.step, dtype=np.int64)
        return np.array(values, dtype=np.int64)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Return an array to be filled, its values undefined."""
        return np.empty(shape, dtype)

    def pack(self, words: tuple[Array, Array, Array, Array]) -> Array:
        """Return biased int16 lanes of shape (..., 8) from four int64 words of shape (...)."""
        shape = np.broadcast_shapes(*(word.shape for word in words))
        # Little-endian, so that lane 0 is the low half of word 0 on every machine.
        packed = np.empty((*shape, 4), "<u4")
        for i, word in enumerate(words):
            packed[..., i] = word
        packed ^= np.uint32(_BOTH)
        return packed.view("<i2")

    def nonzero(self, values: Array) -> tuple[Array, ...]:
        """Return the indices of the numbers that are not 0."""
        return np.nonzero(values)

    def permute(self, values: Array, order: Sequence[int]) -> Array:
        """Return the array with its axes in another order."""
        return np.transpose(values, order)

    def unique(self, values: Array) -> tuple[Array, Array]:
        """Return the distinct values, ascending, and the index of each value among them."""
        distinct, position = np.unique(values, return_inverse=True)
        return distinct, position

    def bits(self, values: Array) -> Array:
        """Return the bits of the last axis as int64: a float64 or eight bools make one."""
        return values.view(np.int64)

    def cast(self, values: Array, dtype: str) -> Array:
        """Return the values in another dtype, rounded to nearest even."""
        return values.astype(dtype, copy=False)

    def normal_table(self) -> tuple[Array, Array, Array]:
        """Return the columns A, D, C of the normal table as int64 vectors."""
        return _make_normal_table()

    def sqrt(self, values: Array) -> Array:
        """Return the square root."""
        return np.sqrt(values)

    def log(self, values: Array) -> Array:
        """Return the natural logarithm."""
        return np.log(values)

    def log1p(self, values: Array) -> Array:
        """Return the natural logarithm of 1 more than the values."""
        return np.log1p(values)

    def exp(self, values: Array) -> Array:
        """Return e to the power of the values."""
        return np.exp(values)

    def where(self, condition: Array, yes: float, no: float, dtype: str) -> Array:
        """Return `yes` where the condition holds and `no` elsewhere, in a dtype."""
        kind = np.dtype(dtype).type
        return np.where(condition, kind(yes), kind(no))

    def tan(self, values: Array) -> Array:
        """Return the tangent."""
        return np.tan(values)

    def sum(self, values: Array, axes: tuple[int, ...]) -> Array:
        """Return sums along axes, in float64; True counts as 1, and axes stay, of extent 1."""
        return values.sum(axes, dtype=np.float64, keepdims=True)

    def largest(self, values: Array) -> Array:
        """Return the largest value along the last axis, which stays, of extent 1."""
        return values.max(-1, keepdims=True)

    def argsort(self, values: Array) -> Array:
        """Return the indices that sort the last axis; equal values stay in order."""
        return np.argsort(values, kind="stable")

    def search(self, ends: Array, values: Array) -> Array:
        """Return how many of the ascending `ends` of its row each value reaches, as int64."""
        reached = np.empty(values.shape, np.int64)
        for row in np.ndindex(values.shape[:-1]):
            reached[row] = np.searchsorted(ends[row], values[row], "right")
        return reached

    def round(self, values: Array) -> Array:
        """Return the nearest whole numbers, half to even."""
        return np.rint(values)

    def clip(self, values: Array, low: float, high: float) -> Array:
        """Return the values within bounds; NaN stays NaN."""
        return np.clip(values, low, high)

    def live(self, value: Any) -> Array:
        """Return a live rate as a NumPy array."""
        return np.asarray(value)

    def precision(self, x: Array) -> str:
        """Return the precision of x: "float32", "float64", "integer" or "unsupported"."""
        other = "integer" if x.dtype.kind in "biu" else "unsupported"
        return PRECISION.get(x.dtype.name, other)

    def is_complex(self, x: Array) -> bool:
        """Return whether x holds complex numbers."""
        return bool(x.dtype.kind == "c")

    def as_real(self, x: Array) -> Array:
        """Return complex x of shape (...) as real numbers of shape (..., 2)."""
        return np.stack([x.real, x.imag], axis=-1)

    def as_complex(self, values: Array) -> Array:
        """Return real numbers of shape (..., 2) as complex ones of shape (...)."""
        single = values.dtype == np.float32
        return np.ascontiguousarray(values).view(np.complex64 if single else np.complex128)[..., 0]

    def restore(self, values: Array, x: Array) -> Array:
        """Return computed values in x's dtype."""
        return values.astype(x.dtype, copy=False)

    def limits(self, x: Array) -> tuple[int, int]:
        """Return the smallest and the largest number that an integer array can hold."""
        if x.dtype.kind == "b":
            return 0, 1
        return int(np.iinfo(x.dtype).min), int(np.iinfo(x.dtype).max)

    def mask(self, keep: Array, values: Array) -> Array:
        """Return values where keep, else 0."""
        return np.where(keep, values, values.dtype.type(0))

    def select(self, keep: Array, values: Array, fill: Array | float, *, own: bool) -> Array:
        """Return values where keep, else fill."""
        if not isinstance(fill, float) or fill != 0:
            return np.where(keep, values, np.asarray(fill).astype(values.dtype))
        # `where` branches at each element, and a random mask makes the processor mispredict often.
        # A mask of 0 and −1 keeps no bits or all of them, without a branch.
        bits = values.view(f"i{values.itemsize}")
        flat = keep.shape == bits.shape and keep.flags.c_contiguous and bits.flags.c_contiguous
        if not own or not flat or bits.size <= _CHUNK:
            return (bits & np.negative(keep, dtype=bits.dtype)).view(values.dtype)
        whole, kept = bits.reshape(-1), keep.reshape(-1)
        for start in range(0, bits.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            whole[part] &= np.negative(kept[part], dtype=bits.dtype)
        return values


# Elements selected at a time, so that the widened mask stays in the cache.
_CHUNK = 1 << 20


def _plain(x: Array) -> bool:
    """Return whether the native engine can read x: aligned, in whole strides and native order."""
    return bool(
        type(x) is np.ndarray
        and x.flags.aligned
        and x.dtype.isnative
        and x.dtype.kind != "O"
        and not any(stride % x.itemsize for stride in x.strides)
    )


def _is_mask(keep: Array, shape: tuple[int, ...]) -> bool:
    return type(keep) is np.ndarray and keep.dtype == np.bool_ and keep.shape == shape


def _strides(x: Array) -> tuple[int, ...]:
    size = x.itemsize
    return tuple(stride // size for stride in x.strides)


def _buffer(x: Array) -> Any:
    """Return x as an array that has a buffer: bfloat16 has none, and passes as uint16."""
    return x if x.dtype.kind in "biufc" else x.view(np.uint16)


@cache
def _make_normal_table() -> tuple[Array, Array, Array]:
    a, d, c = (np.array(column, np.int64) for column in (table.A, table.D, table.C))
    return a, d, c
