"""What calls have in common when only their keys differ, in one cache for all faces and sites."""

from collections.abc import Hashable, Mapping
from types import NoneType
from typing import Any, NamedTuple

from .checks import is_host
from .errors import InvalidValue, NoisegateError
from .keys import Key, check_key
from .kind import Kind
from .window import DefaultAxis, SampleAxis, Window, window_of

# A site or layer seldom meets arrays of more than one or two layouts.
MOST_LAYOUTS = 64
# A full cache is cleared, since noting the order of use would cost time at every hit.
MOST_CALLS, MOST_WITH_IDS = 4096, 16


class Works(dict[Hashable, Any]):
    """An engine's plans for calls of one window and rate, by dtype and layout.

    A copy is empty, since plans of the extension cannot be copied, and fills again in use.
    """

    def keep(self, layout: Hashable, work: Any) -> None:
        """Store the work of a layout."""
        if len(self) >= MOST_LAYOUTS:
            self.clear()
        self[layout] = work

    def __reduce__(self) -> Any:
        """Return how pickle and copy make a new one, which is empty."""
        return Works, ()


class Prepared(NamedTuple):
    """All that calls of a kind with one rate, on arrays of one shape, have in common.

    `rate` is a number; a schedule or an array stands there until a call reads it. `idle` means
    that this rate changes nothing. `works` is None for a user's kind, whose next call may differ.
    """

    window: Window
    rate: Any
    idle: bool = False
    works: Works | None = None


def prepare(
    kind: Kind, key: Any, shape: tuple[int, ...], rows: Any, axis: Any, live: Mapping[str, object]
) -> Prepared:
    """Check the arguments of a call, and return all that is known before x is read."""
    usual = rows is None and not live and type(key) is Key and type(kind) in KEPT
    if usual and type(axis) in AXES:
        # The everyday call: one look-up, which saves some microseconds of checks.
        call = PREPARED.get((kind, None, shape, None, axis, type(axis)))
        if call is not None and type(call.rate) is float:
            return call
    try:
        check_key(key)
        rate = kind.rate_at(key.step, live)
        # The number of a call or a schedule; None stands for the kind's own rate.
        moves = bool(live) or not is_host(kind.rate)
        number = rate if moves and is_host(rate) else None
        call = find_prepared(kind, number, shape, rows, axis)
        if is_host(rate):
            return call
        check_rate_shape(kind.RATE, rate, tuple(shape))
    except NoisegateError as error:
        error.prefix(type(kind).__name__)
        raise
    return call._replace(rate=rate, idle=False)


def find_prepared(
    kind: Kind, rate: float | None, shape: tuple[int, ...], rows: Any, sample_axis: SampleAxis
) -> Prepared:
    """Check the rows and the sample axis of a call, and return what is known of it.

    A rate of None means the kind's own.
    """
    axis, ours = type(sample_axis), is_builtin(kind)
    cache, ids = _find_cache(rows) if ours and axis in AXES else (None, None)
    # The type is part of the place, since the default axis equals 0 and means something else.
    place = kind, rate, shape, ids, sample_axis, axis
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


def check_rate_shape(name: str, rate: Any, shape: tuple[int, ...]) -> None:
    """Raise if a live rate does not broadcast to the input."""
    given = tuple(rate.shape)
    fits = len(given) <= len(shape) and all(
        mine in (1, theirs) for mine, theirs in zip(given[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise InvalidValue(
            f"`{name}` of shape {given} does not broadcast to the input's shape {shape}. "
            "Give a 0-d array or one with extents of 1 where the rate is shared."
        )


def _find_cache(rows: Any) -> tuple[dict[Any, Prepared] | None, Any]:
    """Return the cache for calls with these rows, and the rows in a hashable form.

    The cache is None for rows that might equal others of another meaning, as True equals 1.
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


def is_builtin(kind: Kind) -> bool:
    """Return whether a kind is noisegate's own, so that equal kinds always do the same.

    A user's kind may depend on more than its fields, so nothing of its calls is cached.
    """
    return type(kind).__module__.startswith("noisegate.")


# Types of a sample axis that may be a key of the cache. Another type might have no hash, or equal
# one of these without meaning the same.
AXES = (DefaultAxis, int, str, NoneType)
PREPARED: dict[Any, Prepared] = {}
# The classes of kinds that have calls in a cache: `prepare` hashes no others.
KEPT: set[type[Kind]] = set()
# Ids of samples are long tuples that seldom recur, so only few are kept.
_WITH_IDS: dict[Any, Prepared] = {}
