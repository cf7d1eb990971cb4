"""Random cases of kinds, shapes, dtypes, layouts and samples, by hypothesis or a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import torch
from hypothesis import strategies as st

import noisegate as ng
from _asserts import assert_same_bits
from _backends import DTYPES, pure_engines
from _native_kinds import Constant, Either, Gate, Gated, Jitter, Words
from _own_kinds import SignFlip

Chance = Callable[[int], int]  # a whole number in [0, n)

FLOATS = list(DTYPES.values())
COMPLEX = [np.dtype(np.complex64), np.dtype(np.complex128)]
INTEGERS = [np.dtype(name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64")]
# T has a low half, so that plane 1 decides ties; or it has none; or nothing, or all, is removed.
RATES = (0.1, 0.5, 0.0, 1e-9, 2.0**-32, 0.3, 0.25 + 2.0**-32, 0.999, 1.0, 2.0**-16)
EXTENTS = (1, 2, 3, 5, 8, 10, 16, 17, 33, 64, 100, 130, 1001, 0)
LAYOUTS = ("C", "F", "permuted", "stepped", "broadcast", "offset", "reversed")


def chance_of(data: st.DataObject) -> Chance:
    return lambda n: data.draw(st.integers(0, n - 1))


def chance_by(seed: int) -> Chance:
    """The same from a generator, many numbers at a time."""
    generator, pool = np.random.default_rng(seed), []

    def chance(n: int) -> int:
        if not pool:
            pool.extend(generator.integers(1 << 62, size=1 << 14).tolist())
        return pool.pop() % n

    return chance


def among(chance: Chance, options: Sequence[Any]) -> Any:
    return options[chance(len(options))]


def kind_of(chance: Chance, shape: tuple[int, ...], shared: Any, axis: Any) -> Any:
    """A kind and the dtypes that it takes."""
    p, width = among(chance, RATES), among(chance, (0.3, 1.0, 2.5, 1e-30, 1e30))
    words = {"shared_axes": shared}
    which = chance(16)
    if which == 0:
        return ng.Dropout(p, rescale=False, **words), [*FLOATS, *COMPLEX, *INTEGERS]
    if which == 1:
        low, high = among(chance, ((0.0, 1.0), (1.0, 0.0), (-0.5, 3.0), (0.25, 0.25)))
        whole = low.is_integer() and high.is_integer()
        return ng.ImpulseNoise(p, low, high, **words), [*FLOATS, *INTEGERS] if whole else FLOATS
    if which == 2:
        return drop_block(chance, p, shape, shared, axis), [*FLOATS, *COMPLEX]
    below = min(p, 0.99)
    fill = among(chance, (0.0, -1.5, float("nan"), float("inf")))
    linear = (
        ng.Dropout(p, **words),
        ng.GaussianDropout(below, **words),
        Constant(among(chance, (0.1, 1.0, -3.0)), **words),
        SignFlip(p, **words),
        Jitter(among(chance, (0.3, 0.1)), **words, normal=bool(chance(2)), number=chance(5)),
        Either(p, among(chance, (None, 1.5)), **words),
    )
    real = (
        ng.AlphaDropout(p, **words),
        ng.GaussianNoise(width, **words),
        ng.UniformNoise(width, **words),
        Gated(p, among(chance, (None, 1.3)), among(chance, (None, -0.7)), fill, chance(4), **words),
        Jitter(0.3, among(chance, (None, 0.9)), bool(chance(2)), True, chance(5), **words),
        Either(p, 0.5, -1.0, fill, **words),
        Gate(0.4, **words),
        Words(0.4, **words),
    )
    if which < 9:
        return among(chance, linear), [*FLOATS, *COMPLEX]
    return among(chance, real), FLOATS


def drop_block(chance: Chance, p: float, shape: tuple[int, ...], shared: Any, axis: Any) -> Any:
    """DropBlock on some of the axes that it may be on; Dropout where there are none."""
    samples = 0 if axis == "default" and len(shape) > 1 else axis
    free = [i for i in range(len(shape)) if i not in shared and i != samples]
    if not free or axis == "attention":
        return ng.Dropout(p, shared_axes=shared)
    axes = sorted({among(chance, free), among(chance, free)})
    sizes = tuple(1 + chance(4) for _ in axes)
    size = among(chance, (sizes, sizes[0]))
    normalize = among(chance, ("expected", "sample"))
    return ng.DropBlock(p, size, axes=axes, shared_axes=shared, normalize=normalize)


def shape_of(chance: Chance, most: int) -> tuple[int, ...]:
    """A shape of up to four axes and `most` elements."""
    shape: tuple[int, ...] = ()
    for _ in range(among(chance, (2, 3, 4, 1, 0))):
        extent = among(chance, EXTENTS)
        shape = (*shape, extent if prod(shape) * extent <= most else 1 + chance(3))
    return shape if prod(shape) <= most else shape[:1]


def rows_of(chance: Chance, count: int) -> Any:
    """Which samples there are, in one of the forms in which that is said."""
    start = among(chance, (0, 1, 7, 2**32 - 2, 2**63 - 1, 2**64 - 4000))
    # The pure torch engine has no range whose last row is below 2⁶³ and whose end is not.
    start = start if count > 1 else start % 2**62
    step = 1 + chance(3)
    ids = [(start + i * i * 977) % 2**64 for i in range(count)]
    forms = (
        None,
        range(start, start + step * count, step),
        slice(start, None, step),
        ids,
        ids[::-1],
        range(count)[::-1] if count else range(0),
    )
    return among(chance, forms)


@dataclass
class Case:
    """An array, and the noise to be put on it."""

    kind: Any
    key: ng.Key
    dtype: np.dtype
    shape: tuple[int, ...]
    layout: str
    chance: Chance
    place: dict[str, Any]

    def array(self, which: int = 0) -> np.ndarray:
        return laid_out(values(self.shape, self.dtype, which), self.layout, self.chance)

    def __repr__(self) -> str:
        return (
            f"{self.kind!r} at {self.key} on {self.dtype.name}{self.shape}, {self.layout}, "
            f"{self.place}"
        )


def case_of(chance: Chance, most: int = 2000) -> Case:
    """A case on an array of at most so many elements."""
    shape = shape_of(chance, most)
    axes: list[Any] = ["default", None, *range(len(shape)), -1 if shape else None]
    # The pure engines refuse attention without samples.
    axis = among(chance, axes + ["attention"] * (len(shape) > 2 and prod(shape) > 0))
    shared = tuple(i for i in range(len(shape)) if chance(4) == 3)
    kind, dtypes = kind_of(chance, shape, shared, axis % len(shape) if axis == -1 else axis)
    place = {} if axis == "default" else {"sample_axis": axis}
    samples = 0 if axis in ("default", "attention") else axis
    if samples is not None and len(shape) > (axis == "default"):
        count = shape[samples]
        if axis == "attention" and len(shape) == 3 and count % 2 == 0:
            count //= 1 + chance(2)  # merged: as many samples as there are ids
        place |= {"rows": rows_of(chance, count)}
    seed = among(chance, (13, 0, 2**64 - 1))
    step, call = among(chance, (5, 0, 2**32 - 1)), among(chance, (0, 0, 2**32 - 1))
    key = ng.Stream(seed).site("hid1:out", slot=chance(2)).at(step, call)
    return Case(kind, key, among(chance, dtypes), shape, among(chance, LAYOUTS), chance, place)


_POOLS: dict[Any, np.ndarray] = {}


def values(shape: tuple[int, ...], dtype: np.dtype, which: int = 0) -> np.ndarray:
    """Numbers of a dtype, in C order; some are special."""
    count = prod(shape)
    pool = _POOLS.get(dtype)
    if pool is None or len(pool) < count + 97:
        pool = _POOLS[dtype] = _pool(max(4096, 2 * count), dtype)
    return pool[97 * which : 97 * which + count].reshape(shape)


def _pool(count: int, dtype: np.dtype) -> np.ndarray:
    generator = np.random.default_rng(7)
    if dtype.kind in "biu":
        return generator.integers(0, 2 if dtype.kind == "b" else 100, count).astype(dtype)
    pool = generator.normal(size=2 * count if dtype.kind == "c" else count)
    pool[::41] = -0.0
    pool[1::97], pool[2::97], pool[3::97] = np.inf, -np.inf, np.nan
    return (pool.view(np.complex128) if dtype.kind == "c" else pool).astype(dtype)


def laid_out(x: np.ndarray, layout: str, chance: Chance) -> np.ndarray:
    """An array of the same values, laid out otherwise; of the same shape if broadcast."""
    if layout == "F":
        return np.asfortranarray(x) if x.ndim else x
    if layout == "permuted":
        order = sorted(range(x.ndim), key=lambda _: chance(1 << 20))
        return x.transpose(order).copy().transpose(np.argsort(order).tolist())
    if layout in ("stepped", "reversed"):
        steps = [1 + chance(3) for _ in x.shape]
        wide = np.zeros([n * step + 1 for n, step in zip(x.shape, steps, strict=True)], x.dtype)
        part = wide[(*(slice(0, n * s, s) for n, s in zip(x.shape, steps, strict=True)), ...)]
        if layout == "reversed":
            part = part[(*(slice(None, None, 1 - 2 * chance(2)) for _ in x.shape), ...)]
        part[...] = x
        return part
    if layout == "broadcast":
        one = x[(*(slice(0, 1) if chance(2) else slice(None) for _ in x.shape), ...)].copy()
        strides = [
            s if n == m else 0 for s, n, m in zip(one.strides, one.shape, x.shape, strict=True)
        ]
        return np.lib.stride_tricks.as_strided(one, x.shape, strides)
    lead = chance(5) if layout == "offset" else 0
    buffer = np.zeros(lead + x.size, x.dtype)
    buffer[lead:] = x.reshape(-1)
    return buffer[lead:].reshape(x.shape)


def tensor_of(x: np.ndarray) -> torch.Tensor:
    """The array as a tensor of the same memory and layout."""
    if any(stride < 0 for stride in x.strides):
        x = x.copy(order="C")
    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def outcome(function: Callable[[], Any]) -> Any:
    """What comes out: a result, or the error that is raised."""
    try:
        return function()
    except ng.NoisegateError as error:
        return f"{type(error).__name__}: {error}"


def assert_same(function: Callable[[], Any], about: object) -> bool:
    """A function gives the same with the native engine and without; whether it gives anything."""
    ours = outcome(function)
    with pure_engines():
        theirs = outcome(function)
    if isinstance(ours, str) or isinstance(theirs, str):
        assert ours == theirs, about
        return False
    many = isinstance(ours, tuple | list)
    for one, other in zip(ours, theirs, strict=True) if many else [(ours, theirs)]:
        try:
            assert_same_bits(one, other)
        except AssertionError as error:
            raise AssertionError(f"{about}: {error}") from None
    return True
