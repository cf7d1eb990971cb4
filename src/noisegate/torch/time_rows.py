"""Rows of samples that are time steps, and the rows in use where a call names none."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from noisegate.core.window import TIME_BITS


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


_ROWS: ContextVar[TimeRows | None] = ContextVar("rows of noise layers", default=None)


def rows_in_use() -> TimeRows | None:
    """Return the rows that noise layers use where a call names none."""
    return _ROWS.get()


@contextmanager
def use_rows(rows: TimeRows | None) -> Iterator[None]:
    """Set the rows that noise layers use in a block."""
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)
