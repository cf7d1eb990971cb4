"""The one training loop: skorch's net, its batches slices of tensors, nothing collated."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, InputShapeSetter, PrintLog
from skorch.dataset import Dataset
from skorch.utils import to_device, to_numpy
from torch import Tensor, nn

from noisegate.core.errors import InvalidValue

from .examples import Examples, to_dense

# Validation runs without gradients, so its batches can be larger than training's.
EVALUATION_ROWS = 1024


class Loss(nn.Module):
    """A function ``loss(outputs, targets)`` as the criterion that skorch asks for.

    The function returns the mean over the batch, or one number for each row or element. Such
    numbers are averaged here, with weights where the rows have some.
    """

    def __init__(self, function: Callable[..., Tensor] | None) -> None:
        super().__init__()
        self.function = function

    def forward(self, outputs: Any, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean loss over the batch, shape ()."""
        assert self.function is not None
        if weights is None:
            loss = self.function(outputs, targets)
            return loss.mean() if loss.ndim else loss
        losses = self.function(outputs, targets, reduction="none")
        if not losses.ndim:
            raise InvalidValue(
                "`loss` must return one number for each row where rows have weights; got their "
                "mean. Write it with reduction='none'."
            )
        weights = weights.reshape(weights.shape + (1,) * (losses.ndim - weights.ndim))
        weights = weights.expand_as(losses)
        # A batch in which nothing counts has a loss of 0, and no gradient.
        return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


class _Stopped(KeyboardInterrupt):
    """The end of a training that a callback has asked for by a KeyboardInterrupt."""


class Trainer(NeuralNet):  # type: ignore[misc]
    """skorch's net, with batches that are slices of a permutation.

    The order of the rows depends on `order_seed` and their number only: it has a generator of its
    own, so noise cannot change it whatever it draws.

    Callbacks see what they see of a skorch net: with a `head`, `predict` returns labels or values
    and `predict_proba` probabilities, and targets are the user's. The history has a row for each
    batch where there are `callbacks`.

    Parameters
    ----------
    module : Module
        Trained in place, not copied.
    criterion : Loss
        The loss.
    head : Head or ValuesHead, optional
        Reads outputs; without one they stay as they are.
    order_seed : int
        Seed of the order of rows.
    error : callable, optional
        ``error(outputs, targets)``, one number a row; recorded as ``valid_error``.
    terms : callable, optional
        Returns what a training step adds to the loss.
    after_step : callable, optional
        Called after each training step.
    **kwargs
        Those of `skorch.NeuralNet`. `optimizer` may be a class or an optimizer.
    """

    def __init__(
        self,
        module: nn.Module,
        criterion: Loss,
        *args: Any,
        head: Any = None,
        order_seed: int = 0,
        error: Callable[[Any, Tensor], Tensor] | None = None,
        terms: Callable[[], Any] | None = None,
        after_step: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("train_split", None)
        kwargs.setdefault("iterator_valid__batch_size", EVALUATION_ROWS)
        super().__init__(module, criterion, *args, **kwargs)
        self.callbacks_: list[tuple[str, Callback]]
        self.head = head
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

    def initialize_callbacks(self) -> "Trainer":
        """Initialize the callbacks; refuse InputShapeSetter, which would set sizes again."""
        super().initialize_callbacks()
        for _, callback in self.callbacks_:
            if isinstance(callback, InputShapeSetter):
                raise InvalidValue(
                    "`callbacks` must not hold InputShapeSetter: a network takes its size from X "
                    "by itself. Leave it out; sizes may be None, as in (None, 100, None)."
                )
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> "Trainer":
        """Make the optimizer from its class; keep one that was given."""
        if isinstance(self.optimizer, torch.optim.Optimizer):
            self.optimizer_ = self.optimizer
            return self
        return super().initialize_optimizer(*args, **kwargs)  # type: ignore[no-any-return]

    def initialize(self) -> "Trainer":
        """Make what training needs, and seed the order of rows."""
        super().initialize()
        self.order_ = torch.Generator().manual_seed(self.order_seed).get_state()
        return self

    def go_on(self, before: "Trainer") -> None:
        """Continue with the optimizer state, order and history of another trainer of the module."""
        self.optimizer_.load_state_dict(before.optimizer_.state_dict())
        self.history, self.order_ = before.history, before.order_

    def forget(self) -> None:
        """Drop what only a training needs, so that the net can be copied and pickled."""
        self.terms = self.after_step = self.error = None
        self.criterion = self.criterion_ = Loss(None)
        self.callbacks_ = []
        # skorch warns when it copies a net without a device.
        self.device = str(next((p.device for p in self.module_.parameters()), "cpu"))

    # The loop ----------------------------------------------------------------------------------

    def train(
        self,
        rows: Examples,
        validation: Examples | None,
        epochs: int,
        resume: Callable[["Trainer"], None] | None = None,
    ) -> None:
        """Train until there are `epochs` epochs, or a callback ends it.

        `resume` restores the state of an earlier training, whose epochs count. Training steps run
        in `train()` mode, validation in `eval()` mode, in which the module is left.
        """
        X, y = self._as_given(rows)
        sets = {
            "dataset_train": Dataset(X, y),
            "dataset_valid": None if validation is None else Dataset(*self._as_given(validation)),
        }
        done = 0
        if resume is not None:
            # Before callbacks begin: a learning-rate scheduler counts the epochs in the history.
            resume(self)
            done = len(self.history)
        self.notify("on_train_begin", X=X, y=y)
        with suppress(_Stopped):
            for _ in range(done, epochs):
                self.notify("on_epoch_begin", **sets)
                self.run_single_epoch(self._draw_batches(rows), True, "train", self._step)
                if validation is not None:
                    self.run_single_epoch(_split_parts(validation), False, "valid", self._evaluate)
                self.notify("on_epoch_end", **sets)
        self.notify("on_train_end", X=X, y=y)
        self.module_.eval()

    def notify(self, method_name: str, **words: Any) -> None:
        """Notify all callbacks; one that raises KeyboardInterrupt ends the training."""
        try:
            super().notify(method_name, **words)
        except KeyboardInterrupt:
            raise _Stopped from None

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Run all batches in one mode, and record the mean loss over their rows."""
        self._set_training(training)
        watched = self._has_listener("on_batch_begin", "on_batch_end")
        self.sees_gradients = self._has_listener("on_grad_computed")
        # Losses stay on their device: reading one at every step would make the device wait.
        losses, weights, errors = list[Tensor](), list[Any](), list[Tensor]()
        counts = list[int]()
        for batch in iterator:
            data = {"batch": self._as_given(batch), "training": training} if watched else {}
            if watched:
                self.notify("on_batch_begin", **data)
                self._set_training(training)  # a callback may have predicted
            loss, outputs = step_fn(batch)
            losses.append(loss.detach())
            weights.append(batch.weight)
            counts.append(len(batch))
            if self.error is not None and not training:
                errors.append(self.error(outputs, batch.targets).sum())
            if watched:
                self._record_batch(prefix, float(losses[-1]), counts[-1])
                self.notify("on_batch_end", **data, loss=loss, y_pred=outputs)
        means = torch.stack(losses).tolist()
        if self.callbacks and not watched:
            for loss, count in zip(means, counts, strict=True):
                self.history.new_batch()
                self._record_batch(prefix, loss, count)
        total = math.fsum(map(float, weights))
        mean = math.fsum(m * float(w) for m, w in zip(means, weights, strict=True)) / (total or 1)
        name = f"{prefix}_loss"
        before = [epoch[name] for epoch in self.history[:-1] if name in epoch]
        self.history.record(name, mean)
        self.history.record(f"{name}_best", all(not mean >= b for b in before))
        if errors:
            self.history.record(f"{prefix}_error", math.fsum(map(float, errors)) / sum(counts))
        self.history.record(f"{prefix}_batch_count", len(counts))

    def _record_batch(self, prefix: str, loss: float, count: int) -> None:
        self.history.record_batch(f"{prefix}_loss", loss)
        self.history.record_batch(f"{prefix}_batch_size", count)

    def _has_listener(self, *names: str) -> bool:
        """Return whether a callback has a method for one of some events."""
        return any(
            getattr(type(callback), name) is not getattr(Callback, name)
            for _, callback in self.callbacks_
            for name in names
        )

    def _draw_batches(self, rows: Examples) -> Iterator[Examples]:
        # Drawn on the CPU, so that the order is the same on every device.
        generator = torch.Generator()
        generator.set_state(self.order_)
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        self.order_ = generator.get_state()
        parts = list(order.split(self.batch_size))
        if len(parts) > 1 and len(parts[-1]) == 1 < self.batch_size:
            # Batch normalization needs two rows, and one row would count as much as a whole batch.
            parts[-2:] = [torch.cat(parts[-2:])]
        for part in parts:
            yield rows[part].dense()

    def _step(self, batch: Examples) -> tuple[Tensor, Any]:
        result: list[Any] = []

        def closure() -> Any:
            outputs = self._forward(batch)
            loss: Tensor = self.criterion_(outputs, batch.targets, batch.weights)
            total = loss if self.terms is None else loss + self.terms()
            self.optimizer_.zero_grad()
            total.backward()
            if self.sees_gradients:
                named = list(self.module_.named_parameters())
                data = self._as_given(batch)
                self.notify("on_grad_computed", named_parameters=named, batch=data, training=True)
            result[:] = [total, outputs]
            return total

        self.optimizer_.step(closure)
        if self.after_step is not None:
            self.after_step()
        return result[0], result[1]

    def _forward(self, batch: Examples) -> Any:
        try:
            return self.module_(batch.inputs)
        except ValueError as error:
            if len(batch) == 1 and "more than 1 value per channel" in str(error):
                raise InvalidValue(
                    "batch normalization needs at least two rows in a batch of training; got one. "
                    "Raise `batch_size`, or give more rows."
                ) from None
            raise

    @torch.no_grad()
    def _evaluate(self, batch: Examples) -> tuple[Tensor, Any]:
        outputs = self.module_(batch.inputs)
        return self.criterion_(outputs, batch.targets, batch.weights), outputs

    # What callbacks see ------------------------------------------------------------------------

    def _as_given(self, rows: Examples) -> tuple[Any, Any]:
        """Return inputs and targets in the user's form: sparse matrices, labels."""
        targets = rows.targets
        return rows.inputs, targets if self.head is None else self.head.labels(targets)

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[Any]:
        """Yield the module's outputs for parts of X: an array, tensor, sparse matrix or dataset."""
        X = X.X if isinstance(X, Dataset) else X
        if hasattr(X, "tocsr"):
            X = X.tocsr()
        elif not isinstance(X, Tensor):
            X = torch.as_tensor(X)
        where = next((p.device for p in self.module_.parameters()), None)
        for start in range(0, X.shape[0] or 1, EVALUATION_ROWS):
            part = to_dense(X[start : start + EVALUATION_ROWS], where).to(where)
            outputs = self.evaluation_step((part, None), training)
            yield to_device(outputs, device)

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, or values where there are no classes; float32, (rows, ...)."""
        outputs = to_numpy(torch.cat(list(self.forward_iter(X))))
        return outputs if self.head is None else self.head.probabilities(outputs)

    def predict(self, X: Any) -> Any:
        """Return labels, or values of the shape of y."""
        probabilities = self.predict_proba(X)
        return probabilities if self.head is None else self.head.decide(probabilities)

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy of labels, or R² of values."""
        y = y.toarray() if hasattr(y, "tocsr") else np.asarray(y)
        flat = [values.reshape(len(y), -1) for values in (y, self.predict(X))]
        if self._has_classes:
            return float(accuracy_score(*(values.ravel() for values in flat)))
        return float(r2_score(*flat))

    @property
    def classes_(self) -> Any:
        """The classes of a classifier."""
        return self.head.classes

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn's scorers ask about an estimator."""
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier" if self._has_classes else "regressor"
        tags.classifier_tags = ClassifierTags() if self._has_classes else None
        return tags

    @property
    def _has_classes(self) -> bool:
        return hasattr(self.head, "classes")


def _split_parts(rows: Examples) -> Iterator[Examples]:
    for start in range(0, len(rows), EVALUATION_ROWS):
        yield rows[start : start + EVALUATION_ROWS].dense()
