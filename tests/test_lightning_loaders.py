"""Batches of several loaders, copies, and fits without batches, under Lightning's Trainer."""

import copy
import logging
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import noisegate as ng
from _asserts import assert_same_bits
from _loops import (
    BATCH,
    SEED,
    Net,
    X,
    Y,
    assert_clean,
    assert_same_weights,
    copy_weights,
    make_data,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
KEY = ng.Stream(SEED).site("net.0:in")


class Lit(lightning.LightningModule):
    """Records the Trainer's step, and what the noise has kept of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net().net
        self.seen: list[tuple[int, Tensor, Tensor]] = []

    def run(self, x: Tensor, y: Tensor) -> Tensor:
        kept: list[Tensor] = []
        hook = self.net[0].register_forward_hook(lambda m, args, out: kept.append(args[0]))
        try:
            loss = F.cross_entropy(self.net(x), y)
        finally:
            hook.remove()
        self.seen.append((self.global_step, x, kept[0].detach()))
        return loss

    def training_step(self, batch: Any, index: int) -> Any:
        return self.run(*batch)

    def validation_step(self, batch: Any, index: int) -> None:
        self.train()
        assert torch.equal(self.net(batch[0]), self.net(batch[0]))
        self.eval()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(model: Any, loader: Any, folder: Path, *callbacks: Any, **words: Any) -> Any:
    callback = words.pop("callback", None) or ng.lightning.NoiseCallback({"net.0:in": 0.5}, SEED)
    resume = words.pop("resume", None)
    trainer = lightning.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=[callback, *callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "accumulate_grad_batches": 2, "enable_checkpointing": False, **words},
    )
    trainer.fit(model, loader, DataLoader(make_data(), 48), ckpt_path=resume)
    return callback


def expect(step: int, x: Tensor, first: int, call: int = 0) -> Tensor:
    key = ng.Stream(SEED).site("net.0:in").at(step, call)
    y: Tensor = ng.Dropout(0.5)(x, key, range(first, first + len(x)))
    return y


# Fits without batches ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [{"max_epochs": 0}, {"max_steps": 0}, {"limit_train_batches": 0}], ids=str
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_fit_without_batches_leaves_the_users_noise_as_it_was(
    words: Any, beside: bool, tmp_path: Path
) -> None:
    model = Lit()
    noise = ng.inject(model, {"net.0:in": 0.5}, seed=SEED)
    rules: Any = {"net.1:out": 0.5} if beside else None
    fit(
        model,
        DataLoader(make_data(), BATCH),
        tmp_path,
        callback=ng.lightning.NoiseCallback(rules),
        **words,
    )
    assert ng.handles(model) == (noise,)
    with noise.at(0):
        model.train().run(X, Y)
    assert_same_bits(model.seen[0][2], expect(0, X, 0))


def test_a_handle_of_another_module_is_refused(tmp_path: Path) -> None:
    noise = ng.inject(Lit(), {"net.0:in": 0.5}, seed=SEED)
    with pytest.raises(ng.InvalidValue, match="does not act in the model that is trained"):
        fit(
            Lit(),
            DataLoader(make_data(), BATCH),
            tmp_path,
            callback=ng.lightning.NoiseCallback(noise),
        )


def test_a_handle_of_a_submodule_is_taken(tmp_path: Path) -> None:
    model = Lit()
    noise = ng.inject(model.net, {"0:in": 0.5}, seed=SEED)
    fit(model, DataLoader(make_data(), BATCH), tmp_path, callback=ng.lightning.NoiseCallback(noise))
    assert noise.step == 3
    key = ng.Stream(SEED).site("0:in")
    for number, (step, x, seen) in enumerate(model.seen):
        first = number % 2 * BATCH
        assert_same_bits(seen, ng.Dropout(0.5)(x, key.at(step), range(first, first + BATCH)))


# Copies ------------------------------------------------------------------------------------------


def test_a_copy_that_is_made_in_a_training_step_has_no_trace_of_the_loop(tmp_path: Path) -> None:
    copies: list[Any] = []

    class Copying(Lit):
        def training_step(self, batch: Any, index: int) -> Any:
            copies.append(copy.deepcopy(self))
            return super().training_step(batch, index)

    model = Copying()
    fit(model, DataLoader(make_data(), BATCH), tmp_path)
    for each in copies:
        assert "training_step" not in vars(each)
        each.train()
        assert torch.equal(each.net(X), each.net(X))
    # A copy is trained as any other model.
    plain, copied = Lit(), copies[0]
    for one in (plain, copied):
        fit(one, DataLoader(make_data(), BATCH), tmp_path)
    assert_same_weights(copied, copy_weights(plain))
    assert_clean(copied)


# Batches -----------------------------------------------------------------------------------------


class Dicts(Dataset[Any]):
    """Batches that begin with values that have no samples."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Any:
        return X[index], Y[index]


def collate(first: Tensor) -> Any:
    def join(samples: Any) -> Any:
        xs, ys = zip(*samples, strict=True)
        return {"first": first, "x": torch.stack(xs), "y": torch.stack(ys)}

    return join


@pytest.mark.parametrize("first", [torch.tensor(0.5), torch.ones(1), torch.ones(10)], ids=str)
def test_a_batch_that_begins_with_something_else_has_its_samples_rows(
    first: Tensor, tmp_path: Path
) -> None:
    class Named(Lit):
        def training_step(self, batch: Any, index: int) -> Any:
            return self.run(batch["x"], batch["y"])

    model = Named()
    fit(model, DataLoader(Dicts(), BATCH, collate_fn=collate(first)), tmp_path)
    for number, (step, x, seen) in enumerate(model.seen):
        assert_same_bits(seen, expect(step, x, number % 2 * BATCH))


class Both(Lit):
    def training_step(self, batch: Any, index: int) -> Any:
        return self.run(*batch["one"]) + self.run(*batch["two"])


def test_batches_of_several_loaders_have_the_same_rows_and_other_calls(tmp_path: Path) -> None:
    model = Both()
    loaders = {name: DataLoader(make_data(), BATCH) for name in ("one", "two")}
    fit(model, CombinedLoader(loaders), tmp_path)
    assert len(model.seen) == 12
    for number, (step, x, seen) in enumerate(model.seen):
        assert_same_bits(seen, expect(step, x, number // 2 % 2 * BATCH, number % 2))


def test_batches_of_several_sizes_are_refused_where_their_rows_are_not_known(
    tmp_path: Path,
) -> None:
    def make_loaders() -> Any:
        return {"one": DataLoader(make_data(), 8), "two": DataLoader(make_data(), 4)}

    model = Both()
    fit(model, make_loaders(), tmp_path, accumulate_grad_batches=1, limit_train_batches=3)
    for number, (step, x, seen) in enumerate(model.seen):
        assert_same_bits(seen, expect(step, x, 0, number % 2))
    model = Both()
    with pytest.raises(ng.InvalidValue, match="sees 4 samples, and the model's forward has 8"):
        fit(model, make_loaders(), tmp_path)
    assert_clean(model)


class Manual(Lit):
    """Two optimisers, which both step in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:
        for optimiser in self.optimizers():  # type: ignore[union-attr]
            optimiser.zero_grad()
            self.manual_backward(self.run(*batch))
            optimiser.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.net[i].parameters(), 0.1) for i in (0, 2)]


def test_two_optimisers_have_the_step_at_which_their_batch_began(tmp_path: Path) -> None:
    model = Manual()
    callback = fit(model, DataLoader(make_data(), BATCH), tmp_path, accumulate_grad_batches=1)
    for number, (_, x, seen) in enumerate(model.seen):
        batch, call = divmod(number, 2)
        assert_same_bits(seen, expect(2 * batch, x, 0, call))
    assert callback.noise.step == 11


# Resumes -----------------------------------------------------------------------------------------


def test_a_loader_without_a_state_begins_its_epoch_again_with_the_noise_of_the_steps(
    tmp_path: Path,
) -> None:
    saving = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    loader = DataLoader(make_data(), BATCH)
    fit(Lit(), loader, tmp_path, saving, enable_checkpointing=True)
    resumed = Lit()
    with pytest.warns(UserWarning, match="your dataloader is not resumable"):
        fit(resumed, loader, tmp_path, resume=tmp_path / "step=2.ckpt")
    assert resumed.seen
    assert_same_bits(resumed.seen[0][1], X[:BATCH])
    for number, (step, x, seen) in enumerate(resumed.seen):
        assert step == 2 + number // 2
        assert_same_bits(seen, expect(step, x, number % 2 * BATCH))


class SetRate(lightning.Callback):
    """Sets a rate at the second step, wherever the training began."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 1:
            self.noise.noise.set_rate("net.0:in", 0.25)


def test_a_rate_that_was_set_in_training_is_resumed(tmp_path: Path) -> None:
    weights = []
    saving = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    loader = DataLoader(make_data(), BATCH)
    for resume in (None, tmp_path / "step=3.ckpt"):
        model = Lit()
        callback = ng.lightning.NoiseCallback({"net.0:in": 0.5}, SEED)
        words = {"max_epochs": 2, "enable_checkpointing": True, "callback": callback}
        extra = [SetRate(callback), saving] if resume is None else [SetRate(callback)]
        fit(model, loader, tmp_path, *extra, resume=resume, **words)
        weights.append(copy_weights(model))
    assert_same_weights(model, weights[0])
