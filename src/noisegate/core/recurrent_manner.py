"""What noise on a recurrent state needs to know of its kind."""

from typing import NamedTuple

from .kind import Kind
from .kinds import Zoneout
from .schedule import Schedule
from .trace import trace_kind
from .window import resolve_shared


class Manner(NamedTuple):
    """How a kind acts on a recurrent state, (samples, time, features).

    Attributes
    ----------
    former : bool
        Whether what it removes keeps its value of the time step before.
    factor : bool
        Whether its noise is a factor alone: nothing is added, and what is removed is 0.
    over_samples, over_time : bool
        Whether all samples, and all time steps, share one decision.
    """

    former: bool
    factor: bool
    over_samples: bool
    over_time: bool


def read_manner(kind: Kind) -> Manner:
    """Return how a kind acts on a recurrent state."""
    rate = kind.rate.start if isinstance(kind.rate, Schedule) else kind.rate
    trace = trace_kind(kind, rate, "float32")
    # The fill of ImpulseNoise is no number.
    fill = None if trace is None else trace.fill
    factor = trace is not None and trace.shift is None and isinstance(fill, float) and fill == 0.0
    shared = resolve_shared(kind.shared, (1, 1, 1), 0)
    return Manner(isinstance(kind, Zoneout), factor, 0 in shared, 1 in shared)
