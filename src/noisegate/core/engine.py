"""The keyhole through which the generic code sees an array library."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .keys import Key
from .window import Window

# An array of the engine's library. Beside the engine, only its operators are used.
Array = Any


class Draw(NamedTuple):
    """A random number of each element: `what` is "mask", "uniform", "normal" or "word" (its u32).

    `number` says which of an element's random numbers; a mask is True where the u32 is at least
    `threshold`, in (0, 2³²).
    """

    what: str
    number: int
    threshold: int = 0


class Engine(Protocol):
    """The operations that an array library supplies; see `docs/architecture.md`."""

    @property
    def lazy(self) -> bool:
        """Whether plane 1 may be computed for the rare ties alone."""

    @property
    def blocks_per_pass(self) -> int:
        """How many Philox blocks one pass computes."""

    def draw(self, draw: Draw, key: Key, kind: str, window: Window, dtype: str) -> Array | None:
        """Return a draw over a window in a dtype by a shortcut; None if there is none."""

    def spread(self, kept: Array, axis: int, block: int) -> Array | None:
        """Return where bools hold at `block` places in a row along an axis, by a shortcut.

        None if there is none.
        """

    def integers(self, values: range | tuple[int, ...]) -> Array:
        """Return an int64 vector."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Return an array to be filled."""

    def pack(self, words: tuple[Array, Array, Array, Array]) -> Array:
        """Return biased int16 lanes of shape (..., 8) from four int64 words of shape (...)."""

    def nonzero(self, values: Array) -> tuple[Array, ...]:
        """Return the indices where a number is not 0."""

    def permute(self, values: Array, order: Sequence[int]) -> Array:
        """Return the array with its axes in another order."""

    def unique(self, values: Array) -> tuple[Array, Array]:
        """Return the distinct values, ascending, and where each value is among them."""

    def bits(self, values: Array) -> Array:
        """Return the last axis as int64, 64 bits at a time: one float64, or eight bools."""

    def cast(self, values: Array, dtype: str) -> Array:
        """Return the values in another dtype, rounded to nearest even."""

    def normal_table(self) -> tuple[Array, Array, Array]:
        """Return the columns A, D, C of the normal table as int64 vectors."""

    def sqrt(self, values: Array) -> Array:
        """Return the square root."""

    def log(self, values: Array) -> Array:
        """Return the natural logarithm."""

    def exp(self, values: Array) -> Array:
        """Return e to the power of the values."""

    def where(self, condition: Array, yes: float, no: float, dtype: str) -> Array:
        """Return one number where the condition holds, another where not."""

    def count(self, condition: Array, axes: tuple[int, ...]) -> Array:
        """Return how often the condition holds along axes, which stay with length 1, in float64."""

    def round(self, values: Array) -> Array:
        """Return the nearest whole numbers, half to even."""

    def clip(self, values: Array, low: float, high: float) -> Array:
        """Return the values within bounds; NaN stays NaN."""

    def live(self, value: Any) -> Array:
        """Return a live rate as an array beside the input."""
