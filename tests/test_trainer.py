"""`noisegate.transformers.NoiseCallback`, in the Trainer of Hugging Face's transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments

import noisegate as ng
from _loops import (
    ACCUMULATE,
    BATCH,
    RULES,
    SEED,
    STEPS,
    Net,
    X,
    Y,
    assert_clean,
    assert_same_weights,
    copy_weights,
)

transformers.logging.set_verbosity_error()
DATA = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]


class Model(Net):
    """A model in transformers' manner; in evaluation it must have no noise in either mode."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.masks: list[Tensor] = []
        self.fails_at = fails_at

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        if not torch.is_grad_enabled():
            self.train()
            assert torch.equal(self.net(x), self.net(x))
            self.eval()
        hidden = self.net[:2](x)
        logits = self.net[2](hidden)
        if torch.is_grad_enabled():
            self.masks.append(hidden.detach() != 0)
            if len(self.masks) == self.fails_at:
                raise RuntimeError("stop")
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def train(
    model: Model, folder: Path, callback: Any = None, resume: Any = None, **words: Any
) -> Trainer:
    trainer = make_trainer(model, folder, callback, **words)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return trainer


def make_trainer(model: Model, folder: Path, callback: Any = None, **words: Any) -> Trainer:
    words = {"gradient_accumulation_steps": ACCUMULATE, "max_steps": STEPS} | words
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        save_strategy="steps",
        save_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        logging_steps=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        train_sampling_strategy="sequential",
        **words,
    )
    callbacks = [] if callback is None else [callback]
    trainer = Trainer(model, arguments, train_dataset=DATA, eval_dataset=DATA, callbacks=callbacks)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def make_callback(**words: Any) -> Any:
    return ng.transformers.NoiseCallback(RULES, SEED, **words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model, Any, Trainer]:
    folder = tmp_path_factory.mktemp("trainer")
    model, callback = Model(), make_callback()
    trainer = train(model, folder, callback)
    return folder, model, callback, trainer


def test_the_steps_are_the_trainers_and_micro_batches_go_on_in_rows(trained: Any) -> None:
    _, model, callback, _ = trained
    assert len(model.masks) == STEPS * ACCUMULATE
    key = ng.Stream(SEED).site("net.1:out")
    for number, seen in enumerate(model.masks):
        step, part = divmod(number, ACCUMULATE)
        rows = range(part * BATCH, part * BATCH + BATCH)
        mask = ng.mask(ng.Dropout(0.5), (BATCH, 16), key.at(step), rows=rows)
        assert not (seen.numpy() & ~mask).any()  # what ReLU has made 0 is 0 with any noise
        assert seen.numpy().sum() > 0.5 * mask.sum()
    assert callback.noise.step == STEPS
    assert_clean(model)


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("step", range(1, STEPS))
def test_resumed_equals_uninterrupted(
    step: int, restored: bool, trained: Any, tmp_path: Path
) -> None:
    folder, model, *_ = trained
    resumed = Model()
    words = {"restore_callback_states_from_checkpoint": restored}
    train(resumed, tmp_path, make_callback(), folder / f"checkpoint-{step}", **words)
    assert_same_weights(resumed, copy_weights(model))
    assert_clean(resumed)


def test_other_noise_gives_other_weights(trained: Any, tmp_path: Path) -> None:
    resumed = Model()
    train(resumed, tmp_path, None, trained[0] / "checkpoint-4")
    with pytest.raises(AssertionError):
        assert_same_weights(resumed, copy_weights(trained[1]))


def test_resumed_in_mixed_precision(tmp_path: Path) -> None:
    whole, resumed = Model(), Model()
    train(whole, tmp_path, make_callback(), bf16=True)
    train(resumed, tmp_path / "r", make_callback(), tmp_path / "checkpoint-4", bf16=True)
    assert_same_weights(resumed, copy_weights(whole))


def test_a_checkpoint_without_noise_can_be_resumed_with_it(tmp_path: Path) -> None:
    train(Model(), tmp_path, None, max_steps=2)
    model = Model()
    train(model, tmp_path, make_callback(), tmp_path / "checkpoint-2", max_steps=4)
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    assert state["stateful_callbacks"]["NoiseCallback"]["attributes"]["saved"]["step"] == 4
    key = ng.Stream(SEED).site("net.1:out").at(2)
    mask = ng.mask(ng.Dropout(0.5), (BATCH, 16), key)
    assert not (model.masks[0].numpy() & ~mask).any()


def test_rates_and_schedules_are_logged_beside_the_loss(tmp_path: Path) -> None:
    rules = {"net.1:out": ng.Dropout(ng.schedule.linear(0.0, 0.6, steps=6)), "net.0:in": 0.25}
    trainer = train(Model(), tmp_path, ng.transformers.NoiseCallback(rules, SEED))
    logged = [log for log in trainer.state.log_history if "noise/net.1:out/p" in log]
    assert [log["step"] for log in logged] == [2, 4, 6]
    assert [log["noise/net.1:out/p"] for log in logged] == pytest.approx([0.1, 0.3, 0.5])
    key = ng.Stream(SEED).site("net.0:in")
    for log in logged:
        mask = ng.mask(ng.Dropout(0.25), (8, 64), key.at(log["step"] - 1), rows=range(8, 16))
        assert log["noise/net.0:in/removed"] == pytest.approx(1 - mask.mean())


@pytest.mark.parametrize("added", [False, True])
def test_an_exception_within_a_step_leaves_a_clean_model(added: bool, tmp_path: Path) -> None:
    model, callback = Model(fails_at=6), make_callback()
    trainer = make_trainer(model, tmp_path, None if added else callback)
    if added:
        trainer.add_callback(callback)
    with pytest.raises(RuntimeError, match="stop"):
        trainer.train()
    assert_clean(model)
    assert callback.state()["attributes"]["saved"]["step"] == 2
    model.fails_at = None
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    whole = Model()
    train(whole, tmp_path / "whole", make_callback())
    assert_same_weights(model, copy_weights(whole))


def test_noise_that_is_there_already_stays(trained: Any, tmp_path: Path) -> None:
    for given in (True, False):
        model = Model()
        noise = ng.inject(model, RULES, seed=SEED)
        callback = ng.transformers.NoiseCallback(noise if given else None)
        train(model, tmp_path / str(given), callback)
        assert callback.noise is noise
        assert ng.handles(model) == (noise,)
        assert noise.step == STEPS
        assert_same_weights(model, copy_weights(trained[1]))


def test_a_seed_that_was_drawn_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    callbacks = [ng.transformers.NoiseCallback({"net.1:out": 0.5}) for _ in range(2)]
    whole, resumed = Model(), Model()
    train(whole, tmp_path, callbacks[0])
    train(resumed, tmp_path / "resumed", callbacks[1], tmp_path / "checkpoint-2")
    assert callbacks[0].noise.seed == callbacks[1].noise.seed
    assert_same_weights(resumed, copy_weights(whole))


def test_another_seed_is_refused(trained: Any, tmp_path: Path) -> None:
    model = Model()
    callback = ng.transformers.NoiseCallback(RULES, 14)
    with pytest.raises(ng.InvalidValue) as error:
        train(model, tmp_path, callback, trained[0] / "checkpoint-2")
    assert str(error.value) == (
        "load_state: the state's `seed` is another; got 13, and this noise has 14."
    )
    assert_clean(model)


class StopWithinStep(TrainerCallback):
    def on_substep_end(self, args: Any, state: Any, control: Any, **words: Any) -> None:
        control.should_training_stop = state.global_step == 2


def test_a_training_that_stops_within_a_step_leaves_a_clean_model(tmp_path: Path) -> None:
    model, callback = Model(), make_callback()
    trainer = make_trainer(model, tmp_path, callback)
    trainer.add_callback(StopWithinStep())
    trainer.train()
    assert_clean(model)
    assert len(model.masks) == 5
