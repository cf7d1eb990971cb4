"""LSTM and GRU on (samples, time, features), with masks of padded steps."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .. import options
from ..shapes import Shape
from .torch_layers import TorchLayer, make_layer


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
    size_word = "input_size"
    size_axis = -1
    weighted = True
    CHECKS: ClassVar[Mapping[str, options.Check]] = {
        "hidden_size": options.size,
        "return_sequences": options.flag,
    }
    beside_torch = ("return_sequences",)
    fixed = {"batch_first": True}  # noqa: RUF012

    def rule(self, shape: Shape) -> Shape:
        """Return the shape of the output by the arguments; raise ValueError with the reason."""
        given = self.arguments
        if len(shape) != 3:
            raise ValueError("it takes (N, time, features)")
        size = given.get("proj_size") or given["hidden_size"]
        features = size * (2 if given["bidirectional"] else 1)
        return (*shape[:2], features) if given["return_sequences"] else (shape[0], features)

    def compute_mask(self, x: Any, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask, where all steps are returned."""
        return mask if self.arguments["return_sequences"] else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (N, time, outputs), or the last step's (N, outputs)."""
        if not self.built:
            self.build_from(x)
        if mask is not None:
            return self._run_masked(x, mask)
        outputs: Tensor
        outputs, state = super().forward(x)
        if self.arguments["return_sequences"]:
            return outputs
        return self._get_last(state) if self.bidirectional else outputs[:, -1]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; torch's own takes weights to be there."""
        return super().__getstate__() if self.built else dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, which may have no weights yet."""
        if state["built"]:
            super().__setstate__(state)  # type: ignore[no-untyped-call]
        else:
            nn.Module.__setstate__(self, state)

    def _get_last(self, state: Any) -> Tensor:
        """Return the outputs at the end of each direction."""
        hidden = state[0] if isinstance(state, tuple) else state
        return torch.cat([hidden[-2], hidden[-1]], dim=-1) if self.bidirectional else hidden[-1]

    def _run_masked(self, x: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum(1)
        # torch packs padding at the end only, so that other padding is moved there.
        order = (~mask).to(torch.uint8).sort(dim=1, stable=True).indices
        front = x.gather(1, order[..., None].expand_as(x))
        # A length of 0 cannot be packed: such samples run one step, and get 0 below.
        lengths = count.clamp_min(1).cpu()
        packed = pack_padded_sequence(front, lengths, batch_first=True, enforce_sorted=False)
        outputs, state = self.torch_class.forward(self, packed)
        some = (count > 0)[:, None]
        if not self.arguments["return_sequences"]:
            return self._get_last(state).where(some, 0.0)
        outputs = pad_packed_sequence(outputs, batch_first=True)[0]
        # Back to the places of the steps; padding repeats the step before it.
        place = mask.cumsum(1) - 1
        spread = place.clamp_min(0)[..., None].expand(-1, -1, outputs.shape[-1])
        return outputs.gather(1, spread).where((place >= 0)[..., None], 0.0)


def _list_rnn_parameters(kind: type[nn.Module]) -> dict[str, Parameter]:
    left_out = {"self", "mode", "input_size", "batch_first"}
    left_out |= {"proj_size"} if kind is nn.GRU else set()
    given = signature(nn.RNNBase.__init__).parameters
    own = {name: p for name, p in given.items() if name not in left_out}
    flag = Parameter("return_sequences", Parameter.KEYWORD_ONLY, default=False, annotation=bool)
    by_name = {
        n: p.replace(kind=Parameter.KEYWORD_ONLY) for n, p in own.items() if n != "hidden_size"
    }
    return {"hidden_size": own["hidden_size"], "return_sequences": flag, **by_name}


def make_recurrent(kind: type[nn.Module]) -> Any:
    """Return the class of a recurrent layer."""
    name = kind.__name__
    doc = (
        f"{name}: `torch.nn.{name}` on (N, time, features).\n\n"
        "Its arguments are those of `RecurrentLayer`, and torch's by name.\n"
    )
    return make_layer(kind, RecurrentLayer, PARAMETERS=_list_rnn_parameters(kind), __doc__=doc)
