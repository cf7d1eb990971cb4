"""What calls share that differ in their key alone, kept in one cache for every face and site."""

from collections.abc import Hashable
from types import NoneType
from typing import Any, NamedTuple

from .checks import is_host
from .kind import Kind
from .window import DefaultAxis, SampleAxis, Window, window_of

# A site or layer seldom meets arrays of more than one or two layouts.
MOST_LAYOUTS = 64
MOST_CALLS, MOST_WITH_IDS = 4096, 16


class Works(dict[Hashable, Any]):
    """What an engine has worked out for calls of one window and rate, by dtype and layout.

    A copy is empty, and fills itself.
    """

    def keep(self, layout: Hashable, work: Any) -> None:
        """Keep the work of a layout."""
        if len(self) >= MOST_LAYOUTS:
            self.clear()
        self[layout] = work

    def __reduce__(self) -> Any:
        """Return how a copy is made."""
        return Works, ()


class Prepared(NamedTuple):
    """What is the same for every call of a kind with one rate on arrays of one shape.

    `rate` is a number, or a schedule or an array until a call has read it. `idle` says that it
    changes nothing. `works` is None where the next call may do otherwise.
    """

    window: Window
    rate: Any
    idle: bool = False
    works: Works | None = None


def find_prepared(
    kind: Kind, rate: float | None, shape: tuple[int, ...], rows: Any, sample_axis: SampleAxis
) -> Prepared:
    """Return what is known of a call, its rows and sample axis checked.

    A rate of None is the kind's own.
    """
    axis, ours = type(sample_axis), is_ours(kind)
    cache, ids = _find_cache(rows) if ours and axis in AXES else (None, None)
    place = kind, rate, shape, ids, sample_axis, axis  # the default axis is a 0 of its own type
    call = None if cache is None else cache.get(place)
    if call is None:
        window = window_of(tuple(shape), kind.shared, rows, sample_axis)
        own = kind.rate if rate is None else rate
        idle = is_host(own) and kind.is_identity(own)
        call = Prepared(window, own, idle, Works() if ours else None)
        if cache is not None:
            if len(cache) >= (MOST_CALLS if cache is PREPARED else MOST_WITH_IDS):
                cache.clear()
            cache[place] = call
            KEPT.add(type(kind))
    return call


def _find_cache(rows: Any) -> tuple[dict[Any, Prepared] | None, Any]:
    """Return where calls with rows are kept, and under which name.

    None for rows that may equal others without meaning the same, as True equals 1.
    """
    if rows is None or type(rows) is range:
        return PREPARED, rows
    if type(rows) is slice:
        ends = rows.start, rows.stop, rows.step
        return (PREPARED if set(map(type, ends)) <= {int, NoneType} else None), ("slice", *ends)
    values = rows.tolist() if hasattr(rows, "tolist") else rows
    if type(values) not in (list, tuple) or not set(map(type, values)) <= {int}:
        return None, None
    return _WITH_IDS, tuple(values)


def is_ours(kind: Kind) -> bool:
    """Return whether a kind is noisegate's, so that equal ones always do the same.

    A user's kind may depend on more than its fields, so nothing of its calls is kept.
    """
    return type(kind).__module__.startswith("noisegate.")


# An axis of another type might equal one of these without meaning the same, or have no hash.
AXES = (DefaultAxis, int, str, NoneType)
PREPARED: dict[Any, Prepared] = {}
# The kinds whose calls are kept.
KEPT: set[type[Kind]] = set()
# Ids of samples are many numbers, and seldom come again.
_WITH_IDS: dict[Any, Prepared] = {}
