"""The native engine: the shortcuts in C++ that the NumPy and the torch engine take on a CPU.

It is given addresses of memory, and so knows no array library. Whatever it does, the engines do
without it too, bit for bit: it may be missing, or switched off by ``NOISEGATE_NATIVE=0``.
"""

import os
import warnings
from functools import cache, lru_cache
from importlib import import_module
from math import prod
from typing import Any

from noisegate.core import keys, messages
from noisegate.core.engine import Draw
from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.core.keys import Key
from noisegate.core.recipe import Choice, Recipe
from noisegate.core.window import KEY_BITS, Window

VARIABLE = "NOISEGATE_NATIVE"
SETS = ("avx512", "avx2", "neon", "portable")

# As in `native/plan.h` and `native/kernels.h`.
SHARED, OFFSET, ROW = range(3)
MASKED, SELECT, IMPULSE, GAIN, SHIFT, MASK, NUMBER, WORD = range(8)
TYPES = {
    "float16": 0,
    "bfloat16": 1,
    "float32": 2,
    "complex64": 2,
    "float64": 3,
    "complex128": 3,
}
BITS = {1: 4, 2: 5, 4: 6, 8: 7}
SIZES = (2, 2, 4, 8)

# From which size on the operating system is asked for huge pages, as NumPy does by itself.
HUGE = 1 << 22


@cache
def library() -> Any:
    """Return the extension module, or None where it is switched off or missing.

    ``NOISEGATE_NATIVE`` is 0 for none, 1 to require it, or the name of an instruction set. It is
    read once. Where the extension is missing and was not switched off, that is said once.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "0", "1", *SETS):
        raise InvalidValue(messages.bad_native(VARIABLE, asked, SETS))
    if asked == "0":
        return None
    try:
        module = import_module("noisegate.engines._native")
    except ImportError as error:
        if asked:
            raise MissingExtra(messages.missing_native(VARIABLE, asked, error)) from None
        warnings.warn(messages.pure_engine(error), RuntimeWarning, stacklevel=2)
        return None
    if asked in SETS:
        try:
            module.choose(asked)
        except ValueError:
            raise InvalidValue(messages.no_instruction_set(VARIABLE, asked)) from None
    return module


def apply(
    recipe: Recipe,
    key: Key,
    kind: str,
    window: Window,
    arrays: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    dtype: tuple[str, int],
    x: Any,
    y: Any,
    given: Any = 0,
) -> None:
    """Put noise on x, into y.

    `arrays` are the shape of both, the strides of x and those of y, in elements; `dtype` is its
    name and its size in bytes; `x`, `y` and `given`, a mask in place of the recipe's, are
    addresses or objects with a buffer. Complex numbers are pairs of real ones.
    """
    plan = _plan(window, *arrays, dtype[0].startswith("complex"))
    site = keys.site_hash(key.site, key.slot, kind)
    plan.run(_recipe(recipe, *dtype), key.seed, site, key.call, key.step, x, y, given)


def draw(draw: Draw, key: Key, kind: str, window: Window, y: Any) -> None:
    """Draw into y, an array in C order of the local noise shape.

    A mask is bools, uniform and normal numbers are float32, and a word is an int64.
    """
    shape = window.form or window.extent
    strides = _c_order(shape)
    plan = _plan(window, shape, strides, strides, False)
    site = keys.site_hash(key.site, key.slot, kind)
    plan.run(_drawing(draw), key.seed, site, key.call, key.step, 0, y, 0)


def spread(extents: tuple[int, ...], axis: int, block: int, x: Any, y: Any) -> None:
    """Write into y where x, bools in C order, holds at a place and the next ones of an axis."""
    outer, inner = prod(extents[:axis]), prod(extents[axis + 1 :])
    library().spread(x, y, outer, extents[axis], inner, block)


def huge_pages(address: int, size: int) -> None:
    """Ask for huge pages where memory has just been allocated, of a size in bytes."""
    library().huge_pages(address, size)


def fits(window: Window) -> bool:
    """Return whether the native engine is there and reads such windows."""
    return library() is not None and not window.steps


@lru_cache(maxsize=1024)
def _plan(
    window: Window,
    shape: tuple[int, ...],
    x: tuple[int, ...],
    y: tuple[int, ...],
    pairs: bool,
) -> Any:
    """Return the walk over arrays of a shape that hold a window of the field."""
    local = window.form or window.extent
    given, addresses = _c_order(local), _addresses(window)
    axes = [
        (SHARED, n, x[i], y[i], 0, 0)
        if local[i] == 1
        else (addresses[i][0], n, x[i], y[i], addresses[i][1], given[i])
        for i, n in enumerate(shape[: len(local)])
    ]
    if pairs:
        axes = [(role, n, 2 * a, 2 * b, step, g) for role, n, a, b, step, g in axes]
        axes.append((SHARED, 2, 1, 1, 0, 0))
    rows = window.rows
    if isinstance(rows, range):
        return library().Plan(axes, window.first, rows.start, rows.step % 2**64, [])
    return library().Plan(axes, window.first, 0, 0, list(rows))


def _addresses(window: Window) -> list[tuple[int, int]]:
    """Return the role of each axis of the local noise shape, and its step among offsets or rows."""
    if window.form is not None:
        *leading, _, _ = window.form
        rows = [(ROW, step) for step in _c_order(tuple(leading))]
        return [*rows, (OFFSET, 1 << KEY_BITS), (OFFSET, 1)]
    steps = dict(zip(window.offset_axes, window.strides, strict=True))
    return [(OFFSET, steps[i]) if i in steps else (ROW, 1) for i in range(len(window.extent))]


def _c_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array of a shape, in elements."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


@lru_cache(maxsize=4096)
def _drawing(draw: Draw) -> Any:
    """Return a draw as the extension takes it."""
    action = {"mask": MASK, "word": WORD}.get(draw.what, NUMBER)
    return library().Recipe(action, 0, int(draw.what == "normal"), draw.number, draw.threshold)


@lru_cache(maxsize=4096)
def _recipe(recipe: Recipe, dtype: str, size: int) -> Any:
    """Return a recipe as the extension takes it, for a dtype."""
    keep, random, kind = recipe.keep, recipe.random, TYPES.get(dtype)
    made = library().Recipe
    if random is not None:
        action = GAIN if recipe.gain is random else SHIFT
        plus = -0.0 if random.plus is None else random.plus
        factor = 1.0 if random.factor is None else random.factor
        return made(action, kind, int(random.normal), random.number, factor=factor, plus=plus)
    number, threshold = (0, 0) if keep is None else keep
    if recipe.gain is not None or recipe.shift is not None:
        gain = 1.0 if recipe.gain is None else recipe.gain
        affine = {"gain": gain, "shift": recipe.shift, "fill": recipe.fill}
        return made(MASKED, kind, 0, number, threshold, **affine)
    # The bits of one element, half a complex number.
    bits = BITS[size if kind is None else SIZES[kind]]
    if isinstance(recipe.fill, Choice):
        second, yes, no = recipe.fill
        given = {"fill_bits": _bits(no, dtype, size), "other_bits": _bits(yes, dtype, size)}
        return made(IMPULSE, bits, 0, number, threshold, *second, **given)
    return made(SELECT, bits, 0, number, threshold, fill_bits=_bits(recipe.fill, dtype, size))


def _bits(value: float, dtype: str, size: int) -> int:
    """Return a number's bits in a dtype; integers are two's complement."""
    if dtype in TYPES:
        return int(library().bits_of(value, TYPES[dtype]))
    return int(value) % (1 << 8 * size)
