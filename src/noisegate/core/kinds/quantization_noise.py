"""QuantizationNoise: elements rounded to a grid of few numbers at random."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from math import prod
from typing import Any, ClassVar

from .. import axes as named
from .. import checks
from ..draws import Draws, Field
from ..engine import Array
from ..errors import InvalidValue
from ..kind import Check, Kind
from ..philox import threshold
from ..schedule import Schedule
from ..window import Window
from ..words import got


def check_bits(name: str, value: Any) -> int:
    """Return a number of bits in [2, 16]."""
    bits = checks.check_whole(name, value, 32)
    if not 2 <= bits <= 16:
        raise InvalidValue(f"`{name}` must be in [2, 16]; {got(bits)}.")
    return bits


@dataclass(frozen=True, slots=True)
class QuantizationNoise(Kind):
    """Rounds elements at random to 2^bits equally spaced numbers; the others stay as they are.

    ``y = where(u32 < T, s · q, x)`` with ``s = (high − low) / (2^bits − 1)`` and q = x / s, rounded
    and held within the 2^bits numbers from low / s, rounded. low and high are the least and the
    largest element, or 0 if that is lower or higher. The gradient is passed on as it is: the
    straight-through estimator.

    Parameters
    ----------
    p : float or Schedule
        Probability that an element is rounded, in [0, 1]. 0 returns the input itself; 1 rounds
        all, as for the evaluation of what was trained with less.
    bits : int
        In [2, 16]: 8 for int8, 4 for int4.
    channel_axes : int, sequence of int, or slice
        Axes along which each index has a range of its own: 0 for the output channels of a weight.
        Each sample has its own range in any case, unless samples share decisions; a weight has no
        samples, so give ``sample_axis=None`` with it.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared, so that blocks are rounded as a whole.

    Raises
    ------
    InvalidType, InvalidValue
        If an argument is of the wrong type or out of bounds; at the call, if x is complex or
        integer, or holds attention probabilities.

    Notes
    -----
    Tier: exact. The mask does not depend on x. An input whose range is not finite gives NaN where
    it is rounded.

    References
    ----------
    Fan et al. (2020), Training with quantization noise for extreme model compression.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("weight").at(0)
    >>> ng.QuantizationNoise(0.5, bits=2)(np.array([-1.0, -0.4, 0.1, 0.3, 0.8, 2.0]), key)
    array([-1. , -0.4,  0.1,  0.3,  1. ,  2. ])
    """

    p: float | Schedule = 0.1
    bits: int = 8
    _: KW_ONLY
    channel_axes: Any = ()
    shared_axes: Any = ()

    RATE = "p"
    CHECKS: ClassVar[Mapping[str, Check]] = {"bits": check_bits, "channel_axes": named.store}
    removes = True
    reads_input = True

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no element is ever rounded."""
        return threshold(rate) == 0

    def check_window(self, window: Window) -> None:
        """Raise for attention probabilities, which may hold any part of a sample."""
        if window.form is not None:
            raise InvalidValue(
                "what an attention holds has no range of its own. Use noisegate.Dropout there."
            )

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the elements that stay, and the rounded values of the others."""
        self.check_window(draws.window)
        fill = _quantize(draws, self.bits, self._find_groups(draws))
        return Field(keep=draws.keep(rate), gain=draws.unit_gain(rate), fill=fill)

    def backward_field(self, draws: Draws, rate: Any) -> Field:
        """Return the field that changes nothing: the straight-through estimator."""
        return Field()

    def _find_groups(self, draws: Draws) -> frozenset[int]:
        """Return the axes of which each index has a range of its own."""
        channels = named.resolve_all(
            "channel_axes", named.restore(self.channel_axes), draws.x.shape
        )
        axis = draws.window.sample_axis
        return channels if axis is None else channels | {axis}


def _quantize(draws: Draws, bits: int, groups: frozenset[int]) -> Array:
    """Return the input rounded to the grid of its range."""
    engine, x = draws.engine, draws.x
    if not prod(x.shape):
        return x
    low = -_find_largest(draws, -x, groups)
    high = _find_largest(draws, x, groups)
    low = engine.clip(low, -float("inf"), 0.0)
    width = engine.clip(high, 0.0, float("inf")) - low
    # Array over array: by a number, libraries may multiply by the inverse, which rounds twice.
    step = width / (width * 0 + float(2**bits - 1))
    step = step + engine.cast(step == 0, draws.dtype)  # of zeros alone, any step will do
    first = engine.round(low / step)
    count = engine.clip(engine.round(x / step) - first, 0.0, float(2**bits - 1))
    return (count + first) * step


def _find_largest(draws: Draws, x: Array, groups: frozenset[int]) -> Array:
    """Return the largest value of each group, in a shape that broadcasts to x."""
    rest = [axis for axis in range(len(x.shape)) if axis not in groups]
    order = [*sorted(groups), *rest]
    extents = [x.shape[axis] for axis in order]
    together = draws.engine.permute(x, order) if groups else x
    flat = together.reshape([*extents[: len(groups)], -1])
    shape = [extent if axis in groups else 1 for axis, extent in enumerate(x.shape)]
    return draws.engine.largest(flat).reshape(shape)
