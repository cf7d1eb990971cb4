"""Draws of a library's random functions, on any backend, beside what they must be."""

from typing import Any

import numpy as np

import noisegate as ng
from _backends import DTYPES, Backend, numpy_of
from noisegate.core.distributions import sample
from noisegate.core.keys import Key
from noisegate.core.number_source import COMPLEX, FORMATS
from noisegate.core.window import DEFAULT_AXIS, Window, window_of

KEY = ng.Stream(13).site("hid1:draw").at(7, 2)
# How far a number of a close function may be from its formula's before it is rounded.
CLOSE = 2.0**-42


def draw(
    backend: Backend,
    name: str,
    dtype: str,
    window: Window | tuple[int, ...],
    key: Key = KEY,
    **given: Any,
) -> np.ndarray:
    """Return what a random function draws; parameters that are lists become arrays."""
    if isinstance(window, tuple):
        window = window_of(window)
    live = {
        k: backend.array(np.array(v, np.float64)) if isinstance(v, list | np.ndarray) else v
        for k, v in given.items()
    }
    # The functions may divide to inf on the way to the largest number.
    with np.errstate(over="ignore"):
        drawn = sample(backend.engine(), name, key, window, dtype, **live)
    result = numpy_of(drawn)
    assert result.dtype.name == dtype
    assert result.shape == (window.form or window.extent)
    return result


def window_of_case(case: dict[str, Any]) -> Window:
    """Return the window of a vector's case."""
    axis = case["sample_axis"]
    return window_of(tuple(case["shape"]), (), case.get("rows"), axis)


def assert_close(drawn: np.ndarray, exact: np.ndarray, scale: Any = 0.0) -> None:
    """Each number is the exact one, to the tolerance of close functions and a place of the dtype.

    `scale` is added to the size that the tolerance is a share of.
    """
    digits, _, largest = FORMATS[drawn.dtype.name]
    numbers, formula = drawn.astype(np.float64), np.clip(exact, -largest, largest)
    place = 0.0 if digits == 53 else 2.0 ** (1 - digits)
    bound = CLOSE * (np.abs(formula) + scale) + place * np.abs(formula)
    assert (np.abs(numbers - formula) <= bound).all(), (numbers, formula)


def find_dtype(name: str) -> np.dtype:
    return DTYPES.get(name) or np.dtype(name)


__all__ = ["COMPLEX", "DEFAULT_AXIS", "KEY", "assert_close", "draw", "find_dtype", "window_of_case"]
