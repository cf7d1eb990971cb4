"""`noisegate.lightning.NoiseCallback`, in Lightning's own Trainer."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

import noisegate as ng
from _asserts import assert_same_bits
from _loops import (
    ACCUMULATE,
    BATCH,
    RULES,
    SEED,
    STEPS,
    Net,
    Resumable,
    X,
    assert_clean,
    assert_same_weights,
    copy_weights,
    make_data,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*dirpath has changed"),
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Lit(lightning.LightningModule):
    """Its training step calls a part of it, or the whole; evaluation must have no noise."""

    def __init__(self, whole: bool = False, fails_at: int | None = None) -> None:
        super().__init__()
        self.net, self.whole, self.fails_at = Net().net, whole, fails_at
        self.masks: list[tuple[int, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y

    def training_step(self, batch: Any, index: int) -> Tensor:
        x, y = batch
        hidden: list[Tensor] = []
        hook = self.net[1].register_forward_hook(lambda m, args, out: hidden.append(out.detach()))
        logits = self(x) if self.whole else self.net(x)
        hook.remove()
        self.masks.append((self.global_step, hidden[0] != 0))
        if self.global_step == self.fails_at:
            raise RuntimeError("stop")
        return F.cross_entropy(logits, y)

    def validation_step(self, batch: Any, index: int) -> None:
        was = self.training
        for mode in (False, True):  # some train in evaluation on purpose
            self.train(mode)
            assert torch.equal(self.net(batch[0]), self.net(batch[0]))
        self.train(was)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 0.01)


def fit(
    model: Lit, folder: Path, callback: Any = None, resume: Any = None, **words: Any
) -> lightning.Trainer:
    saving = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)
    words = {"logger": False, "accumulate_grad_batches": ACCUMULATE, "max_steps": STEPS} | words
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[saving] if callback is None else [callback, saving],
        enable_progress_bar=False,
        enable_model_summary=False,
        val_check_interval=2,
        **words,
    )
    trainer.fit(model, Resumable(make_data(), BATCH), Resumable(make_data(), 48), ckpt_path=resume)
    return trainer


def make_callback(**words: Any) -> Any:
    return ng.lightning.NoiseCallback(RULES, SEED, **words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Lit, Any]:
    folder = tmp_path_factory.mktemp("lightning")
    model, callback = Lit(), make_callback()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers")
        fit(model, folder, callback)
    return folder, model, callback


def test_the_steps_are_the_trainers_and_micro_batches_go_on_in_rows(trained: Any) -> None:
    _, model, callback = trained
    key = ng.Stream(SEED).site("net.1:out")
    assert [step for step, _ in model.masks] == [s for s in range(STEPS) for _ in range(ACCUMULATE)]
    for number, (step, seen) in enumerate(model.masks):
        first = number % ACCUMULATE * BATCH
        mask = ng.mask(ng.Dropout(0.5), (BATCH, 16), key.at(step), rows=range(first, first + BATCH))
        # What ReLU has made 0 is 0 with any noise.
        assert not (seen.numpy() & ~mask).any()
        assert seen.numpy().sum() > 0.5 * mask.sum()
    assert callback.noise.step == STEPS
    assert_clean(model)


@pytest.mark.parametrize("step", range(1, STEPS))
def test_resumed_equals_uninterrupted(step: int, trained: Any, tmp_path: Path) -> None:
    folder, model, _ = trained
    resumed = Lit()
    fit(resumed, tmp_path, make_callback(), folder / f"step={step}.ckpt")
    assert_same_weights(resumed, copy_weights(model))
    # Proof of the proof: without the noise the weights are others.
    other = Lit()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint")
        fit(other, tmp_path / "other", None, folder / f"step={step}.ckpt")
    with pytest.raises(AssertionError):
        assert_same_weights(other, copy_weights(model))


def test_the_whole_and_its_parts_have_the_same_noise(trained: Any, tmp_path: Path) -> None:
    model = Lit(whole=True)
    fit(model, tmp_path, make_callback())
    assert_same_weights(model, copy_weights(trained[1]))


def test_resumed_in_mixed_precision(tmp_path: Path) -> None:
    whole, resumed = Lit(), Lit()
    fit(whole, tmp_path, make_callback(), precision="bf16-mixed")
    fit(
        resumed,
        tmp_path / "resumed",
        make_callback(),
        tmp_path / "step=4.ckpt",
        precision="bf16-mixed",
    )
    assert_same_weights(resumed, copy_weights(whole))


class SaveInEvaluation(lightning.Callback):
    """Saves between the micro-batches of a step, where Lightning evaluates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.folder / f"{len(pl_module.masks)}.ckpt")


def test_resumed_within_a_step_goes_on_in_its_rows(tmp_path: Path) -> None:
    words: Any = {"val_check_interval": 1, "max_steps": 2, "limit_val_batches": 1}

    def train(model: Lit, resume: Any = None) -> None:
        callbacks = [make_callback(), SaveInEvaluation(tmp_path)]
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        trainer = lightning.Trainer(
            accelerator="cpu",
            callbacks=callbacks,
            accumulate_grad_batches=ACCUMULATE,
            enable_checkpointing=False,
            **quiet,
            **words,
        )
        trainer.fit(
            model, Resumable(make_data(), BATCH), Resumable(make_data(), 48), ckpt_path=resume
        )

    whole, resumed = Lit(), Lit()
    train(whole)
    train(resumed, tmp_path / "1.ckpt")
    # Lightning does not keep the gradient of the first micro-batch, but the rows go on.
    assert [step for step, _ in resumed.masks] == [0, 1, 1]
    assert_same_bits(resumed.masks[0][1], whole.masks[1][1])


def test_rates_and_schedules_are_logged(tmp_path: Path) -> None:
    rules = {"net.1:out": ng.Dropout(ng.schedule.linear(0.0, 0.6, steps=6)), "net.0:in": 0.25}
    callback = ng.lightning.NoiseCallback(rules, SEED)
    fit(
        Lit(), tmp_path / "saved", callback, logger=CSVLogger(tmp_path / "log"), log_every_n_steps=2
    )
    (file,) = tmp_path.glob("**/metrics.csv")
    lines = [line.split(",") for line in file.read_text().splitlines()]
    columns = {name: [line[i] for line in lines[1:]] for i, name in enumerate(lines[0])}
    assert [float(value) for value in columns["noise/net.1:out/p"]] == pytest.approx(
        [0.1, 0.3, 0.5]
    )
    key = ng.Stream(SEED).site("net.0:in")
    # Of the last micro-batch of steps 1, 3 and 5.
    shares = [
        1 - ng.mask(ng.Dropout(0.25), (8, 64), key.at(step), rows=range(8, 16)).mean()
        for step in (1, 3, 5)
    ]
    assert [float(value) for value in columns["noise/net.0:in/removed"]] == pytest.approx(shares)


def test_nothing_is_logged_if_that_is_asked_for(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path / "log")
    callback = make_callback(log=False)
    fit(Lit(), tmp_path / "saved", callback, logger=logger, log_every_n_steps=1)
    assert "noise" not in "".join(f.read_text() for f in tmp_path.glob("**/metrics.csv"))


def test_an_exception_within_a_step_leaves_a_clean_model(tmp_path: Path) -> None:
    model, callback = Lit(fails_at=3), make_callback()
    with pytest.raises(RuntimeError, match="stop"):
        fit(model, tmp_path, callback)
    assert_clean(model)
    assert callback.state_dict()["step"] == 3
    whole, resumed = Lit(), Lit()
    fit(resumed, tmp_path / "resumed", make_callback(), tmp_path / "step=3.ckpt")
    fit(whole, tmp_path / "whole", make_callback())
    assert_same_weights(resumed, copy_weights(whole))


def test_noise_that_is_there_already_stays(trained: Any, tmp_path: Path) -> None:
    for given in (True, False):
        model = Lit()
        noise = ng.inject(model, RULES, seed=SEED)
        callback = ng.lightning.NoiseCallback(noise if given else None)
        fit(model, tmp_path / str(given), callback)
        assert callback.noise is noise
        assert ng.handles(model) == (noise,)
        assert noise.step == STEPS
        model.train()
        assert not torch.equal(model(X), model(X))  # it acts again
        assert_same_weights(model, copy_weights(trained[1]))


def test_a_seed_that_was_drawn_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    callbacks = [ng.lightning.NoiseCallback({"net.1:out": 0.5}) for _ in range(2)]
    whole, resumed = Lit(), Lit()
    fit(whole, tmp_path, callbacks[0])
    fit(resumed, tmp_path / "resumed", callbacks[1], tmp_path / "step=2.ckpt")
    assert callbacks[0].noise.seed == callbacks[1].noise.seed
    assert_same_weights(resumed, copy_weights(whole))


def test_another_seed_is_refused(trained: Any, tmp_path: Path) -> None:
    model = Lit()
    with pytest.raises(ng.InvalidValue) as error:
        fit(model, tmp_path, ng.lightning.NoiseCallback(RULES, 14), trained[0] / "step=2.ckpt")
    assert str(error.value) == (
        "load_state: the state's `seed` is another; got 13, and this noise has 14."
    )
    assert_clean(model)


class Closure(Lit):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), 0.01, max_iter=3)


def test_a_closure_that_is_called_again_has_the_same_noise(tmp_path: Path) -> None:
    model = Closure()
    noise = ng.inject(model, {"net.1:out": ng.Dropout(0.5)}, seed=SEED)
    fit(model, tmp_path, ng.lightning.NoiseCallback(noise), accumulate_grad_batches=1, max_steps=2)
    first = [mask for step, mask in model.masks if step == 0]
    assert len(first) > 1
    mask = ng.mask(ng.Dropout(0.5), (BATCH, 16), ng.Stream(SEED).site("net.1:out").at(0))
    for seen in first:
        assert not (seen.numpy() & ~mask).any()
