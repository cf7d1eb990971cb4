"""The native engine: the shortcuts in C++ that the NumPy and the torch engine take on a CPU.

It is given addresses of memory, and so knows no array library. Whatever it does, the engines do
without it too, bit for bit: it may be missing, or switched off by ``NOISEGATE_NATIVE=0``.
"""

import os
import warnings
from functools import cache, lru_cache
from importlib import import_module
from math import prod
from typing import Any, NamedTuple, cast

from noisegate.core import forks, keys, messages
from noisegate.core.draws import Field
from noisegate.core.engine import Draw
from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.trace import Choice, Kept, Recipe, recipe_of
from noisegate.core.window import KEY_BITS, Window

VARIABLE, THREADS = "NOISEGATE_NATIVE", "NOISEGATE_THREADS"
MOST_THREADS = 1024
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


_SAID: list[bool] = []


@cache
def library() -> Any:
    """Return the extension module, or None where it is switched off or missing.

    ``NOISEGATE_NATIVE`` is 0 for none, 1 to require it, or the name of an instruction set. It is
    read once. Where the extension is missing and was not switched off, that is said once.
    """
    asked = os.environ.get(VARIABLE, "").lower()
    if asked not in ("", "0", "1", *SETS):
        raise InvalidValue(messages.bad_native(VARIABLE, asked, SETS))
    threads = os.environ.get(THREADS) or "1"
    if not (threads.isdecimal() and 1 <= int(threads) <= MOST_THREADS):
        raise InvalidValue(messages.bad_threads(THREADS, threads, MOST_THREADS))
    if asked == "0":
        return None
    try:
        module = import_module("noisegate.engines._native")
    except ImportError as error:
        if asked:
            raise MissingExtra(messages.missing_native(VARIABLE, asked, error)) from None
        if not _SAID:  # where a warning is an error, the next call finds it said
            _SAID.append(True)
            warnings.warn(messages.pure_engine(error), RuntimeWarning, stacklevel=2)
        return None
    if forks.is_child():
        module.stay_alone()
    if asked in SETS:
        try:
            module.choose(asked)
        except ValueError:
            raise InvalidValue(messages.no_instruction_set(VARIABLE, asked)) from None
    return module


def facts() -> dict[str, Any]:
    """Return which engine is in use, its instruction set and its number of threads."""
    module = library()
    if module is None:
        return {"engine": "pure", "instruction set": None, "threads": 1}
    return {
        "engine": "native",
        "instruction set": module.instruction_set(),
        "threads": module.threads(),
    }


class Work(NamedTuple):
    """What the extension does to arrays of one geometry: a plan, and a recipe of its own.

    `kind` is the name that draws; `large` is the size of the output in bytes, where it is worth
    huge pages.
    """

    plan: Any
    recipe: Any
    kind: str = ""
    large: int = 0

    def run(self, key: Key, x: Any, y: Any, given: Any = 0) -> None:
        """Put noise on x, into y; they, and a mask, are addresses or objects with a buffer.

        An output that is an address has just been allocated.
        """
        if self.large and type(y) is int:
            library().huge_pages(y, self.large)
        site = keys.site_hash(key.site, key.slot, self.kind)
        self.plan.run(self.recipe, key.seed, site, key.call, key.step, x, y, given)


# The shape of input and output, and the strides of each, in elements.
Geometry = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
# What changes nothing.
IDLE = Work(None, None)


def work_of(
    kind: Kind, rate: float, linear: bool, window: Window, geometry: Geometry, dtype: str, size: int
) -> Work | None:
    """Return the work of a kind on arrays of a dtype, `size` bytes an element.

    None where the kind has no recipe; IDLE where nothing changes.
    """
    given = kind, rate, linear, window, geometry, dtype, size
    if not is_ours(kind):
        return _work(*given)
    return (_kept_few if isinstance(window.rows, tuple) else _kept_work)(*given)


def is_ours(kind: Kind) -> bool:
    """Return whether equal kinds do the same, always: others' may depend on what is not theirs."""
    return type(kind).__module__.startswith("noisegate.")


def _work(
    kind: Kind, rate: float, linear: bool, window: Window, geometry: Geometry, dtype: str, size: int
) -> Work | None:
    recipe = recipe_of(kind, rate, dtype)
    if recipe is None:
        return None
    recipe = recipe.linear if linear else recipe
    if recipe.idle:
        return IDLE
    plan = _plan(window, *geometry, dtype.startswith("complex"))
    return Work(plan, _recipe(recipe, dtype, size), type(kind).__name__, _large(geometry[0], size))


_kept_work = lru_cache(maxsize=4096)(_work)
# Of windows that hold an id for each sample.
_kept_few = lru_cache(maxsize=16)(_work)


def work_of_mask(field: Field, window: Window, geometry: Geometry, dtype: str, size: int) -> Work:
    """Return the work of a field of numbers whose mask is given."""
    recipe = Recipe(Kept(0, 0), field.gain, field.shift, field.fill)
    plan = _plan(window, *geometry, dtype.startswith("complex"))
    return Work(plan, _recipe(recipe, dtype, size), "", _large(geometry[0], size))


def _large(shape: tuple[int, ...], size: int) -> int:
    """Return the bytes of an array, where they are many."""
    total = prod(shape) * size
    return total if total >= HUGE else 0


# Where no key is needed: a mask is given, or nothing is drawn.
NO_KEY = Key(0, "", 0, 0, 0)


def draw(draw: Draw, key: Key, kind: str, window: Window, y: Any) -> None:
    """Draw into y, an array in C order of the local noise shape.

    A mask is bools, uniform and normal numbers are float32, and a word is an int64.
    """
    shape = window.form or window.extent
    kept = _plan_of_few if isinstance(window.rows, tuple) else _plan_of_draw
    Work(kept(window, shape), _drawing(draw), kind).run(key, 0, y)


def _plan_in_c_order(window: Window, shape: tuple[int, ...]) -> Any:
    strides = _c_order(shape)
    return _plan(window, shape, strides, strides, False)


_plan_of_draw = lru_cache(maxsize=1024)(_plan_in_c_order)
_plan_of_few = lru_cache(maxsize=16)(_plan_in_c_order)


def spread(extents: tuple[int, ...], axis: int, block: int, x: Any, y: Any) -> None:
    """Write into y where x, bools in C order, holds at a place and the next ones of an axis."""
    outer, inner = prod(extents[:axis]), prod(extents[axis + 1 :])
    library().spread(x, y, outer, extents[axis], inner, block)


def fits(window: Window) -> bool:
    """Return whether the native engine is there and reads such windows."""
    return library() is not None and not window.steps


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
        return library().Plan(axes, window.first, rows.start % 2**64, rows.step % 2**64, [])
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


def _recipe(recipe: Recipe, dtype: str, size: int) -> Any:
    """Return a recipe as the extension takes it, for a dtype."""
    keep, random, kind = recipe.keep, recipe.random, TYPES.get(dtype)
    made = library().Recipe
    if random is not None:
        action = GAIN if recipe.gain is random else SHIFT
        plus = -0.0 if random.plus is None else random.plus
        factor = 1.0 if random.factor is None else random.factor
        return made(action, kind, int(random.normal), random.number, factor=factor, plus=plus)
    number, threshold = (0, 0) if keep is None else (keep.number, keep.threshold)
    if recipe.gain is not None or recipe.shift is not None:
        gain = 1.0 if recipe.gain is None else recipe.gain
        affine = {"gain": gain, "shift": recipe.shift, "fill": cast(float, recipe.fill) + 0.0}
        return made(MASKED, kind, 0, number, threshold, **affine)
    # The bits of one element, half a complex number.
    bits = BITS[size if kind is None else SIZES[kind]]
    if isinstance(recipe.fill, Choice):
        fill = recipe.fill
        given = {
            "fill_bits": _bits(fill.no, dtype, size),
            "other_bits": _bits(fill.yes, dtype, size),
        }
        second = fill.kept.number, fill.kept.threshold
        return made(IMPULSE, bits, 0, number, threshold, *second, **given)
    # What is removed becomes +0, also where the fill is -0.
    removed = _bits(recipe.fill + 0.0, dtype, size)
    return made(SELECT, bits, 0, number, threshold, fill_bits=removed)


def _bits(value: float, dtype: str, size: int) -> int:
    """Return a number's bits in a dtype; integers are two's complement."""
    if dtype in TYPES:
        return int(library().bits_of(value, TYPES[dtype]))
    return int(value) % (1 << 8 * size)
