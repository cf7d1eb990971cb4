"""Terms of the loss: penalties on weights, on outputs, and on steps of time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue

from ..outputs import Places, parameters_matching
from .regularizer import Pattern, Regularizer, matches_any


class _Term(Regularizer):
    """A term that is the mean of what each parameter or output adds."""

    def _measure(self, value: Tensor) -> Tensor:
        raise NotImplementedError

    def _mean(self, values: Iterable[Tensor]) -> Tensor:
        return torch.stack([self._measure(value) for value in values]).mean()


class _Weights(_Term):
    """A penalty on parameters; by default on those of rank 2 and more."""

    def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Any:
        """Return the penalty, the mean over the parameters that matched."""
        found = parameters_matching(_model(layers), self.pattern)
        # Biases count only if the pattern matches nothing else.
        chosen = {n: p for n, p in found.items() if p.ndim > 1} or found
        self.matched = tuple(chosen)
        return self._mean(chosen.values())


class WeightL1(_Weights):
    """The loss term ``Σ|w|`` of a matrix of weights, mean over those that the pattern names."""

    NAMES = ("weight_l1", "weight_sparsity")

    def _measure(self, value: Tensor) -> Tensor:
        return value.abs().sum()


class WeightL2(_Weights):
    """The loss term ``‖W‖²`` (Frobenius) of a matrix, mean over those that the pattern names."""

    NAMES = ("weight_l2", "weight_decay")

    def _measure(self, value: Tensor) -> Tensor:
        return value.square().sum()


class _Outputs(_Term):
    """A penalty on outputs."""

    def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Any:
        """Return the penalty, the mean over the outputs that matched."""
        return self._mean(self._values(layers, outputs))

    def _values(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> list[Tensor]:
        whole = [name for name in outputs if re.search(r":(out|pre)$", name)]
        if self.pattern == "*":
            # In theanets the default means the hidden outputs.
            names = _of_role(layers, "hidden", outputs)
        else:
            names = matches_any(self.patterns, whole)
            for alias, role in (("in:out", "input"), ("out:out", "output")):
                if alias in self.patterns and alias not in whole:
                    names += _of_role(layers, role, outputs)
        if not names:
            raise _no_output(self.pattern).prefix(type(self).__name__)
        self.matched = tuple(names)
        return [outputs[name] for name in names]


def _no_output(pattern: object) -> InvalidValue:
    return InvalidValue(
        f"{pattern!r} names no output of this forward. Write for example 'hid1:out'."
    )


class HiddenL1(_Outputs):
    """The loss term ``Σ|z|`` over the units of an output, mean over the batch and the outputs."""

    NAMES = ("hidden_l1", "hidden_sparsity")

    def _measure(self, value: Tensor) -> Tensor:
        return value.abs().sum() / len(value)


class Contractive(_Outputs):
    """The loss term ``‖∂z/∂x‖²`` (Frobenius), mean over the batch.

    One random projection a batch: with v of independent signs, ``‖vᵀ ∂z/∂x‖²`` has the squared
    norm as its mean. Samples of a batch must not depend on each other.

    Parameters
    ----------
    pattern : str or sequence of str
        Which outputs z; by default the hidden ones.
    weight : float
        How much of it.
    wrt : str or sequence of str
        Which outputs x; by default the inputs.

    References
    ----------
    Rifai, Vincent, Muller, Glorot, Bengio (2011), Contractive auto-encoders.
    """

    NAMES = ("contractive",)
    needs_slopes = True

    def __init__(
        self, pattern: Pattern | None = None, weight: float = 0.0, wrt: Pattern = "*"
    ) -> None:
        super().__init__(pattern, weight)
        self.wrt = wrt

    def loss(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> Any:
        """Return the penalty, the mean over the outputs that matched."""
        values = self._values(layers, outputs)
        inputs = self._inputs(layers, outputs)
        total = torch.zeros(())
        for z in values:
            signs = torch.randint(0, 2, z.shape, device=z.device).to(z.dtype) * 2 - 1
            slopes = torch.autograd.grad(z, inputs, signs, create_graph=True, allow_unused=True)
            for slope in slopes:
                if slope is not None:
                    total = total + slope.square().sum() / len(z)
        return total / len(values)

    def _inputs(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> list[Tensor]:
        if self.wrt == "*":
            names = _of_role(layers, "input", outputs)
        else:
            several = (self.wrt,) if isinstance(self.wrt, str) else tuple(self.wrt)
            names = matches_any(several, list(outputs))
        found = [outputs[name] for name in names if outputs[name].requires_grad]
        if not found:
            raise _no_output(self.wrt).prefix("Contractive (wrt)")
        return found


class _Recurrent(_Outputs):
    """A penalty on steps of time, of outputs (N, time, features)."""

    DEFAULT = None

    def _values(self, layers: Sequence[nn.Module], outputs: Mapping[str, Tensor]) -> list[Tensor]:
        values = super()._values(layers, outputs)
        for z in values:
            if z.ndim != 3:
                raise InvalidValue(
                    f"{type(self).__name__}: outputs must be (N, time, features); got the shape "
                    f"{tuple(z.shape)}."
                )
        return values


class RecurrentNorm(_Recurrent):
    """The loss term ``(‖z_t‖² − ‖z_{t−1}‖²)²``, mean over samples and steps.

    References
    ----------
    Krueger, Memisevic (2016), Regularizing RNNs by stabilizing activations.
    """

    NAMES = ("recurrent_norm",)

    def _measure(self, value: Tensor) -> Tensor:
        return value.square().sum(-1).diff(dim=1).square().mean()


class RecurrentState(_Recurrent):
    """The loss term ``(z_t − z_{t−1})²``, mean over samples, steps and features."""

    NAMES = ("recurrent_state",)

    def _measure(self, value: Tensor) -> Tensor:
        return value.diff(dim=1).square().mean()


class Layers(list[nn.Module]):
    """The layers of a network, with the network, as `loss` gets them."""

    def __init__(self, model: nn.Module) -> None:
        layers = getattr(model, "layers", None)
        super().__init__(layers.values() if isinstance(layers, dict) else model.children())
        self.model = model


def _model(layers: Sequence[nn.Module]) -> nn.Module:
    return layers.model if isinstance(layers, Layers) else nn.ModuleList(layers)


def _of_role(layers: Sequence[nn.Module], role: str, outputs: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the outputs that are the input, the hidden ones or the output."""
    return [name for name in Places(_model(layers)).of_role(role) if name in outputs]
