"""The exact random functions of `spec/draws.md`, one element or one row at a time, in integers."""

import math
from collections.abc import Callable
from typing import Any

from _reference import TABLE

from noisegate.core import philox

Word = Callable[[int], int]  # from the number of a random number to its u32

# Binary digits of the precision and of the dtype, or of a part of complex numbers.
DIGITS = {
    "float16": (24, 11),
    "bfloat16": (24, 8),
    "float32": (24, 24),
    "float64": (53, 53),
    "complex64": (24, 24),
    "complex128": (53, 53),
}
LARGEST = {"bool": 1, "uint8": 2**8 - 1, "uint64": 2**64 - 1}
LARGEST |= {f"int{bits}": 2 ** (bits - 1) - 1 for bits in (8, 16, 32, 64)}


def _round(value: float, dtype: str) -> float:
    """Return a number, rounded to the precision of a dtype, then to the dtype."""
    digits, last = DIGITS[dtype]
    rounded = philox.round_float(philox.round_float(value, digits), last)
    assert dtype != "float16" or rounded == 0 or abs(rounded) >= 2.0**-14, "it is subnormal"
    return rounded


def _round_whole(value: int, dtype: str) -> float:
    """Return a whole number, rounded to the precision of a dtype, then to the dtype."""
    if value == 0:
        return 0.0
    return _round(math.copysign(philox.round_ratio(abs(value), 1, DIGITS[dtype][0]), value), dtype)


def uniform(word: Word, dtype: str, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Return a uniform number, or the two parts of a complex one."""
    digits = DIGITS[dtype][0]
    low, high = (philox.round_float(bound, digits) for bound in (low, high))
    width = philox.round_float(high - low, digits)
    parts = []
    for part in range(1 + dtype.startswith("complex")):
        u = (word(part) >> 8) / 2**24
        if digits == 53:
            u = (word(2 * part) << 21 | word(2 * part + 1) >> 11) / 2**53
        y = _round(philox.round_float(u * width, digits) + low, dtype)
        parts.append(y if y < high else _round(low, dtype))
    return parts


def normal(word: Word, dtype: str, mean: float = 0.0, std: float = 1.0) -> list[float]:
    """Return a normal number, or the two parts of a complex one with a real mean."""
    digits, has_parts = DIGITS[dtype][0], dtype.startswith("complex")
    std = philox.round_float(std * 0.5**0.5 if has_parts else std, digits)
    means = (philox.round_float(mean, digits), 0.0)
    return [
        _round(philox.round_float(philox.normal(word(part), TABLE) * std, digits) + plus, dtype)
        for part, plus in enumerate(means[: 1 + has_parts])
    ]


def bernoulli(word: Word, dtype: str, p: float = 0.5) -> list[int]:
    """Return 1 with probability p, else 0."""
    return [int(word(0) < philox.threshold(p))]


def share(word: Word, total: int) -> int:
    """Return a whole number in [0, total)."""
    return (word(0) << 32 | word(1)) * total >> 64


def randint(word: Word, dtype: str, low: int = 0, high: int | None = None) -> list[float]:
    """Return a whole number in [low, high)."""
    if high is None:
        high = 1 + (2 ** DIGITS[dtype][1] if dtype in DIGITS else LARGEST[dtype])
    value = low + share(word, high - low)
    if dtype not in DIGITS:
        return [value]
    rounded = _round_whole(value, dtype)
    return [rounded if low <= rounded < high else _round_whole(low, dtype)]


def permute(words: list[Word]) -> list[int]:
    """Return the permutation that sorts the numbers of a row."""
    return sorted(range(len(words)), key=lambda i: words[i](0) << 32 | words[i](1))


def multinomial(words: list[Word], weights: list[float]) -> list[int]:
    """Return classes of a row, drawn by their weights with replacement."""
    scale, largest = 2.0 ** (62 - len(weights).bit_length()), max(weights)
    parts = [round(weight / largest * scale) for weight in weights]
    ends = [sum(parts[: i + 1]) for i in range(len(parts))]
    return [sum(end <= share(word, ends[-1]) for end in ends) for word in words]


EACH: dict[str, Callable[..., Any]] = {
    "uniform": uniform,
    "normal": normal,
    "bernoulli": bernoulli,
    "randint": randint,
}
