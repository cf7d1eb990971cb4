"""Rows of time steps and of kept samples, and the rows in use where a call names none."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from noisegate.core.window import ATTENTION, TIME_BITS, SampleAxis

from .checkpointing import register


class TimeRows(tuple[int, ...]):
    """The rows of samples that are time steps: step t of row r is r · 2²⁰ + t, or r itself.

    Attributes
    ----------
    samples : int
        How many samples there are.
    steps : int
        How many steps each has.
    numbered : bool
        Whether each step has a row of its own.
    outer : TimeRows or None
        The rows of the enclosing loop over time, if these samples are its steps.
    """

    samples: int
    steps: int
    numbered: bool
    outer: "TimeRows | None"

    def __new__(cls, samples: Iterable[int], steps: int, numbered: bool = False) -> "TimeRows":
        """Return the rows of all steps, sample by sample."""
        outer = samples if isinstance(samples, TimeRows) else None
        samples = tuple(samples)
        if numbered:
            rows = [(row << TIME_BITS) + step for row in samples for step in range(steps)]
        else:
            rows = [row for row in samples for _ in range(steps)]
        self = super().__new__(cls, rows)
        self.steps, self.numbered, self.outer = steps, numbered, outer
        self.samples = len(samples) if outer is None else outer.samples
        return self

    def of(self, samples: Iterable[int]) -> "TimeRows":
        """Return the rows of the same steps for other samples."""
        inner = samples if self.outer is None else self.outer.of(samples)
        return TimeRows(inner, self.steps, self.numbered)


class KeptRows(tuple[int, ...]):
    """The rows of the samples that a block computes, where it leaves others out."""

    __slots__ = ()

    def fit(self, shape: Sequence[int], axis: SampleAxis) -> "KeptRows | None":
        """Return the rows if an array of a shape holds these samples along its axis, or None."""
        number = 0 if axis == ATTENTION else axis
        known = number is not None and -len(shape) <= number < len(shape) and len(shape) > 1
        return self if known and shape[int(number or 0)] == len(self) else None


_ROWS: ContextVar[TimeRows | KeptRows | None] = ContextVar("rows of noise layers", default=None)


class _Kept:
    """Gives checkpointed segments inside of a block the kept samples again."""

    def snapshot(self) -> KeptRows | None:
        rows = _ROWS.get()
        return rows if isinstance(rows, KeptRows) else None

    def restore(self, state: KeptRows | None) -> None:
        if state is not None or isinstance(_ROWS.get(), KeptRows):
            _ROWS.set(state)


_kept = _Kept()


def rows_in_use() -> TimeRows | KeptRows | None:
    """Return the rows that noise layers use where a call names none."""
    return _ROWS.get()


def times_in_use() -> TimeRows | None:
    """Return the rows of time steps that are in use."""
    rows = _ROWS.get()
    return rows if isinstance(rows, TimeRows) else None


@contextmanager
def use_kept(samples: Iterable[int]) -> Iterator[None]:
    """Keep some samples of those in use, by their places, for noise layers in a block."""
    register(_kept)
    rows = _ROWS.get()
    kept = KeptRows(samples if rows is None else (rows[place] for place in samples))
    with use_rows(kept):
        yield


@contextmanager
def use_rows(rows: TimeRows | KeptRows | None) -> Iterator[None]:
    """Set the rows that noise layers use in a block."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)
