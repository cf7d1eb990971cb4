"""The younger kinds from the text of spec/ alone: without the package or an array library."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any

import _draws_alone as draws
from _spec_alone import find_place, normal, round_to, threshold, u32, uniform

Index = tuple[int, ...]
Round = Callable[[Fraction | float], Fraction]


def compute(config: dict[str, Any], dtype: str, case: dict[str, Any]) -> list[Fraction]:
    """Return the elements with noise, rounded to the dtype."""
    precision = partial(round_to, "float64" if dtype == "float64" else "float32")
    xs = {index: Fraction(i + 1, 8) for i, index in enumerate(product(*map(range, case["shape"])))}
    function = KINDS[config["kind"]]
    return [round_to(dtype, function(config, case, xs, index, precision)) for index in xs]


def word(config: Any, case: Any, index: Index, number: int = 0, over: Any = ()) -> int:
    """Return a u32; `over` are axes that share it besides the kind's own."""
    shared = {"shared_axes": [*config.get("shared_axes", []), *over]}
    return u32(find_place(index, case["shape"], shared, case), 2, 7, config["kind"], number)


def multiply(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    speckle = config["kind"] == "SpeckleNoise"
    number = (normal if speckle else uniform)(word(config, case, index))
    rate = rounded(config["sigma" if speckle else "width"])
    return rounded(xs[index] * rounded(1 + rounded(rate * number)))


def add(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    beside = {case["sample_axis"], *config["shared_axes"]}
    n = math.prod(extent for axis, extent in enumerate(case["shape"]) if axis not in beside)
    width = rounded(config["alpha"] / math.sqrt(n))
    return rounded(xs[index] + rounded(width * uniform(word(config, case, index))))


def count(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    mean = float(xs[index]) / config["scale"]
    events = draws.poisson(lambda n: word(config, case, index, n), Decimal(mean))
    return rounded(float(events) * config["scale"])


def quantize(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    if word(config, case, index) >= threshold(config["p"]):
        return xs[index]
    axes = [*config.get("channel_axes", [])]
    if case["sample_axis"] not in (None, *config["shared_axes"]):
        axes.append(case["sample_axis"])
    group = [x for other, x in xs.items() if [other[a] for a in axes] == [index[a] for a in axes]]
    low, high, levels = min(*group, Fraction(0)), max(*group, Fraction(0)), 2 ** config["bits"]
    s = rounded(rounded(high - low) / (levels - 1)) or Fraction(1)
    z = round(rounded(low / s))
    return rounded(s * sorted((z, round(rounded(xs[index] / s)), z + levels - 1))[1])


def erase(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    u, *v = (word(config, case, index, n, over=(2, 3)) for n in range(5))
    unit = [number / 2**32 for number in v]
    extents = case["shape"][2:]
    area, aspect = (
        unit[i] * (config[name][1] - config[name][0]) + config[name][0]
        for i, name in enumerate(("area", "aspect"))
    )
    whole = area * (extents[0] * extents[1])
    spans = []
    for i, side in enumerate((math.sqrt(whole * aspect), math.sqrt(whole / aspect))):
        side = sorted((1, round(side), extents[i]))[1]
        spans.append((math.floor(unit[2 + i] * (extents[i] + 1 - side)), side))
    inside = all(f <= at < f + n for at, (f, n) in zip(index[2:], spans, strict=True))
    return Fraction(0) if inside and u < threshold(config["p"]) else xs[index]


def mask(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    axes = config.get("axes", [len(case["shape"]) - 1])
    size, d = config["size"], len(axes)
    read = partial(word, config, case, index, over=axes)
    for span in range(config.get("count", 1)):
        b, inside = span * (1 + 2 * d), []
        for i, axis in enumerate(axes):
            v, w = (Fraction(read(b + 1 + 2 * i + k), 2**32) for k in (0, 1))
            n, most = case["shape"][axis], size[i] if isinstance(size, list) else size
            length = math.floor(v * (min(most, n) + 1))
            first = math.floor(w * (n + 1 - length))
            if not config.get("vary", True):
                length, first = most, math.floor(w * n) - most // 2
            inside.append(first <= index[axis] < first + length)
        if all(inside) and read(b) < threshold(config["p"]):
            return rounded(config.get("fill", 0.0))
    return xs[index]


def zone_out(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    return xs[index] if word(config, case, index) >= threshold(config["p"]) else Fraction(0)


def leave_out(config: Any, case: Any, xs: Any, index: Index, rounded: Round) -> Fraction:
    axis = next(i for i in range(len(index)) if i != case["sample_axis"])
    over = [i for i in range(len(index)) if i not in (axis, case["sample_axis"])]
    tokens = range(config.get("prefix", 1), case["shape"][axis])
    if index[axis] not in tokens:
        return xs[index]
    u32s = [word(config, case, (*index[:axis], t, *index[axis + 1 :]), over=over) for t in tokens]
    mine = u32s[index[axis] - tokens[0]], index[axis]
    before = sum(other < mine for other in zip(u32s, tokens, strict=True))
    share = math.floor(Fraction(threshold(config["p"]), 2**32) * len(tokens) + Fraction(1, 2))
    return Fraction(0) if before < min(share, len(tokens) - 1) else xs[index]


KINDS: dict[str, Callable[..., Fraction]] = {
    "MultiplicativeUniformNoise": multiply,
    "SpeckleNoise": multiply,
    "NeftuneNoise": add,
    "ShotNoise": count,
    "PatchDropout": leave_out,
    "QuantizationNoise": quantize,
    "RandomErasing": erase,
    "SpanMask": mask,
    "Zoneout": zone_out,
}
