"""What a network and its regularizers add to the loss."""

from typing import Any

from torch import nn

from noisegate.nets.layer import constrain_weights, sum_penalties
from noisegate.nets.layers.dense import DenseLayer

from .session import Session


class Terms:
    """What a network and its regularizers add to the loss of a step."""

    def __init__(self, model: nn.Module, session: Session) -> None:
        self.model, self.session = model, session
        dense = [module for module in model.modules() if isinstance(module, DenseLayer)]
        self.penalized = any(layer.penalties for layer in dense)
        self.constrained = any(layer.constraints for layer in dense)

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return self.penalized or bool(self.session.losses)

    def __call__(self) -> Any:
        """Return the sum, of the last forward."""
        total = self.session.terms()
        return total + sum_penalties(self.model) if self.penalized else total

    def constrain(self) -> None:
        """Let the weights be what their constraints allow."""
        constrain_weights(self.model)
