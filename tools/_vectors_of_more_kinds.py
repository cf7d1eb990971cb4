"""Vectors of kinds that read more than one element, or their input."""

import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from itertools import product
from math import prod
from typing import Any

from _draws_close import poisson
from _reference import TABLE, u32_of

from noisegate.core import philox

DTYPES = {"float16": (24, 11), "bfloat16": (24, 8), "float32": (24, 24), "float64": (53, 53)}
# What JSON holds.
Config = dict[str, Any]
Index = tuple[int, ...]

ANY: list[Config] = [
    {"shape": [], "sample_axis": None},
    {"shape": [11], "sample_axis": None},
    {"shape": [3, 5], "sample_axis": 0},
    {"shape": [3, 5], "sample_axis": 1, "rows": [5, 2**32 + 1, 2**64 - 1, 7, 8]},
    {"shape": [2, 3, 4], "sample_axis": 0, "shared_axes": [2]},
    {"shape": [2, 0], "sample_axis": 0},
]
ALONE = [case for case in ANY if "shared_axes" not in case]
TIMES: list[Config] = [
    {"shape": [3, 2, 9], "sample_axis": 0},
    {"shape": [3, 2, 9], "sample_axis": 0, "shared_axes": [1], "rows": [4, 2**40, 0]},
    {"shape": [9, 2], "sample_axis": None, "shared_axes": [0]},
]
IMAGES: list[Config] = [
    {"shape": [2, 2, 5, 6], "sample_axis": 0, "shared_axes": [1]},
    {"shape": [3, 1, 4, 7], "sample_axis": 0, "rows": [9, 1, 2**64 - 1]},
]
TOKENS: list[Config] = [
    {"shape": [3, 9, 2], "sample_axis": 0, "rows": [4, 2**40, 2**64 - 1]},
    {"shape": [7, 3, 2], "sample_axis": 1},
    {"shape": [6, 2], "sample_axis": None},
    {"shape": [2, 1, 1], "sample_axis": 0},
]
KINDS: list[tuple[Config, list[Config]]] = [
    ({"kind": "MultiplicativeUniformNoise", "width": 0.3}, ANY),
    ({"kind": "SpeckleNoise", "sigma": 0.3}, ANY),
    ({"kind": "NeftuneNoise", "alpha": 5.0}, ANY),
    ({"kind": "ShotNoise", "scale": 0.3}, ALONE),
    ({"kind": "ShotNoise", "scale": 0.01}, ALONE),
    ({"kind": "QuantizationNoise", "p": 0.5, "bits": 3}, ANY),
    ({"kind": "QuantizationNoise", "p": 1.0, "bits": 2, "channel_axes": [1]}, TIMES),
    ({"kind": "RandomErasing", "p": 0.9, "area": [0.1, 0.4], "aspect": [0.3, 3.3]}, IMAGES),
    ({"kind": "RandomErasing", "p": 1.0, "area": [1.0, 1.0], "aspect": [9.0, 9.0]}, IMAGES),
    ({"kind": "SpanMask", "p": 0.8, "size": 4, "count": 2}, TIMES),
    ({"kind": "SpanMask", "p": 1.0, "size": 4, "vary": False, "fill": -1.5}, TIMES),
    ({"kind": "SpanMask", "p": 1.0, "size": [2, 9], "axes": [2, 3]}, IMAGES),
    ({"kind": "Zoneout", "p": 0.3}, ANY),
    ({"kind": "PatchDropout", "p": 0.5}, TOKENS),
    ({"kind": "PatchDropout", "p": 0.99, "prefix": 0}, TOKENS),
    ({"kind": "PatchDropout", "p": 0.3, "prefix": 3}, TOKENS),
]


def more_kinds() -> Iterator[str]:
    """Yield the younger kinds over dtypes, shapes, axes and rows."""
    yield "# Kinds under seed 13, site hid1:out, slot 0, call 2, step 7; input as in kinds.txt"
    yield "# config as JSON | dtype | case as JSON | values as hexadecimal floats, in C order"
    for kind, cases in KINDS:
        for dtype, case in product(DTYPES, cases):
            digits, last = DTYPES[dtype]
            shared = {"shared_axes": case.get("shared_axes", [])}
            alone = kind["kind"] in ("ShotNoise", "PatchDropout")
            config = kind if alone else {**kind, **shared}
            values = " ".join(
                philox.round_float(value, last).hex() for value in _compute(config, case, digits)
            )
            arguments = {name: value for name, value in case.items() if name != "shared_axes"}
            yield f"{json.dumps(config)} | {dtype} | {json.dumps(arguments)} | {values}"


def _compute(kind: Config, case: Config, digits: int) -> list[float]:
    """Return the elements with noise, in the precision of the computation."""
    function = EACH[kind["kind"]]
    array = Array(kind, case, digits)
    return [function(array, index) for index in array.inputs]


class Array:
    """A kind on the input of a case, in a precision of so many binary digits."""

    def __init__(self, kind: Config, case: Config, digits: int) -> None:
        self.kind, self.digits, self.rows = kind, digits, case.get("rows")
        self.shape, self.shared = tuple(case["shape"]), tuple(kind.get("shared_axes", ()))
        self.axis = case["sample_axis"]
        indices = product(*(range(extent) for extent in self.shape))
        self.inputs = {index: (i + 1) / 8 for i, index in enumerate(indices)}

    def word(self, index: Index, number: int = 0, spatial: Index = ()) -> int:
        """Return a u32 of an element, or of all elements along spatial axes."""
        shared = (*self.shared, *spatial)
        row, offset = philox.address(self.shape, shared, self.axis, self.rows, index)
        return u32_of((13, "hid1:out", 0, self.kind["kind"], 2), row, offset, 7, number)

    def round(self, value: float) -> float:
        """Return a number rounded to the precision."""
        return philox.round_float(value, self.digits)


def _multiply(array: Array, index: Index) -> float:
    number = philox.uniform(array.word(index))
    if array.kind["kind"] == "SpeckleNoise":
        number = philox.normal(array.word(index), TABLE)
    rate = array.round(array.kind.get("width", array.kind.get("sigma")))
    gain = array.round(1 + array.round(rate * number))
    return array.round(array.inputs[index] * gain)


def _add(array: Array, index: Index) -> float:
    outside = (array.axis, *array.shared)
    n = prod(extent for axis, extent in enumerate(array.shape) if axis not in outside)
    rate = array.kind["alpha"] / math.sqrt(n)
    return philox.uniform_noise(
        array.inputs[index], philox.uniform(array.word(index)), rate, array.digits
    )


def _count(array: Array, index: Index) -> float:
    scale = array.kind["scale"]
    with localcontext(prec=60):
        mean = Decimal(array.inputs[index] / scale)
        events = poisson(lambda number: array.word(index, number), mean)
    return array.round(float(events) * scale)


def _quantize(array: Array, index: Index) -> float:
    if array.word(index) >= philox.threshold(array.kind["p"]):
        return array.inputs[index]
    groups = {*array.kind.get("channel_axes", [])}
    groups |= set() if array.axis is None or array.axis in array.shared else {array.axis}
    values = [x for other, x in array.inputs.items() if all(other[a] == index[a] for a in groups)]
    low, high, most = min(0.0, *values), max(0.0, *values), 2 ** array.kind["bits"] - 1
    step = array.round(array.round(high - low) / most)
    first = round(array.round(low / step))
    q = min(max(round(array.round(array.inputs[index] / step)), first), first + most)
    return array.round(q * step)


def _erase(array: Array, index: Index) -> float:
    sides = 2, 3
    p, a, r, *at = (array.word(index, number, sides) for number in range(5))
    if p >= philox.threshold(array.kind["p"]):
        return array.inputs[index]
    extents = [array.shape[axis] for axis in sides]
    (low, high), (least, most) = array.kind["area"], array.kind["aspect"]
    area = (a / 2**32 * (high - low) + low) * (extents[0] * extents[1])
    aspect = r / 2**32 * (most - least) + least
    for axis, n, u, side in zip(
        sides, extents, at, (math.sqrt(area * aspect), math.sqrt(area / aspect)), strict=True
    ):
        side = min(max(round(side), 1), n)
        first = u * (n + 1 - side) >> 32
        if not first <= index[axis] < first + side:
            return array.inputs[index]
    return 0.0


def _mask(array: Array, index: Index) -> float:
    kind = array.kind
    axes = [axis % len(array.shape) for axis in kind.get("axes", [-1])]
    sizes = kind["size"] if isinstance(kind["size"], list) else [kind["size"]] * len(axes)
    for span in range(kind.get("count", 1)):
        number = span * (1 + 2 * len(axes))
        inside = array.word(index, number, axes) < philox.threshold(kind["p"])
        for i, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
            length, at = (array.word(index, number + 1 + 2 * i + j, axes) for j in (0, 1))
            n = array.shape[axis]
            if kind.get("vary", True):
                length = length * (min(size, n) + 1) >> 32
                first = at * (n + 1 - length) >> 32
            else:
                first, length = (at * n >> 32) - size // 2, size
            inside = inside and first <= index[axis] < first + length
        if inside:
            return array.round(kind.get("fill", 0.0))
    return array.inputs[index]


def _zone_out(array: Array, index: Index) -> float:
    return array.inputs[index] if array.word(index) >= philox.threshold(array.kind["p"]) else 0.0


def _leave_out(array: Array, index: Index) -> float:
    kind, axis = array.kind, 1 if array.axis == 0 else 0
    others = tuple(i for i in range(len(array.shape)) if i not in (axis, array.axis))
    prefix, length = kind.get("prefix", 1), array.shape[axis]

    def place(token: int) -> tuple[int, int]:
        return array.word((*index[:axis], token, *index[axis + 1 :]), 0, others), token

    count = max(length - prefix, 0)
    removed = min((philox.threshold(kind["p"]) * count + 2**31) >> 32, max(count - 1, 0))
    first = sorted(map(place, range(prefix, length)))[:removed]
    return 0.0 if index[axis] in [token for _, token in first] else array.inputs[index]


EACH: dict[str, Callable[[Array, Index], float]] = {
    "MultiplicativeUniformNoise": _multiply,
    "SpeckleNoise": _multiply,
    "NeftuneNoise": _add,
    "ShotNoise": _count,
    "PatchDropout": _leave_out,
    "QuantizationNoise": _quantize,
    "RandomErasing": _erase,
    "SpanMask": _mask,
    "Zoneout": _zone_out,
}
FILES = {"more_kinds.txt": more_kinds}
