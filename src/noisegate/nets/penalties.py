"""Penalties on weights and outputs, and constraints of weights, by Keras 1's names.

Weights are seen as (input_dim, output_dim), so that axis 0 runs over what enters a unit.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors

from .options import describe_unknown_name

Made = Mapping[str, Callable[..., Any]]

# Keeps a norm of 0 from being divided by; float32's unit is 1.2e-7.
EPSILON = 1e-7


class _Saved:
    """A dataclass whose config is its class and its fields."""

    def config(self: Any) -> dict[str, Any]:
        """Return its class and its numbers, from which `load` makes it again."""
        return {"name": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class L1L2(_Saved):
    """The penalty ``l1 · Σ|w| + l2 · Σw²``; of outputs, the sum over a sample, the mean of samples.

    Parameters
    ----------
    l1, l2 : float
        Weights of the two sums, at least 0.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a negative weight."""
        for name in ("l1", "l2"):
            with prefix_errors("L1L2"):
                value = checks.check_bounds(name, getattr(self, name), (0.0, float("inf")))
            object.__setattr__(self, name, value)

    def __call__(self, w: Tensor) -> Tensor:
        """Return the penalty, of shape ()."""
        return self.l1 * w.abs().sum() + self.l2 * w.square().sum()


@dataclass(frozen=True)
class MaxNorm(_Saved):
    """The constraint that no norm along an axis exceeds `m`."""

    m: float = 2.0
    axis: int = 0

    def __post_init__(self) -> None:
        """Refuse a norm that is not positive."""
        with prefix_errors("MaxNorm"):
            object.__setattr__(self, "m", checks.check_positive("m", self.m))

    def __call__(self, w: Tensor) -> Tensor:
        """Return the weights within the constraint."""
        norms = w.square().sum(self.axis, keepdim=True).sqrt()
        return torch.where(norms > self.m, w * (self.m / norms.clamp_min(EPSILON)), w)


@dataclass(frozen=True)
class NonNeg(_Saved):
    """The constraint that no weight is negative."""

    def __call__(self, w: Tensor) -> Tensor:
        """Return the weights within the constraint."""
        return w.clamp_min(0)


@dataclass(frozen=True)
class UnitNorm(_Saved):
    """The constraint that every norm along an axis is 1."""

    axis: int = 0

    def __call__(self, w: Tensor) -> Tensor:
        """Return the weights within the constraint."""
        return w / w.square().sum(self.axis, keepdim=True).sqrt().clamp_min(EPSILON)


def l1(l: float = 0.01) -> L1L2:  # noqa: E741  Keras' word
    """Return the penalty ``l · Σ|w|``."""
    return L1L2(l1=l)


def l2(l: float = 0.01) -> L1L2:  # noqa: E741
    """Return the penalty ``l · Σw²``."""
    return L1L2(l2=l)


def l1l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Return the penalty ``l1 · Σ|w| + l2 · Σw²``."""
    return L1L2(l1, l2)


activity_l1, activity_l2, activity_l1l2 = l1, l2, l1l2
maxnorm, nonneg, unitnorm = MaxNorm, NonNeg, UnitNorm

PENALTIES: Made = {
    "l1": l1,
    "l2": l2,
    "l1l2": l1l2,
    "activity_l1": l1,
    "activity_l2": l2,
    "activity_l1l2": l1l2,
}
CONSTRAINTS: Made = {
    "maxnorm": MaxNorm,
    "nonneg": NonNeg,
    "unitnorm": UnitNorm,
}
# Names in configs, those of Keras 1's files included.
_PENALTY_CONFIGS: Made = {
    "L1L2": L1L2,
    "L1L2Regularizer": L1L2,
    "WeightRegularizer": L1L2,
    "ActivityRegularizer": L1L2,
    **PENALTIES,
}
_CONSTRAINT_CONFIGS: Made = {
    **{kind.__name__: kind for kind in (MaxNorm, NonNeg, UnitNorm)},
    **CONSTRAINTS,
}


def check_penalty(name: str, value: Any) -> Any:
    """Return a penalty from a name, an object or a config; None stays None."""
    if isinstance(value, MaxNorm | NonNeg | UnitNorm):
        raise InvalidType(describe_unknown_name(name, value, PENALTIES))
    return _read(name, value, PENALTIES, _PENALTY_CONFIGS)


def check_constraint(name: str, value: Any) -> Any:
    """Return a constraint from a name, an object or a config; None stays None."""
    if isinstance(value, L1L2):
        raise InvalidType(describe_unknown_name(name, value, CONSTRAINTS))
    return _read(name, value, CONSTRAINTS, _CONSTRAINT_CONFIGS)


def _read(name: str, value: Any, known: Made, by_config: Made) -> Any:
    if isinstance(value, Mapping):
        word = value.get("name")
        if str(word) not in by_config:
            raise InvalidValue(describe_unknown_name(name, word, known))
        try:
            return by_config[str(word)](**{n: v for n, v in value.items() if n != "name"})
        except TypeError:
            raise InvalidType(
                f"`{name}` is no config that was written here; got {dict(value)!r}."
            ) from None
    if isinstance(value, str):
        if value not in known:
            raise InvalidValue(describe_unknown_name(name, value, known))
        return known[value]()
    if value is not None and not callable(value):
        raise InvalidType(describe_unknown_name(name, value, known))
    return value() if isinstance(value, type) or value in known.values() else value
