"""The formulas of the close random functions of `spec/draws.md`, in decimals of 60 digits."""

from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal
from itertools import count as natural

from _draws_exact import Word
from _reference import TABLE

from noisegate.core import philox

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
ONE, TWO = Decimal(1), Decimal(2)
# What decides a whole number must not be nearer, or engines could differ.
MARGIN = Decimal("1e-9")


def is_below(left: Decimal, right: Decimal) -> bool:
    """Return whether one number is below another, and not nearly equal."""
    assert abs(left - right) > MARGIN * max(abs(left), abs(right)), "a draw is decided too closely"
    return left < right


def floor(value: Decimal) -> Decimal:
    """Return the whole number below a number that is not nearly whole."""
    assert abs(value - round(value)) > MARGIN * max(1, abs(value) / 1000), (
        "a draw is decided too closely"
    )
    return value.to_integral_value(ROUND_FLOOR)


def unit(word: Word, number: int = 0) -> Decimal:
    """Return a number in (0, 1)."""
    m = word(number) * 2**20 + word(number + 1) // 2**12
    return Decimal(2 * m + 1) / 2**53


def normal(word: Word, number: int = 0) -> Decimal:
    """Return a normal number."""
    return Decimal(philox.normal(word(number), TABLE))


def exponential(word: Word, rate: Decimal = ONE) -> Decimal:
    """Return an exponential number."""
    return -(1 - unit(word)).ln() / rate


def geometric(word: Word, p: Decimal) -> Decimal:
    """Return the number of trials up to the first success."""
    return floor(exponential(word) / -(1 - p).ln()) + 1


def cauchy(word: Word, median: Decimal = Decimal(0), sigma: Decimal = ONE) -> Decimal:
    """Return a Cauchy number: the tangent is minus the cotangent of the whole turn."""
    sine, cosine = _find_sine(PI * unit(word))
    return median - sigma * cosine / sine


def _find_sine(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Return the sine and the cosine of an angle in (0, π), by their series."""
    term, sums = ONE, [Decimal(0), Decimal(0)]
    for power in range(90):
        sums[power % 2] += term if power % 4 < 2 else -term
        term = term * angle / (power + 1)
    return sums[1], sums[0]


def log_normal(word: Word, mean: Decimal = ONE, std: Decimal = TWO) -> Decimal:
    """Return e to the power of a normal number."""
    return min(max(mean + std * normal(word), Decimal(-708)), Decimal(709)).exp()


def gamma(word: Word, concentration: Decimal) -> Decimal:
    """Return a gamma number."""
    if concentration < 1:
        return gamma(word, concentration + 1) * (-exponential(word) / concentration).exp()
    d = concentration - ONE / 3
    for k in natural():
        e = normal(word, 2 + 3 * k)
        x = e / (9 * d).sqrt()
        c = (1 + x) ** 3
        if x > -1 and is_below(unit(word, 3 + 3 * k).ln(), e * e / 2 + d * (1 - c + c.ln())):
            break
    return d * c


def poisson(word: Word, rate: Decimal) -> Decimal:
    """Return a number of events."""
    if rate < 10:
        ratios = (rate / j for j in natural(1))
        return _invert(unit(word), (-rate).exp(), ratios)
    b = Decimal("0.931") + Decimal("2.53") * rate.sqrt()
    a = Decimal("0.02483") * b - Decimal("0.059")
    s = Decimal("1.1239") + Decimal("1.1328") / (b - Decimal("3.4"))

    def chance(j: Decimal) -> Decimal:
        return j * rate.ln() - rate - log_factorial(j)

    return _reject(word, (a, b, s, rate + Decimal("0.43")), None, chance)


def binomial(word: Word, count: Decimal, p: Decimal) -> Decimal:
    """Return a number of successes."""
    if p > Decimal("0.5"):
        return count - binomial(word, count, 1 - p)
    mean = count * p
    if mean < 10:
        ratios = ((count - j + 1) / j * p / (1 - p) for j in natural(1))
        return _invert(unit(word), (1 - p) ** count, ratios)
    deviation = (mean * (1 - p)).sqrt()
    b = Decimal("1.15") + Decimal("2.53") * deviation
    a = Decimal("0.0248") * b + Decimal("0.01") * p - Decimal("0.0873")
    s = (Decimal("2.83") + Decimal("5.1") / b) * deviation

    def chance(j: Decimal) -> Decimal:
        ways = -log_factorial(j) - log_factorial(count - j)
        return ways + j * p.ln() + (count - j) * (1 - p).ln()

    top = chance(((count + 1) * p).to_integral_value(ROUND_FLOOR))
    hat = a, b, s, mean + Decimal("0.5")
    return _reject(word, hat, count, lambda j: chance(j) - top)


def _invert(v: Decimal, chance: Decimal, ratios: Iterator[Decimal]) -> Decimal:
    total, events = chance, 0
    while is_below(total, v):
        chance *= next(ratios)
        total += chance
        events += 1
    return Decimal(events)


def _reject(
    word: Word,
    hat: tuple[Decimal, Decimal, Decimal, Decimal],
    most: Decimal | None,
    chance: Callable[[Decimal], Decimal],
) -> Decimal:
    a, b, s, z = hat
    for k in natural():
        u, v = unit(word, 2 + 4 * k) - Decimal("0.5"), unit(word, 4 + 4 * k)
        e = Decimal("0.5") - abs(u)
        j = floor((2 * a / e + b) * u + z)
        inside = j >= 0 and (most is None or j <= most)
        if inside and is_below((v * s / (a / (e * e) + b)).ln(), chance(j)):
            break
    return j


def log_factorial(j: Decimal) -> Decimal:
    """Return ln j!, by Stirling's series of (j + 100)!."""
    x, product = j + 101, ONE
    for more in range(1, 101):
        product *= j + more
    bernoulli = (12, -360, 1260, -1680, 1188)
    series = sum(ONE / (d * x ** (2 * i + 1)) for i, d in enumerate(bernoulli))
    return (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2 + series - product.ln()


EACH = {
    "exponential": exponential,
    "geometric": geometric,
    "cauchy": cauchy,
    "log_normal": log_normal,
    "gamma": gamma,
    "poisson": poisson,
    "binomial": binomial,
}
