"""The formulas of recurrent cells, as torch has them: one time step from a state to the next."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Weights(NamedTuple):
    """The parameters of one direction of a recurrent layer; those that it lacks are None."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    w_hr: Tensor | None = None

    @classmethod
    def read(cls, params: Sequence[Tensor], biased: bool) -> "Weights":
        """Return the parameters that a function of torch's gets for one direction, in order."""
        w_ih, w_hh, *rest = params
        biases = rest[:2] if biased else (None, None)
        return cls(w_ih, w_hh, *biases, *rest[2 if biased else 0 :])

    def list(self) -> list[Tensor]:
        """Return the parameters as torch's functions take them."""
        return [part for part in self if part is not None]

    def project(self, x: Tensor) -> Tensor:
        """Return what the input adds to the gates, at one or at all time steps."""
        return F.linear(x, self.w_ih, self.b_ih)


# Takes the input's part of the gates; the state as it enters the product, and as it is carried
# on; the cell, None without one; and the weights. Returns the next state and cell.
Advance = Callable[[Tensor, Tensor, Tensor, Any, Weights], tuple[Tensor, Any]]


def _advance_lstm(
    x: Tensor, seen: Tensor, carried: Tensor, c: Any, weights: Weights
) -> tuple[Tensor, Any]:
    gates = x + F.linear(seen, weights.w_hh, weights.b_hh)
    enter, forget, new, leave = gates.chunk(4, 1)
    c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
    h = leave.sigmoid() * c.tanh()
    return h if weights.w_hr is None else F.linear(h, weights.w_hr), c


def _advance_gru(
    x: Tensor, seen: Tensor, carried: Tensor, c: Any, weights: Weights
) -> tuple[Tensor, Any]:
    inner = F.linear(seen, weights.w_hh, weights.b_hh)
    (reset, update, new), (reset_h, update_h, new_h) = x.chunk(3, 1), inner.chunk(3, 1)
    new = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return new + (update + update_h).sigmoid() * (carried - new), c


def _make_advance_rnn(function: Callable[[Tensor], Tensor]) -> Advance:
    def advance(
        x: Tensor, seen: Tensor, carried: Tensor, c: Any, weights: Weights
    ) -> tuple[Tensor, Any]:
        return function(x + F.linear(seen, weights.w_hh, weights.b_hh)), c

    return advance


# By the name of torch's function of a layer; that of a cell has `_cell` behind it.
ADVANCES: dict[str, Advance] = {
    "lstm": _advance_lstm,
    "gru": _advance_gru,
    "rnn_tanh": _make_advance_rnn(torch.tanh),
    "rnn_relu": _make_advance_rnn(torch.relu),
}
