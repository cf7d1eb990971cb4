"""LSTM and GRU on (samples, time, features), with masks of padded steps."""

from collections.abc import Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.kinds import Zoneout
from noisegate.core.patterns import CELL, LAYERS, STATE
from noisegate.core.rules import make_kind
from noisegate.core.schedule import Schedule
from noisegate.core.words import got
from noisegate.torch.model.protocols import OwnStates
from noisegate.torch.model.recurrent_mode import call_with_noise

from .. import options
from ..shapes import Shape
from .torch_layers import TorchLayer, make_layer

# The arguments for a layer's own noise, and the ports of the noise.
_NOISE_WORDS = {"recurrent_dropout": STATE, "cell_zoneout": CELL, "layer_dropout": LAYERS}


def _make_check(port: str) -> options.NamedCheck:
    """Return the check of the noise at a port: a rate, or a kind."""

    def check(name: str, value: Any) -> Any:
        kind = make_kind(f":{port}", value)
        if isinstance(kind.rate, Schedule):
            kind.refuse_schedule()
        return value

    return options.NamedCheck("checked by the kind", check, float | Kind)


class RecurrentLayer(TorchLayer, OwnStates):
    """A recurrent layer of torch's on (N, time, features).

    Parameters
    ----------
    hidden_size : int
        Units of the state.
    return_sequences : bool
        Whether the outputs of all steps are returned, or that of the last.
    recurrent_dropout, layer_dropout : float or Kind
        Noise on the state as it enters the recurrent product, and between the layers, of which
        `num_layers` must be two or more. A number is the p of a dropout with one mask for all time
        steps of a sample (Gal and Ghahramani 2016); ``recurrent_dropout=Zoneout(0.1)`` keeps former
        values of the state (Krueger et al. 2016).
    cell_zoneout : float or Kind
        Noise on the cell of an LSTM; a number is the p of `Zoneout`.

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
        **{word: _make_check(port) for word, port in _NOISE_WORDS.items()},
    }
    beside_torch = ("return_sequences", *_NOISE_WORDS)
    fixed = {"batch_first": True}  # noqa: RUF012

    def _try_arguments(self) -> None:
        super()._try_arguments()
        if LAYERS in self.own_states and self.arguments["num_layers"] == 1:
            raise InvalidValue(
                f"{type(self).__name__}: `layer_dropout` acts between layers, and `num_layers` is "
                f"1; {got(self.arguments['layer_dropout'])}. Take two layers or "
                "more, or a Dropout after this one."
            )

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
        outputs, state = self._run(super().forward, x)
        if self.arguments["return_sequences"]:
            return outputs
        return self._get_last(state) if self.bidirectional else outputs[:, -1]

    @property
    def own_states(self) -> Mapping[str, Kind]:
        """The noise that it has by itself, by port."""
        given = ((p, self.arguments.get(word, 0.0)) for word, p in _NOISE_WORDS.items())
        kinds = {port: make_kind(f":{port}", value) for port, value in given}
        return {port: kind for port, kind in kinds.items() if kind.rate != 0}

    def _run(self, forward: Any, x: Any) -> Any:
        """Return the outputs and the last state of torch's module, with the layer's noise."""
        kinds = self.own_states
        acts = self.training or any(isinstance(kind, Zoneout) for kind in kinds.values())
        if not (kinds and acts):
            return forward(x)
        return call_with_noise(forward, (x,), kinds, type(self).__name__, self.training)

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
        outputs, state = self._run(partial(self.torch_class.forward, self), packed)
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
    words = [w for w in _NOISE_WORDS if kind is nn.LSTM or w != "cell_zoneout"]
    noise = {
        w: Parameter(w, Parameter.KEYWORD_ONLY, default=0.0, annotation=float | Kind) for w in words
    }
    by_name = {
        n: p.replace(kind=Parameter.KEYWORD_ONLY) for n, p in own.items() if n != "hidden_size"
    }
    return {"hidden_size": own["hidden_size"], "return_sequences": flag, **by_name, **noise}


def make_recurrent(kind: type[nn.Module]) -> Any:
    """Return the class of a recurrent layer."""
    name = kind.__name__
    doc = (
        f"{name}: `torch.nn.{name}` on (N, time, features).\n\n"
        "Its arguments are those of `RecurrentLayer`, and torch's by name.\n"
    )
    return make_layer(kind, RecurrentLayer, PARAMETERS=_list_rnn_parameters(kind), __doc__=doc)
