"""LSTM and GRU: samples first, the last output or all, steps that are masked left out."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from noisegate.core.errors import InvalidType

from .. import messages, options
from ..shapes import Shape
from .torch_layers import Row, TorchLayer, build_from, layer_of, refuse_shape


def _shape(given: Mapping[str, Any], shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError("it takes (N, time, features)")
    size = given.get("proj_size") or given["hidden_size"]
    features = size * (2 if given["bidirectional"] else 1)
    return (shape[0], shape[1], features) if given["return_sequences"] else (shape[0], features)


class RecurrentLayer(TorchLayer):
    """A recurrent layer of torch's on (N, time, features).

    Parameters
    ----------
    hidden_size : int
        Units of the state.
    return_sequences : bool
        Whether the outputs of all steps are returned, or that of the last.

    Notes
    -----
    With a mask, a step that is masked leaves the state as it is and repeats the output before it;
    before the first step the output is 0.
    """

    takes_mask = True

    def _inner(self, size: int | None, device: Any, dtype: Any) -> nn.Module:
        words = {n: v for n, v in self.arguments.items() if n != "return_sequences"}
        given = {"device": device, "dtype": dtype}
        words |= {n: v for n, v in given.items() if v is not None and words[n] is None}
        return self.row.torch(size, batch_first=True, **words)

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask, where all steps are returned."""
        return mask if self.arguments["return_sequences"] else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (N, time, outputs), or the last step's (N, outputs)."""
        if not self.built:
            build_from(self, x)
        if mask is not None:
            return self._masked(x, mask)
        try:
            outputs, state = self.row.torch.forward(self, x)
        except (RuntimeError, ValueError):
            refuse_shape(self, x)
            raise
        return outputs if self.arguments["return_sequences"] else self._last(outputs, state)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; torch's own takes weights to be there."""
        return super().__getstate__() if self.built else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, which may have no weights yet."""
        if state["built"]:
            super().__setstate__(state)  # type: ignore[no-untyped-call]
        else:
            nn.Module.__setstate__(self, state)

    def _last(self, outputs: Tensor, state: Any) -> Tensor:
        """Return the outputs at the end of each direction."""
        if not self.bidirectional:
            return outputs[:, -1]
        hidden = state[0] if isinstance(state, tuple) else state
        return torch.cat([hidden[-2], hidden[-1]], dim=-1)

    def _masked(self, x: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum(1)
        # The steps that are, moved to the front in their order.
        order = (~mask).to(torch.uint8).sort(dim=1, stable=True).indices
        front = x.gather(1, order[..., None].expand_as(x))
        lengths = count.clamp_min(1).cpu()
        packed = pack_padded_sequence(front, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = self.row.torch.forward(self, packed)
        some = (count > 0)[:, None]
        if not self.arguments["return_sequences"]:
            hidden = state[0] if isinstance(state, tuple) else state
            ends = [hidden[-2], hidden[-1]] if self.bidirectional else [hidden[-1]]
            return torch.cat(ends, dim=-1).where(some, 0.0)
        outputs = pad_packed_sequence(outputs, batch_first=True)[0]
        place = mask.cumsum(1) - 1
        spread = place.clamp_min(0)[..., None].expand(-1, -1, outputs.shape[-1])
        return outputs.gather(1, spread).where((place >= 0)[..., None], 0.0)


def _of_all(kind: type[nn.Module]) -> dict[str, Parameter]:
    left_out = {"self", "mode", "input_size", "batch_first"}
    left_out |= {"proj_size"} if kind is nn.GRU else set()
    given = signature(nn.RNNBase.__init__).parameters
    own = {name: p for name, p in given.items() if name not in left_out}
    flag = Parameter("return_sequences", Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    by_name = {
        n: p.replace(kind=Parameter.KEYWORD_ONLY) for n, p in own.items() if n != "hidden_size"
    }
    return {"hidden_size": own["hidden_size"], "return_sequences": flag, **by_name}


def recurrent(kind: type[nn.Module]) -> Any:
    """Return the class of a recurrent layer."""
    row = Row(kind.__name__, kind, _shape, size="input_size", axis=-1, weighted=True)
    made = layer_of(
        row,
        RecurrentLayer,
        PARAMETERS=_of_all(kind),
        CHECKS={"hidden_size": options.size, "return_sequences": options.flag},
        keeps_time=True,
    )
    made.__doc__ = (
        f"{row.name}: `torch.nn.{row.name}` on (N, time, features).\n\n"
        "Its arguments are those of `RecurrentLayer`, and torch's by name.\n"
    )
    return made


def checked_mask(mask: Any, x: Tensor) -> Tensor:
    """Return a mask of time steps, (samples, time), if it fits an input."""
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 2:
        raise InvalidType(messages.bad_mask(mask))
    if mask.shape != x.shape[:2]:
        raise InvalidType(messages.mask_of_other_shape(tuple(mask.shape), tuple(x.shape)))
    return mask
