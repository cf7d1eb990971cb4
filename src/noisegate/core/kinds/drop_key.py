"""DropKey: keys hidden from queries of an attention at random."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..kind import Kind
from ..philox import threshold
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class DropKey(Kind):
    """Replaces attention scores by −inf at random, so that a softmax gives them probability 0.

    ``y = where(u32 < T, −inf, x)`` with ``T = round(p · 2³²)``. The softmax that follows shares
    the probability among the keys that are left, so nothing is scaled.

    Parameters
    ----------
    p : float or Schedule
        Probability of removal, in [0, 1]. 0 returns the input itself.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared: -2 hides a key from all queries of a head.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number or outside [0, 1]; at the call, if x is complex or integer.

    Notes
    -----
    Tier: exact. A removed score has gradient 0. A softmax over −inf alone gives NaN: at the port
    `scores`, such a query has probabilities 0.

    References
    ----------
    Li, Hu, Nie, Han, Jiang, Guo, Liu (2023), DropKey for vision transformer.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("attention:scores").at(0)
    >>> ng.DropKey(0.5)(np.ones((1, 2, 3), np.float32), key, sample_axis="attention")
    array([[[-inf, -inf,   1.],
            [  1.,   1., -inf]]], dtype=float32)
    """

    p: float | Schedule = 0.1
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    removes = True

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no score is ever removed."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the scores that stay, and −inf for the others."""
        return Field(keep=draws.keep(rate), gain=draws.unit_gain(rate), fill=float("-inf"))
