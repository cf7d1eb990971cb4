"""PatchDropout: a fixed share of a sample's tokens removed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import checks
from ..draws import ALL, Draws, Field
from ..engine import Array
from ..errors import InvalidValue
from ..kind import BELOW_ONE, Check, Kind
from ..philox import threshold
from ..schedule import Schedule
from ..window import Window
from ..words import got


def check_prefix(name: str, value: Any) -> int:
    """Return a number of tokens, at least 0."""
    return checks.check_whole(name, value, 32)


@dataclass(frozen=True, slots=True)
class PatchDropout(Kind):
    """Removes a fixed share of each sample's tokens, all features of a token together.

    Of the n tokens after the prefix, the nearest whole number to p · n is removed, but never all:
    those with the smallest random numbers. So samples of one length keep equally many. Nothing is
    scaled. Tokens lie along the first axis that is not the sample axis.

    Called on an array, it makes removed tokens 0. At a port `tokens` of `noisegate.inject`, they
    are left out, so that the sequence is shorter.

    Parameters
    ----------
    p : float or Schedule
        Share of the tokens that is removed, in [0, 1). 0 returns the input itself.
    prefix : int
        How many first tokens always stay, such as a class token; at least 0.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is of the wrong type or out of bounds; at the call, if x has no axis of
        tokens, or holds attention probabilities.

    Notes
    -----
    Tier: exact. A removed token has gradient 0. Which tokens are removed depends on their number,
    so padding changes it.

    References
    ----------
    Liu, Matsoukas, Strand, Azizpour, Smith (2022), PatchDropout: economizing vision transformers
    using patch dropout, https://arxiv.org/abs/2208.07220.

    Examples
    --------
    >>> import noisegate as ng
    >>> key = ng.Stream(13).site("blocks:tokens").at(0)
    >>> ng.mask(ng.PatchDropout(0.5), (2, 13, 4), key)[..., 0].astype(int)
    array([[1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0],
           [1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1]])
    """

    p: float | Schedule = 0.5
    prefix: int = 1

    RATE = "p"
    BOUNDS = (0.0, BELOW_ONE)
    CHECKS: ClassVar[Mapping[str, Check]] = {"prefix": check_prefix}
    removes = True

    @classmethod
    def check(cls, value: object) -> float:
        """Return p as a float within its bounds, or raise."""
        if checks.is_number(value) and value == 1:
            raise InvalidValue(
                f"`{cls.RATE}` must be in [0, 1), since one token stays at least; {got(value)}. "
                "Take a number below 1."
            ).prefix(cls.__name__)
        # Slots make another class, which `super()` without arguments does not know.
        return super(PatchDropout, cls).check(value)

    @property
    def integers(self) -> tuple[float, ...]:
        """The value that may replace an integer."""
        return (0.0,)

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no token is ever removed."""
        return threshold(rate) == 0

    def check_window(self, window: Window) -> None:
        """Raise if there is no axis of tokens."""
        self._find_axis(window)

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the tokens that stay."""
        # The order of removal is that of whole sequences, though the array may hold a part.
        window, axis = draws.window.whole(), self._find_axis(draws.window)
        apart = axis, window.sample_axis
        shape, extent = (
            tuple(n if i in apart else 1 for i, n in enumerate(extents))
            for extents in (window.shape, window.extent)
        )
        tokens = draws.over(replace(window, shape=shape, extent=extent))
        others = max(extent[axis] - self.prefix, 0)
        share = draws.survivor_share(rate)
        removed = draws.clip(count_share((1 - share) * ALL, others), 0, max(others - 1, 0))
        keep = ~(self._rank(tokens, axis) < removed)  # a rate of NaN removes nothing
        start, stop = draws.window.start[axis], draws.window.start[axis] + draws.window.extent[axis]
        keep = keep[(slice(None),) * axis + (slice(start, stop),)]
        return Field(keep=keep, gain=draws.unit_gain(rate))

    def _rank(self, tokens: Draws, axis: int) -> Array:
        """Return how many tokens of its sample are removed before each token."""
        engine, rank = tokens.engine, len(tokens.window.shape)
        index = engine.integers(range(tokens.window.shape[axis]))
        # The prefix comes after all others.
        last = engine.cast(index < self.prefix, "int64") * (2 * ALL)
        order = [*(i for i in range(rank) if i != axis), axis]
        u32 = engine.permute(tokens.u32(), order) + last
        # The order of an order is each one's place in it.
        places = engine.argsort(engine.argsort(u32))
        return engine.permute(places, [order.index(i) for i in range(rank)])

    def _find_axis(self, window: Window) -> int:
        """Return the axis of the tokens."""
        if window.form is not None:
            raise InvalidValue(
                "what an attention holds has no tokens to leave out. Use noisegate.DropKey on "
                "scores, with shared_axes=-2."
            )
        axis = 1 if window.sample_axis == 0 else 0
        if axis >= len(window.shape):
            raise InvalidValue(
                "the input must have an axis of tokens, the first one besides the sample axis; got "
                f"an input of rank {len(window.shape)}. Write for example x[None] for one sample."
            )
        return axis


def count_left(t: int, prefix: int, length: int) -> int:
    """Return how many tokens of a sequence are left, at a threshold T, with a prefix."""
    others = max(length - prefix, 0)
    removed: int = min(count_share(t, others), max(others - 1, 0))
    return length - removed


def count_share(t: Any, count: int) -> Any:
    """Return the nearest whole number to count · T / 2³², half up.

    T may be an array of float64: no step needs more than its 53 binary digits.
    """
    high, low = t // 2**16, t % 2**16
    return (high * count + (low * count + 2**31) // 2**16) // 2**16
