"""Kinds written outside of the package, as a user would."""

from dataclasses import dataclass
from typing import Any

import noisegate as ng


@dataclass(frozen=True)
class SignFlip(ng.Kind):
    """A gain of two values."""

    p: float = 0.1
    shared_axes: Any = ()
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(gain=draws.where(draws.keep(rate), 1.0, -1.0))


@dataclass(frozen=True)
class LaplaceNoise(ng.Kind):
    """A shift with a gradient, made of a logarithm."""

    scale: float = 0.1
    shared_axes: Any = ()
    RATE = "scale"
    BOUNDS = (0.0, float("inf"))

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(shift=self._unit(draws) * draws.round(rate))

    def slope(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(shift=self._unit(draws))

    def _unit(self, draws: Any) -> Any:
        u = draws.uniform(0)
        return draws.log(abs(u)) * draws.where(u > 0, 1.0, -1.0)


@dataclass(frozen=True)
class NoisyGate(ng.Kind):
    """All four: a gate that shuts to a value, and what passes is scaled and jittered."""

    sigma: float = 0.1
    shut: float = 0.25
    value: float = -1.0
    RATE = "sigma"
    BOUNDS = (0.0, 3.0)
    removes = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(
            keep=draws.keep(self.shut, number=2),
            gain=1.0 + draws.normal(0) * draws.round(rate),
            shift=draws.uniform(1) * draws.round(rate),
            fill=self.value,
        )

    def slope(self, draws: Any, rate: Any) -> ng.Field:
        keep = draws.keep(self.shut, number=2)
        return ng.Field(keep, draws.normal(0), draws.uniform(1))


@dataclass(frozen=True)
class ShakeDrop(ng.Kind):
    """A residual branch that a gate turns to a random gain, and to another in backward."""

    p: float = 0.5
    shared_axes: Any = "all_but_samples"
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return self._gate(draws, rate, draws.uniform(1))

    def backward_field(self, draws: Any, rate: Any) -> ng.Field:
        return self._gate(draws, rate, draws.uniform(2) * 0.5 + 0.5)

    def _gate(self, draws: Any, rate: Any, gain: Any) -> ng.Field:
        whole = draws.where(draws.keep(rate), 1.0, 0.0)
        return ng.Field(gain=whole + gain - whole * gain)


@dataclass(frozen=True)
class ShakeShake(ng.Kind):
    """One of two branches that a random number weighs, and another in backward."""

    amount: float = 1.0
    branch: int = 0
    shared_axes: Any = "all_but_samples"
    RATE = "amount"

    def is_identity(self, rate: float) -> bool:
        return False

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return self._weigh(draws, rate, 0)

    def backward_field(self, draws: Any, rate: Any) -> ng.Field:
        return self._weigh(draws, rate, 1)

    def _weigh(self, draws: Any, rate: Any, number: int) -> ng.Field:
        sign = -0.5 if self.branch else 0.5
        return ng.Field(gain=draws.uniform(number) * draws.round(sign * rate) + 0.5)


@dataclass(frozen=True)
class Rounding(ng.Kind):
    """Rounds to whole numbers at random: it reads its input, and passes gradients on."""

    p: float = 0.5
    shared_axes: Any = ()
    RATE = "p"
    removes = True
    reads_input = True

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(keep=draws.keep(rate), fill=draws.engine.round(draws.x))

    def backward_field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field()


OWN = (SignFlip, LaplaceNoise, NoisyGate, ShakeDrop, ShakeShake, Rounding)
