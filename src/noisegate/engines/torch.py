"""The torch engine: the field by plain operations, on any device that has 64-bit integers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch._C import _is_tracing, _len_torch_dispatch_stack
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor
from torch.fx import _symbolic_trace

from noisegate.core import normal_table as table
from noisegate.core.blocks import BIAS
from noisegate.core.draws import Field
from noisegate.core.engine import Draw
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared
from noisegate.core.window import Window

from . import native

Array = Any

# Two biases side by side, since a word holds two lanes; in int32, in which words are packed.
_BOTH = (BIAS << 16 | BIAS) - (1 << 32)


@dataclass(frozen=True, slots=True)
class TorchEngine:
    """Reads the field into tensors of a device; see `noisegate.core.engine.Engine`."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def lazy(self) -> bool:
        """Whether the low plane may be computed for ties alone.

        That stalls an accelerator, and a record of it would have shapes that depend on numbers.
        """
        return self.device.type == "cpu" and not _symbolic_trace._is_fx_tracing_flag

    @property
    def blocks_per_pass(self) -> int:
        """The number of Philox blocks in one pass; accelerators want few, large launches."""
        return 1 << 17 if self.device.type == "cpu" else 1 << 22

    def fuse(self, kind: Kind, call: Prepared, x: Array, key: Key, linear: bool) -> Array | None:
        """Return x with noise on it in one pass; None if the native engine cannot do it."""
        address = _address(x) if native.can_run(call.window) else None
        if address is None:
            return None
        works, layout = call.works, (linear, x.dtype, x.stride())
        work = None if works is None else works.get(layout)
        if work is None:
            work = _make_work(kind, call.rate, linear, call.window, x)
            if works is not None:
                works.keep(layout, work)
        if work is native.IDLE or work is native.UNABLE:
            return None if work is native.UNABLE else x
        # In a lazy view, memory holds the numbers before conjugation or negation.
        if x.is_conj() or x.is_neg():
            return self.fuse(kind, call, x.resolve_conj().resolve_neg(), key, linear)
        y = torch.empty_like(x)
        work.run(key, address, y.data_ptr())
        return y

    def fuse_steps(
        self, kind: Kind, call: Prepared, x: Array, key: Key, steps: Sequence[int]
    ) -> Array | None:
        """Return x with the noise of several steps, each on an equal part of its first axis.

        `call` is of one part. None if the native engine cannot do it.
        """
        address = _address(x) if native.can_run(call.window) else None
        if address is None or x.is_conj() or x.is_neg():
            return None
        works, layout = call.works, (len(steps), x.dtype, x.stride(), "steps")
        work = None if works is None else works.get(layout)
        if work is None:
            work = _make_work(kind, call.rate, False, call.window, x, len(steps))
            if works is not None:
                works.keep(layout, work)
        if work is native.IDLE or work is native.UNABLE:
            return None
        y, rows = torch.empty_like(x), len(x) // len(steps) * x.itemsize
        parts = rows * x.stride(0), rows * y.stride(0)
        work.run_steps(key, steps, address, y.data_ptr(), parts)
        return y

    def fuse_mask(self, field: Field, x: Array, window: Window) -> Array | None:
        """Return x with a field on it whose mask is a tensor and whose other parts are numbers.

        None if the native engine cannot do it.
        """
        if not native.can_run(window) or None in (_address(x), _address(field.keep)):
            return None
        if field.keep.dtype is not torch.bool or field.keep.shape != (window.form or window.extent):
            return None
        x, keep = x.resolve_conj().resolve_neg(), field.keep.contiguous()
        y = torch.empty_like(x)
        geometry = tuple(x.shape), x.stride(), y.stride()
        work = native.work_of_mask(field, window, geometry, _NAMES[x.dtype], x.itemsize)
        work.run(native.NO_KEY, x.data_ptr(), y.data_ptr(), keep.data_ptr())
        return y

    def draw(self, draw: Draw, key: Key, kind: str, window: Window, dtype: str) -> Array | None:
        """Return a draw over a window by the native engine; None if it cannot do it."""
        if self.device.type != "cpu" or not native.can_run(window):
            return None
        y = self.empty(window.form or window.extent, dtype)
        address = _address(y)
        if address is None:
            return None
        native.write_draw(draw, key, kind, window, address)
        return y

    def spread(self, kept: Array, axis: int, block: int) -> Array | None:
        """Return where `block` places in a row along an axis are all kept, by the native engine."""
        if native.load_library() is None or _address(kept) is None:
            return None
        kept, shape = kept.contiguous(), list(kept.shape)
        shape[axis] -= block - 1
        y = self.empty(tuple(shape), "bool")
        native.spread(tuple(kept.shape), axis, block, kept.data_ptr(), y.data_ptr())
        return y

    def integers(self, values: range | tuple[int, ...]) -> Array:
        """Return an int64 vector."""
        if isinstance(values, range):
            return torch.arange(
                values.start, values.stop, values.step, dtype=torch.int64, device=self.device
            )
        return torch.tensor(values, dtype=torch.int64, device=self.device)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Return a tensor to be filled, its values undefined."""
        return torch.empty(shape, dtype=getattr(torch, dtype), device=self.device)

    def pack(self, words: tuple[Array, Array, Array, Array]) -> Array:
        """Return biased int16 lanes of shape (..., 8) from four int64 words of shape (...)."""
        packed = torch.stack([word.to(torch.int32) for word in words], dim=-1)
        packed ^= _BOTH
        return packed.view(torch.int16)

    def nonzero(self, values: Array) -> tuple[Array, ...]:
        """Return the indices of the numbers that are not 0."""
        return tuple(values.nonzero(as_tuple=True))

    def permute(self, values: Array, order: Sequence[int]) -> Array:
        """Return the tensor with its axes in another order."""
        return values.permute(*order)

    def unique(self, values: Array) -> tuple[Array, Array]:
        """Return the distinct values, ascending, and the index of each value among them."""
        distinct, position = torch.unique(values, return_inverse=True)
        return distinct, position

    def bits(self, values: Array) -> Array:
        """Return the bits of the last axis as int64: a float64 or eight bools make one."""
        return values.view(torch.int64)

    def cast(self, values: Array, dtype: str) -> Array:
        """Return the values in another dtype, rounded to nearest even."""
        return values.to(getattr(torch, dtype))

    def normal_table(self) -> tuple[Array, Array, Array]:
        """Return the columns A, D, C of the normal table as int64 vectors."""
        # A dispatch mode may wrap new tensors, and a wrapper must not outlive it in a cache.
        make = _copy_normal_table.__wrapped__ if _len_torch_dispatch_stack() else _copy_normal_table
        return make(self.device)

    def sqrt(self, values: Array) -> Array:
        """Return the square root."""
        return values.sqrt()

    def log(self, values: Array) -> Array:
        """Return the natural logarithm."""
        return values.log()

    def log1p(self, values: Array) -> Array:
        """Return the natural logarithm of 1 more than the values."""
        return values.log1p()

    def exp(self, values: Array) -> Array:
        """Return e to the power of the values."""
        return values.exp()

    def where(self, condition: Array, yes: float, no: float, dtype: str) -> Array:
        """Return `yes` where the condition holds and `no` elsewhere, in a dtype."""
        like = {"dtype": getattr(torch, dtype), "device": self.device}
        return torch.where(condition, torch.tensor(yes, **like), torch.tensor(no, **like))

    def tan(self, values: Array) -> Array:
        """Return the tangent."""
        return values.tan()

    def sum(self, values: Array, axes: tuple[int, ...]) -> Array:
        """Return sums along axes, in float64; True counts as 1, and axes stay, of extent 1."""
        return values.sum(axes, dtype=torch.float64, keepdim=True)

    def largest(self, values: Array) -> Array:
        """Return the largest value along the last axis, which stays, of extent 1."""
        return values.amax(-1, keepdim=True)

    def argsort(self, values: Array) -> Array:
        """Return the indices that sort the last axis; equal values stay in order."""
        return values.argsort(dim=-1, stable=True)

    def search(self, ends: Array, values: Array) -> Array:
        """Return how many of the ascending `ends` of its row each value reaches, as int64."""
        return torch.searchsorted(ends, values.contiguous(), right=True)

    def round(self, values: Array) -> Array:
        """Return the nearest whole numbers, half to even."""
        return values.round()

    def clip(self, values: Array, low: float, high: float) -> Array:
        """Return the values within bounds; NaN stays NaN."""
        return values.clamp(low, high)

    def live(self, value: Any) -> Array:
        """Return a live rate as a tensor beside the input."""
        return torch.as_tensor(value, device=self.device)

    def precision(self, x: Array) -> str:
        """Return the precision of x: "float32", "float64", "integer" or "unsupported"."""
        dtype = x.dtype
        if dtype in _PRECISION:
            return _PRECISION[dtype]
        return "unsupported" if dtype.is_floating_point or dtype.is_complex else "integer"

    def is_complex(self, x: Array) -> bool:
        """Return whether x holds complex numbers."""
        return bool(x.is_complex())

    def as_real(self, x: Array) -> Array:
        """Return complex x of shape (...) as real numbers of shape (..., 2)."""
        return torch.view_as_real(x.resolve_conj())

    def as_complex(self, values: Array) -> Array:
        """Return real numbers of shape (..., 2) as complex ones of shape (...)."""
        return torch.view_as_complex(values)

    def restore(self, values: Array, x: Array) -> Array:
        """Return computed values in x's dtype."""
        return values.to(x.dtype)

    def limits(self, x: Array) -> tuple[int, int]:
        """Return the smallest and the largest number that an integer tensor can hold."""
        if x.dtype is torch.bool:
            return 0, 1
        return torch.iinfo(x.dtype).min, torch.iinfo(x.dtype).max

    def mask(self, keep: Array, values: Array) -> Array:
        """Return values where keep, else 0, by an operation that torch differentiates."""
        return torch.where(keep, values, torch.zeros((), dtype=values.dtype, device=self.device))

    def select(self, keep: Array, values: Array, fill: Array | float, *, own: bool) -> Array:
        """Return values where keep, else fill, in the memory layout of values."""
        if _is_mapped(values) or _is_mapped(keep):
            other = torch.as_tensor(fill, dtype=values.dtype, device=values.device)
            return torch.where(keep, values, other)
        filled = not isinstance(fill, float) or fill != 0
        # `where` would give its result the layout of the mask.
        result = values if own else values.clone()
        if result.dtype is torch.bool:
            result.masked_fill_(~keep, False)
            return (
                result | (~keep & torch.as_tensor(fill, dtype=torch.bool, device=keep.device))
                if filled
                else result
            )
        # By bits: a fill branches at each element, and a random mask makes it mispredict often.
        bits = result.view(_BITS[result.itemsize])
        if not filled:
            for part, kept in self._parts(bits, keep):
                part.bitwise_and_(kept.to(bits.dtype).neg_())
            return result
        kept = keep.to(bits.dtype).neg_()
        bits.bitwise_and_(kept)
        other = torch.as_tensor(fill, dtype=result.dtype, device=result.device)
        bits.bitwise_or_(other.view(bits.dtype) & ~kept)
        return result

    def _parts(self, bits: Array, keep: Array) -> Iterable[tuple[Array, Array]]:
        """Return bits and mask in parts that fit the cache, or whole if they cannot be cut."""
        large = bits.numel() > _CHUNK and self.device.type == "cpu" and keep.shape == bits.shape
        if not (large and bits.is_contiguous() and keep.is_contiguous()):
            return [(bits, keep)]
        return zip(bits.view(-1).split(_CHUNK), keep.view(-1).split(_CHUNK), strict=True)


# Elements selected at a time, so that the widened mask stays in the cache.
_CHUNK = 1 << 20

_PRECISION = {
    torch.float16: "float32",
    torch.bfloat16: "float32",
    torch.float32: "float32",
    torch.complex64: "float32",
    torch.float64: "float64",
    torch.complex128: "float64",
}

# The dtypes in which noise is computed; integers are only selected.
FLOATS = frozenset(_PRECISION)

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# The names of dtypes, as NumPy writes them.
_NAMES = {
    dtype: str(dtype).removeprefix("torch.")
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}


def _address(x: Array) -> int | None:
    """Return the address of a tensor's memory; None if it is not plain, or torch watches calls.

    A dispatch mode, a trace or a transformation sees only torch's operations.
    """
    if type(x) not in _PLAIN or not x.is_cpu or is_functorch_wrapped_tensor(x):
        return None
    if _is_tracing() or _len_torch_dispatch_stack() or _symbolic_trace._is_fx_tracing_flag:
        return None
    try:
        address = int(x.data_ptr())
    except RuntimeError:  # torch's older wrapper, for batched gradients
        return None
    return address if address or not x.numel() else None


def _is_mapped(x: Array) -> bool:
    """Return whether torch maps a tensor, so that it is not written in place or read as bits."""
    return is_functorch_wrapped_tensor(x) or is_legacy_batchedtensor(x)


def _make_work(
    kind: Kind, rate: float, linear: bool, window: Window, x: Array, parts: int = 1
) -> native.Work:
    """Return the native engine's work from x to `torch.empty_like(x)`, or from part to part."""
    # The layout of the result comes from the device "meta", which allocates nothing.
    like = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    shape = (len(x) // parts, *x.shape[1:]) if parts > 1 else tuple(x.shape)
    geometry = shape, x.stride(), torch.empty_like(like).stride()
    return native.make_work(
        kind, rate, linear, window, geometry, _NAMES[x.dtype], x.itemsize, parts
    )


_PLAIN = (torch.Tensor, torch.nn.Parameter)


@cache
def _copy_normal_table(device: torch.device) -> tuple[Array, Array, Array]:
    a, d, c = (
        torch.tensor(column, dtype=torch.int64, device=device)
        for column in (table.A, table.D, table.C)
    )
    return a, d, c
