"""The base class of kinds of noise: frozen numbers, callable on any array."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, cast

from . import axes, checks
from .axes import AxisSlice, SharedAxes
from .backends import face_of_array
from .checks import BELOW_ONE
from .draws import Draws, Field
from .engine import Array
from .errors import InvalidType, InvalidValue, NoisegateError, prefix_errors
from .html import paragraphs
from .keys import DRAW, NO_KEY, Key
from .schedule import Schedule
from .swatch import draw_swatch
from .window import DEFAULT_AXIS, SampleAxis, Window
from .words import got

# Checks a number of a kind and returns it in its stored form: (name, value).
Check = Callable[[str, Any], object]


class Kind(ABC):
    """A kind of noise: the numbers that define what happens to an element, and no state.

    A kind is called on any supported array, ``kind(x, key)``, and is a pure function of both.
    Your own kind is a frozen dataclass that names its rate and turns draws into a field. Its
    numbers and `field` are enough for every engine, the layer, the mask, the gradient and the
    config.

    Attributes
    ----------
    RATE : str
        Name of the one number that a call may replace and a schedule may change.
    BOUNDS : tuple of float
        Lowest and highest rate; by default [0, 1], as for a probability. An upper bound of inf
        means any finite number.
    CHECKS : mapping of str to function
        How the other numbers are checked: ``check(name, value)`` returns the value to store.
    removes : bool
        Whether the kind removes elements, and so has a mask, which does not depend on the input.
    takes_live : bool
        Whether a call may give the rate as an array.
    elementwise : bool
        Whether `field` makes each element from that element's draws alone. Then several steps
        may be drawn at once: the same noise, in less time.
    reads_input : bool
        Whether `field` reads the input, as `draws.x`. Then `backward_field` must be defined too.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import noisegate as ng, numpy as np
    >>> @dataclass(frozen=True)
    ... class SignFlip(ng.Kind):
    ...     p: float = 0.1
    ...     RATE = "p"
    ...     def field(self, draws, rate):
    ...         return ng.Field(gain=draws.where(draws.keep(rate), 1.0, -1.0))
    >>> SignFlip(0.5)(np.ones(6), ng.Stream(13).site("a").at(0))
    array([-1., -1.,  1., -1., -1.,  1.])
    """

    __slots__ = ()

    RATE: ClassVar[str]
    BOUNDS: ClassVar[tuple[float, float]] = (0.0, 1.0)
    CHECKS: ClassVar[Mapping[str, Check]] = {}
    removes: ClassVar[bool] = False
    # What happens to elements, in the words of pictures and reports.
    outcomes: ClassVar[tuple[str, str]] = ("kept", "removed")
    takes_live: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False
    reads_input: ClassVar[bool] = False
    # The way out, in the error for integer input.
    REMEDY: ClassVar[str] = "Convert it with x.astype('float32') or x.float()."

    shared_axes: Any = ()

    def __new__(cls, *args: object, **kwargs: object) -> "Kind":
        """Refuse a misspelt keyword, naming the nearest, and a class that is not a complete kind.

        The `__init__` that a dataclass writes would answer with Python's own errors.
        """
        if not is_dataclass(cls) or getattr(cls, "RATE", None) not in cls.names():
            raise InvalidType(
                "a kind must be a dataclass with a class attribute RATE that "
                "names one of its numbers. Put @dataclass(frozen=True) above the class, and "
                "RATE = 'p' in it."
            ).prefix(cls.__name__)
        with prefix_errors(cls.__name__):
            checks.check_keywords(kwargs, cls.names())
            checks.check_places(_find_places(cls), args)
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        """Refuse the name of a noisegate kind: kinds of one name draw the same random numbers.

        Refuse also a kind that reads its input and does not say what its derivative is.
        """
        if cls.reads_input and not cls._has_backward_field():
            raise InvalidType(
                "a kind that reads its input must define `backward_field`, since the derivative of "
                "its field is unknown. Return for example Field(), which passes gradients through."
            ).prefix(cls.__name__)
        if cls.reads_input:  # several steps would have one input
            cls.elementwise = False
        if cls.__name__ == DRAW:
            raise InvalidValue(
                "what a model's own code draws has this name, and the name is part of where noise "
                "is drawn. Give your class another name."
            ).prefix(DRAW)
        ours = f"{__package__}."
        taken = {
            kind.__name__ for kind in Kind.__subclasses__() if kind.__module__.startswith(ours)
        }
        if cls.__name__ in taken and not cls.__module__.startswith(ours):
            raise InvalidValue(
                "a kind of noisegate has this name, and the name is part of "
                "where noise is drawn. Give your class another name."
            ).prefix(cls.__name__)
        if "__repr__" not in vars(cls):  # a dataclass would write its own, with every default
            cls.__repr__ = Kind.__repr__  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Check every number and store it in one form, so that equal kinds have equal hashes."""
        with prefix_errors(type(self).__name__):
            for name in self.names():
                value = getattr(self, name)
                if name == self.RATE:
                    value = self._check_rate(value)
                elif name == "shared_axes":
                    value = axes.store_shared(name, value)
                elif name in self.CHECKS:
                    value = self.CHECKS[name](name, value)
                object.__setattr__(self, name, value)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the kind's numbers, its fields."""
        return list(_find_names(cls))

    @classmethod
    def check(cls, value: object) -> float:
        """Return the rate as a float within its bounds, or raise."""
        try:
            return checks.check_bounds(cls.RATE, value, cls.BOUNDS)
        except NoisegateError as error:
            error.prefix(cls.__name__)
            raise

    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live rate within its bounds; NaN stays NaN."""
        return draws.engine.clip(rate, *self.BOUNDS)

    def is_identity(self, rate: float) -> bool:
        """Return whether noise of this rate changes nothing."""
        return rate == 0

    def check_window(self, window: Window) -> None:
        """Raise if the kind cannot be applied to an array with this window."""
        return

    @abstractmethod
    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the field for a rate: a float, or a live array within its bounds."""

    def backward_field(self, draws: Draws, rate: Any) -> Field:
        """Return the field whose keep and gain are the derivative by the input.

        By default it is `field` itself. A kind may have another one, with other random numbers or
        none: a gradient is then multiplied by its gain where it keeps, and is 0 elsewhere, and so
        is a tangent. It is computed without the input.
        """
        return self.field(draws, rate)

    def slope(self, draws: Draws, rate: Array) -> Field | None:
        """Return the derivative of gain and shift by a live rate, with the field's keep.

        None if the kind has no derivative: then a rate that requires grad is refused.
        """
        return None

    @property
    def differentiable(self) -> bool:
        """Whether the field has a derivative by the rate."""
        return type(self).slope is not Kind.slope and not self.has_own_backward

    @property
    def has_own_backward(self) -> bool:
        """Whether the derivative by the input is another field than the one that is applied."""
        return self._has_backward_field()

    @classmethod
    def _has_backward_field(cls) -> bool:
        return cls.backward_field is not Kind.backward_field

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The values that may replace an integer, which is only selected; None refuses integers."""
        return None

    @property
    def rate(self) -> float | Schedule:
        """The number that a call may replace, or its schedule."""
        return cast("float | Schedule", getattr(self, self.RATE))

    @property
    def shared(self) -> axes.Axes:
        """The shared axes: numbers, a slice, or "all_but_samples"."""
        return axes.restore(self.shared_axes)

    def rate_at(self, step: int | None, live: Mapping[str, object]) -> Any:
        """Return the rate of a call: the call's own, else the kind's; a schedule's at the step.

        A step of None means fresh noise, whose key has no step: there schedules raise.
        """
        if not live and checks.is_host(own := self.rate):
            return own  # checked when the kind was made
        with prefix_errors(type(self).__name__):
            for word in live:
                if word != self.RATE:
                    checks.check_keywords([word], [*CALL_WORDS, *self.names()])
                    raise InvalidType(
                        f"`{word}` cannot be given at the call; only the rate `{self.RATE}` can. "
                        f"Make another {type(self).__name__} for another `{word}`."
                    )
        value = live.get(self.RATE, self.rate)
        if isinstance(value, Schedule):
            if step is None:
                self.refuse_schedule()
            return self.check(value.at(cast(int, step)))
        # Text and None are no arrays, so the check of a number answers for them.
        if not hasattr(value, "shape") or checks.is_number(value):
            return self.check(value)
        if not self.takes_live:
            raise InvalidType(
                f"`{self.RATE}` must be a number or a schedule, not an array: block sizes turn it "
                f"into other rates on the host. Write float({self.RATE})."
            ).prefix(type(self).__name__)
        return value

    def check_removes(self) -> None:
        """Raise if the kind removes nothing, and so has no mask."""
        if not self.removes:
            raise InvalidValue(
                f"{self!r} removes nothing, so it has no mask. Use noisegate.noise for its field."
            )

    def refuse_schedule(self) -> None:
        """Raise, since a schedule is read at a step and fresh noise has no step."""
        raise InvalidValue(
            f"`{self.RATE}` is a schedule, and without a seed there is no step to read it at. "
            "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject."
        ).prefix(type(self).__name__)

    def __call__(
        self,
        x: Any,
        key: Key = NO_KEY,
        rows: Any = None,
        sample_axis: SampleAxis = DEFAULT_AXIS,
        **live: Any,
    ) -> Any:
        """Return x with the noise of this key on it.

        Parameters
        ----------
        x : array
            Any NumPy array or torch tensor, of float16, bfloat16, float32, float64 or complex.
        key : Key
            ``Stream(seed).site(name).at(step)``. Without a key, an error says how to make one.
        rows : slice or sequence of int, optional
            The id of each of x's samples, in [0, 2⁶⁴); by default 0, 1, 2 …, counted on over the
            members of a map of torch.func with ``randomness="different"``.
        sample_axis : int, None or "attention"
            The axis of the samples; None if x has no samples. The default is axis 0, and None for
            arrays of rank 0 and 1. "attention" is for probabilities (batch, head, query, key), or
            with the first two axes merged: neither padding nor merging then changes the noise.
        **live
            The rate (`p`, `sigma` or `width`) as a number, a schedule, or an array that
            broadcasts to x. A number is checked; an array is clamped to the bounds, and a NaN in
            it gives NaN.

        Returns
        -------
        array
            Of x's library, shape, dtype and device; x itself if the rate is the number 0.
        """
        try:
            face = face_of_array(x)
        except NoisegateError as error:  # a block of `prefix_errors` would cost 0.2 µs a call
            error.prefix(type(self).__name__)
            raise
        return face.apply(self, x, key, rows, sample_axis, live)

    def at_rate(self, rate: object) -> "Kind":
        """Return this kind with another rate."""
        return cast(Kind, replace(cast(Any, self), **{self.RATE: rate}))

    def config(self) -> dict[str, Any]:
        """Return the kind as a dict that JSON can hold; `noisegate.from_config` reads it."""
        config: dict[str, Any] = {"kind": type(self).__name__}
        for name in self.names():
            value = getattr(self, name)
            if isinstance(value, AxisSlice | Schedule):
                value = value.config()
            config[name] = list(value) if isinstance(value, tuple) else value
        return config

    def __repr__(self) -> str:
        """Return the call that makes the kind, without numbers that are at their default."""
        given = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(cast(Any, self))
            if field.name == self.RATE or getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _repr_html_(self) -> str:
        """Return the kind and a small picture of its noise, which a notebook shows."""
        return paragraphs([repr(self)]) + draw_swatch(self)

    def _check_rate(self, value: Any) -> float | Schedule:
        if not isinstance(value, Schedule):
            return self.check(value)
        # A schedule stays between its ends, so its ends prove every step.
        for end in (value.start, value.end):
            self.check(end)
        return value


@checks.at_trace_time
def _find_names(kind: type[Kind]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, kind)))


@checks.at_trace_time
def _find_places(kind: type[Kind]) -> tuple[str, ...]:
    """Return the names of the numbers that may be given by place."""
    return tuple(field.name for field in fields(cast(Any, kind)) if not field.kw_only)


CALL_WORDS = ("x", "key", "rows", "sample_axis")


def check_kind(value: object) -> Kind:
    """Return `value` if it is a kind."""
    if not isinstance(value, Kind):
        raise InvalidType(
            f"`kind` must be a kind of noise; {got(value)}. Write for example "
            "noisegate.Dropout(0.5)."
        )
    return value


__all__ = ["BELOW_ONE", "Kind", "SharedAxes", "check_kind"]
