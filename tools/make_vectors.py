"""Make the vectors in spec/vectors from the reference in noisegate.core.philox.

With --check, only compare, and fail if a file differs.
"""

import json
import sys
from collections.abc import Iterator
from itertools import product
from math import isfinite
from pathlib import Path

import _vectors_of_draws
import _vectors_of_more_kinds
import _vectors_of_rates
from _reference import TABLE, Place, bits32, bits64, key_of, u32_of

from noisegate.core import philox
from noisegate.core.keys import site_hash

FOLDER = Path(__file__).parent.parent / "spec" / "vectors"
PLACES: list[Place] = [
    (0, "", 0, "Dropout", 0),
    (13, "hid1:out", 0, "Dropout", 0),
    (13, "hid1:out", 1, "Dropout", 0),
    (13, "hid1:out", 0, "GaussianNoise", 0),
    (13, "hid1:out", 0, "Dropout", 1),
    (13, ":in", 0, "UniformNoise", 0),
    (2**64 - 1, "größe:out", 2**32 - 1, "GaussianDropout", 2**32 - 1),
    (2**32, "encoder.layer.11.attention:probs", 3, "Dropout", 7),
]


def keys() -> Iterator[str]:
    """Yield the derivation of keys."""
    yield "# Key derivation: seed | site as JSON | slot | kind | call | plane | hash | key words"
    for place, plane in product(PLACES, (0, 1, 2)):
        seed, site, slot, kind, call = place
        k0, k1 = key_of(place, plane)
        hashed = site_hash(site, slot, kind)
        name = json.dumps(site)
        yield (
            f"{seed} | {name} | {slot} | {kind} | {call} | {plane} "
            f"| {hashed:016x} | {k0:08x} {k1:08x}"
        )


def lanes() -> Iterator[str]:
    """Yield lanes at odd sizes and offsets, far rows and late steps."""
    yield "# Lanes under seed 13, site hid1:out, slot 0, kind Dropout, call 0"
    yield "# plane | row | first offset | step | lanes, hexadecimal"
    cases = [(0, 0, 0, 0, 17), (1, 0, 0, 0, 8), (0, 1, 0, 0, 8), (0, 0, 0, 1, 8), (0, 0, 3, 5, 7)]
    cases += [(0, 2**32 + 5, 13, 2**32 - 1, 11), (1, 2**64 - 1, 2**35 - 9, 2**31, 9)]
    for plane, row, first, step, count in cases:
        key = key_of(PLACES[1], plane)
        values = [philox.lane(key, row, first + i, step) for i in range(count)]
        yield f"{plane} | {row} | {first} | {step} | " + " ".join(f"{v:04x}" for v in values)


def ties() -> Iterator[str]:
    """Yield thresholds that tie with an element's high half, with outcomes on both sides."""
    yield "# Ties under seed 13, site hid1:out, slot 0, kind Dropout, call 0, step 0"
    yield "# row | offset | u32 | T | p = T / 2**32 as a hexadecimal float | removed"
    for row, offset in ((0, 0), (0, 1), (1, 6), (2, 15), (3, 1000003)):
        u = u32_of(PLACES[1], row, offset, 0)
        top = u & 0xFFFF0000
        # Plane 0 alone decides the first; the others tie, and plane 1 decides.
        for t in (top, u, u + 1, top | 0xFFFF):
            removed = "removed" if u < t else "kept"
            yield f"{row} | {offset} | {u:08x} | {t:08x} | {(t / 2**32).hex()} | {removed}"


U32 = [0, 1, 0xFF, 0x100, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFEFF, 0xFFFFFFFF]
U32 += [3, 0x3FFFFFFF, 0x40000000, 0x12345678, 0xDEADBEEF, 0x00010000, 0x1FFFFFFF, 0xC0000000]
U32 += [0x9E3779B9 * i % 2**32 for i in range(1, 64)]


def uniforms() -> Iterator[str]:
    """Yield uniform numbers."""
    yield "# u32 | numerator over 2**24 | bits of the float32"
    for u in U32:
        value = philox.uniform(u)
        yield f"{u:08x} | {int(value * 2**24)} | {bits32(value)}"


def normals() -> Iterator[str]:
    """Yield normal numbers."""
    yield "# u32 | bits of the float32"
    for u in U32:
        yield f"{u:08x} | {bits32(philox.normal(u, TABLE))}"


def scales() -> Iterator[str]:
    """Yield thresholds and the scales of survivors."""
    yield "# p as a hexadecimal float | T | bits of the float32 scale | bits of the float64 scale"
    rates = [0.0, 2.0**-34, 2.0**-33, 3 * 2.0**-33, 1e-6, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5]
    rates += [0.1 * i for i in (6, 7, 8, 9)] + [0.999, 1 - 1e-6, 1 - 2.0**-32, 1 - 2.0**-34, 1.0]
    for p in rates:
        t = philox.threshold(p)
        if t < 2**32:
            single, double = philox.survivor_scale(t, 24), philox.survivor_scale(t, 53)
            yield f"{p.hex()} | {t:08x} | {bits32(single)} | {bits64(double)}"
        else:
            yield f"{p.hex()} | {t:08x} | none | none"


# dtype: (digits of the computation, digits of the result)
DTYPES = {"float16": (24, 11), "bfloat16": (24, 8), "float32": (24, 24), "float64": (53, 53)}

CASES: list[dict[str, object]] = [
    {"shape": [], "sample_axis": None},
    {"shape": [11], "sample_axis": None},
    {"shape": [11], "sample_axis": 0, "rows": [5, 2**32 + 1, 2**64 - 1, *range(8)]},
    {"shape": [3, 5], "sample_axis": 0},
    {"shape": [3, 5], "sample_axis": None},
    {"shape": [3, 5], "sample_axis": 1},
    {"shape": [2, 3, 4], "sample_axis": 0, "shared_axes": [2]},
    {"shape": [2, 3, 4], "sample_axis": 0, "shared_axes": [1]},
    {"shape": [4, 2, 3], "sample_axis": 1, "shared_axes": [0], "rows": [9, 4]},
    {"shape": [3, 4], "sample_axis": 0, "shared_axes": [0]},
    {"shape": [2, 0], "sample_axis": 0},
]
KINDS: list[dict[str, object]] = [
    {"kind": "Dropout", "p": 0.3, "rescale": True},
    {"kind": "Dropout", "p": 0.5, "rescale": False},
    {"kind": "Dropout", "p": 1.0, "rescale": True},
    {"kind": "GaussianNoise", "sigma": 0.1},
    {"kind": "GaussianDropout", "p": 0.3},
    {"kind": "UniformNoise", "width": 0.7},
    {"kind": "AlphaDropout", "p": 0.3},
    {"kind": "AlphaDropout", "p": 1.0},
    {"kind": "ImpulseNoise", "p": 0.4, "low": -1.5, "high": 0.1},
    {"kind": "DropKey", "p": 0.3},
]


def element(kind: dict[str, object], x: float, u: int, coin: int, digits: int) -> float:
    """Return one element with noise; `coin` is its second random number."""
    rate = float(next(value for name, value in kind.items() if name in ("p", "sigma", "width")))  # type: ignore[arg-type]
    match kind["kind"]:
        case "Dropout":
            return philox.dropout(x, u, rate, bool(kind["rescale"]), digits)
        case "GaussianNoise":
            return philox.gaussian_noise(x, philox.normal(u, TABLE), rate, digits)
        case "GaussianDropout":
            return philox.gaussian_dropout(x, philox.normal(u, TABLE), rate, digits)
        case "AlphaDropout":
            return philox.alpha_dropout(x, u, rate, digits)
        case "DropKey":
            return philox.drop_key(x, u, rate)
        case "ImpulseNoise":
            low, high = float(kind["low"]), float(kind["high"])  # type: ignore[arg-type]
            return philox.impulse_noise(x, u, coin, rate, low, high, digits)
        case _:
            return philox.uniform_noise(x, philox.uniform(u), rate, digits)


def kinds() -> Iterator[str]:
    """Yield every kind over dtypes, shapes, axes and rows."""
    yield "# Every kind under seed 13, site hid1:out, slot 0, call 2, step 7."
    yield "# The input's element of C-order index i is (i + 1) / 8."
    yield "# config as JSON | dtype | case as JSON | values as hexadecimal floats, in C order"
    for kind, dtype, case in product(KINDS, DTYPES, CASES):
        digits, last = DTYPES[dtype]
        shape, axis = tuple(case["shape"]), case["sample_axis"]  # type: ignore[arg-type]
        shared, rows = tuple(case.get("shared_axes", ())), case.get("rows")  # type: ignore[arg-type]
        place = (13, "hid1:out", 0, str(kind["kind"]), 2)
        values = []
        for i, index in enumerate(product(*(range(extent) for extent in shape))):
            row, offset = philox.address(shape, shared, axis, rows, index)  # type: ignore[arg-type]
            u, coin = (u32_of(place, row, offset, 7, number) for number in (0, 1))
            y = element(kind, (i + 1) / 8, u, coin, digits)
            values.append((philox.round_float(y, last) if isfinite(y) else y).hex())
        config = {**kind, "shared_axes": list(shared)}
        arguments = {name: value for name, value in case.items() if name != "shared_axes"}
        yield f"{json.dumps(config)} | {dtype} | {json.dumps(arguments)} | {' '.join(values)}"


FILES = {
    **_vectors_of_draws.FILES,
    **_vectors_of_more_kinds.FILES,
    **_vectors_of_rates.FILES,
    "keys.txt": keys,
    "lanes.txt": lanes,
    "ties.txt": ties,
    "uniforms.txt": uniforms,
    "normals.txt": normals,
    "scales.txt": scales,
    "kinds.txt": kinds,
}


def main(arguments: list[str]) -> int:
    """Write every file, or with --check compare it."""
    different = []
    for name, lines in FILES.items():
        path, text = FOLDER / name, "\n".join(lines()) + "\n"
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            different.append(name)
    if different:
        print("differ from the reference:", ", ".join(different))
    return len(different)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
