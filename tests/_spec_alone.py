"""Noise from the text of spec/ alone: without the package, and without an array library.

Real numbers are fractions and decimals of 60 digits; `round_to` is the one rounding.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

SPEC = Path(__file__).resolve().parents[1] / "spec"
FORMATS = {  # bits of the significand, least exponent of a normal number
    "float16": (11, -14),
    "bfloat16": (8, -126),
    "float32": (24, -126),
    "float64": (53, -1022),
}
ALL = 2**32
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def read_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


TABLE = [[int(number) for number in row.split()] for row in read_lines(SPEC / "normal_table.txt")]


def round_to(dtype: str, number: Fraction | float) -> Fraction:
    """Return the number of a dtype that is nearest to a real number, ties to even."""
    bits, least = FORMATS[dtype]
    number = Fraction(number)
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    exponent -= abs(number) < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, least) - bits + 1)
    return round(number / unit) * unit


def philox(counter: list[int], key: list[int]) -> list[int]:
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b % ALL, a >> 32 ^ c3 ^ k1, a % ALL
        k0, k1 = (k0 + 0x9E3779B9) % ALL, (k1 + 0xBB67AE85) % ALL
    return [c0, c1, c2, c3]


def hash_name(site: str, slot: int, kind: str) -> int:
    digest = hashlib.blake2b(f"{site}#{slot}:{kind}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@cache
def derive_key(seed: int, hashed: int, call: int, plane: int) -> list[int]:
    return philox([hashed % ALL, hashed >> 32, call, plane], [seed % ALL, seed >> 32])[:2]


def lane(plane: int, row: int, offset: int, call: int, step: int, kind: str = "Dropout") -> int:
    """Return a lane of the stream and the site that the vectors have in common."""
    key = derive_key(13, hash_name("hid1:out", 0, kind), call, plane)
    words = philox([offset >> 3, row % ALL, row >> 32, step], key)
    return words[(offset & 7) >> 1] >> 16 * (offset & 1) & 0xFFFF


def u32(place: tuple[int, int], call: int, step: int, kind: str, number: int = 0) -> int:
    high, low = (lane(2 * number + k, *place, call, step, kind) for k in (0, 1))
    return high << 16 | low


def find_place(index: tuple[int, ...], shape: list[int], config: Any, case: Any) -> Any:
    """Return row and offset of an element."""
    axis, shared, offset = case["sample_axis"], config.get("shared_axes", []), 0
    for own, extent in enumerate(shape):
        if own != axis and own not in shared:
            offset = offset * extent + index[own]
    alone = axis is None or axis in shared
    return 0 if alone else case.get("rows", range(shape[axis]))[index[axis]], offset


def uniform(u: int) -> Fraction:
    return Fraction(2 * (u >> 8) + 1 - 2**24, 2**24)


def normal(w: int) -> Fraction:
    v = (w << 1 | 1) % ALL
    octave = v.bit_length() - 1
    t = (v << 31 - octave << 1) % ALL
    f = t >> 11 & 65535
    a, d, c = TABLE[32 * octave + (t >> 27)]
    m = a - (d * f + c * (f * (65535 - f) >> 16) >> 10)
    return round_to("float32", -m if w >> 31 else m) / 2**27


def threshold(p: float, positions: int = 1) -> int:
    with localcontext(prec=60):
        root = ((1 - Decimal(p)).ln() / positions).exp() if p < 1 else 0
        return round(ALL * (1 - root)) if positions > 1 else round(Fraction(p) * ALL)


def scale(t: int, positions: int = 1) -> Fraction:
    return Fraction(ALL, ALL - t) ** positions if t < ALL else Fraction(1)


def make_terms(config: dict[str, Any], case: dict[str, Any], precision: str) -> Iterator[Any]:
    """Yield keep, gain, shift and fill of each element; an absent gain is 1, an absent shift 0."""
    indices = [*product(*map(range, case["shape"]))]
    if config["kind"] == "DropBlock":
        yield from drop_blocks(config, case, precision, indices)
        return
    make = choose_terms(config, partial(round_to, precision))
    for index in indices:
        place = find_place(index, case["shape"], config, case)
        yield make(partial(u32, place, 2, 7, config["kind"]))


def choose_terms(config: dict[str, Any], rounded: Callable[..., Fraction]) -> Any:
    """Return the function from an element's random numbers to its terms."""
    kind, p = config["kind"], config.get("p", 0.0)
    t = threshold(p)
    if kind == "Dropout":
        gain = rounded(scale(t)) if config["rescale"] else 1
        return lambda u: (u(0) >= t, gain, 0, 0)
    if kind == "DropKey":
        return lambda u: (u(0) >= t, 1, 0, -math.inf)
    if kind == "ImpulseNoise":
        low, high = rounded(config["low"]), rounded(config["high"])
        return lambda u: (u(0) >= t, 1, 0, low if u(1) < 2**31 else high)
    if kind == "AlphaDropout":
        alpha, q = -1.7580993408473766, (ALL - t) / ALL
        s = 1 + (1 - q) * (alpha * alpha)
        a = 1 / math.sqrt(q * s) if q else 0.0
        b, fill = -alpha * (1 - q) * a, alpha * math.sqrt(q / s)
        return lambda u: (u(0) >= t, rounded(a), rounded(b), rounded(fill))
    if kind == "GaussianDropout":
        root = rounded(math.sqrt(p / (1 - p)))
        return lambda u: (True, rounded(1 + rounded(root * normal(u(0)))), 0, 0)
    number, name = (normal, "sigma") if kind == "GaussianNoise" else (uniform, "width")
    return lambda u: (True, 1, rounded(rounded(config[name]) * number(u(0))), 0)


def drop_blocks(
    config: dict[str, Any], case: dict[str, Any], precision: str, indices: list[tuple[int, ...]]
) -> Iterator[Any]:
    """Yield the terms of each element for DropBlock."""
    shape, axis, size = case["shape"], case["sample_axis"], config["block_size"]
    axes = config.get("axes", range(2, len(shape)))
    extents = dict(zip(axes, size if isinstance(size, list) else [size] * len(axes), strict=True))
    block = [extents.get(own, 1) for own in range(len(shape))]
    t = threshold(config["p"], math.prod(block))
    grid = [n + more - 1 for n, more in zip(shape, block, strict=True)]
    keep = {}
    for index in indices:
        seeds = product(*(range(at, at + more) for at, more in zip(index, block, strict=True)))
        places = [find_place(seed, grid, config, case) for seed in seeds]
        keep[index] = all(u32(place, 2, 7, "DropBlock") >= t for place in places)
    for index in indices:
        gain: Fraction | float = scale(t, math.prod(block))
        if config.get("normalize", "expected") == "sample":
            sample = [keep[i] for i in indices if axis is None or i[axis] == index[axis]]
            gain = len(sample) / max(sum(sample), 1)
        yield keep[index], round_to(precision, gain), 0, 0


def read_schedule(config: dict[str, Any], step: int) -> float:
    """Return the rate of a schedule at a step."""
    name, value, steps = config["schedule"], config.get("value"), config.get("steps", 1)
    start, end = {
        "constant": (value, value),
        "curriculum": (0.0, value),
        "early": (value, 0.0),
        "late": (0.0, value),
    }.get(name) or (config["start"], config["end"])
    if step >= steps and name != "curriculum":
        return end
    t, rise = step / steps, 0.0
    with localcontext(prec=60):
        if name == "linear":
            rise = t
        elif name == "cosine":
            rise = float((1 - cosine(PI * Decimal(t))) / 2)
        elif name == "curriculum":
            rise = 1 - float((-10 * Decimal(t)).exp())
    rate = start * (1 - rise) + end * rise
    return min(max(rate, min(start, end)), max(start, end))


def cosine(x: Decimal) -> Decimal:
    powers = [Decimal(1)]
    for n in range(2, 80, 2):
        powers.append(-powers[-1] * x * x / (n * (n - 1)))
    return sum(powers, Decimal(0))
