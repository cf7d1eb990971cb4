"""Axes as users name them: numbers, a slice that fits every rank, or all but the sample axis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Final, Literal, SupportsIndex, TypeVar, cast

from . import checks
from .errors import InvalidType, InvalidValue, prefix_errors
from .words import got

# One decision for each whole sample, whichever axis a call names as the sample axis.
ALL_BUT_SAMPLES: Final = "all_but_samples"
AllButSamples = Literal["all_but_samples"]

SharedAxes = int | Iterable[int] | slice | AllButSamples

Axes = tuple[int, ...] | slice | AllButSamples

Word = TypeVar("Word", bound=AllButSamples)


@dataclass(frozen=True, slots=True)
class AxisSlice:
    """A slice of axes in a hashable form: slices hash only from Python 3.12."""

    start: int | None
    stop: int | None
    step: int | None

    def config(self) -> dict[str, list[int | None]]:
        """Return the slice as a dict that JSON can hold."""
        return {"slice": [self.start, self.stop, self.step]}

    def __repr__(self) -> str:
        """Return the slice as a user writes it."""
        given = (self.start, self.stop) if self.step is None else _list_ends(self)
        return f"slice{given!r}"


def store(name: str, axes: Any) -> tuple[int, ...] | AxisSlice:
    """Return axes in the form in which a kind stores them."""
    try:
        if isinstance(axes, AxisSlice | slice):
            return AxisSlice(*(None if part is None else index(part) for part in _list_ends(axes)))
        if isinstance(axes, bool | str):
            raise TypeError
        many = axes if isinstance(axes, Iterable) else (cast(SupportsIndex, axes),)
        return tuple(index(axis) for axis in many)
    except TypeError:
        words = ', a slice or "all_but_samples"' if name == "shared_axes" else " or a slice"
        raise InvalidType(
            f"`{name}` must be whole numbers{words}; {got(axes)}. "
            "Write for example (2, 3) or slice(2, None)."
        ) from None


def store_shared(name: str, axes: Any) -> tuple[int, ...] | AxisSlice | AllButSamples:
    """Return shared axes in the form in which a kind stores them."""
    if isinstance(axes, str) and axes == ALL_BUT_SAMPLES:
        return ALL_BUT_SAMPLES
    return store(name, axes)


def restore(axes: tuple[int, ...] | AxisSlice | Word) -> tuple[int, ...] | slice | Word:
    """Return stored axes in the form that users write: numbers, a slice, or a word."""
    return slice(*_list_ends(axes)) if isinstance(axes, AxisSlice) else axes


def resolve(name: str, axis: int, shape: Sequence[int]) -> int:
    """Return an axis as a number >= 0."""
    if not -len(shape) <= axis < len(shape):
        rank = len(shape)
        have = f"axes {-rank} to {rank - 1}" if rank else "no axes"
        raise InvalidValue(
            f"`{name}` names axis {axis}, but the input of shape {tuple(shape)} has {have}."
        )
    return axis % len(shape)


def resolve_all(name: str, axes: tuple[int, ...] | slice, shape: Sequence[int]) -> frozenset[int]:
    """Return the named axes as numbers >= 0, for an input of this shape."""
    if isinstance(axes, slice):
        return frozenset(range(len(shape))[axes])
    return frozenset(resolve(name, axis, shape) for axis in axes)


def from_config(value: Any) -> Any:
    """Return axes from their form in a config."""
    if isinstance(value, dict) and "slice" in value:
        with prefix_errors("from_config"):
            checks.check_keywords(value, ["slice"])
        return slice(*value["slice"])
    return value


def _list_ends(axes: AxisSlice | slice) -> tuple[int | None, int | None, int | None]:
    return axes.start, axes.stop, axes.step
