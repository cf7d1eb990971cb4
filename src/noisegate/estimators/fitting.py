"""`fit`: train a model to its best validation loss, for experiments that compare."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue

from .callbacks import Stopping
from .examples import Examples
from .training import Loss, Trainer

__all__ = ["Epoch", "History", "fit", "misclassified"]


@dataclass(frozen=True, slots=True)
class Epoch:
    """The numbers of one epoch.

    Parameters
    ----------
    number : int
        From 1.
    train_loss : float
        Mean loss of the epoch's training steps, weighted by batch size, as the steps saw it: in
        training mode, **with the noise on**, while the weights were still changing.
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

    The order of the rows depends on `order_seed` and their number only: it has a generator of its
    own, so noise cannot change it whatever it draws. Only the model itself draws from torch's
    global generator. Training steps run in `train()` mode, validation in `eval()` mode, in which
    the model is left.

    Parameters
    ----------
    model : torch.nn.Module
        Called with a batch of inputs.
    loss : callable
        ``loss(outputs, targets)``, a 0-d tensor: the mean over the batch.
    train, validation : tuple of two tensors
        Inputs and targets, rows along axis 0, at least one row.
    epochs : int
        How many, at least 1. All are trained; the best is chosen afterwards.
    batch_size : int
        Rows of a training step, at least 1. The last batch of an epoch may be smaller; a single
        row that is left over joins the batch before it.
    optimizer : torch.optim.Optimizer
        An optimizer of the model's parameters.
    order_seed : int
        Seed of the order of rows.
    error : callable, optional
        ``error(outputs, targets)``, one number a row, such as `misclassified`. It is recorded;
        it decides neither the gradient nor the best epoch.
    on_epoch : callable, optional
        Called with each `Epoch` at its end.

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
    reader = _EpochReader(on_epoch)
    # Without an end of its patience, it keeps the best weights and returns to them.
    best = Stopping(patience=epochs + 1)
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
    trainer.callbacks_ += [("best", best), ("epochs", reader)]
    # The order of rows is drawn on the CPU, and followed where the rows are.
    rows = Examples(*train, device=train[1].device)
    trainer.train(rows, Examples(*validation), epochs)
    if math.isinf(best.lowest):
        raise InvalidValue(
            "fit: the validation loss must be finite in some epoch; in all "
            f"{epochs} it was not, and ended at {reader.epochs[-1].validation_loss}. "
            "Lower the learning rate, or look for NaN in the data."
        )
    return History(tuple(reader.epochs))


class _EpochReader(Callback):  # type: ignore[misc]
    """Reads the numbers of every epoch, and hands them on."""

    def __init__(self, on_epoch: Callable[[Epoch], None] | None) -> None:
        self.on_epoch, self.epochs = on_epoch, list[Epoch]()

    def on_epoch_end(self, net: Trainer, **data: Any) -> None:
        """Read the last epoch."""
        last, number = net.history[-1], len(self.epochs) + 1
        error = None if net.error is None else last["valid_error"]
        self.epochs.append(Epoch(number, last["train_loss"], last["valid_loss"], error))
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
