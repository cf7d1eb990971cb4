"""Heads: read outputs as values, logits, probabilities, or one of two classes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noisegate.core.errors import InvalidValue
from noisegate.nets.adapters import Wrapped
from noisegate.nets.layer import Layer
from noisegate.nets.layers.dense import DenseLayer
from noisegate.nets.layers.over_time import TimeDistributed
from noisegate.nets.layers.structure import Reshape
from noisegate.nets.network import Network

OUTPUTS = ("logits", "probabilities")


def find_last_layer(model: nn.Module) -> tuple[str | None, Layer | None]:
    """Return the name and the layer of a network's last one but noise; None for other modules."""
    if not isinstance(model, Network) or len(model.exits) != 1:
        return None, None
    name = model.exits[0]
    # Outputs that are only reshaped are read as those of the layer before.
    passing = (nn.Flatten, Reshape)
    while len(model.sources[name]) == 1:
        layer = model.layers[name]
        if not (layer.is_noise or isinstance(layer, passing)):
            break
        name = model.sources[name][0]
    return name, model.layers[name]


def _name_activation(layer: Layer | None) -> str | None:
    """Return Keras' name of a layer's activation; None where it does not change the reading."""
    if isinstance(layer, TimeDistributed):
        return _name_activation(layer.steps)
    if isinstance(layer, Wrapped) and isinstance(layer.module, Network):
        return _name_activation(find_last_layer(layer.module)[1])
    if not isinstance(layer, DenseLayer):
        return None
    torch_class = getattr(type(layer), "activation_class", None)
    name = {nn.Softmax: "softmax", nn.Sigmoid: "sigmoid"}.get(torch_class)  # type: ignore[arg-type]
    return name or layer.arguments.get("activation")


class Head:
    """The head of a classifier: its loss, and its probabilities.

    A last layer with softmax or sigmoid is trained from its pre-activation, unless noise stands
    between the two: a probability that is rounded to 0 has no gradient.

    Parameters
    ----------
    model : Module
        The network.
    classes : array
        The labels, sorted.
    output : {"logits", "probabilities"}, optional
        What the network returns; by default what its last layer says, and logits for a module of
        the user's.
    function : callable, optional
        A loss of the user's, ``function(outputs, targets)``.
    """

    def __init__(
        self, model: nn.Module, classes: Any, output: str | None = None, function: Any = None
    ) -> None:
        self.classes, self.count, self.function = classes, len(classes), function
        name, self.layer = find_last_layer(model)
        # Noise that is a layer of the network may stand behind its last one.
        self.followed = name is not None and (name,) != getattr(model, "exits", ())
        activation = _name_activation(self.layer)
        self.bounded = activation in ("softmax", "sigmoid")
        self.sigmoid = activation == "sigmoid"
        self.output = output or ("probabilities" if self.bounded else "logits")
        self._z: Tensor | None = None
        self._remove: Callable[[], None] | None = None

    def watch(self, noisy: bool) -> None:
        """Take the loss from the pre-activation from now on, unless noise is put behind it."""
        layer = self.layer
        if noisy or self.followed or not self.bounded or self.output != "probabilities":
            return
        if isinstance(layer, DenseLayer | TimeDistributed) and layer.has_pre:
            self._remove = layer.register_pre_activation_hook(self._store).remove

    def _store(self, module: nn.Module, args: Any, z: Tensor) -> None:
        self._z = z

    def close(self) -> None:
        """Take the loss from the outputs again, and forget the network."""
        if self._remove is not None:
            self._remove()
        # A trained net is copied and pickled with its head, but without the network.
        self._remove = self._z = self.layer = None

    def check(self, outputs: Any) -> bool:
        """Return whether one output means two classes; raise if outputs do not fit the classes."""
        if not isinstance(outputs, Tensor | np.ndarray) or outputs.ndim < 2:
            shape = tuple(getattr(outputs, "shape", ()))
            raise InvalidValue(f"a classifier's network must give (N, classes); got {shape}.")
        count = int(outputs.shape[-1])
        if count == 1 and self.count == 2:
            return True
        if count != self.count or self.sigmoid:
            # Several sigmoids give labels that can hold together, not classes.
            sigmoid = "of a Sigmoid " if self.sigmoid else ""
            raise InvalidValue(
                f"the network gives {count} outputs {sigmoid}for {self.count} classes. A "
                "classifier ends in as many as there are classes, or for two classes in one."
            )
        return False

    def loss(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Return the cross-entropy: the mean over the batch, or with "none" one number a target."""
        one = self.check(outputs)
        if self.function is not None:
            return self.function(outputs, targets)  # type: ignore[no-any-return]
        if outputs.shape[:-1] != targets.shape:
            raise InvalidValue(
                f"the network gives outputs of shape {tuple(outputs.shape)}, classes along the "
                f"last axis, for a y of shape {tuple(targets.shape)}. A y of one column for each "
                "class is y.argmax(axis=-1)."
            )
        logits = outputs if self.output == "logits" else self._z
        if one:
            y = targets.to(outputs.dtype)
            if logits is not None:
                z = logits[..., 0]
                return functional.binary_cross_entropy_with_logits(z, y, reduction=reduction)
            p = outputs[..., 0].clamp(0, 1)
            return functional.binary_cross_entropy(p, y, reduction=reduction)
        flat = targets.flatten()
        if logits is not None:
            z = logits.flatten(0, -2)
            losses = functional.cross_entropy(z, flat, reduction=reduction)
        else:
            # Noise on probabilities may make one 0, or larger than 1.
            tiny = torch.finfo(outputs.dtype).tiny
            logs = outputs.clamp_min(tiny).log().flatten(0, -2)
            losses = functional.nll_loss(logs, flat, reduction=reduction)
        return losses if reduction == "mean" else losses.reshape(targets.shape)

    def labels(self, targets: Tensor) -> np.ndarray:
        """Return the labels of class numbers."""
        return np.asarray(self.classes[targets.cpu().numpy()])

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each class, shape (N, ..., classes)."""
        if self.check(outputs):
            p = outputs if self.output == "probabilities" else _sigmoid(outputs)
            return np.concatenate([1 - p, p], axis=-1)
        if self.output == "probabilities":
            return outputs
        shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the label of the highest probability, shape (N, ...)."""
        return np.asarray(self.classes[probabilities.argmax(axis=-1)])


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


class ValuesHead:
    """The head of a network that gives values: mean squared error, or the user's loss."""

    output = "values"

    def __init__(self, function: Any = None, one: bool = False) -> None:
        self.function, self.one = function, one

    def watch(self, noisy: bool) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def loss(self, outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Return the squared error: the mean over the batch, or with "none" one of each number."""
        if outputs.shape != targets.shape:
            raise InvalidValue(
                f"the network gives outputs of shape {tuple(outputs.shape)} for targets of shape "
                f"{tuple(targets.shape)}."
            )
        if self.function is not None:
            return self.function(outputs, targets)  # type: ignore[no-any-return]
        return functional.mse_loss(outputs, targets, reduction=reduction)

    def labels(self, targets: Any) -> Any:
        """Return targets in the shape of y."""
        return targets[..., 0] if self.one else targets

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return values in the shape of y, where a classifier's head has probabilities."""
        return outputs[..., 0] if self.one and outputs.shape[-1] == 1 else outputs

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return values as they are."""
        return values
