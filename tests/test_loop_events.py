"""What happens to step and rows: each line of the table in `docs/loops.md`, in Lightning."""

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

import noisegate as ng
from _loops import BATCH, SEED, Net, X, assert_clean, make_data

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*returned `None`"),
]
KEY = ng.Stream(SEED).site("net.0:in")


class Lit(lightning.LightningModule):
    """Records what the noise has kept of the inputs, with the Trainer's step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net().net
        self.seen: list[tuple[int, Tensor, Tensor]] = []

    def on_train_start(self) -> None:
        self.net[0].register_forward_hook(self.note)

    def note(self, module: Any, args: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            self.seen.append((self.global_step, self.clean, args[0].detach()))

    def training_step(self, batch: Any, index: int) -> Tensor | None:
        self.clean = batch[0]
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.train()
        assert torch.equal(self.net(batch[0]), self.net(batch[0]))
        self.eval()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(
    model: Lit, folder: Path, *callbacks: Any, workers: int = 0, data: Any = None, **words: Any
) -> Any:
    callback = ng.lightning.NoiseCallback({"net.0:in": 0.5}, SEED)
    trainer = lightning.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[callback, *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "accumulate_grad_batches": 2, **words},
    )
    data = make_data() if data is None else data
    loader = DataLoader(data, BATCH, num_workers=workers)
    trainer.fit(model, loader, DataLoader(make_data(), 48))
    assert not ng.handles(model)
    return callback


def find_places(model: Lit) -> list[tuple[int, int]]:
    """Return, for each micro-batch, the step and the first row of its noise."""
    places = []
    for step, clean, seen in model.seen:
        (first,) = [
            row
            for row in range(0, 64, BATCH)
            if torch.equal(seen, ng.Dropout(0.5)(clean, KEY.at(step), range(row, row + len(clean))))
        ]
        places.append((step, first))
    return places


PLAIN = [(0, 0), (0, 8), (1, 0), (1, 8), (2, 0), (2, 8)]


def test_accumulation_and_evaluation(tmp_path: Path) -> None:
    model = Lit()
    callback = fit(model, tmp_path, val_check_interval=1)
    assert find_places(model) == PLAIN
    assert callback.noise.step == 3


def test_an_epoch_that_ends_within_an_accumulation(tmp_path: Path) -> None:
    model = Lit()
    data = torch.utils.data.Subset(make_data(), range(36))
    fit(model, tmp_path, data=data, max_epochs=2)
    once = [(0, 0), (0, 8), (1, 0), (1, 8), (2, 0)]
    assert find_places(model) == [*once, *((step + 3, first) for step, first in once)]


def test_a_batch_that_is_skipped(tmp_path: Path) -> None:
    class Skipping(Lit):
        def training_step(self, batch: Any, index: int) -> Tensor | None:
            loss = super().training_step(batch, index)
            return None if index == 2 else loss

    model = Skipping()
    callback = fit(model, tmp_path)
    # Lightning counts a step of the optimiser, since the second micro-batch takes it.
    assert find_places(model) == PLAIN
    assert callback.noise.step == 3


def test_ema(tmp_path: Path) -> None:
    model = Lit()
    fit(model, tmp_path, EMAWeightAveraging())
    assert find_places(model) == PLAIN

    class Own(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            if not hasattr(self, "average"):
                self.average = AveragedModel(pl_module.net)
            self.average.update_parameters(pl_module.net)
            assert torch.equal(self.average.eval()(X), self.average(X))
            assert torch.equal(self.average.train()(X), self.average(X))

    model, own = Lit(), Own()
    fit(model, tmp_path, own)
    assert find_places(model) == PLAIN


@pytest.mark.filterwarnings("ignore:.*scheduler.step")
def test_swa(tmp_path: Path) -> None:
    class Normed(Lit):
        def __init__(self) -> None:
            super().__init__()
            self.net.append(torch.nn.BatchNorm1d(10))  # so that SWA runs an epoch more for it

    model = Normed()
    averaging = StochasticWeightAveraging(0.01, swa_epoch_start=1)
    callback = fit(model, tmp_path, averaging, max_epochs=2)
    places = find_places(model)
    assert places[:12] == [*PLAIN, *((step + 3, first) for step, first in PLAIN)]
    # The epoch for batch norms takes no step of the optimiser.
    assert places[12:] == [(6, first) for first in range(0, 48, 8)]
    assert callback.noise.step in (6, 7)


def test_workers(tmp_path: Path) -> None:
    model = Lit()
    fit(model, tmp_path, workers=1)
    assert find_places(model) == PLAIN


class Stop(lightning.Callback):
    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        trainer.should_stop = trainer.fit_loop.epoch_loop.batch_idx == 2


def test_early_exit(tmp_path: Path) -> None:
    model = Lit()
    fit(model, tmp_path, max_steps=2)
    assert find_places(model) == PLAIN[:4]
    model = Lit()
    fit(model, tmp_path, Stop())
    assert find_places(model)[:3] == PLAIN[:3]

    class Skips(Lit):
        def on_train_batch_start(self, batch: Any, index: int) -> int | None:
            return -1 if index == 3 else None  # ends the epoch

    model = Skips()
    fit(model, tmp_path, max_epochs=2)
    places = find_places(model)
    assert places[:3] == PLAIN[:3]
    assert len(places) == 6


def test_an_exception_within_a_step(tmp_path: Path) -> None:
    class Failing(Lit):
        def training_step(self, batch: Any, index: int) -> Tensor | None:
            loss = super().training_step(batch, index)
            if index == 3:
                raise KeyError("stop")
            return loss

    model = Failing()
    with pytest.raises(KeyError, match="stop"):
        fit(model, tmp_path)
    assert find_places(model) == PLAIN[:4]
    model.net[0]._forward_hooks.clear()
    assert_clean(model)


def test_compiled(tmp_path: Path) -> None:
    """The compiled step, and the whole or a part of the model in it."""

    class Whole(Lit):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.net(x)
            return y

        def training_step(self, batch: Any, index: int) -> Tensor | None:
            return F.cross_entropy(self(batch[0]), batch[1])

    class Part(Whole):
        def training_step(self, batch: Any, index: int) -> Tensor | None:
            return F.cross_entropy(self.net(batch[0]), batch[1])

    for kind in (Whole, Part):
        weights = []
        for compiled in (False, True):
            model = kind()
            model.on_train_start = lambda: None  # type: ignore[method-assign]
            given: Any = torch.compile(model, backend="aot_eager") if compiled else model
            fit(given, tmp_path)
            weights.append(model.net[0].weight.detach().clone())
        torch.testing.assert_close(*weights)
