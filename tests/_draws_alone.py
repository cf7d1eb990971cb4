"""Draws from the text of spec/draws.md alone: without the package, and without an array library.

Numbers are fractions where they must be exact, and decimals of 60 digits elsewhere.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from itertools import accumulate, product
from typing import Any

from _spec_alone import (
    ALL,
    PI,
    derive_key,
    find_place,
    hash_name,
    normal,
    philox,
    round_to,
    threshold,
)

# The dtype's binary digits, or its largest whole number and 1.
DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
MOST = {"bool": 2, "uint8": 2**8, "uint64": 2**64}
MOST |= {f"int{bits}": 2 ** (bits - 1) for bits in (8, 16, 32, 64)}
LARGEST = Decimal(2**1024 - 2**971)
LEAST = Decimal(2) ** -1022
Words = Callable[[int], int]


@cache
def lane(plane: int, row: int, offset: int) -> int:
    key = derive_key(13, hash_name("hid1:draw", 0, "Draw"), 2, plane)
    words = philox([offset >> 3, row % ALL, row >> 32, 7], key)
    return words[(offset & 7) >> 1] >> 16 * (offset & 1) & 0xFFFF


def read_word(place: tuple[int, int], n: int) -> int:
    return lane(2 * n, *place) << 16 | lane(2 * n + 1, *place)


def find_words(shape: list[int], case: dict[str, Any]) -> dict[tuple[int, ...], Words]:
    """Return the words of each element by its index."""
    indices = product(*map(range, shape))
    return {i: partial(read_word, find_place(i, shape, {}, case)) for i in indices}


def broadcast(value: Any, index: tuple[int, ...]) -> Any:
    """Return the entry of a parameter for the element at an index."""
    if not isinstance(value, list):
        return value
    if isinstance(value[0], list):
        return broadcast(value[min(index[-2], len(value) - 1)], index[-1:])
    return value[min(index[-1], len(value) - 1)]


def make_rows(words: dict[tuple[int, ...], Words]) -> dict[tuple[int, ...], list[Words]]:
    """Return the words of each row of the last axis."""
    rows: dict[tuple[int, ...], list[Words]] = {}
    for index, word in words.items():
        rows.setdefault(index[:-1], []).append(word)
    return rows


# Exact ---------------------------------------------------------------------------------------


def round_twice(dtype: str, number: Fraction | float) -> Fraction:
    return round_to(dtype, round_to("float64" if dtype == "float64" else "float32", number))


def draw_exact(name: str, dtype: str, given: dict[str, Any], case: dict[str, Any]) -> list[Any]:
    words = find_words(case["shape"], case)
    if name in ("randperm", "multinomial"):
        each = [
            permute(row) if name == "randperm" else choose(row, pick_row(given["weights"], at))
            for at, row in make_rows(words).items()
        ]
        return [number for row in each for number in row]
    parts = {"complex64": "float32", "complex128": "float64"}
    function = {"uniform": uniform, "normal": normals, "bernoulli": coin, "randint": whole}[name]
    return [
        number
        for index, word in words.items()
        for number in function(
            word,
            parts.get(dtype, dtype),
            1 + (dtype in parts),
            **{key: broadcast(value, index) for key, value in given.items()},
        )
    ]


def uniform(
    w: Words, dtype: str, parts: int, low: float = 0.0, high: float = 1.0
) -> Iterator[Fraction]:
    precision = partial(round_to, "float64" if dtype == "float64" else "float32")
    low, high = precision(low), precision(high)
    for part in range(parts):
        u = Fraction(w(part) // 2**8, 2**24)
        if dtype == "float64":
            u = Fraction(w(2 * part) * 2**21 + w(2 * part + 1) // 2**11, 2**53)
        number = round_to(dtype, precision(precision(u * precision(high - low)) + low))
        yield number if number < high else round_to(dtype, low)


def normals(
    w: Words, dtype: str, parts: int, mean: float = 0.0, std: float = 1.0
) -> Iterator[Fraction]:
    precision = partial(round_to, "float64" if dtype == "float64" else "float32")
    s = precision(std * math.sqrt(0.5) if parts == 2 else std)
    for part in range(parts):
        product_ = precision(normal(w(part)) * s)
        yield round_to(dtype, precision(product_ + (precision(mean) if part == 0 else 0)))


def coin(w: Words, dtype: str, parts: int, p: float) -> list[int]:
    return [int(w(0) < threshold(p))]


def share(w: Words, n: int) -> int:
    return (w(0) * 2**32 + w(1)) * n // 2**64


def whole(w: Words, dtype: str, parts: int, low: int = 0, high: int | None = None) -> list[Any]:
    if high is None:
        high = 2 ** DIGITS[dtype] + 1 if dtype in DIGITS else MOST[dtype]
    number = low + share(w, high - low)
    if dtype not in DIGITS:
        return [number]
    rounded = round_twice(dtype, Fraction(number))
    return [rounded if low <= rounded < high else round_twice(dtype, Fraction(low))]


def permute(row: list[Words]) -> list[int]:
    return [i for _, i in sorted((w(0) * 2**32 + w(1), i) for i, w in enumerate(row))]


def pick_row(weights: list[Any], at: tuple[int, ...]) -> list[float]:
    return weights[at[0]] if at and isinstance(weights[0], list) else weights


def choose(row: list[Words], weights: list[float]) -> list[int]:
    power = 2 ** (62 - len(f"{len(weights):b}"))
    sums = [*accumulate(round(Fraction(w / max(weights)) * power) for w in weights)]
    return [len([s for s in sums if s <= share(w, sums[-1])]) for w in row]


# Close ---------------------------------------------------------------------------------------


def draw_close(name: str, given: dict[str, Any], case: dict[str, Any]) -> list[Any]:
    if name == "multinomial":
        return choose_once(given["weights"], case)
    function = CLOSE["gamma" if name == "dirichlet" else name]
    words = find_words(case["shape"], case)
    numbers = {
        i: function(w, **{k: Decimal(broadcast(v, i)) for k, v in given.items()})
        for i, w in words.items()
    }
    if name == "dirichlet":
        raised = {i: max(x, LEAST) for i, x in numbers.items()}
        sums = {i[:-1]: sum(x for j, x in raised.items() if j[:-1] == i[:-1]) for i in raised}
        numbers = {i: x / sums[i[:-1]] for i, x in raised.items()}
    if name in ("exponential", "log_normal", "gamma"):
        numbers = {i: max(x, LEAST) for i, x in numbers.items()}
    return [float(min(x, LARGEST)) for x in numbers.values()]


def choose_once(weights: Any, case: dict[str, Any]) -> list[int]:
    *before, count = case["shape"]
    classes = len(weights[0]) if isinstance(weights[0], list) else len(weights)
    chosen = []
    for at, row in make_rows(find_words([*before, classes], case)).items():
        own = pick_row(weights, at)
        times = [
            (exponential(w) / Decimal(x), i)
            for i, (w, x) in enumerate(zip(row, own, strict=True))
            if x
        ]
        chosen += [i for _, i in sorted(times)] + [i for i, x in enumerate(own) if not x]
        del chosen[len(chosen) - classes + count :]
    return chosen


def v(w: Words, n: int) -> Decimal:
    return (2 * (w(n) * 2**20 + Decimal(w(n + 1) // 2**12)) + 1) / 2**53


def exponential(w: Words, rate: Decimal = Decimal(1)) -> Decimal:
    return -(1 - v(w, 0)).ln() / rate


def cauchy(w: Words, median: Decimal = Decimal(0), sigma: Decimal = Decimal(1)) -> Decimal:
    x = PI * (v(w, 0) - Decimal("0.5"))
    powers = [Decimal(1)]
    for n in range(1, 60):
        powers.append(powers[-1] * x / n)
    sine = sum(p * (-1) ** i for i, p in enumerate(powers[1::2]))
    return median + sigma * sine / sum(p * (-1) ** i for i, p in enumerate(powers[::2]))


def log_normal(w: Words, mean: Decimal = Decimal(1), std: Decimal = Decimal(2)) -> Decimal:
    x = mean + std * Decimal(float(normal(w(0))))
    return max(min(x, Decimal(709)), Decimal(-708)).exp()


def geometric(w: Words, p: Decimal) -> Decimal:
    return exponential(w) // -(1 - p).ln() + 1


def gamma(w: Words, concentration: Decimal) -> Decimal:
    a, k = concentration, 0
    d = (a + 1 if a < 1 else a) - Decimal(1) / 3
    while True:
        e = Decimal(float(normal(w(2 + 3 * k))))
        x = e / (9 * d).sqrt()
        c = (1 + x) ** 3
        if x > -1 and v(w, 3 + 3 * k).ln() < e * e / 2 + d * (1 - c + c.ln()):
            return d * c * (-exponential(w) / a).exp() if a < 1 else d * c
        k += 1


def log_gamma(x: Decimal) -> Decimal:
    """Return ln Γ(x) of a whole number."""
    if x < 400:
        return Decimal(math.factorial(int(x) - 1)).ln()
    terms = 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5) - 1 / (1680 * x**7)
    return (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2 + terms


def power(x: Decimal, j: int) -> Decimal:
    return x**j if j else Decimal(1)  # decimals have no 0⁰


def poisson(w: Words, rate: Decimal) -> Decimal:
    if rate < 10:
        chances = ((-rate).exp() * power(rate, j) / math.factorial(j) for j in range(63))
        return Decimal(sum(v(w, 0) > total for total in accumulate(chances)))
    b = Decimal("0.931") + Decimal("2.53") * rate.sqrt()
    s = Decimal("1.1239") + Decimal("1.1328") / (b - Decimal("3.4"))
    hat = Decimal("0.02483") * b - Decimal("0.059"), b, s, rate + Decimal("0.43")
    return reject(w, hat, LARGEST, lambda j: j * rate.ln() - rate - log_gamma(j + 1))


def binomial(w: Words, count: Decimal, p: Decimal) -> Decimal:
    if p > Decimal("0.5"):
        return count - binomial(w, count, 1 - p)
    n, mean = int(count), count * p
    if mean < 10:
        chances = (math.comb(n, j) * power(p, j) * (1 - p) ** (n - j) for j in range(min(63, n)))
        return Decimal(sum(v(w, 0) > total for total in accumulate(chances)))
    sigma = (mean * (1 - p)).sqrt()
    b = Decimal("1.15") + Decimal("2.53") * sigma
    a = Decimal("0.0248") * b + Decimal("0.01") * p - Decimal("0.0873")
    hat = a, b, (Decimal("2.83") + Decimal("5.1") / b) * sigma, mean + Decimal("0.5")

    def rise(j: Decimal) -> Decimal:
        top = (count + 1) * p // 1
        ways = sum(log_gamma(i + 1) - log_gamma(k + 1) for i, k in pair(top, j))
        return ways + (j - top) * (p / (1 - p)).ln()

    def pair(top: Decimal, j: Decimal) -> list[tuple[Decimal, Decimal]]:
        return [(top, j), (count - top, count - j)]

    return reject(w, hat, count, rise)


def reject(w: Words, hat: Any, most: Decimal, chance: Callable[[Decimal], Decimal]) -> Decimal:
    (a, b, s, z), k = hat, 0
    while True:
        u = v(w, 2 + 4 * k) - Decimal("0.5")
        e = Decimal("0.5") - abs(u)
        j = Decimal(math.floor((2 * a / e + b) * u + z))
        level = v(w, 4 + 4 * k) * s / (a / e**2 + b)
        if 0 <= j <= most and level.ln() <= chance(j):
            return j
        k += 1


CLOSE: dict[str, Callable[..., Decimal]] = {
    "exponential": exponential,
    "geometric": geometric,
    "cauchy": cauchy,
    "log_normal": log_normal,
    "gamma": gamma,
    "poisson": poisson,
    "binomial": binomial,
}
