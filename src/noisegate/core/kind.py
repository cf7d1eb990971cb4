"""What a kind of noise is: frozen numbers, callable on any array."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from operator import index
from typing import Any, ClassVar, SupportsIndex, cast

from . import checks, messages
from .backends import face_of_array
from .draws import Draws, Field
from .engine import Array
from .errors import InvalidType
from .keys import Key
from .window import DEFAULT_AXIS

SharedAxes = int | Iterable[int] | slice


@dataclass(frozen=True, slots=True)
class AxisSlice:
    """A slice of axes in a hashable form: slices hash only from Python 3.12."""

    start: int | None
    stop: int | None
    step: int | None

    def __repr__(self) -> str:
        given = (self.start, self.stop) if self.step is None else _parts(self)
        return f"slice{given!r}"


def _parts(axes: AxisSlice | slice) -> tuple[int | None, int | None, int | None]:
    return axes.start, axes.stop, axes.step


class Kind(ABC):
    """A kind of noise: numbers that say what is done, and nothing that changes.

    A kind is called on any supported array, ``kind(x, key)``, and is a pure function of both.
    """

    __slots__ = ()

    # The number that a call may replace by a live array.
    RATE: ClassVar[str]
    # Whether it removes elements, and so has a mask.
    removes: ClassVar[bool] = False
    # What is said to integer input.
    REMEDY: ClassVar[str] = "Convert it with x.astype('float32') or x.float()."

    shared_axes: tuple[int, ...] | AxisSlice

    def __new__(cls, *args: object, **kwargs: object) -> "Kind":
        """Refuse a misspelt keyword and name the nearest."""
        checks.keywords(cls.__name__, kwargs, cls.names())
        return super().__new__(cls)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the numbers that make the kind."""
        return [field.name for field in fields(cast(Any, cls))]

    @classmethod
    @abstractmethod
    def check(cls, value: object) -> float:
        """Return the rate as a float within its bounds, or raise."""

    @abstractmethod
    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live rate within its bounds; NaN stays NaN."""

    @abstractmethod
    def is_identity(self, rate: float) -> bool:
        """Return whether noise of this rate changes nothing."""

    @abstractmethod
    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the field for a rate: a float, or a live array within its bounds."""

    @property
    def rate(self) -> float:
        """The number that a call may replace by a live array."""
        return cast(float, getattr(self, self.RATE))

    @property
    def axes(self) -> tuple[int, ...] | slice:
        """The shared axes, as numbers or as a slice."""
        shared = self.shared_axes
        return slice(*_parts(shared)) if isinstance(shared, AxisSlice) else shared

    def live_rate(self, live: Mapping[str, object]) -> object:
        """Return the rate of a call: its own, or the one that the call gives."""
        who = type(self).__name__
        for word in live:
            if word != self.RATE:
                checks.keywords(who, [word], [*CALL_WORDS, *self.names()])
                raise InvalidType(messages.no_live_rate(who, word, self.RATE))
        value = live.get(self.RATE, self.rate)
        # Text and None have no array in them; let the check say so.
        is_array = hasattr(value, "shape") and not checks.is_number(value)
        return value if is_array else type(self).check(value)

    def __call__(
        self,
        x: Any,
        key: Key,
        rows: Any = None,
        sample_axis: int | None = DEFAULT_AXIS,
        **live: Any,
    ) -> Any:
        """Return x with the noise of this key on it.

        Parameters
        ----------
        x : array
            Any NumPy array or torch tensor, of float16, bfloat16, float32, float64 or complex.
        key : Key
            ``Stream(seed).site(name).at(step)``.
        rows : slice or sequence of int, optional
            Which sample each of x's samples is, in [0, 2⁶⁴); by default 0, 1, 2 ….
        sample_axis : int or None
            The axis of the samples. None means there is none; arrays of rank 0 and 1 have
            none unless it is named.
        **live
            The rate (`p`, `sigma` or `width`) as a number, or as an array that broadcasts to
            x. A number is checked; an array is clamped to its bounds, and NaN gives NaN.

        Returns
        -------
        array
            Of x's library, shape, dtype and device. x itself where the rate is the number 0.
        """
        face = face_of_array(type(self).__name__, x)
        return face.apply(self, x, key, rows, sample_axis, live)

    def config(self) -> dict[str, Any]:
        """Return the kind as a dict that JSON can hold; `noisegate.from_config` reads it."""
        config: dict[str, Any] = {"kind": type(self).__name__}
        for name in self.names():
            value = getattr(self, name)
            if isinstance(value, AxisSlice):
                value = {"slice": list(_parts(value))}
            config[name] = list(value) if isinstance(value, tuple) else value
        return config

    def __repr__(self) -> str:
        """Return what makes the kind again; numbers that are at their default are left out."""
        given = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(cast(Any, self))
            if field.name == self.RATE or getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _store(self, **values: object) -> None:
        """Store checked values and the shared axes in their hashable form."""
        axes = _stored_axes(type(self).__name__, self.shared_axes)
        for name, value in (*values.items(), ("shared_axes", axes)):
            object.__setattr__(self, name, value)


CALL_WORDS = ("x", "key", "rows", "sample_axis")


def _stored_axes(who: str, axes: Any) -> tuple[int, ...] | AxisSlice:
    try:
        if isinstance(axes, AxisSlice | slice):
            return AxisSlice(*(None if part is None else index(part) for part in _parts(axes)))
        if isinstance(axes, bool | str):
            raise TypeError
        given = axes if isinstance(axes, Iterable) else (cast(SupportsIndex, axes),)
        return tuple(index(axis) for axis in given)
    except TypeError:
        raise InvalidType(messages.bad_axes(who, axes)) from None


def checked_kind(who: str, value: object) -> Kind:
    """Return `value` if it is a kind."""
    if not isinstance(value, Kind):
        raise InvalidType(messages.not_a_kind(who, value))
    return value
