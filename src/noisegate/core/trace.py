"""A kind as data: what it does to one element, so that an engine can apply it in one pass.

A kind's `field` works on arrays. `trace_kind` calls it with a `Tracer` instead of draws. The
tracer returns stand-ins for arrays, and the resulting `Trace` says how one element is made. A kind
that does more than the stand-ins allow has no trace, and its field is computed on arrays as usual.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from . import checks
from .draws import Draws, Field
from .kind import Kind
from .philox import threshold


class StandIn:
    """Stand in for an array while a kind is traced, and refuse most of what arrays do."""

    __slots__ = ()
    __array_ufunc__ = None  # so that NumPy's numbers leave operators to the stand-in
    # None is how Python marks a class without a hash; its type stubs allow only a function.
    __hash__ = None  # type: ignore[assignment]

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("this stands for an array that is not there")

    __array__ = __bool__ = __eq__ = __ne__ = _refuse


@dataclass(frozen=True, slots=True, eq=False)
class KeepMask(StandIn):
    """The elements whose random number has a u32 of at least a threshold."""

    number: int
    threshold: int


@dataclass(frozen=True, slots=True, eq=False)
class Choice(StandIn):
    """One number where a mask holds, another where it does not."""

    mask: KeepMask
    yes: float
    no: float


@dataclass(frozen=True, slots=True, eq=False)
class Random(StandIn):
    """A random number z of an element: ``z · factor + plus``, without a part that is None."""

    normal: bool
    number: int
    factor: float | None = None
    plus: float | None = None

    def __mul__(self, factor: Any) -> "Random":
        """Return the number times another; allowed once, and before an addition."""
        if not _is_plain(factor) or self.factor is not None or self.plus is not None:
            return NotImplemented
        return replace(self, factor=float(factor))

    def __add__(self, plus: Any) -> "Random":
        """Return the number plus another; allowed once."""
        if not _is_plain(plus) or self.plus is not None:
            return NotImplemented
        return replace(self, plus=float(plus))

    __rmul__, __radd__ = __mul__, __add__


def _is_plain(value: object) -> bool:
    """Return whether every library computes with the value in the array's own precision."""
    return type(value) is float or (type(value) is int and abs(value) < 1 << 24)


class Trace(NamedTuple):
    """The field of one element; see `noisegate.core.draws.Field`."""

    keep: KeepMask | None
    gain: float | Random | None
    shift: float | Random | None
    fill: float | Choice

    @property
    def random(self) -> Random | None:
        """The random number that scales or shifts elements, if there is one."""
        return next((part for part in (self.gain, self.shift) if isinstance(part, Random)), None)

    @property
    def idle(self) -> bool:
        """Whether all elements stay as they are."""
        return self.keep is None and self.gain is None and self.shift is None

    def fits(self, dtype: str) -> bool:
        """Return whether an engine can apply it to a dtype; if not, the array path says why."""
        if dtype.startswith("complex"):
            return self.shift is None and type(self.fill) is float and self.fill == 0.0
        if dtype in PRECISION:
            return True
        whole = dtype.startswith(("int", "uint", "bool"))
        return whole and (self.gain is None and self.shift is None and self.keep is not None)

    @property
    def linear(self) -> "Trace":
        """The part that is linear in the input, which is the backward pass."""
        return self._replace(shift=None, fill=0.0)


class Tracer(Draws):
    """Draws that return stand-ins for arrays."""

    __slots__ = ()

    def keep(self, p: Any, number: int = 0) -> Any:
        """Return a stand-in for the mask of the elements that survive."""
        return KeepMask(_whole(number), threshold(_host(p)))

    def uniform(self, number: int = 0) -> Any:
        """Return a stand-in for uniform numbers."""
        return Random(False, _whole(number))

    def normal(self, number: int = 0) -> Any:
        """Return a stand-in for normal numbers."""
        return Random(True, _whole(number))

    def where(self, condition: Any, yes: float, no: float) -> Any:
        """Return a stand-in for one number where a condition holds, another where it does not."""
        return Choice(condition, float(yes), float(no))


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 31:
        raise TypeError("arrays decide what such a number is")
    return number


def _host(p: Any) -> float:
    if not checks.is_host(p):
        raise TypeError("arrays decide what such a rate is")
    return p


# The precision in which a dtype is computed. Integers are missing: they are only selected.
PRECISION = {
    "float16": "float32",
    "bfloat16": "float32",
    "float32": "float32",
    "complex64": "float32",
    "float64": "float64",
    "complex128": "float64",
}


def trace_kind(kind: Kind, rate: float, dtype: str, linear: bool = False) -> Trace | None:
    """Return the trace of a kind at a rate for elements of a dtype; None if it has none.

    With `linear`, it is that of the derivative by the input.
    """
    computed = PRECISION.get(dtype, "float64")
    nothing: Any = None  # key and window stay open, so one trace serves all of them
    tracer = Tracer(nothing, type(kind).__name__, nothing, nothing, computed)
    try:
        field = (kind.backward_field if linear else kind.field)(tracer, rate)
    except Exception:
        # A stand-in refused, or the kind is at fault; then arrays raise the same error again.
        return None
    trace = _read_field(field)
    if trace is None or not trace.fits(dtype):
        return None
    return trace.linear if linear else trace


def _read_field(field: Any) -> Trace | None:
    """Return the trace of a field of stand-ins; None if the field holds anything else."""
    if type(field) is not Field:
        return None
    keep, gain, shift, fill = field
    # Exact types, since a np.float64 is a float too, and would widen the arrays' precision.
    numbers = (float, Random, type(None))
    decided = type(keep) in (KeepMask, type(None))
    filled = type(fill) is float or (type(fill) is Choice and type(fill.mask) is KeepMask)
    if not (decided and filled and type(gain) in numbers and type(shift) in numbers):
        return None
    moved = sum(part is not None for part in (gain, shift))
    # Engines have no action for values in place of elements beside a gain or a shift.
    if type(fill) is Choice and moved:
        return None
    trace = Trace(keep, gain, shift, fill)
    # An action draws one number: a random gain or shift stands alone, without a mask or another.
    alone = keep is None and moved == 1
    return trace if alone or trace.random is None else None


__all__ = ["Choice", "KeepMask", "Random", "Trace", "Tracer", "trace_kind"]
