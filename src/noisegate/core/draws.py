"""From random words to numbers, on any engine. Rules: `spec/kinds.md`."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, NamedTuple

from . import checks, philox
from .blocks import Chunk, read
from .engine import Array, Draw, Engine
from .errors import InvalidType
from .keys import Key
from .window import Window

# The number of u32s. A threshold T of ALL removes every element.
ALL = 2**32


class Field(NamedTuple):
    """Noise as data for one application: ``where(keep, gain·x + shift, fill)``.

    A part that is None is left out: without `gain` nothing is multiplied, without `shift` nothing
    is added (so −0 stays −0), without `keep` nothing is removed.
    """

    keep: Array = None
    gain: Array | float = None
    shift: Array = None
    fill: Array | float = 0.0

    @property
    def of_numbers(self) -> bool:
        """Whether gain, shift and fill are each a number or None: no arrays but `keep`."""
        return all(part is None or type(part) is float for part in self[1:])


@dataclass(frozen=True, slots=True)
class Draws:
    """The random numbers of one kind under one key, over one window.

    A kind may ask for any number of independent random numbers of an element. Number 0 is made
    of planes 0 and 1, number 1 of planes 2 and 3, and so on. `dtype` is the precision in which
    the noise is applied, "float32" or "float64". `input` is the input in that precision, for a
    kind that reads it.
    """

    engine: Engine
    kind: str
    key: Key
    window: Window
    dtype: str
    _: KW_ONLY
    input: Array = None

    @property
    def x(self) -> Array:
        """The input, in the precision of the application, for a kind that reads it."""
        if self.input is None:
            raise InvalidType(
                "`draws.x` is the input, which only `field` may read, of a kind that sets "
                "`reads_input = True`. Derivatives are computed without it."
            )
        return self.input

    def _read(self, draw: Draw, dtype: str, function: Callable[[Chunk], Array]) -> Array:
        drawn = self.engine.draw(draw, self.key, self.kind, self.window, dtype)
        if drawn is not None:
            return drawn
        return read(self.engine, self.window, self.key, self.kind, dtype, function)

    def u32(self, number: int = 0) -> Array:
        """Return 32 random bits per element, as int64 in [0, 2³²)."""
        return self._read(Draw("word", number), "int64", lambda chunk: chunk.u32(number))

    def keep(self, p: float | Array, number: int = 0) -> Array:
        """Return where an element survives removal with probability p."""
        if not checks.is_host(p):
            return ~(self.u32(number) < self._live_threshold(p))
        t = philox.threshold(p)
        if t in (0, ALL):
            # Nothing is drawn where every element has the same answer.
            everywhere = self.engine.empty(self.window.form or self.window.extent, "bool")
            everywhere[...] = t == 0
            return everywhere
        return self._read(Draw("mask", number, t), "bool", lambda chunk: ~chunk.compare(number, t))

    def survivor_scale(self, p: float | Array) -> Array | float | None:
        """Return 2³² / (2³² − T), rounded once; None if T is 0 or 2³², where nothing is scaled."""
        if checks.is_host(p):
            t = philox.threshold(p)
            return None if t in (0, ALL) else philox.survivor_scale(t, self.digits)
        # Where everything is removed the scale is not used, but it must not divide by 0.
        left = self.engine.clip(ALL - self._live_threshold(p), 1.0, float(ALL))
        return self.engine.cast(ALL / left, self.dtype)

    def uniform(self, number: int = 0) -> Array:
        """Return uniform numbers in (−1, 1), in the precision of the application."""

        def function(chunk: Chunk) -> Array:
            # Odd multiples of 2⁻²⁴: exact in float32, symmetric, and never 0 or ±1.
            odd = 2 * (chunk.u32(number) >> 8) + (1 - 2**24)
            return self.engine.cast(odd, "float32") * 2.0**-24

        numbers = self._read(Draw("uniform", number), "float32", function)
        return self.engine.cast(numbers, self.dtype)

    def normal(self, number: int = 0) -> Array:
        """Return normal numbers, each a float32, in the precision of the application."""
        function = _normal_of(self.engine, number)
        numbers = self._read(Draw("normal", number), "float32", function)
        return self.engine.cast(numbers, self.dtype)

    def all_of_next(self, keep: Array, axis: int, size: int) -> Array:
        """Return where `size` places in a row along an axis, beginning here, are all kept.

        In the result that axis is shorter by size − 1.
        """
        found = self.engine.spread(keep, axis, size)
        if found is not None:
            return found
        # `keep` answers for `span` places. Each pass up to doubles it, so there are log₂(size).
        span, before = 1, (slice(None),) * axis
        while span < size:
            step = min(span, size - span)
            keep = keep[(*before, slice(None, -step))] & keep[(*before, slice(step, None))]
            span += step
        return keep

    def survivor_share(self, p: float | Array) -> Any:
        """Return the share of elements that survive, (2³² − T) / 2³², in float64."""
        if checks.is_host(p):
            return (ALL - philox.threshold(p)) / ALL
        return (ALL - self._live_threshold(p)) / ALL

    def unit_gain(self, p: float | Array) -> Array | None:
        """Return the gain of a kind that does not scale: None; for a live rate 1, or NaN at NaN."""
        return None if checks.is_host(p) else self.round(0 * p + 1)

    def where(self, condition: Array, yes: float, no: float) -> Array:
        """Return `yes` where a condition holds and `no` elsewhere."""
        return self.engine.where(condition, yes, no, self.dtype)

    def sqrt(self, value: float | Array) -> Any:
        """Return the square root of a number or an array, each >= 0."""
        return math.sqrt(value) if checks.is_host(value) else self.engine.sqrt(value)

    def log(self, value: float | Array) -> Any:
        """Return the natural logarithm of a number or an array, each > 0."""
        return math.log(value) if checks.is_host(value) else self.engine.log(value)

    def exp(self, value: float | Array) -> Any:
        """Return e to the power of a number or an array."""
        return math.exp(value) if checks.is_host(value) else self.engine.exp(value)

    def clip(self, value: float | Array, low: float, high: float) -> Any:
        """Return a number or an array within bounds; NaN stays NaN."""
        if checks.is_host(value):
            return min(max(value, low), high)
        return self.engine.clip(value, low, high)

    def over(self, window: Window) -> "Draws":
        """Return the draws of the same kind and key over another window."""
        return replace(self, window=window)

    def round(self, value: float | Array) -> float | Array:
        """Return a host number or a live array, rounded once to the precision in use."""
        if checks.is_host(value):
            return philox.round_float(value, self.digits)
        return self.engine.cast(value, self.dtype)

    @property
    def digits(self) -> int:
        """The binary digits of the precision in use: 24 or 53."""
        return 24 if self.dtype == "float32" else 53

    def _live_threshold(self, p: Array) -> Array:
        """Return T of live rates, as float64; NaN stays NaN, and no u32 is below it."""
        return self.engine.round(self.engine.clip(p, 0.0, 1.0) * float(ALL))


def _normal_of(engine: Engine, number: int) -> Callable[[Chunk], Array]:
    """Return a function from chunks to normal numbers, by inversion in integers.

    The rules are in `spec/normal.md`.
    """

    def function(chunk: Chunk) -> Array:
        u = chunk.u32(number)
        a, d, c = engine.normal_table()
        # A conversion to float64 finds the tail's exponent and left-aligns its fraction.
        bits = engine.bits(engine.cast((u << 1 | 1) & philox.WORD, "float64"))
        segment = (bits >> 47) - (1023 << 5)
        # A row of the table is a chord, A − D · f, with a bow of C · g under it.
        f = (bits >> 31) & 0xFFFF
        g = f * (65535 - f) >> 16
        magnitude = a[segment] - (d[segment] * f + c[segment] * g >> 10)
        sign = -(u >> 31)  # 0 or −1: the next line negates without a branch
        signed = (magnitude ^ sign) - sign
        return engine.cast(signed, "float32") * 2.0**-27

    return function
