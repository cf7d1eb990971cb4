"""The random functions of array libraries, made of the field's numbers. Rules: `spec/draws.md`."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from . import checks
from .engine import Array
from .errors import InvalidType, InvalidValue, prefix_errors
from .keys import DRAW, Key
from .number_source import COMPLEX, FLOATS, FORMATS, WHOLE, Format, NumberSource
from .rejection import draw_binomial, draw_dirichlet, draw_gamma, draw_poisson, is_positive
from .trace import PRECISION
from .window import Window
from .words import got, list_names

# Whole numbers beyond are no longer counted one by one in float64.
MOST = 2.0**53
# Whole numbers beyond do not fit 64 bits.
MOST_WHOLE = 2**63


def draw_uniform(source: NumberSource, low: float = 0.0, high: float = 1.0) -> Array:
    """Return numbers in [low, high); of a complex dtype, both parts are."""
    low, width, high, reaches = _find_interval(source.result, source.digits, low, high)

    def function(part: int) -> Array:
        numbers = source.unit(part)
        if width != 1:
            numbers *= width
        if low != 0:
            numbers += low
        values = source.engine.cast(numbers, source.real)
        if not reaches:
            return values
        # Where rounding reaches the upper bound, the lower one takes its place.
        below = source.engine.cast(values, source.dtype) < high
        return source.engine.select(below, values, low, own=True)

    return _join_parts(source, function) if source.result in COMPLEX else function(0)


@lru_cache(maxsize=256)
def _find_interval(
    dtype: str, digits: int, low: float, high: float
) -> tuple[float, float, float, bool]:
    """Return the lower bound, the width and the upper bound, rounded to the precision.

    The last value is whether a number may be rounded to the upper bound.
    """
    most = FORMATS[dtype].largest
    if not -most <= low <= high <= most or high - low > most:
        raise InvalidValue(
            f"`low` must be at most `high`, and both they and their difference must be within "
            f"{dtype}; got low={low} and high={high}. Draw from a smaller interval."
        )
    low, high = _round(low, digits), _round(high, digits)
    width = _round(high - low, digits)
    last = _round(_round((1 - 2.0**-digits) * width, digits) + low, digits)
    return low, width, high, last >= high or digits > FORMATS[dtype].digits


def _round(value: float, digits: int) -> float:
    """Return a number of a precision's range, rounded to it; below its normal numbers too."""
    single: float = struct.unpack("f", struct.pack("f", value))[0] if digits == 24 else float(value)
    return single


def draw_normal(source: NumberSource, mean: Any = 0.0, std: Any = 1.0) -> Array:
    """Return numbers of a mean and a standard deviation, each a number or an array."""
    std = source.parameter("std", std, lambda value: value >= 0, "at least 0")
    has_parts = source.result in COMPLEX
    # Both parts of a complex number share its variance.
    std = source.round(std * math.sqrt(0.5) if has_parts else std)

    def function(part: int) -> Array:
        numbers = source.normal(part)
        return numbers if checks.is_host(std) and std == 1 else numbers * std

    numbers = _join_parts(source, function) if has_parts else function(0)
    if checks.is_number(mean):
        mean = source.round(float(mean))
    else:
        live = source.engine.live(mean)
        complex_mean = has_parts and source.engine.is_complex(live)
        mean = source.engine.cast(live, source.result if complex_mean else source.dtype)
    if not checks.is_host(mean) or mean != 0:
        numbers = numbers + mean
    return source.engine.cast(numbers, source.result)


def _join_parts(source: NumberSource, function: Callable[[int], Array]) -> Array:
    """Return complex numbers of parts that a function makes: 0 for the real, 1 for the other."""
    shape = source.window.form or source.window.extent
    parts = source.engine.empty((*shape, 2), source.dtype)
    parts[..., 0], parts[..., 1] = function(0), function(1)
    return source.engine.as_complex(parts)


def draw_bernoulli(source: NumberSource, p: Any = 0.5) -> Array:
    """Return 1 with probability p, a number or an array, and 0 elsewhere."""
    p = source.parameter("p", p, lambda value: (value >= 0) & (value <= 1), "in [0, 1]")
    return source.engine.cast(~source.keep(p), source.result)


def draw_randint(source: NumberSource, low: int = 0, high: int | None = None) -> Array:
    """Return whole numbers in [low, high).

    Without `high` they go up to the largest number of a whole dtype, or to the largest of a
    floating-point one below which every whole number is represented.
    """
    digits, least, largest = source.format
    if high is None:
        high = 2**digits + 1 if digits else int(largest) + 1
    if digits:
        least, largest = max(-largest, -MOST_WHOLE), min(largest, MOST_WHOLE - 1)
    if not least <= low < high or high - 1 > largest:
        raise InvalidValue(
            f"`low` must be less than `high`, and the numbers from one to the other within "
            f"{source.result}; got low={low} and high={high}. Draw from another range."
        )
    # As int64, sums wrap, and so does a lower bound of 2⁶³ or more.
    values = source.share(high - low) + (low if low < 2**63 else low - 2**64)
    if not digits:
        return source.engine.cast(values, source.result)
    rounded = source.engine.cast(source.engine.cast(values, source.dtype), source.result)
    if -(2**digits) <= low and high - 1 <= 2**digits:
        return rounded
    bounds = source.engine.cast(rounded, "float64")
    inside = (bounds >= float(low)) & (bounds < float(high))
    least = _round(low, source.digits)
    return source.engine.select(inside, rounded, least, own=True)


def draw_randperm(source: NumberSource) -> Array:
    """Return the whole numbers below the extent of the last axis in random order."""
    count = source.window.extent[-1]
    if count - 1 > source.format.largest:
        raise InvalidValue(
            f"{source.result} cannot hold the numbers below {count}. Draw the permutation as int64."
        )
    # int64 is signed, so half of the range is taken off to keep the order of the words.
    keys = (source.u32(0) - 2**31) << 32 | source.u32(1)
    return source.engine.cast(source.engine.argsort(keys), source.result)


def draw_multinomial(source: NumberSource, weights: Any, replacement: bool = False) -> Array:
    """Return indices along the last axis of the weights, drawn in proportion to them."""
    weights = source.parameter(
        "weights", weights, lambda value: (value >= 0) & (value < math.inf), "finite and at least 0"
    )
    shape = source.window.extent
    samples, classes = shape[-1], weights.shape[-1]
    if not bool((weights > 0).any(-1).all()):
        raise InvalidValue("`weights` must have a sum above 0 in each row. Leave out empty rows.")
    if samples > classes and not replacement:
        raise InvalidValue(
            f"without replacement at most {classes} of {classes} can be drawn; {got(samples)}. "
            "Draw fewer, or with replacement."
        )
    weights = weights / source.engine.largest(weights)
    if replacement or samples == 1:
        # In whole numbers, so that every engine finds the same sums.
        scale = 2.0 ** (62 - classes.bit_length())
        ends = source.engine.cast(source.engine.round(weights * scale), "int64").cumsum(-1)
        return source.engine.search(ends, source.share(ends[..., -1:]))
    window, last = source.window, len(shape) - 1
    if window.sample_axis == last:  # each place on that axis depends on the others
        window = replace(window, sample_axis=None, rows=range(1))
    window = window.pad({last: classes - samples})
    positive = weights > 0
    # The least of exponential numbers, each of its weight's rate, is a draw by the weights.
    times = replace(source, window=window).exponential() / source.choose(positive, weights, 1.0)
    order = source.engine.argsort(source.choose(positive, times, math.inf))
    return order[..., :samples]


def draw_exponential(source: NumberSource, rate: Any = 1.0) -> Array:
    """Return exponential numbers of a rate: more than 0, and finite."""
    rate = source.parameter("rate", rate, is_positive, "a finite number > 0")
    return source.store(source.exponential() / rate, source.format.least, source.format.largest)


def draw_geometric(source: NumberSource, p: Any) -> Array:
    """Return the number of trials up to the first success, at least 1."""
    p = source.parameter("p", p, lambda value: (value > 0) & (value < 1), "in (0, 1)")
    # Of an exponential number, the whole part is geometric.
    rate = -source.engine.log1p(-source.spread(p))
    failures = source.engine.clip(source.exponential() / rate, 0.0, MOST) // 1
    return source.store(failures + 1, 1.0, min(float(source.format.largest), MOST))


def draw_cauchy(source: NumberSource, median: float = 0.0, sigma: float = 1.0) -> Array:
    """Return Cauchy numbers, the farthest of them clipped to what the dtype can hold."""
    sigma = source.parameter("sigma", sigma, is_positive, "a finite number > 0")
    unit, largest = source.open_unit(), source.format.largest
    # tan π(v − ½), written so that the tails are as exact as the middle.
    turn = unit - source.engine.cast(unit > 0.5, "float64")
    numbers = -1 / source.engine.tan(turn * math.pi)
    return source.store(numbers * sigma + median, -largest, largest)


def draw_log_normal(source: NumberSource, mean: float = 1.0, std: float = 2.0) -> Array:
    """Return e to the power of normal numbers: more than 0, and finite."""
    std = source.parameter("std", std, is_positive, "a finite number > 0")
    power = source.engine.cast(source.normal(), "float64") * std + mean
    # The bounds of float64: beyond them an exponential would be 0 or infinite.
    values = source.engine.exp(source.engine.clip(power, -708.0, 709.0))
    return source.store(values, source.format.least, source.format.largest)


class Distribution(NamedTuple):
    """A function of a source and parameters, and the formats of the dtypes that it may give."""

    function: Callable[..., Array]
    formats: Mapping[str, Format]


DISTRIBUTIONS = {
    "uniform": Distribution(draw_uniform, FLOATS | COMPLEX),
    "normal": Distribution(draw_normal, FLOATS | COMPLEX),
    "bernoulli": Distribution(draw_bernoulli, FLOATS | WHOLE),
    "randint": Distribution(draw_randint, FLOATS | WHOLE),
    "randperm": Distribution(draw_randperm, FLOATS | WHOLE),
    "multinomial": Distribution(draw_multinomial, {"int64": FORMATS["int64"]}),
    "exponential": Distribution(draw_exponential, FLOATS),
    "geometric": Distribution(draw_geometric, FLOATS | WHOLE),
    "cauchy": Distribution(draw_cauchy, FLOATS),
    "log_normal": Distribution(draw_log_normal, FLOATS),
    "gamma": Distribution(draw_gamma, FLOATS),
    "dirichlet": Distribution(draw_dirichlet, FLOATS),
    "poisson": Distribution(draw_poisson, FLOATS),
    "binomial": Distribution(draw_binomial, FLOATS),
}


def sample(
    engine: Any, name: str, key: Key, window: Window, dtype: str, **parameters: Any
) -> Array:
    """Return random numbers of a function over a window, the window of the result.

    Parameters are numbers, or arrays that broadcast to the result.
    """
    function, formats = DISTRIBUTIONS[name]
    if dtype not in formats:
        raise InvalidType(
            f"the dtype must be one of {list_names(formats)}; {got(dtype)}. Convert the result."
        ).prefix(name)
    flat = window.extent == ()
    if flat:  # arithmetic on rank 0 would give scalars, which have other rules
        window = Window((1,), None, window.rows, (0,), (1,))
    source = NumberSource(engine, DRAW, key, window, PRECISION.get(dtype, "float64"), dtype)
    with prefix_errors(name):
        values = function(source, **parameters)
    return values.reshape(()) if flat else values
