"""Vectors of draws: the random functions of array libraries, exact and close."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from itertools import product
from typing import Any

import _draws_close as close
import _draws_exact as exact
from _reference import u32_of

from noisegate.core import philox

Given = dict[str, Any]

PLACE = (13, "hid1:draw", 0, "Draw", 2)
STEP = 7
FAR = [5, 2**32 + 1, 2**64 - 1]
PLAIN: Given = {"shape": [7], "sample_axis": None}
ROWS: Given = {"shape": [3, 3], "sample_axis": 0, "rows": FAR}
SECOND: Given = {"shape": [2, 3], "sample_axis": 1, "rows": FAR}
SCALAR: Given = {"shape": [], "sample_axis": None}
CASES = [PLAIN, ROWS, SECOND, SCALAR]
FLOATS = ("float16", "bfloat16", "float32", "float64")
PARTS = ("complex64", "complex128")
WHOLE = ("bool", "uint8", "int8", "int16", "int32", "int64", "uint64")

EXACT: list[tuple[str, Any, list[Given], list[Given]]] = [
    ("uniform", FLOATS, [{}], CASES),
    ("uniform", PARTS, [{}, {"low": -0.3, "high": 0.1}], [ROWS, SCALAR]),
    ("uniform", FLOATS, [{"low": 2.0, "high": 3.0}, {"low": 1.0, "high": 1.01}], [PLAIN]),
    ("uniform", ("float32",), [{"low": 16777216.0, "high": 16777218.0}], [PLAIN]),
    ("uniform", ("float64",), [{"low": 9007199254740992.0, "high": 9007199254740994.0}], [PLAIN]),
    ("normal", FLOATS, [{}, {"mean": 0.1, "std": 0.3}], [PLAIN, ROWS]),
    ("normal", PARTS, [{}, {"mean": 0.1, "std": 0.3}], [ROWS]),
    ("normal", FLOATS, [{"mean": [0.1, 1.0, 0.0], "std": [[0.1], [2.0]]}], [SECOND]),
    ("bernoulli", (*FLOATS, *WHOLE), [{"p": 0.3}], [PLAIN]),
    ("bernoulli", ("float32", "bool"), [{"p": [0.0, 0.7, 1.0]}], [ROWS]),
    ("randint", (*FLOATS, *WHOLE), [{}], [PLAIN]),
    ("randint", ("int8", "int64", "float64"), [{"low": -5, "high": 12}], CASES),
    ("randint", ("int64",), [{"low": -(2**63), "high": 2**63}], [ROWS]),
    ("randint", ("uint64",), [{"low": 2**63, "high": 2**64}], [ROWS]),
    ("randint", ("float16",), [{"low": 2049, "high": 2053}, {"high": 65505}], [PLAIN]),
    ("randint", ("float32",), [{"low": 2**24 + 1, "high": 2**24 + 5}], [PLAIN]),
    ("randint", ("bfloat16", "float64"), [{"low": -(2**63), "high": 2**62 + 1}], [PLAIN]),
    # Beside the middle of two numbers, which a float32 reaches.
    ("randint", ("bfloat16",), [{"low": 2**40 + 2**32 + 1, "high": 2**40 + 2**32 + 3}], [SCALAR]),
    ("randperm", ("int64", "uint8", "float16"), [{}], [PLAIN, ROWS]),
    (
        "multinomial",
        ("int64",),
        [{"weights": [0.1, 0.0, 3.0, 1e-30, 0.5], "replacement": True}],
        [PLAIN],
    ),
    (
        "multinomial",
        ("int64",),
        [{"weights": [[1.0, 2.0], [0.0, 0.1], [1e300, 1e300]], "replacement": True}],
        [ROWS],
    ),
]


def find_words(case: Given, shape: list[int]) -> list[exact.Word]:
    """Return the function from numbers to words of each element of a shape, in C order."""

    def make(index: tuple[int, ...]) -> exact.Word:
        axis, rows = case["sample_axis"], case.get("rows")
        row, offset = philox.address(tuple(shape), (), axis, rows, index)
        return lambda number: u32_of(PLACE, row, offset, STEP, number)

    return [make(index) for index in product(*(range(extent) for extent in shape))]


def take(value: Any, index: tuple[int, ...]) -> Any:
    """Return the entry of a number or of nested lists that belongs to an index of the result."""
    depth, inner = 0, value
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    for place in index[len(index) - depth :]:
        value = value[place] if len(value) > 1 else value[0]
    return value


def make_each(function: Callable[[exact.Word, Given], list[Any]], given: Given, case: Given) -> Any:
    """Return the numbers of a function that makes each element of its own words."""
    indices = product(*(range(extent) for extent in case["shape"]))
    values = []
    for index, word in zip(indices, find_words(case, case["shape"]), strict=True):
        values += function(word, {name: take(value, index) for name, value in given.items()})
    return values


def cut(values: list[Any], size: int) -> list[list[Any]]:
    """Return the rows of the last axis."""
    return [values[i : i + size] for i in range(0, len(values), size)]


def make_exact(name: str, dtype: str, given: Given, case: Given) -> list[Any]:
    """Return the numbers of an exact function."""
    if name in exact.EACH:
        function = exact.EACH[name]
        return make_each(lambda word, own: function(word, dtype, **own), given, case)
    rows = cut(find_words(case, case["shape"]), case["shape"][-1])
    if name == "randperm":
        return [place for words in rows for place in exact.permute(words)]
    each = given["weights"] if isinstance(given["weights"][0], list) else [given["weights"]]
    pairs = zip(rows, each, strict=True)
    return [place for words, weights in pairs for place in exact.multinomial(words, weights)]


def show(value: float) -> str:
    """Return a number as vectors write it: a whole one of a whole dtype in decimal."""
    return str(value) if isinstance(value, int) else float(value).hex()


def find_edges(case: Given) -> list[list[float]]:
    """Return weights of two classes for each row, whose bound lies beside its first number."""
    weights = []
    for words, side in zip(
        cut(find_words(case, case["shape"]), case["shape"][-1]), (-1, 1, 1), strict=True
    ):
        share = exact.share(words[0], 2**53) / 2**53 + side * 2.0**-50
        weights.append([share, 1 - share])
    return weights


def draws() -> Iterator[str]:
    """Yield the exact functions over dtypes, parameters, shapes, axes and rows."""
    yield "# Exact draws under seed 13, site hid1:draw, slot 0, call 2, step 7: see draws.md"
    yield "# function | dtype | parameters as JSON | case as JSON | values, in C order"
    edges = {"weights": find_edges(ROWS), "replacement": True}
    for name, dtypes, parameters, cases in [*EXACT, ("multinomial", ("int64",), [edges], [ROWS])]:
        for dtype, given, case in product(dtypes, parameters, cases):
            values = " ".join(map(show, make_exact(name, dtype, given, case)))
            yield f"{name} | {dtype} | {json.dumps(given)} | {json.dumps(case)} | {values}"


CLOSE: list[tuple[str, list[Given], list[Given]]] = [
    ("exponential", [{}, {"rate": 2.5}, {"rate": [[0.1], [1e30]]}], [SECOND]),
    ("exponential", [{"rate": 1e-320}], [SCALAR]),
    ("geometric", [{"p": 0.3}, {"p": [0.9, 1e-3, 1e-6]}], [ROWS]),
    ("cauchy", [{}, {"median": 1.0, "sigma": 3.0}], [ROWS]),
    ("log_normal", [{}, {"mean": 0.5, "std": 1.5}, {"mean": 1000.0, "std": 1.0}], [ROWS]),
    ("multinomial", [{"weights": [0.1, 0.0, 3.0, 1e-30, 0.5], "count": 5}], [PLAIN]),
    (
        "multinomial",
        [{"weights": [[1.0, 2.0, 3.0], [0.5, 0.1, 0.2], [0.0, 1.0, 9.0]], "count": 2}],
        [ROWS],
    ),
    ("gamma", [{"concentration": a} for a in (0.3, 1.0, 2.5, 50.0, 1e12)], [ROWS]),
    ("gamma", [{"concentration": [[0.01], [7.0]]}], [SECOND]),
    ("dirichlet", [{"concentration": [0.5, 2.0, 30.0]}], [ROWS]),
    ("poisson", [{"rate": r} for r in (0.1, 3.0, 9.9, 10.0, 50.0, 1e6, 1e10)], [ROWS]),
    ("poisson", [{"rate": [0.0, 4.0, 400.0]}], [ROWS]),
    (
        "binomial",
        [
            {"count": 10, "p": [0.3, 0.8, 0.0]},
            {"count": [25, 1000000, 4], "p": 0.5},
            {"count": 1000, "p": [0.01, 0.3, 0.97]},
            {"count": 10**10, "p": [0.25, 1e-10, 0.999]},
        ],
        [ROWS],
    ),
]


def make_close(name: str, given: Given, case: Given) -> list[Any]:
    """Return the numbers of a close function, rounded once to float64."""
    if name == "multinomial":
        return _choose(given["weights"], given["count"], case)
    function = close.EACH["gamma" if name == "dirichlet" else name]

    def make(word: exact.Word, own: Given) -> list[Any]:
        return [function(word, **{key: Decimal(value) for key, value in own.items()})]

    values = make_each(make, given, case)
    if name == "dirichlet":
        values = [x / sum(row) for row in cut(values, case["shape"][-1]) for x in row]
    least = Decimal(2) ** -1022 if name in ("exponential", "log_normal", "gamma") else None
    largest = Decimal(2) ** 1024 - Decimal(2) ** 971
    clipped = (min(x if least is None else max(x, least), largest) for x in values)
    return [float(x) for x in clipped]


def _choose(weights: Any, count: int, case: Given) -> list[int]:
    """Return classes of each row without replacement."""
    each = weights if isinstance(weights[0], list) else [weights]
    shape = [*case["shape"][:-1], len(each[0])]
    chosen: list[int] = []
    for words, own in zip(cut(find_words(case, shape), shape[-1]), each, strict=True):
        times = [
            close.exponential(word, Decimal(weight)) if weight else Decimal("Infinity")
            for word, weight in zip(words, own, strict=True)
        ]
        chosen += sorted(range(len(own)), key=times.__getitem__)[:count]
    return chosen


def draws_close() -> Iterator[str]:
    """Yield the formulas of the close functions, clipped to the normal numbers of float64."""
    yield "# Close draws under seed 13, site hid1:draw, slot 0, call 2, step 7: see draws.md"
    yield "# function | parameters as JSON | case as JSON | values of float64, in C order"
    with localcontext(prec=60):
        for name, parameters, cases in CLOSE:
            for given, case in product(parameters, cases):
                own = given
                if name == "multinomial":
                    case = {**case, "shape": [*case["shape"][:-1], given["count"]]}
                    own = {"weights": given["weights"]}
                values = " ".join(map(show, make_close(name, given, case)))
                yield f"{name} | {json.dumps(own)} | {json.dumps(case)} | {values}"


FILES = {"draws.txt": draws, "draws_close.txt": draws_close}
