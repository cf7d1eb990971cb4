"""What is learned of a target: a class or a number; its loss, its error, and their names."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from noisegate.estimators import Epoch, History


@dataclass(frozen=True, slots=True)
class Task:
    """Classification or regression, by its name, and the words that go with it.

    `classes` are the classes' labels, in the order of the outputs; () for regression.
    """

    name: str
    classes: tuple[str, ...] = ()

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self.name == "classification"

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a row: a logit for each class, or the one value."""
        return len(self.classes) if self.is_classification else 1

    @property
    def loss_name(self) -> str:
        """What tables and plots call the loss."""
        return "cross-entropy" if self.is_classification else "RMSE"

    @property
    def error_name(self) -> str:
        """What tables and plots call the error."""
        return "error, %" if self.is_classification else "mean absolute error"

    @property
    def error_factor(self) -> int:
        """What an error is multiplied by to be told under its name."""
        return 100 if self.is_classification else 1

    def loss(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return the mean over the rows of cross-entropy (in nats), or of squared differences.

        Outputs are logits, (rows, classes), and targets int64, (rows,); or both are values,
        (rows, 1).
        """
        from torch.nn import functional  # here, since reading a file needs no torch

        if self.is_classification:
            return functional.cross_entropy(outputs, targets)
        return functional.mse_loss(outputs, targets)

    def error(self, outputs: "Tensor", targets: "Tensor") -> "Tensor":
        """Return each row's error, (rows,): 1 if misclassified and else 0, or ``|o - t|``."""
        from noisegate.estimators import misclassified

        if self.is_classification:
            return misclassified(outputs, targets)
        return (outputs - targets).abs().squeeze(1)

    def in_units(self, history: "History", scale: float) -> "History":
        """Return a history as it is reported: for regression, in the unit of the target.

        Losses are mean squares of standardised differences, errors their mean magnitudes. `scale`
        is the standard deviation by which the targets were divided: a loss becomes its root times
        this, RMSE; an error is multiplied by it.
        """
        if self.is_classification:
            return history
        epochs = tuple(_in_units(epoch, scale) for epoch in history.epochs)
        return replace(history, epochs=epochs)


def _in_units(epoch: "Epoch", scale: float) -> "Epoch":
    error = epoch.validation_error
    return replace(
        epoch,
        train_loss=math.sqrt(epoch.train_loss) * scale,
        validation_loss=math.sqrt(epoch.validation_loss) * scale,
        validation_error=None if error is None else error * scale,
    )
