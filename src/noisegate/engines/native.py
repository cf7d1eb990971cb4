"""The native engine: shortcuts in C++ for the NumPy and the torch engine on a CPU.

It takes addresses of memory, so it depends on no array library. Without it the engines compute
the same bits, only slower: it may be missing, or switched off by ``NOISEGATE_NATIVE=0``.
"""

import os
import warnings
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from math import prod
from typing import Any, NamedTuple, cast

from noisegate.core import forks, keys
from noisegate.core.draws import Field
from noisegate.core.engine import Draw
from noisegate.core.errors import InvalidValue, MissingExtra
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.trace import Choice, KeepMask, Trace, trace_kind
from noisegate.core.window import KEY_BITS, Window

VARIABLE, THREADS = "NOISEGATE_NATIVE", "NOISEGATE_THREADS"
MOST_THREADS = 1024
SETS = ("avx512", "avx2", "neon", "portable")
BUILD = "Where there is a C++17 compiler, `pip install --force-reinstall --no-cache-dir noisegate`"

# The same numbers as in `native/plan.h` and `native/kernels.h`: roles of axes, actions, types.
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

# The bytes of an output from which huge pages pay: the first touch of small pages costs more than
# the noise. NumPy asks for them by itself.
HUGE = 1 << 22

_WARNED: list[bool] = []


@cache
def load_library() -> Any:
    """Return the extension module, or None where it is switched off or missing.

    ``NOISEGATE_NATIVE`` is read once: 0 switches the module off, 1 requires it, and the name of
    an instruction set requires that set. If the module is missing, and neither required nor
    switched off, there is one warning.
    """
    asked = os.environ.get(VARIABLE, "").lower()
    if asked not in ("", "0", "1", *SETS):
        raise InvalidValue(
            f"{VARIABLE} must be 0 (no native engine), 1 (no noise without it) or one of "
            f"{', '.join(SETS)}; got {asked!r}."
        )
    threads = os.environ.get(THREADS) or "1"
    if not (threads.isdecimal() and 1 <= int(threads) <= MOST_THREADS):
        raise InvalidValue(
            f"{THREADS} must be a whole number from 1 to {MOST_THREADS}; got {threads!r}."
        )
    if asked == "0":
        return None
    try:
        module = import_module("noisegate.engines._native")
    except ImportError as error:
        if asked:
            raise MissingExtra(
                f"{VARIABLE} is {asked}, so the native engine must be there, and it cannot be "
                f"imported: {error}. {BUILD} builds it."
            ) from None
        # Noted first, so that even a warning that is turned into an error comes only once.
        if not _WARNED:
            _WARNED.append(True)
            warnings.warn(
                f"noisegate: the native engine cannot be imported ({error}), so the pure one is "
                f"in use: the same noise, 4 to 25 times slower. {BUILD} builds it; "
                "NOISEGATE_NATIVE=0 leaves this unsaid.",
                RuntimeWarning,
                stacklevel=2,
            )
        return None
    # In a child of a fork the pool's threads do not run, so it has to use one thread.
    if forks.is_child():
        module.stay_alone()
    if asked in SETS:
        try:
            module.choose(asked)
        except ValueError:
            raise InvalidValue(
                f"{VARIABLE} is {asked}, which this processor or this build of noisegate does "
                "not have."
            ) from None
    return module


def describe_engine() -> dict[str, Any]:
    """Return the engine in use, its instruction set and its number of threads."""
    module = load_library()
    if module is None:
        return {"engine": "pure", "instruction set": None, "threads": 1}
    return {
        "engine": "native",
        "instruction set": module.instruction_set(),
        "threads": module.threads(),
    }


class Work(NamedTuple):
    """The extension's work on arrays of one geometry: its plan and its recipe.

    `kind` is the name under which the noise is drawn. `large` is the output's size in bytes if
    huge pages pay, else 0.
    """

    plan: Any
    trace: Any
    kind: str = ""
    large: int = 0

    def run(self, key: Key, x: Any, y: Any, given: Any = 0) -> None:
        """Put noise on x and write it to y; `given` is a mask that was drawn before, or 0.

        Each is an address or an object with a buffer. Memory at an address y must be fresh.
        """
        if self.large and type(y) is int:
            load_library().huge_pages(y, self.large)
        site = keys.site_hash(key.site, key.slot, self.kind)
        self.plan.run(self.trace, key.seed, site, key.call, key.step, x, y, given)

    def run_steps(
        self, key: Key, steps: Sequence[int], x: int, y: int, parts: tuple[int, int]
    ) -> None:
        """Put the noise of several steps on x, each on an equal part, and write it to y.

        x and y are addresses; `parts` are the bytes from one part of each to the next.
        """
        if self.large:
            load_library().huge_pages(y, self.large)
        site = keys.site_hash(key.site, key.slot, self.kind)
        self.plan.run_steps(self.trace, key.seed, site, key.call, steps, x, y, *parts)


# The shape of input and output, the input's strides, and the output's strides, in elements.
Geometry = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
# Stands for work that changes nothing.
IDLE = Work(None, None)
# Stands for the work of a kind without a trace.
UNABLE = Work(None, None)


def make_work(
    kind: Kind,
    rate: float,
    linear: bool,
    window: Window,
    geometry: Geometry,
    dtype: str,
    size: int,
    parts: int = 1,
) -> Work:
    """Return the work of a kind on arrays of a dtype with `size` bytes an element.

    Window and geometry are those of one of `parts` equal parts, each of a step of its own. Returns
    UNABLE if the kind has no trace, and IDLE if nothing changes.
    """
    trace = trace_kind(kind, rate, dtype, linear)
    if trace is None:
        return UNABLE
    if trace.idle:
        return IDLE
    plan = _plan(window, *geometry, dtype.startswith("complex"))
    encoded = _encode_trace(trace, dtype, size)
    return Work(plan, encoded, type(kind).__name__, _large(geometry[0], parts * size))


def work_of_mask(field: Field, window: Window, geometry: Geometry, dtype: str, size: int) -> Work:
    """Return the work of a field whose mask is drawn and whose other parts are numbers."""
    trace = Trace(KeepMask(0, 0), field.gain, field.shift, field.fill)
    plan = _plan(window, *geometry, dtype.startswith("complex"))
    return Work(plan, _encode_trace(trace, dtype, size), "", _large(geometry[0], size))


def _large(shape: tuple[int, ...], size: int) -> int:
    """Return the bytes of an array if huge pages pay for it, else 0."""
    total = prod(shape) * size
    return total if total >= HUGE else 0


# The key for work that draws nothing, since its mask is given.
NO_KEY = Key(0, "", 0, 0, 0)


def write_draw(draw: Draw, key: Key, kind: str, window: Window, y: Any) -> None:
    """Write a draw to y, an array in C order of the local noise shape.

    A mask is bool, uniform and normal numbers are float32, and a word is int64.
    """
    shape = window.form or window.extent
    plan_of = _plan_of_few if isinstance(window.rows, tuple) else _plan_of_draw
    Work(plan_of(window, shape), _encode_draw(draw), kind).run(key, 0, y)


def _plan_in_c_order(window: Window, shape: tuple[int, ...]) -> Any:
    strides = _c_order(shape)
    return _plan(window, shape, strides, strides, False)


# Windows with ids are long and seldom recur, so only few of their plans are kept.
_plan_of_draw = lru_cache(maxsize=1024)(_plan_in_c_order)
_plan_of_few = lru_cache(maxsize=16)(_plan_in_c_order)


def spread(extents: tuple[int, ...], axis: int, block: int, x: Any, y: Any) -> None:
    """Write to y where `block` places of x in a row along an axis are all True.

    x holds bools in C order; y is shorter along the axis by block − 1.
    """
    outer, inner = prod(extents[:axis]), prod(extents[axis + 1 :])
    load_library().spread(x, y, outer, extents[axis], inner, block)


def can_run(window: Window) -> bool:
    """Return whether the native engine is available and can read this window."""
    return load_library() is not None and not window.steps


def _plan(
    window: Window,
    shape: tuple[int, ...],
    x: tuple[int, ...],
    y: tuple[int, ...],
    pairs: bool,
) -> Any:
    """Return the extension's plan to walk arrays with the strides x and y through a window.

    With `pairs` an element is two real numbers, as a complex one is.
    """
    local = window.form or window.extent
    given, addresses = _c_order(local), _address_axes(window)
    axes = [
        (SHARED, n, x[i], y[i], 0, 0)
        if local[i] == 1
        else (addresses[i][0], n, x[i], y[i], addresses[i][1], given[i])
        for i, n in enumerate(shape[: len(local)])
    ]
    # To the extension a complex number is an axis of 2 that shares its noise.
    if pairs:
        axes = [(role, n, 2 * a, 2 * b, step, g) for role, n, a, b, step, g in axes]
        axes.append((SHARED, 2, 1, 1, 0, 0))
    rows = window.rows
    if isinstance(rows, range):
        return load_library().Plan(axes, window.first, rows.start % 2**64, rows.step % 2**64, [])
    return load_library().Plan(axes, window.first, 0, 0, list(rows))


def _address_axes(window: Window) -> list[tuple[int, int]]:
    """Return each axis's role in the local noise shape, and its step among offsets or rows."""
    if window.form is not None:
        *leading, _, _ = window.form
        rows = [(ROW, step) for step in _c_order(tuple(leading))]
        return [*rows, (OFFSET, 1 << KEY_BITS), (OFFSET, 1)]
    steps = dict(zip(window.offset_axes, window.strides, strict=True))
    return [(OFFSET, steps[i]) if i in steps else (ROW, 1) for i in range(len(window.extent))]


def _c_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array in C order."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


@lru_cache(maxsize=4096)
def _encode_draw(draw: Draw) -> Any:
    """Return the extension's form of a draw."""
    action = {"mask": MASK, "word": WORD}.get(draw.what, NUMBER)
    return load_library().Recipe(action, 0, int(draw.what == "normal"), draw.number, draw.threshold)


def _encode_trace(trace: Trace, dtype: str, size: int) -> Any:
    """Return the extension's form of a trace, for a dtype."""
    keep, random, kind = trace.keep, trace.random, TYPES.get(dtype)
    make = load_library().Recipe
    if random is not None:
        action = GAIN if trace.gain is random else SHIFT
        # The neutral numbers: x + −0.0 keeps every x, where +0.0 would turn −0.0 into 0.0.
        plus = -0.0 if random.plus is None else random.plus
        factor = 1.0 if random.factor is None else random.factor
        return make(action, kind, int(random.normal), random.number, factor=factor, plus=plus)
    number, threshold = (0, 0) if keep is None else (keep.number, keep.threshold)
    if trace.gain is not None or trace.shift is not None:
        gain = 1.0 if trace.gain is None else trace.gain
        affine = {"gain": gain, "shift": trace.shift, "fill": cast(float, trace.fill) + 0.0}
        return make(MASKED, kind, 0, number, threshold, **affine)
    # Elements without arithmetic are moved as bits; a complex number is two of them.
    bits = BITS[size if kind is None else SIZES[kind]]
    if isinstance(trace.fill, Choice):
        fill = trace.fill
        given = {
            "fill_bits": _bits(fill.no, dtype, size),
            "other_bits": _bits(fill.yes, dtype, size),
        }
        second = fill.mask.number, fill.mask.threshold
        return make(IMPULSE, bits, 0, number, threshold, *second, **given)
    # A removed element becomes +0, even if the fill is -0.
    removed = _bits(trace.fill + 0.0, dtype, size)
    return make(SELECT, bits, 0, number, threshold, fill_bits=removed)


def _bits(value: float, dtype: str, size: int) -> int:
    """Return the bits of a number in a dtype, in two's complement if it holds integers."""
    if dtype in TYPES:
        return int(load_library().bits_of(value, TYPES[dtype]))
    return int(value) % (1 << 8 * size)
