"""The one training loop: skorch's net, its batches slices of tensors, nothing collated."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, PrintLog
from torch import Tensor, nn

# Validation runs without gradients, so its batches can be larger than training's.
EVALUATION_ROWS = 1024


class Rows(NamedTuple):
    """Inputs and targets, rows along axis 0."""

    inputs: Tensor
    targets: Tensor


class Loss(nn.Module):
    """A function ``loss(outputs, targets)`` as the criterion that skorch asks for."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor] | None) -> None:
        super().__init__()
        self.function = function

    def forward(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss over the batch, shape ()."""
        assert self.function is not None
        return self.function(outputs, targets)


class Trainer(NeuralNet):  # type: ignore[misc]
    """skorch's net with batches that are slices of a permutation.

    The order of the rows depends on `order_seed` and their number only: it has a generator of its
    own, so whatever noise draws cannot change it. `terms` returns what is added to the loss of a
    training step; `after_step` is called after each.

    Parameters
    ----------
    module : Module
        What is trained, as it is.
    criterion : Loss
        The loss.
    order_seed : int
        Seed of the order of rows.
    error : callable, optional
        ``error(outputs, targets)``, one number a row; recorded as ``valid_error``.
    terms, after_step : callable, optional
        What the loss gets besides, and what is done to the weights.
    **kwargs
        As of `skorch.NeuralNet`. An optimizer may be one that is made already.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: Loss,
        *args: Any,
        order_seed: int = 0,
        error: Callable[[Any, Tensor], Tensor] | None = None,
        terms: Callable[[], Any] | None = None,
        after_step: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("train_split", None)
        super().__init__(module, criterion, *args, **kwargs)
        self.callbacks_: list[tuple[str, Callback]]
        self.order_seed = order_seed
        self.error = error
        self.terms = terms
        self.after_step = after_step

    history: Any
    sees_gradients = False

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # A table that nobody sees takes half a millisecond to lay out.
        table = [("print_log", PrintLog())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *table]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "Trainer":
        """Make the optimizer, unless it is one already."""
        if isinstance(self.optimizer, torch.optim.Optimizer):
            self.optimizer_ = self.optimizer
            return self
        return super().initialize_optimizer(*args, **kwargs)  # type: ignore[no-any-return]

    def initialize(self) -> "Trainer":
        """Make what training needs, and begin the order of rows."""
        super().initialize()
        self.order_ = torch.Generator().manual_seed(self.order_seed).get_state()
        return self

    def go_on(self, before: "Trainer") -> None:
        """Go on from where another trainer of the same module ended."""
        self.optimizer_.load_state_dict(before.optimizer_.state_dict())
        self.history, self.order_ = before.history, before.order_

    def forget(self) -> None:
        """Let go of what only a training needs, so that a copy is a copy of the net."""
        self.terms = self.after_step = self.error = None
        self.criterion = self.criterion_ = Loss(None)
        self.callbacks_ = []
        # Of a net without a device, copies would warn.
        self.device = str(next((p.device for p in self.module_.parameters()), "cpu"))

    def train(
        self,
        rows: Rows,
        validation: Rows | None,
        epochs: int,
        resume: Callable[["Trainer"], None] | None = None,
    ) -> None:
        """Train for some epochs, or until a callback stops it.

        `resume` may bring back the state of a training of the same kind, whose epochs count.
        Training runs in `train()` mode, validation in `eval()` mode, in which the module is left.
        """
        told = {"dataset_train": rows, "dataset_valid": validation}
        self.notify("on_train_begin", X=rows.inputs, y=rows.targets)
        done = 0
        if resume is not None:
            resume(self)
            done = len(self.history)
        for _ in range(done, epochs):
            self.notify("on_epoch_begin", **told)
            self.run_single_epoch(self._batches(rows), True, "train", self._step)
            if validation is not None:
                self.run_single_epoch(_parts(validation), False, "valid", self._evaluate)
            try:
                self.notify("on_epoch_end", **told)
            except KeyboardInterrupt:  # how skorch's callbacks stop a training
                break
        self.notify("on_train_end", X=rows.inputs, y=rows.targets)
        self.module_.eval()

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Run all batches in one mode, and record the mean loss over the rows."""
        self._set_training(training)
        listeners = [callback for _, callback in self.callbacks_]
        watched = any(
            _watches(callback, "on_batch_begin", "on_batch_end") for callback in listeners
        )
        self.sees_gradients = any(_watches(callback, "on_grad_computed") for callback in listeners)
        # Kept where they are: reading a number at every step would make a device wait.
        losses, sizes, errors = list[Tensor](), list[int](), list[Tensor]()
        for batch in iterator:
            if watched:
                self.notify("on_batch_begin", batch=batch, training=training)
            loss, outputs = step_fn(batch)
            losses.append(loss.detach())
            sizes.append(len(batch[1]))
            if self.error is not None and not training:
                errors.append(self.error(outputs, batch[1]).sum())
            if watched:
                self.notify(
                    "on_batch_end", batch=batch, training=training, loss=loss, y_pred=outputs
                )
        rows = sum(sizes)
        means = torch.stack(losses).tolist()
        mean = math.fsum(loss * size for loss, size in zip(means, sizes, strict=True)) / rows
        before = [epoch[f"{prefix}_loss"] for epoch in self.history[:-1]]
        self.history.record(f"{prefix}_loss", mean)
        self.history.record(f"{prefix}_loss_best", all(not mean >= b for b in before))
        if errors:
            self.history.record(f"{prefix}_error", math.fsum(map(float, errors)) / rows)
        self.history.record(f"{prefix}_batch_count", len(sizes))

    def _batches(self, rows: Rows) -> Iterator[Rows]:
        # The permutation is drawn on the host, so that the order is the same on every device.
        inputs, targets = rows
        generator = torch.Generator()
        generator.set_state(self.order_)
        order = torch.randperm(len(targets), generator=generator).to(targets.device)
        self.order_ = generator.get_state()
        for part in order.split(self.batch_size):
            yield Rows(inputs[part], targets[part])

    def _step(self, batch: Rows) -> tuple[Tensor, Any]:
        found: list[Any] = []

        def closure() -> Any:
            outputs = self.module_(batch.inputs)
            loss: Tensor = self.criterion_(outputs, batch.targets)
            total = loss if self.terms is None else loss + self.terms()
            self.optimizer_.zero_grad()
            total.backward()
            if self.sees_gradients:
                named = list(self.module_.named_parameters())
                self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
            found[:] = [total, outputs]
            return total

        self.optimizer_.step(closure)
        if self.after_step is not None:
            self.after_step()
        return found[0], found[1]

    @torch.no_grad()
    def _evaluate(self, batch: Rows) -> tuple[Tensor, Any]:
        outputs = self.module_(batch.inputs)
        return self.criterion_(outputs, batch.targets), outputs


def _parts(rows: Rows) -> Iterator[Rows]:
    for inputs, targets in zip(*(part.split(EVALUATION_ROWS) for part in rows), strict=True):
        yield Rows(inputs, targets)


def _watches(callback: Callback, *names: str) -> bool:
    """Return whether a callback is to be told of something."""
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in names)
