"""Assertions that raise.

None of them returns a verdict, so no verdict can be ignored."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Shape, dtype and bits are equal; -0 is not +0, and any NaN equals any NaN.

    Each side is a NumPy array or a torch tensor: the same dtype is one dtype in both libraries.
    """
    left, left_dtype = _as_numpy(actual)
    right, right_dtype = _as_numpy(expected)
    if left_dtype != right_dtype:
        raise AssertionError(f"dtype is {left_dtype}, not {right_dtype}")
    if left.shape != right.shape:
        raise AssertionError(f"shape is {left.shape}, not {right.shape}")
    left_bits, right_bits = _bits(left, left_dtype), _bits(right, right_dtype)
    differ = np.flatnonzero(left_bits != right_bits)
    if differ.size:
        first = int(differ[0])
        width = 2 * left_bits.itemsize
        raise AssertionError(
            f"{differ.size} of {left_bits.size} numbers of dtype {left_dtype} and shape "
            f"{left.shape} differ in their bits; the first is number {first} in C order: "
            f"0x{int(left_bits[first]):0{width}x}, not 0x{int(right_bits[first]):0{width}x}"
        )


def assert_within(value: float, target: float, sd: float, bound: float = 5.0) -> None:
    """The value lies within `bound` standard deviations of its target."""
    value, target, sd = float(value), float(target), float(sd)
    if not (math.isfinite(sd) and sd > 0):
        raise AssertionError(f"the standard deviation must be positive and finite; got {sd}")
    distance = (value - target) / sd
    if not abs(distance) <= bound:  # so that NaN is refused
        raise AssertionError(
            f"{value!r} is {distance:+.2f} standard deviations from {target!r}; "
            f"at most {bound:g} are allowed"
        )


def assert_rate(count: int, trials: int, p: float, bound: float = 5.0) -> None:
    """A count of events of probability `p` is within `bound` standard deviations of its mean.

    Refuses a sample too small for the normal approximation: trials · min(p, 1 - p) < 400.
    """
    rarer = trials * min(p, 1 - p)
    if not rarer >= 400 * (1 - 1e-9):  # the product may round below a whole 400
        raise AssertionError(f"{trials} trials at p = {p} expect {rarer:.4g} rare events, not 400")
    assert_within(count, trials * p, math.sqrt(trials * p * (1 - p)), bound)


def assert_ulps(actual: Any, expected: Any, bound: float, *, larger: Any = None) -> None:
    """Real values differ by at most `bound` units in the last place of the actual dtype.

    The unit is that of the magnitude of `expected`, or of `larger` where that is given: the
    larger term of a sum, whose rounding the sum inherits. NaN equals NaN, inf equals inf.
    """
    values, dtype = _as_numpy(actual)
    truth, _ = _as_numpy(expected)
    if values.shape != truth.shape:
        raise AssertionError(f"shape is {values.shape}, not {truth.shape}")
    values, truth = values.astype(np.float64), truth.astype(np.float64)
    scale = np.abs(truth if larger is None else _as_numpy(larger)[0].astype(np.float64))
    with np.errstate(invalid="ignore"):  # inf - inf where both are inf, which is equality
        distance = np.abs(values - truth) / _unit(np.maximum(scale, np.abs(truth)), dtype)
    same = (values == truth) | (np.isnan(values) & np.isnan(truth))
    wrong = np.flatnonzero(~same & ~(distance <= bound))
    if wrong.size:
        first = int(wrong[0])
        raise AssertionError(
            f"{wrong.size} of {values.size} values are further off than {bound:g} units in the "
            f"last place of {dtype}; the first is number {first} in C order: "
            f"{values.flat[first]!r}, not {truth.flat[first]!r}"
        )


@contextmanager
def assert_sentence(error: type[BaseException], sentence: str) -> Iterator[None]:
    """The block raises this very class of error, with exactly this sentence."""
    try:
        yield
    except Exception as caught:
        if type(caught) is not error:
            raise AssertionError(f"raised {type(caught).__name__}: {caught}") from caught
        if str(caught) != sentence:
            raise AssertionError(f"the sentence is\n  {caught}\nnot\n  {sentence}") from caught
        return
    raise AssertionError(f"nothing was raised, where {error.__name__} was due")


# Stored fraction bits and smallest normal exponent of the floats that an array may hold.
_FLOATS = {
    "float16": (10, -14),
    "bfloat16": (7, -126),
    "float32": (23, -126),
    "float64": (52, -1022),
}


def _as_numpy(array: Any) -> tuple[np.ndarray, str]:
    """Return the array in C order, and its dtype's name; bfloat16 of torch comes as float32."""
    if type(array).__module__.partition(".")[0] != "torch":
        if not isinstance(array, np.ndarray | np.generic):
            raise AssertionError(f"neither an array nor a tensor: {type(array).__name__}")
        array = np.asarray(array)
        # `copy`, not `ascontiguousarray`, which makes rank 0 rank 1.
        return array.astype(array.dtype.newbyteorder("="), order="C", copy=True), array.dtype.name
    dtype = str(array.dtype).removeprefix("torch.")
    tensor = array.detach().cpu().resolve_conj().resolve_neg()
    return (tensor.float() if dtype == "bfloat16" else tensor).numpy().copy(order="C"), dtype


def _bits(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return the flat bits as unsigned integers, every NaN as one pattern; complex as pairs."""
    if dtype == "bfloat16":
        array = array.astype(np.float32)  # exact, so equal bits stay equal and others differ
    flat = array.reshape(-1)
    if flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    bits = flat.view(f"u{flat.dtype.itemsize}")
    if flat.dtype.kind == "f":
        bits = np.where(np.isnan(flat), np.array(-1).astype(bits.dtype), bits)
    return bits


def _unit(magnitude: np.ndarray, dtype: str) -> np.ndarray:
    """Return the distance between neighbouring floats of the dtype at each magnitude."""
    fraction, lowest = _FLOATS[dtype]
    exponent = np.frexp(np.where(np.isfinite(magnitude), magnitude, 1.0))[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, lowest) - fraction)
