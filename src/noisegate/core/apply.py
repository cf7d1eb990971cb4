"""The one application of noise, on any engine: ``where(keep, gain·x + shift, fill)``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from . import checks
from .draws import Draws, Field
from .engine import Array, Engine
from .errors import InvalidType, InvalidValue, NoisegateError
from .keys import Key
from .kind import Kind
from .prepared import Prepared
from .window import Window


class ArrayEngine(Engine, Protocol):
    """The operations that an engine supplies for the application, beside those for draws."""

    def precision(self, x: Array) -> str:
        """Return the precision of x: "float32", "float64", "integer" or "unsupported"."""

    def as_real(self, x: Array) -> Array:
        """Return complex x of shape (...) as real numbers of shape (..., 2)."""

    def restore(self, values: Array, x: Array) -> Array:
        """Return computed values in x's dtype."""

    def limits(self, x: Array) -> tuple[int, int]:
        """Return the smallest and the largest number that an integer array can hold."""

    def fuse(self, kind: Kind, call: Prepared, x: Array, key: Key, linear: bool) -> Array | None:
        """Return x with noise on it by a shortcut, in one pass; None without a shortcut."""

    def fuse_mask(self, field: Field, x: Array, window: Window) -> Array | None:
        """Return x with a field on it whose mask is an array and whose other parts are numbers.

        None without a shortcut.
        """

    def mask(self, keep: Array, values: Array) -> Array:
        """Return values where keep, else 0, by an operation that the library differentiates."""


def is_identity(kind: Kind, rate: Any) -> bool:
    """Return whether the rate is a host number at which the kind changes nothing."""
    return checks.is_host(rate) and kind.is_identity(rate)


def draws_of(
    engine: Engine, kind: Kind, key: Key, window: Window, precision: str, x: Array = None
) -> Draws:
    """Return the draws of a kind under a key; x is the input, for a kind that reads it."""
    given = None if x is None else engine.cast(x, precision)
    return Draws(engine, type(kind).__name__, key, window, precision, input=given)


def field_of(kind: Kind, draws: Draws, rate: Any, *, linear: bool = False) -> Field:
    """Return the field of a kind at a rate, or its derivative's; a live rate is clamped."""
    method = "backward_field" if linear else "field"
    try:
        clamped = rate if checks.is_host(rate) else _clamp(kind, draws, rate)[0]
        field = getattr(kind, method)(draws, clamped)
    except NoisegateError as error:
        error.prefix(type(kind).__name__)
        raise
    return check_field(kind, method, field)


def check_field(kind: Kind, method: str, value: object) -> Field:
    """Return the result of a kind's method, or raise if it is no field."""
    if not isinstance(value, Field):
        raise InvalidType(
            f"`{method}` must return a noisegate.Field; got "
            f"{type(value).__qualname__}. Write for example Field(keep=draws.keep(rate))."
        ).prefix(type(kind).__name__)
    return value


def slope(
    engine: ArrayEngine,
    kind: Kind,
    factor: Array,
    x: Array,
    key: Key,
    window: Window,
    rate: Array,
    *,
    linear: bool = False,
) -> Array:
    """Return a factor times the output's derivative by its live rate, for each element.

    If the factor is the gradient of the output, the products sum to the rate's gradient. If it is
    the tangent of the rate, they are the output's tangent. For complex x the result has a last
    axis of 2, for the real and the imaginary part. With `linear`, the derivative is of the linear
    part of the output.
    """
    precision = engine.precision(x)
    draws = draws_of(engine, kind, key, window, precision)
    clamped, inside = _clamp(kind, draws, rate)
    field = check_field(kind, "slope", kind.slope(draws, clamped))
    if engine.is_complex(x):
        x, field = engine.as_real(x), _with_axis(field)
        inside = inside[..., None] if inside.ndim else inside
        factor = engine.as_real(factor) if engine.is_complex(factor) else factor[..., None]
    parts = [] if field.gain is None else [engine.cast(x, precision) * field.gain]
    parts += [] if field.shift is None or linear else [field.shift]
    # A clamped rate is constant: outside the bounds the derivative is 0.
    product = engine.cast(factor, precision) * sum(parts) * engine.cast(inside, precision)
    return product if field.keep is None else engine.mask(field.keep, product)


def _clamp(kind: Kind, draws: Draws, rate: Any) -> tuple[Array, Array]:
    """Return a live rate, clamped, in float64, and where it was within its bounds already."""
    # A float32 rate means the numbers that it holds, so nothing is rounded here.
    live = draws.engine.cast(draws.engine.live(rate), "float64")
    clamped = kind.clamp(draws, live)
    return clamped, clamped == live


def apply(
    engine: ArrayEngine, kind: Kind, x: Array, key: Key, call: Prepared, *, linear: bool = False
) -> Array:
    """Return x with noise on it; with `linear`, only the part that is linear in x.

    The linear part has shift and fill at 0; it serves as the backward pass and as the tangent. It
    is the field's own, unless the kind has another one for it.
    """
    if type(call.rate) is float:
        fused = engine.fuse(kind, call, x, key, linear)
        if fused is not None:
            return fused
    precision = check_input(engine, kind, x)
    field = _draw_field(engine, kind, key, call, x, linear)
    # A kind without a trace, such as DropBlock, may still have its field applied in one pass.
    real = precision != "integer" and not engine.is_complex(x)
    if real and field.keep is not None and field.of_numbers:
        fused = engine.fuse_mask(field, x, call.window)
        if fused is not None:
            return fused
    return apply_field(engine, kind, x, field, precision)


def apply_to_several(
    engine: ArrayEngine, kind: Kind, x: Array, key: Key, call: Prepared, *, linear: bool = False
) -> Array:
    """Return x, whose first axes are not the window's, with one field on all along these axes."""
    precision = check_input(engine, kind, x)
    field = _draw_field(engine, kind, key, call, x, linear)
    return apply_field(engine, kind, x, field, precision)


def _draw_field(
    engine: ArrayEngine, kind: Kind, key: Key, call: Prepared, x: Array, linear: bool
) -> Field:
    """Return the field of a call on x; with `linear`, the linear part of the derivative's."""
    precision = engine.precision(x)
    computed = "float64" if precision == "integer" else precision
    read = x if kind.reads_input and not linear else None
    draws = draws_of(engine, kind, key, call.window, computed, read)
    field = field_of(kind, draws, call.rate, linear=linear)
    return field._replace(shift=None, fill=0.0) if linear else field


def apply_field(engine: ArrayEngine, kind: Kind, x: Array, field: Field, precision: str) -> Array:
    """Return x with the field on it; errors bear the kind's name."""
    if engine.is_complex(x):
        if field.shift is not None:
            raise InvalidType(
                f"additive noise on complex numbers is not defined; got "
                f"{x.dtype}. Noise the real and the imaginary part on their own."
            ).prefix(type(kind).__name__)
        if not isinstance(field.fill, float) or field.fill != 0:
            raise InvalidType(
                f"a value in place of complex numbers is not defined; got "
                f"{x.dtype}. Noise the real and the imaginary part on their own."
            ).prefix(type(kind).__name__)
        return engine.as_complex(_combine(engine, _with_axis(field), engine.as_real(x)))
    if precision == "integer":  # selected, never computed with
        return engine.select(field.keep, x, field.fill, own=False)
    return engine.restore(_combine(engine, field, engine.cast(x, precision)), x)


def apply_stacked_steps(
    engine: ArrayEngine, kind: Kind, x: Array, key: Key, call: Prepared, steps: Sequence[int]
) -> Array:
    """Return x, of shape (steps, *local shape), with each step's noise on it, drawn at once.

    The kind must be `elementwise`, and x floating-point of at most 32 bits.
    """
    several = replace(call.window, steps=tuple(steps))
    field = field_of(kind, draws_of(engine, kind, key, several, "float32"), call.rate)
    return apply_field(engine, kind, x, field, "float32")


def _combine(engine: ArrayEngine, field: Field, x: Array) -> Array:
    values = x if field.gain is None else x * field.gain
    if field.shift is not None:
        values = values + field.shift
    if field.keep is None:
        return values
    # The select comes last: a removed element may be inf or NaN, which no product turns into 0.
    return engine.select(field.keep, values, field.fill, own=values is not x)


def _with_axis(field: Field) -> Field:
    """Return a field with a last axis of 1, shared by the two parts of a complex number."""
    keep, gain = field.keep, field.gain
    return Field(
        keep=None if keep is None else keep[..., None],
        gain=gain if gain is None or isinstance(gain, float) else gain[..., None],
        fill=field.fill,
    )


def check_input(engine: ArrayEngine, kind: Kind, x: Array) -> str:
    """Return the precision of the application, or raise if the kind cannot take the input."""
    precision = engine.precision(x)
    if precision == "unsupported":
        raise InvalidType(
            f"the input's dtype must be float16, bfloat16, float32, "
            f"float64, complex64 or complex128; got {x.dtype}."
        ).prefix(type(kind).__name__)
    if kind.reads_input and engine.is_complex(x):
        raise InvalidType(
            f"the noise depends on the input, which must be real; got {x.dtype}. Noise the real "
            "and the imaginary part on their own."
        ).prefix(type(kind).__name__)
    if precision == "integer":
        if kind.integers is None:
            raise InvalidType(
                f"the input must hold floating-point numbers; got {x.dtype}. {kind.REMEDY}"
            ).prefix(type(kind).__name__)
        low, high = engine.limits(x)
        for value in kind.integers:
            if not low <= value <= high:
                raise InvalidValue(
                    f"input of {x.dtype} cannot hold {value:g}, which takes "
                    "the place of what is removed. Give another value, or convert the input."
                ).prefix(type(kind).__name__)
    return precision
