"""Noise on a recurrent state: folded into the weights, or in a loop over the time steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .modules import SiteFunction
from .states import Advance, Weights


class StateFunction(SiteFunction, Protocol):
    """A function at a recurrent state."""

    @property
    def former(self) -> bool:
        """Whether what it removes keeps its value of the time step before."""

    @property
    def factor(self) -> bool:
        """Whether its noise is a factor alone: nothing is added, and what is removed is 0."""

    @property
    def over_samples(self) -> bool:
        """Whether all samples of a batch share its noise."""

    @property
    def over_time(self) -> bool:
        """Whether all time steps share its noise."""

    def read_share(self, training: bool) -> float | None:
        """Return the share of the new state that is taken in evaluation; None in training."""

    def note_loop(self) -> None:
        """Add to the report that the time steps are computed in a loop."""


class Acting(NamedTuple):
    """A function that acts on a state, and what puts the noise of its next call on tensors.

    `share` is that of the new state in evaluation, None in training.
    """

    function: StateFunction
    draw: Callable[[Sequence[Tensor]], Sequence[Tensor]]
    share: float | None


class _Change(NamedTuple):
    """The noise of one function: (samples, time, features), of one entry where it is shared."""

    scale: Tensor
    shift: Tensor | None

    def apply(self, x: Tensor, step: int) -> Tensor:
        """Return a state with the noise of a time step."""
        scale = _pick(self.scale, step)
        none: Any = 0.0 if self.shift is None else _pick(self.shift, step)
        y = x * scale if self.shift is None else x * scale + none
        # A select, since a removed inf or NaN is removed.
        return torch.where(scale == 0, none, y).to(x.dtype)


class _Blend(NamedTuple):
    """Which elements are new at a time step, or the share of the new state; the rest stays."""

    keep: Tensor | float

    def apply(self, new: Tensor, former: Tensor, step: int) -> Tensor:
        """Return the state of a time step."""
        if isinstance(self.keep, float):
            return self.keep * new + (1 - self.keep) * former
        return torch.where(_pick(self.keep, step), new, former)


def _pick(noise: Tensor, step: int) -> Tensor:
    return noise[:, step if noise.shape[1] > 1 else 0]


@dataclass
class StateNoise:
    """The noise on one state, in one direction of a layer."""

    changes: list[_Change] = field(default_factory=list)
    blends: list[_Blend] = field(default_factory=list)

    @classmethod
    def draw(cls, acting: Sequence[Acting], like: Tensor, shape: tuple[int, ...]) -> "StateNoise":
        """Return the noise of functions on a state of shape (samples, time, features)."""
        noise = cls()
        for function, draw, share in acting:
            if share is not None:
                noise.blends.append(_Blend(share))
                continue
            # In at least the precision of a scale, so that it is rounded once.
            wide = like.dtype == torch.float64 or not function.factor
            number = like.new_ones((), dtype=torch.float64 if wide else torch.float32)
            ones = number.expand(shape)
            if function.former:
                noise.blends.append(_Blend(draw([ones])[0] != 0))
            elif function.factor:
                noise.changes.append(_Change(draw([ones])[0], None))
            else:
                # What noise makes of 1 and of 0 tells its gain and its shift.
                both, shift = draw([ones, torch.zeros_like(number).expand(shape)])
                scale = torch.where(both == shift, 0.0, both - shift)
                precise = torch.promote_types(like.dtype, torch.float32)
                noise.changes.append(_Change(scale.to(precise), shift.to(precise)))
        return noise

    def change(self, x: Tensor, step: int) -> Tensor:
        """Return a state with what is multiplied and added."""
        for change in self.changes:
            x = change.apply(x, step)
        return x

    def blend(self, new: Tensor, former: Tensor, step: int) -> Tensor:
        """Return a new state with the elements that keep their former value."""
        for blend in self.blends:
            new = blend.apply(new, former, step)
        return new

    def fold(self, weights: Weights) -> Weights:
        """Return weights that do to any state what the noise does, which is a factor alone."""
        w_hh = weights.w_hh
        for scale, _ in self.changes:
            w_hh = (w_hh * scale[0, 0]).to(w_hh.dtype)
        return weights._replace(w_hh=w_hh)


def may_fold(on_state: Sequence[Acting], on_cell: Sequence[Acting]) -> bool:
    """Return whether noise can be made part of the weights: one factor for a whole call."""
    return not on_cell and all(
        f.factor and f.over_samples and f.over_time and not f.former for f, *_ in on_state
    )


def run_steps(
    advance: Advance,
    x: Tensor,
    state: tuple[Tensor, Any],
    weights: Weights,
    noises: tuple[StateNoise, StateNoise],
    valid: Tensor | None,
    backward: bool,
) -> tuple[Tensor, Tensor, Any]:
    """Return the outputs of one direction of a layer, and its last state and cell.

    x is (time, samples, features); `valid` says which samples have which time steps.
    """
    on_state, on_cell = noises
    h, c = state
    entering = weights.project(x).unbind(0)
    outputs: list[Tensor] = list(entering)
    steps = range(len(entering))
    for step in reversed(steps) if backward else steps:
        seen = on_state.change(h, step)
        new_h, new_c = advance(entering[step], seen, h, c, weights)
        new_h = on_state.blend(new_h, h, step)
        if c is not None:
            new_c = on_cell.blend(on_cell.change(new_c, step), c, step)
        if valid is not None:
            new_h = torch.where(valid[step], new_h, h)
            new_c = None if c is None else torch.where(valid[step], new_c, c)
        h, c = new_h, new_c
        outputs[step] = h
    return torch.stack(outputs), h, c
