"""The keyhole through which generic code uses an array library: a few operations."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .keys import Key
from .window import Window

# An array of the engine's library. Generic code uses its operators and the engine, nothing else.
Array = Any


class Draw(NamedTuple):
    """What to draw for each element: `what` is "mask", "uniform", "normal" or "word" (the u32).

    `number` chooses among an element's random numbers. A mask is True where the u32 is at least
    `threshold`, which is in (0, 2³²).
    """

    what: str
    number: int
    threshold: int = 0


class Engine(Protocol):
    """The operations that an array library supplies; see `docs/architecture.md`."""

    @property
    def lazy(self) -> bool:
        """Whether the low plane may be computed for the rare ties alone."""

    @property
    def blocks_per_pass(self) -> int:
        """The number of Philox blocks that one pass computes."""

    def draw(self, draw: Draw, key: Key, kind: str, window: Window, dtype: str) -> Array | None:
        """Return a draw over a window, in a dtype, by a shortcut; None without a shortcut."""

    def spread(self, kept: Array, axis: int, block: int) -> Array | None:
        """Return where `block` places in a row along an axis, beginning here, are all kept.

        None without a shortcut.
        """

    def integers(self, values: range | tuple[int, ...]) -> Array:
        """Return an int64 vector."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Return an array to be filled, its values undefined."""

    def pack(self, words: tuple[Array, Array, Array, Array]) -> Array:
        """Return biased int16 lanes of shape (..., 8) from four int64 words of shape (...)."""

    def nonzero(self, values: Array) -> tuple[Array, ...]:
        """Return the indices of the numbers that are not 0."""

    def permute(self, values: Array, order: Sequence[int]) -> Array:
        """Return the array with its axes in another order."""

    def unique(self, values: Array) -> tuple[Array, Array]:
        """Return the distinct values, ascending, and the index of each value among them."""

    def bits(self, values: Array) -> Array:
        """Return the bits of the last axis as int64: a float64 or eight bools make one."""

    def cast(self, values: Array, dtype: str) -> Array:
        """Return the values in another dtype, rounded to nearest even."""

    def normal_table(self) -> tuple[Array, Array, Array]:
        """Return the columns A, D, C of the normal table as int64 vectors."""

    def sqrt(self, values: Array) -> Array:
        """Return the square root."""

    def log(self, values: Array) -> Array:
        """Return the natural logarithm."""

    def log1p(self, values: Array) -> Array:
        """Return the natural logarithm of 1 more than the values."""

    def exp(self, values: Array) -> Array:
        """Return e to the power of the values."""

    def where(self, condition: Array, yes: float, no: float, dtype: str) -> Array:
        """Return `yes` where the condition holds and `no` elsewhere, in a dtype."""

    def tan(self, values: Array) -> Array:
        """Return the tangent."""

    def sum(self, values: Array, axes: tuple[int, ...]) -> Array:
        """Return sums along axes, in float64; True counts as 1, and axes stay, of extent 1."""

    def largest(self, values: Array) -> Array:
        """Return the largest value along the last axis, which stays, of extent 1."""

    def argsort(self, values: Array) -> Array:
        """Return the indices that sort the last axis; equal values stay in order."""

    def search(self, ends: Array, values: Array) -> Array:
        """Return how many of the ascending `ends` of its row each value reaches, as int64."""

    def select(self, keep: Array, values: Array, fill: Array | float, *, own: bool) -> Array:
        """Return values where keep, else fill, in the memory layout of values.

        With `own` the values may be overwritten. Derivatives do not go through this operation.
        """

    def is_complex(self, x: Array) -> bool:
        """Return whether x holds complex numbers."""

    def as_complex(self, values: Array) -> Array:
        """Return real numbers of shape (..., 2) as complex ones of shape (...)."""

    def round(self, values: Array) -> Array:
        """Return the nearest whole numbers, half to even."""

    def clip(self, values: Array, low: float, high: float) -> Array:
        """Return the values within bounds; NaN stays NaN."""

    def live(self, value: Any) -> Array:
        """Return a live rate as an array beside the input."""
