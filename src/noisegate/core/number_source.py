"""The random numbers of which a library's random functions are made. Rules: `spec/draws.md`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import checks
from .draws import Draws
from .engine import Array
from .errors import InvalidValue
from .words import got


class Format(NamedTuple):
    """A dtype's numbers: digits of the significand (0 for whole numbers), least and largest.

    The least of a floating-point dtype is its smallest normal number.
    """

    digits: int
    least: float
    largest: float


def _make_format(digits: int, exponent: int) -> Format:
    return Format(digits, 2.0 ** (2 - exponent), math.ldexp(1 - 2.0**-digits, exponent))


FLOATS = {
    "float16": _make_format(11, 16),
    "bfloat16": _make_format(8, 128),
    "float32": _make_format(24, 128),
    "float64": _make_format(53, 1024),
}
COMPLEX = {"complex64": FLOATS["float32"], "complex128": FLOATS["float64"]}
WHOLE = {"bool": Format(0, 0, 1)}
for _bits in (8, 16, 32, 64):
    WHOLE[f"int{_bits}"] = Format(0, -(2 ** (_bits - 1)), 2 ** (_bits - 1) - 1)
    WHOLE[f"uint{_bits}"] = Format(0, 0, 2**_bits - 1)
FORMATS = FLOATS | COMPLEX | WHOLE


@dataclass(frozen=True, slots=True)
class NumberSource(Draws):
    """The draws of one call of a random function, whose results have the dtype `result`."""

    result: str

    @property
    def format(self) -> Format:
        """The format of the results."""
        return FORMATS[self.result]

    @property
    def real(self) -> str:
        """The dtype of the results, or of each part of complex ones."""
        return self.dtype if self.result in COMPLEX else self.result

    def unit(self, part: int = 0) -> Array:
        """Return numbers in [0, 1) on the grid of the precision; `part` of a complex number."""
        if self.dtype == "float32":
            numbers = self.uniform(part)
            # Both steps are exact: (2k + 1 − 2²⁴) / 2²⁴ becomes k / 2²⁴.
            numbers += 1 - 2.0**-24
            numbers *= 0.5
            return numbers
        whole = self.u32(2 * part) << 21 | self.u32(2 * part + 1) >> 11
        return self.engine.cast(whole, "float64") * 2.0**-53

    def odd(self, number: int = 0) -> Array:
        """Return odd whole numbers in (0, 2⁵³), from random numbers `number` and the next."""
        return (self.u32(number) << 20 | self.u32(number + 1) >> 12) << 1 | 1

    def open_unit(self, number: int = 0) -> Array:
        """Return float64 numbers in (0, 1), symmetric about ½."""
        return self.engine.cast(self.odd(number), "float64") * 2.0**-53

    def exponential(self, number: int = 0) -> Array:
        """Return exponential numbers of rate 1 in float64, in [2⁻⁵³, 37)."""
        # The complement is exact too, so the logarithm is that of the number meant.
        left = self.engine.cast(2**53 - self.odd(number), "float64") * 2.0**-53
        return -self.engine.log(left)

    def share(self, total: int | Array) -> Array:
        """Return whole numbers in [0, total), for a total of at most 2⁶⁴, as int64.

        Each is the high half of the product of 64 random bits and the total.
        """
        high, low = self.u32(0), self.u32(1)
        top, bottom = total >> 32, total & 0xFFFFFFFF

        def carry(product: Array) -> Array:
            """Return the high word of an unsigned product; a shift of int64 copies the sign."""
            return product >> 32 & 0xFFFFFFFF

        if isinstance(total, int) and not top:
            return carry(high * bottom + carry(low * bottom))
        first, second = high * bottom, low * top
        middle = (first & 0xFFFFFFFF) + (second & 0xFFFFFFFF) + carry(low * bottom)
        return high * top + carry(first) + carry(second) + (middle >> 32)

    def parameter(self, name: str, value: Any, holds: Callable[[Any], Any], bound: str) -> Any:
        """Return a parameter as a float or an array of float64, or raise unless the bound holds."""
        host = checks.is_number(value)
        value = float(value) if host else self.engine.cast(self.engine.live(value), "float64")
        fine = holds(value)
        if bool(fine if host else fine.all()):
            return value
        seen = value if host else value[~fine].reshape(-1)[0].item()
        raise InvalidValue(
            f"`{name}` must be {bound}; {got(seen)}. Clamp it before it is drawn from."
        )

    def spread(self, value: Any) -> Array:
        """Return a number, or an array that broadcasts, as float64 in the shape of the result."""
        filled = self.engine.empty(self.window.form or self.window.extent, "float64")
        filled[...] = value
        return filled

    def round(self, value: float | Array) -> float | Array:
        """Return a number or an array, rounded once to the precision; inf and NaN stay."""
        if checks.is_host(value) and not math.isfinite(value):
            return value
        return Draws.round(self, value)

    def choose(self, condition: Array, yes: Array, no: Array | float) -> Array:
        """Return float64 values of `yes` where a condition holds, and of `no` elsewhere."""
        return self.engine.select(condition, yes, no, own=False)

    def store(self, values: Array, low: float, high: float) -> Array:
        """Return float64 values within bounds, rounded to the precision, then to the dtype."""
        clipped = self.engine.clip(values, low, high)
        return self.engine.cast(self.engine.cast(clipped, self.dtype), self.result)
