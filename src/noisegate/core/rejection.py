"""Random functions that draw until a proposal is accepted. Rules: `spec/draws.md`.

Attempt k of an element has random numbers of its own, so no element's number depends on how many
attempts another one needs.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .engine import Array
from .number_source import NumberSource

# Picks some elements, or all, from an array in the shape of the result.
Pick = Callable[[Array], Array]

# Means from which numbers of events are drawn by rejection, not by inversion.
LARGE = 10.0
# No mean below is reached by as many events.
MOST_EVENTS = 64


def is_positive(value: Any) -> Any:
    """Return where a number or an array is finite and more than 0."""
    return (value > 0) & (value < math.inf)


def draw_gamma(source: NumberSource, concentration: Any) -> Array:
    """Return gamma numbers of a concentration and rate 1: more than 0, and finite."""
    numbers = _make_gamma(source, concentration)
    return source.store(numbers, source.format.least, source.format.largest)


def draw_dirichlet(source: NumberSource, concentration: Any) -> Array:
    """Return shares along the last axis that sum to 1."""
    numbers = _make_gamma(source, concentration)
    numbers = source.engine.clip(numbers, 2.0**-1022, math.inf)
    shares = numbers / source.engine.sum(numbers, (-1,))
    return source.store(shares, source.format.least, 1.0)


def _make_gamma(source: NumberSource, concentration: Any) -> Array:
    """Return gamma numbers in float64, by Marsaglia and Tsang (2000)."""
    shape = source.parameter("concentration", concentration, is_positive, "a finite number > 0")
    shape = source.spread(shape)
    small = shape < 1
    third = source.choose(small, shape + 1, shape) - 1 / 3
    spread = 1 / source.engine.sqrt(9 * third)

    def propose(attempt: int, pick: Pick) -> tuple[Array, Array]:
        number, size = 2 + 3 * attempt, pick(third)
        normal = source.engine.cast(pick(source.normal(number)), "float64")
        more = normal * pick(spread)
        # ln c − c + 1 of the cube c = (1 + more)³, without the loss of digits near 1.
        gap = 3 * _log1p(source, more) - more * (3 + more * (3 + more))
        bound = normal * normal * 0.5 + size * gap
        fits = (more > -1) & (source.engine.log(pick(source.open_unit(number + 1))) < bound)
        return size * (1 + more) * (1 + more) * (1 + more), fits

    numbers = _draw_until_accepted(source, propose)
    if bool(small.any()):
        boost = source.engine.exp(-source.exponential() / shape)
        numbers = source.choose(small, numbers * boost, numbers)
    return numbers


def _log1p(source: NumberSource, value: Array) -> Array:
    """Return ln(1 + value), or a number far below where the value is −1 or less."""
    return source.engine.log1p(source.engine.clip(value, 2.0**-53 - 1, math.inf))


def draw_poisson(source: NumberSource, rate: Any) -> Array:
    """Return numbers of events at a rate, which is a number or an array."""
    bound = "in [0, 2**53)"
    rate = source.parameter("rate", rate, lambda value: (value >= 0) & (value < 2**53), bound)
    rate = source.spread(rate)
    large = rate >= LARGE
    low = source.choose(large, 0 * rate, rate)
    events = _invert(source, source.engine.exp(-low), lambda step: low / step)
    if bool(large.any()):
        high = source.choose(large, rate, LARGE)
        width = 0.931 + 2.53 * source.engine.sqrt(high)

        def height(count: Array, pick: Pick) -> Array:
            mean = pick(high)
            return count - mean - _weigh(source, count, mean) - _measure(source, count)

        lean, scale = 0.02483 * width - 0.059, 1.1239 + 1.1328 / (width - 3.4)
        hat = lean, width, high + 0.43, scale
        many = _reject(source, hat, source.spread(math.inf), height)
        events = source.choose(large, many, events)
    return source.store(events, 0.0, source.format.largest)


def draw_binomial(source: NumberSource, count: Any, p: Any) -> Array:
    """Return numbers of successes in `count` trials of probability p, each number or array."""
    count = source.parameter(
        "count", count, lambda value: (value >= 0) & (value < 2**53) & (value % 1 == 0),
        "a whole number in [0, 2**53)",
    )  # fmt: skip
    p = source.parameter("p", p, lambda value: (value >= 0) & (value <= 1), "in [0, 1]")
    count, p = source.spread(count), source.spread(p)
    rare = p <= 0.5
    p = source.choose(rare, p, 1 - p)
    large = count * p >= LARGE
    low = source.choose(large, 0 * p, p)
    first = source.engine.exp(count * source.engine.log1p(-low))
    odds = low / (1 - low)
    successes = _invert(source, first, lambda step: (count - (step - 1)) / step * odds)
    successes = source.choose(successes < count, successes, count)
    if bool(large.any()):
        many = _draw_many(source, source.choose(large, count, 40.0), source.choose(large, p, 0.5))
        successes = source.choose(large, many, successes)
    successes = source.choose(rare, successes, count - successes)
    return source.store(successes, 0.0, source.format.largest)


def _draw_many(source: NumberSource, count: Array, p: Array) -> Array:
    """Return binomial numbers of a mean of at least 10, for p of at most ½, by Hörmann (1993)."""
    mean = count * p
    deviation = source.engine.sqrt(mean * (1 - p))

    def height(successes: Array, pick: Pick) -> Array:
        total, expected = pick(count), pick(mean)
        failures = total - successes
        far = _weigh(source, successes, expected) + _weigh(source, failures, total - expected)
        return -far - _measure(source, successes) - _measure(source, failures)

    # Heights count from that of the likeliest number.
    top = height((count + 1) * p // 1, lambda array: array)
    width = 1.15 + 2.53 * deviation
    lean, scale = 0.0248 * width + 0.01 * p - 0.0873, (2.83 + 5.1 / width) * deviation
    hat = lean, width, mean + 0.5, scale

    def rise(successes: Array, pick: Pick) -> Array:
        return height(successes, pick) - pick(top)

    return _reject(source, hat, count, rise)


def _draw_until_accepted(
    source: NumberSource, propose: Callable[[int, Pick], tuple[Array, Array]]
) -> Array:
    """Return the first proposal of each element that is accepted.

    `propose` returns the proposals of an attempt, and where they are accepted, of the elements
    that a function picks from an array of all.
    """
    values, accepted = propose(0, lambda array: array)
    attempt = 1
    while not bool(accepted.all()):
        left = ~accepted
        values[left], accepted[left] = propose(attempt, partial(_take, left))
        attempt += 1
    return values


def _take(places: Array, array: Array) -> Array:
    return array[places]


def _invert(source: NumberSource, first: Array, ratio: Callable[[int], Array]) -> Array:
    """Return the number of events of each element, by inversion.

    `first` is the chance of no event, and `ratio(k)` that of k events over that of k − 1.
    """
    unit = source.open_unit()
    chance, total, events = first, first, 0 * first
    for step in range(1, MOST_EVENTS):
        above = unit > total
        if not bool(above.any()):
            break
        events = events + source.engine.cast(above, "float64")
        chance = chance * ratio(step)
        total = total + chance
    return events


def _reject(
    source: NumberSource,
    hat: tuple[Array, Array, Array, Array],
    most: Array,
    height: Callable[[Array, Pick], Array],
) -> Array:
    """Return whole numbers in [0, most] by Hörmann's transformed rejection.

    `hat` is its lean, width, centre and scale; `height` the logarithm of a number's chance.
    """

    def propose(attempt: int, pick: Pick) -> tuple[Array, Array]:
        number = 2 + 4 * attempt
        lean, width, centre, scale = map(pick, hat)
        unit = pick(source.open_unit(number)) - 0.5
        edge = 0.5 - abs(unit)
        proposals = (2 * lean / edge + width) * unit + centre
        proposals = proposals // 1
        inside = (proposals >= 0) & (proposals <= pick(most))
        proposals = source.choose(inside, proposals, 0 * proposals)
        level = pick(source.open_unit(number + 2)) * scale / (lean / (edge * edge) + width)
        return proposals, inside & (source.engine.log(level) <= height(proposals, pick))

    return _draw_until_accepted(source, propose)


def _weigh(source: NumberSource, count: Array, mean: Array) -> Array:
    """Return k · ln(k / mean) of whole numbers k, exact near the mean."""
    return count * _log1p(source, (count - mean) / mean)


def _measure(source: NumberSource, count: Array) -> Array:
    """Return ln(k! · eᵏ / kᵏ) of whole numbers k: by Stirling's series of (k + 9)!."""
    x = count + 9
    square = x * x
    power = square * square
    product = count + 1
    for more in range(2, 9):
        product = product * (count + more)
    share = product / (power * power)
    # Of ln((k + 9)/k)ᵏ, k = 0 makes 0.
    lift = count * source.engine.log1p(9 / source.engine.clip(count, 1e-300, math.inf)) - 9
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / x
    return lift + 0.5 * source.engine.log(2 * math.pi * x / (share * share)) + series
