"""Kinds written outside of the package: some that can be traced, and some that cannot."""

from dataclasses import dataclass
from typing import Any

import noisegate as ng
from _own_kinds import NoisyGate


@dataclass(frozen=True)
class Gated(ng.Kind):
    """Kept, multiplied, moved and filled, all by numbers: it has a trace."""

    p: float = 0.25
    gain: Any = 1.3
    shift: Any = -0.7
    fill: float = 0.0
    number: int = 0
    shared_axes: Any = ()
    RATE = "p"
    removes = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(draws.keep(rate, self.number), self.gain, self.shift, self.fill)


@dataclass(frozen=True)
class Constant(ng.Kind):
    """A gain, and no random number: it has a trace."""

    gain: float = 0.1
    shared_axes: Any = ()
    RATE = "gain"
    BOUNDS = (-10.0, 10.0)

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(gain=rate)


@dataclass(frozen=True)
class Jitter(ng.Kind):
    """A random gain or shift, scaled and moved, of any random number: it has a trace."""

    a: float = 0.3
    b: Any = 0.9
    normal: bool = True
    shifts: bool = False
    number: int = 3
    shared_axes: Any = ()
    RATE = "a"
    BOUNDS = (-10.0, 10.0)

    def field(self, draws: Any, rate: Any) -> ng.Field:
        z = draws.normal(self.number) if self.normal else draws.uniform(self.number)
        z = z * rate
        z = z if self.b is None else self.b + z
        return ng.Field(shift=z) if self.shifts else ng.Field(gain=z)


@dataclass(frozen=True)
class Either(ng.Kind):
    """Removed where one of two decisions removes: no trace, but a mask and numbers."""

    p: float = 0.25
    gain: Any = None
    shift: Any = None
    fill: float = 0.0
    shared_axes: Any = ()
    RATE = "p"
    removes = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        keep = draws.keep(rate) & draws.keep(0.25, number=1)
        return ng.Field(keep, self.gain, self.shift, self.fill)


@dataclass(frozen=True)
class Gate(NoisyGate):
    """All four, with a drawn gain and shift: it has no trace."""

    shared_axes: Any = ()


@dataclass(frozen=True)
class Words(ng.Kind):
    """A shift made of the random bits themselves: it has no trace."""

    a: float = 0.5
    shared_axes: Any = ()
    RATE = "a"
    BOUNDS = (-10.0, 10.0)

    def field(self, draws: Any, rate: Any) -> ng.Field:
        halves = draws.engine.cast(draws.u32(1) >> 8, draws.dtype)
        return ng.Field(shift=halves * (2.0**-24 * rate))
