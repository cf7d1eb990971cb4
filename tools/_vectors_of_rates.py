"""Vectors of rates: blocks and their seeds, relaxed masks, schedules."""

import json
from collections.abc import Iterator
from decimal import Decimal, localcontext
from itertools import product
from math import prod

from _reference import bits32, bits64, u32_of

from noisegate.core import philox

DTYPES = {"float16": (24, 11), "bfloat16": (24, 8), "float32": (24, 24), "float64": (53, 53)}


def thresholds() -> Iterator[str]:
    """Yield thresholds of seeds and the scales of survivors."""
    yield "# p as a hexadecimal float | positions of a block | T | bits of the scales, 32 and 64"
    rates = (0.0, 1e-9, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999, 1 - 2.0**-53, 1.0)
    for p, count in product(rates, (1, 2, 4, 9, 27, 49, 343)):
        t = philox.block_threshold(p, count)
        scales = "none | none"
        if 0 < t < 2**32:
            single, double = (philox.block_scale(t, count, digits) for digits in (24, 53))
            scales = f"{bits32(single)} | {bits64(double)}"
        yield f"{p.hex()} | {count} | {t:08x} | {scales}"


THROUGH: dict[str, object] = {"p": 0.5, "block_size": [2, 3], "shared_axes": [1]}
BLOCKS: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"p": 0.3, "block_size": 3}, {"shape": [2, 3, 7], "sample_axis": 0}),
    ({"p": 0.3, "block_size": 2}, {"shape": [2, 1, 5, 6], "sample_axis": 0, "rows": [9, 2**40]}),
    (
        {"p": 0.5, "block_size": [2, 3], "shared_axes": [1]},
        {"shape": [2, 2, 5, 4], "sample_axis": 0},
    ),
    ({"p": 0.2, "block_size": 9}, {"shape": [2, 2, 4], "sample_axis": 0}),
    ({"p": 0.4, "block_size": 2}, {"shape": [1, 2, 3, 3, 3], "sample_axis": 0}),
    ({"p": 0.4, "block_size": 3, "axes": [1, 2]}, {"shape": [2, 5, 4, 2], "sample_axis": 0}),
    ({"p": 0.4, "block_size": 3, "axes": [0]}, {"shape": [6, 2], "sample_axis": 1}),
    ({"p": 0.4, "block_size": 3, "axes": [0, 1]}, {"shape": [4, 5], "sample_axis": None}),
    ({"p": 1.0, "block_size": 3}, {"shape": [1, 1, 4], "sample_axis": 0}),
    ({"p": 0.5, "block_size": 3, "normalize": "sample"}, {"shape": [3, 2, 6], "sample_axis": 0}),
]


def blocks() -> Iterator[str]:
    """Yield DropBlock over dtypes, ranks, axes, block sizes and rows."""
    yield "# DropBlock under seed 13, site hid1:out, slot 0, call 2, step 7; input as in kinds.txt"
    yield "# config as JSON | dtype | case as JSON | values as hexadecimal floats, in C order"
    for (numbers, case), dtype in product(BLOCKS, DTYPES):
        digits, last = DTYPES[dtype]
        config = {"kind": "DropBlock", **numbers}
        keep, scales = _drop_blocks(numbers, case, digits)
        values = []
        for i, (kept, scale) in enumerate(zip(keep, scales, strict=True)):
            y = philox.round_float((i + 1) / 8 * scale, digits) if kept else 0.0
            values.append(philox.round_float(y, last).hex())
        yield f"{json.dumps(config)} | {dtype} | {json.dumps(case)} | {' '.join(values)}"


def _drop_blocks(
    numbers: dict[str, object], case: dict[str, object], digits: int
) -> tuple[list[bool], list[float]]:
    """Return whether each element is kept, and its scale, in C order."""
    shape, axis, rows = tuple(case["shape"]), case["sample_axis"], case.get("rows")  # type: ignore[arg-type]
    spatial = tuple(numbers.get("axes", range(2, len(shape))))  # type: ignore[arg-type]
    shared, size = tuple(numbers.get("shared_axes", ())), numbers["block_size"]  # type: ignore[arg-type]
    sizes = dict(zip(spatial, [size] * 9 if isinstance(size, int) else size, strict=False))  # type: ignore[call-overload]
    count = prod(sizes.values())
    t = philox.block_threshold(float(numbers["p"]), count)  # type: ignore[arg-type]
    grid = tuple(extent + sizes.get(a, 1) - 1 for a, extent in enumerate(shape))
    place = (13, "hid1:out", 0, "DropBlock", 2)

    def has_seed(index: tuple[int, ...]) -> bool:
        row, offset = philox.address(grid, shared, axis, rows, index)  # type: ignore[arg-type]
        return u32_of(place, row, offset, 7) < t

    indices = list(product(*(range(extent) for extent in shape)))
    reach = [range(sizes.get(a, 1)) for a in range(len(shape))]
    keep = [
        not any(
            has_seed(tuple(map(sum, zip(index, ahead, strict=True)))) for ahead in product(*reach)
        )
        for index in indices
    ]
    if numbers.get("normalize") != "sample":
        scale = philox.block_scale(t, count, digits) if 0 < t < 2**32 else 1.0
        return keep, [scale] * len(keep)
    sample = [0 if axis is None else index[axis] for index in indices]  # type: ignore[index]
    of = {s: [k for k, other in zip(keep, sample, strict=True) if other == s] for s in sample}
    return keep, [philox.round_float(len(of[s]) / max(sum(of[s]), 1), digits) for s in sample]


def concrete() -> Iterator[str]:
    """Yield gains of ConcreteDropout, from decimals of 60 digits."""
    yield "# Gains of ConcreteDropout; of the close tier: see kinds.md"
    yield "# p | temperature | u32 | gain, rounded to a float64, as hexadecimal floats"
    words = [0, 1, 0xFF, 0x12345678, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xDEADBEEF, 0xFFFFFFFF]
    for p, temperature, u in product((0.001, 0.1, 0.5, 0.9), (0.05, 0.1, 0.5), words):
        with localcontext() as context:
            context.prec = 60
            rate, uniform = Decimal(p), Decimal(philox.uniform(u))
            logit = (rate / (1 - rate)).ln() - ((1 + uniform) / (1 - uniform)).ln()
            gain = 1 / ((1 + (logit / Decimal(temperature)).exp()) * (1 - rate))
        yield f"{p.hex()} | {temperature.hex()} | {u:08x} | {float(gain).hex()}"


PI = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899"
STEPS = (0, 1, 3, 10, 50, 99, 100, 101, 1000, 2**32 - 1)
SCHEDULES: list[dict[str, object]] = [
    {"schedule": "constant", "value": 0.3},
    {"schedule": "linear", "start": 0.0, "end": 0.5, "steps": 100},
    {"schedule": "linear", "start": 0.9, "end": 0.1, "steps": 7},
    {"schedule": "cosine", "start": 0.1, "end": 0.7, "steps": 100},
    {"schedule": "curriculum", "value": 0.5, "steps": 100},
    {"schedule": "early", "value": 0.5, "steps": 100},
    {"schedule": "late", "value": 0.5, "steps": 100},
]


def schedules() -> Iterator[str]:
    """Yield rates of schedules at steps."""
    yield "# Schedules: config as JSON | step | rate as a hexadecimal float"
    for config, step in product(SCHEDULES, STEPS):
        yield f"{json.dumps(config)} | {step} | {_rate(config, step).hex()}"


def _rate(config: dict[str, object], step: int) -> float:
    """Return the rate at a step, from decimals of 70 digits."""
    shape, steps = str(config["schedule"]), int(config.get("steps", 1))  # type: ignore[call-overload]
    value = float(config.get("value", 0.0))  # type: ignore[arg-type]
    ends = {"early": (value, 0.0), "constant": (value, value)}.get(shape, (0.0, value))
    start, end = (float(config.get(n, e)) for n, e in zip(("start", "end"), ends, strict=True))  # type: ignore[arg-type]
    if step >= steps and shape != "curriculum":
        return end
    t, done = step / steps, 0.0
    with localcontext() as context:
        context.prec = 70
        if shape == "linear":
            done = t
        elif shape == "curriculum":
            done = 1 - float(Decimal(-10.0 * t).exp())
        elif shape == "cosine":
            # Two terms of the series at a small angle, which is then doubled 40 times.
            x = Decimal(PI) * Decimal(t) / 2**40
            half = (x * x - x**4 / 12) / 4  # (1 - cos x) / 2
            for _ in range(40):
                half = 4 * half * (1 - half)
            done = float(half)
    return start * (1 - done) + end * done


FILES = {
    "thresholds.txt": thresholds,
    "blocks.txt": blocks,
    "concrete.txt": concrete,
    "schedules.txt": schedules,
}
