"""One small training in each library, for the table of `docs/loops.md`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from accelerate import Accelerator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import noisegate as ng
from _loops import ACCUMULATE, BATCH, SEED, Net, X, Y, make_data

RULES = {"net.0:in": 0.5}
KEY = ng.Stream(SEED).site("net.0:in")
Watch = Callable[[Any], None]


class Model(Net):
    """Records what the noise has kept of its inputs in training."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.fails_at = fails_at
        self.net[0].register_forward_hook(self.note)

    def note(self, module: Any, args: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            self.seen.append((self.clean, args[0].detach()))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Any:
        self.clean = x
        y = self.net(x)
        if torch.is_grad_enabled() and len(self.seen) == self.fails_at:
            raise KeyError("stop")
        return y.softmax(-1) if labels is None else {"loss": F.cross_entropy(y, labels)}

    def find_places(self) -> list[tuple[int, int]]:
        """Return, for each micro-batch, the step and the first row of its noise."""
        places = []
        for clean, seen in self.seen:
            (place,) = [
                (step, row)
                for step in range(8)
                for row in range(0, 64, 4)
                if torch.equal(
                    seen, ng.Dropout(0.5)(clean, KEY.at(step), range(row, row + len(clean)))
                )
            ]
            places.append(place)
        return places


def no_watch(model: Any) -> None:
    """Watch nothing."""


class TrainerWatch(TrainerCallback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_step_end(self, args: Any, state: Any, control: Any, **words: Any) -> None:
        self.watch(words["model"])


def run_trainer(
    model: Model, folder: Path, count: int, epochs: int, workers: int, watch: Watch
) -> None:
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=ACCUMULATE,
        dataloader_num_workers=workers,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="sequential",
    )
    data = [{"x": x, "labels": y} for x, y in zip(X[:count], Y[:count], strict=True)]
    # Before the noise's callback, which must have silenced the noise already.
    callbacks = [TrainerWatch(watch), ng.transformers.NoiseCallback(RULES, SEED)]
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=callbacks)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()


class SkorchWatch(Callback):  # type: ignore[misc]
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_batch_end(self, net: Any, training: bool = False, **words: Any) -> None:
        if training:
            self.watch(net.module_)


class Accumulating(NeuralNetClassifier):  # type: ignore[misc]
    """A net that accumulates gradients, as skorch's documentation shows it."""

    def train_step(self, batch: Any, **parameters: Any) -> Any:
        number = self.__dict__.setdefault("number", 0)
        self.__dict__["number"] += 1
        if number % ACCUMULATE == 0:
            self.optimizer_.zero_grad()
        step = self.train_step_single(batch, **parameters)
        if number % ACCUMULATE == ACCUMULATE - 1:
            self.optimizer_.step()
        return step


def run_skorch(
    model: Model, folder: Path, count: int, epochs: int, workers: int, watch: Watch
) -> None:
    Accumulating(
        model,
        max_epochs=epochs,
        batch_size=BATCH,
        iterator_train__num_workers=workers,
        callbacks=[SkorchWatch(watch), ng.skorch.NoiseCallback(RULES, SEED)],
        train_split=None,
        verbose=0,
    ).fit(X[:count].numpy(), Y[:count].numpy())


def run_accelerate(
    model: Model, folder: Path, count: int, epochs: int, workers: int, watch: Watch
) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATE)
    data = torch.utils.data.Subset(make_data(), range(count))
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    wrapped, optimiser, loader = accelerator.prepare(
        model, optimiser, DataLoader(data, BATCH, num_workers=workers)
    )
    with ng.accelerate.NoiseState(accelerator, wrapped, RULES, SEED) as noise:
        for _ in range(epochs):
            for x, y in loader:
                with noise.accumulate(wrapped):
                    accelerator.backward(wrapped(x, y)["loss"])
                    optimiser.step()
                    optimiser.zero_grad()
                watch(model)


LIBRARIES = {"trainer": run_trainer, "skorch": run_skorch, "accelerate": run_accelerate}
