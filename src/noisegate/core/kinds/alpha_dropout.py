"""AlphaDropout: elements set to SELU's floor at random, with mean and variance preserved."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..kind import Kind
from ..philox import threshold
from ..schedule import Schedule

# Where SELU saturates: minus its scale times its alpha.
FLOOR = -1.7580993408473766


@dataclass(frozen=True, slots=True)
class AlphaDropout(Kind):
    """Sets elements to SELU's floor at random, and preserves mean 0 and variance 1.

    ``y = a · where(u32 < T, α', x) + b`` with α' = −1.7580993408473766, the value at which SELU
    saturates, ``q = 1 − p``, ``a = 1 / √(q · (1 + p·α'²))`` and ``b = −a·p·α'``; p is T / 2³².

    Parameters
    ----------
    p : float or Schedule
        Probability that an element is set to the floor, in [0, 1]. 0 returns the input itself;
        1 returns zeros.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared; ``slice(2, None)`` is feature-alpha dropout.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number or outside [0, 1]; at the call, if x is complex or integer.

    Notes
    -----
    Tier: the decisions are exact; the sum is close, within one rounding of the product. An element
    set to the floor has gradient 0, and nothing remains of an inf or NaN in its place.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter (2017), Self-normalizing neural networks.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.AlphaDropout(0.5)(np.zeros((2, 4), np.float32), key).round(3)
    array([[-0.779,  0.779, -0.779, -0.779],
           [-0.779, -0.779, -0.779, -0.779]], dtype=float32)
    """

    p: float | Schedule = 0.5
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    removes = True

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no element is ever set to the floor."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the survivors, and the affine map of survivors and floor."""
        kept = draws.survivor_share(rate)
        spread = 1 + (1 - kept) * (FLOOR * FLOOR)
        # Where nothing survives, a and b are not used, but they must not divide by 0.
        gain = 1 / draws.sqrt(draws.clip(kept, 2.0**-32, 1.0) * spread)
        return Field(
            keep=draws.keep(rate),
            gain=draws.round(gain),
            shift=draws.round(-FLOOR * (1 - kept) * gain),
            fill=draws.round(FLOOR * draws.sqrt(kept / spread) + 0.0),  # never -0
        )
