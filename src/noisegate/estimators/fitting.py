"""A model trained to its best validation loss, for experiments that compare."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue

from .rows import Rows
from .training import Loss, Trainer

__all__ = ["Epoch", "History", "fit", "misclassified"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch measured.

    Parameters
    ----------
    number : int
        From 1.
    train_loss : float
        Mean loss of the epoch's training steps, weighted by batch size. It is what the steps saw:
        in training mode, **with the noise on**, while the weights were still changing.
    validation_loss : float
        Mean loss over the validation rows after the epoch, in evaluation mode: without noise.
    validation_error : float or None
        Mean of `error` over the validation rows, likewise; None if `fit` was given no `error`.
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_error: float | None


@dataclass(frozen=True, slots=True)
class History:
    """Every epoch of one training, in order, and which of them was best."""

    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The first epoch of the lowest validation loss; NaN is never lowest."""
        return min(self.epochs, key=lambda epoch: _or_infinity(epoch.validation_loss))


def misclassified(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 where the largest output is not the target class and 0 elsewhere, shape (rows,)."""
    return (outputs.argmax(dim=1) != targets).to(outputs.dtype)


def fit(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    epochs: int,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    order_seed: int,
    error: Callable[[Tensor, Tensor], Tensor] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train `model` and leave in it the weights of its best validation loss.

    The order of the rows depends on `order_seed` and the number of rows only: it has a generator
    of its own, so whatever noise draws cannot change it. torch's global generator is touched by
    nothing here but the model itself. Training steps run in `train()` mode, validation in
    `eval()` mode, in which the model is left.

    Parameters
    ----------
    model : torch.nn.Module
        Called with a batch of inputs.
    loss : callable
        ``loss(outputs, targets)``, a 0-d tensor: the mean over the batch.
    train, validation : tuple of two tensors
        Inputs and targets, rows along axis 0, at least one row.
    epochs : int
        The budget, at least 1. All of it is used; the best epoch is chosen afterwards.
    batch_size : int
        Rows of a training step, at least 1. The last batch of an epoch may be smaller; a single
        row that is left over joins the batch before it.
    optimizer : torch.optim.Optimizer
        Made by the caller over the model's parameters.
    order_seed : int
        Seed of the order of rows.
    error : callable, optional
        ``error(outputs, targets)``, one number a row, as `misclassified`. It is recorded, never
        trained on, and has no say in which epoch is best.
    on_epoch : callable, optional
        Called with each `Epoch` when it has ended.

    Returns
    -------
    History
        Training loss (noise on), validation loss and error (noise off) of every epoch.

    Raises
    ------
    InvalidValue
        If a number is out of bounds, rows of inputs and targets differ in number, or the
        validation loss was finite in no epoch.
    """
    _check(epochs, batch_size, train, validation)
    keeper = _Best(on_epoch)
    trainer = Trainer(
        model,
        Loss(loss),
        optimizer,
        batch_size=batch_size,
        order_seed=order_seed,
        error=error,
        device=None,
        verbose=0,
    )
    trainer.initialize()
    trainer.callbacks_.append(("best", keeper))
    trainer.train(Rows(*train), Rows(*validation), epochs)
    if keeper.weights is None:
        raise InvalidValue(_never_finite(epochs, keeper.epochs[-1].validation_loss))
    model.load_state_dict(keeper.weights)
    return History(tuple(keeper.epochs))


class _Best(Callback):  # type: ignore[misc]
    """Keeps every epoch's numbers, and the weights of the lowest validation loss."""

    def __init__(self, on_epoch: Callable[[Epoch], None] | None) -> None:
        self.on_epoch = on_epoch
        self.epochs: list[Epoch] = []
        self.lowest, self.weights = math.inf, None

    def on_epoch_end(self, net: Trainer, **told: Any) -> None:
        """Take note of an epoch."""
        last = net.history[-1]
        number, loss = len(self.epochs) + 1, last["valid_loss"]
        error = last["valid_error"] if net.error is not None else None
        self.epochs.append(Epoch(number, last["train_loss"], loss, error))
        if loss < self.lowest:
            self.lowest, self.weights = loss, copy.deepcopy(net.module_.state_dict())
        if self.on_epoch is not None:
            self.on_epoch(self.epochs[-1])


def _or_infinity(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _check(epochs: int, batch_size: int, train: Any, validation: Any) -> None:
    for name, number in (("epochs", epochs), ("batch_size", batch_size)):
        if number < 1:
            raise InvalidValue(f"fit: `{name}` must be at least 1; got {number}.")
    for name, (inputs, targets) in (("train", train), ("validation", validation)):
        if len(inputs) != len(targets):
            raise InvalidValue(
                f"fit: `{name}` must have as many targets as inputs; "
                f"got {len(inputs)} inputs and {len(targets)} targets."
            )
        if len(inputs) == 0:
            raise InvalidValue(f"fit: `{name}` must have at least one row; got none.")


def _never_finite(epochs: int, last: float) -> str:
    return (
        f"fit: the validation loss must be finite in some epoch; in all {epochs} it was not, "
        f"and ended at {last}. Lower the learning rate, or look for NaN in the data."
    )
