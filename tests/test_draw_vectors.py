"""The published vectors of random functions, through NumPy and torch."""

import json
from pathlib import Path

import numpy as np
import pytest

from _backends import Backend, each_backend
from _distributions import assert_close, draw, find_dtype, window_of_case
from noisegate.core.distributions import DISTRIBUTIONS
from noisegate.core.number_source import COMPLEX, FLOATS

VECTORS = Path(__file__).parent.parent / "spec" / "vectors"


def read(name: str) -> list[list[str]]:
    lines = (VECTORS / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")] for line in lines if line[:1] != "#"]


def parse(values: str, dtype: str) -> np.ndarray:
    """Return the numbers of a vector in their dtype."""
    words = values.split()
    if dtype not in FLOATS | COMPLEX:
        return np.array([int(word) for word in words], object).astype(find_dtype(dtype))
    numbers = np.array([float.fromhex(word) for word in words])
    if dtype in COMPLEX:
        numbers = numbers[::2] + 1j * numbers[1::2]
    return numbers.astype(find_dtype(dtype))


@each_backend
@pytest.mark.parametrize("name", ["uniform", "normal", "bernoulli", "randint", "randperm"])
def test_exact_functions_have_these_bits(backend: Backend, name: str) -> None:
    seen = set()
    for function, dtype, parameters, case, values in read("draws.txt"):
        if function != name:
            continue
        window = window_of_case(json.loads(case))
        drawn = draw(backend, name, dtype, window, **json.loads(parameters))
        np.testing.assert_array_equal(drawn, parse(values, dtype).reshape(drawn.shape))
        seen.add(dtype)
    assert len(seen) >= 3


@each_backend
def test_multinomial_with_replacement_has_these_classes(backend: Backend) -> None:
    rows = [row[1:] for row in read("draws.txt") if row[0] == "multinomial"]
    assert rows
    for dtype, parameters, case, values in rows:
        window = window_of_case(json.loads(case))
        drawn = draw(backend, "multinomial", dtype, window, **json.loads(parameters))
        np.testing.assert_array_equal(drawn, parse(values, dtype).reshape(drawn.shape))


@each_backend
def test_close_functions_are_within_their_tolerance(backend: Backend) -> None:
    seen = set()
    for name, parameters, case, values in read("draws_close.txt"):
        window, given = window_of_case(json.loads(case)), json.loads(parameters)
        if name == "multinomial":
            drawn = draw(backend, name, "int64", window, **given)
            np.testing.assert_array_equal(drawn, parse(values, "int64").reshape(drawn.shape))
        else:
            exact = parse(values, "float64")
            scale = abs(given.get("median", 0)) + given.get("sigma", 1) if name == "cauchy" else 0
            for dtype in FLOATS:
                drawn = draw(backend, name, dtype, window, **given)
                least = 0.0 if name in ("cauchy", "poisson", "binomial") else FLOATS[dtype].least
                formula = exact.reshape(drawn.shape)
                formula = np.where(np.abs(formula) < least, least, formula)
                assert_close(drawn, formula, scale)
        seen.add(name)
    assert seen | {row[0] for row in read("draws.txt")} == set(DISTRIBUTIONS)
