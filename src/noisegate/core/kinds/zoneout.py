"""Zoneout: elements of a recurrent state left at their former value at random."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..kind import Kind
from ..philox import threshold
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class Zoneout(Kind):
    """Leaves elements of a recurrent state at random as they were one time step before.

    ``h = where(u32 < T, before, new)`` with ``T = round(p · 2³²)``. The recurrence supplies the
    former state and puts it in place of what is removed; applied to an array alone, the kind
    replaces removed elements by 0. Nothing is scaled, so integers keep their dtype.

    Parameters
    ----------
    p : float or Schedule
        Probability that an element keeps its former value, in [0, 1]. 0 returns the input itself,
        and 1 never changes the state. Below 2⁻³³ nothing is removed.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number or outside [0, 1]; at the call, if an axis does not exist,
        or the input is sparse or of an unknown library.

    Notes
    -----
    Tier: exact. At a place of a recurrent module, the gradient of a removed element goes to the
    former state, and evaluation uses the expectation ``(1 − p) · new + p · before``.

    References
    ----------
    Krueger et al. (2016), Zoneout: regularizing RNNs by randomly preserving hidden activations.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("rnn:state").at(0)
    >>> new, before = np.ones((2, 4)), np.full((2, 4), 0.5)
    >>> keep = ng.mask(ng.Zoneout(0.5), new.shape, key)
    >>> np.where(keep, new, before)
    array([[0.5, 0.5, 1. , 1. ],
           [1. , 1. , 0.5, 0.5]])
    """

    p: float | Schedule = 0.1
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    removes = True
    outcomes = "new", "as before"

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The values that may replace an integer: 0, so that a mask may be of bools."""
        return (0.0,)

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no element is ever removed."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the elements that take their new value."""
        return Field(keep=draws.keep(rate), gain=draws.unit_gain(rate))
