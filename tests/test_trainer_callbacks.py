"""Several callbacks, Trainers and handles around `noisegate.transformers.NoiseCallback`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback

import noisegate as ng
from _asserts import assert_same_bits
from _loops import BATCH, RULES, SEED, STEPS, X, Y, assert_clean, assert_same_weights, copy_weights
from test_trainer import Model, make_callback, make_trainer, train


class Probe(TrainerCallback):
    """Evaluates where callbacks are called, also with the model in training."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.count = 0

    def probe(self, model: Any) -> None:
        self.count += 1
        model.train()
        with torch.no_grad():
            assert torch.equal(model.net(X), model.net(X))

    def on_step_begin(self, args: Any, state: Any, control: Any, **words: Any) -> None:
        self.probe(words["model"])

    on_substep_end = on_pre_optimizer_step = on_optimizer_step = on_step_begin

    def on_step_end(self, args: Any, state: Any, control: Any, **words: Any) -> None:
        self.probe(words["model"])
        if state.global_step == 2:
            self.trainer.evaluate()


@pytest.mark.parametrize("before", [False, True])
def test_other_callbacks_see_no_noise_wherever_they_are(before: bool, tmp_path: Path) -> None:
    whole, model, probe = Model(), Model(), Probe()
    train(whole, tmp_path / "whole", make_callback())
    probe.trainer = make_trainer(model, tmp_path, probe if before else make_callback())
    probe.trainer.add_callback(make_callback() if before else probe)
    probe.trainer.train()
    assert probe.count == STEPS * 5
    assert_same_weights(model, copy_weights(whole))


def test_noise_besides_acts_in_steps_alone_and_is_resumed(tmp_path: Path) -> None:
    """`Model.forward` asserts that evaluation has no noise in either mode."""

    def make_model() -> tuple[Model, Any]:
        model = Model()
        return model, ng.inject(model, {"net.0:in": 0.25}, seed=SEED)

    (whole, noise), (resumed, again) = make_model(), make_model()
    train(whole, tmp_path, make_callback())
    train(resumed, tmp_path / "resumed", make_callback(), tmp_path / "checkpoint-2")
    assert_same_weights(resumed, copy_weights(whole))
    assert noise.step == again.step == STEPS
    assert ng.handles(whole) == (noise,)


def test_a_callback_of_two_trainers_logs_into_the_one_that_trains(tmp_path: Path) -> None:
    callback = make_callback()
    first = make_trainer(Model(), tmp_path / "first", callback)
    second = make_trainer(Model(), tmp_path / "second", callback)
    first.train()

    def count(trainer: Trainer) -> int:
        return sum("noise/net.1:out/removed" in log for log in trainer.state.log_history)

    assert (count(first), count(second)) == (3, 0)
    second.train()
    assert (count(first), count(second)) == (3, 3)
    assert_same_weights(second.model, copy_weights(first.model))
    for trainer in (first, second):
        assert "training_step" not in vars(trainer)
        trainer.model.fails_at = len(trainer.model.masks) + 3
        with pytest.raises(RuntimeError, match="stop"):
            trainer.train()
        assert_clean(trainer.model)


def make_two() -> list[Any]:
    return [ng.transformers.NoiseCallback({site: rule}, SEED) for site, rule in RULES.items()]


def train_with_two(model: Model, folder: Path, resume: Any = None, **words: Any) -> Any:
    first, second = make_two()
    trainer = make_trainer(model, folder, first, **words)
    trainer.add_callback(second)
    trainer.train(resume_from_checkpoint=resume and str(resume))
    return trainer


@pytest.mark.parametrize("restored", [False, True])
def test_two_callbacks_have_the_noise_of_one_with_all_rules_and_resume(
    restored: bool, tmp_path: Path
) -> None:
    one, two, resumed = Model(), Model(), Model()
    train(one, tmp_path / "one", make_callback())
    train_with_two(two, tmp_path)
    assert_same_weights(two, copy_weights(one))
    words = {"restore_callback_states_from_checkpoint": restored}
    train_with_two(resumed, tmp_path / "resumed", tmp_path / "checkpoint-4", **words)
    assert_same_weights(resumed, copy_weights(one))
    assert_clean(resumed)
    state = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())
    entries = state["stateful_callbacks"]["NoiseCallback"]
    assert [entry["attributes"]["saved"]["step"] for entry in entries] == [4, 4]


def test_a_second_callback_can_be_added_to_a_checkpoint_of_one(tmp_path: Path) -> None:
    first, _ = make_two()
    train(Model(), tmp_path, first, max_steps=2)
    whole, resumed = Model(), Model()
    train_with_two(whole, tmp_path / "r", tmp_path / "checkpoint-2", max_steps=4)
    train_with_two(resumed, tmp_path / "r2", tmp_path / "r" / "checkpoint-3", max_steps=4)
    assert_same_weights(resumed, copy_weights(whole))


def test_rates_of_numpy_are_stored(tmp_path: Path) -> None:
    rules = {"net.1:out": np.float32(0.5), "net.0:in": [np.float64(0.25)]}
    callback = ng.transformers.NoiseCallback(rules, np.int64(SEED))
    whole, resumed = Model(), Model()
    train(whole, tmp_path, callback)
    plain = ng.transformers.NoiseCallback({"net.1:out": 0.5, "net.0:in": 0.25}, SEED)
    words = {"restore_callback_states_from_checkpoint": True}
    train(resumed, tmp_path / "resumed", plain, tmp_path / "checkpoint-2", **words)
    assert_same_weights(resumed, copy_weights(whole))


def test_a_training_without_epochs_leaves_the_users_noise_as_it_was(tmp_path: Path) -> None:
    model = Model()
    noise = ng.inject(model, RULES, seed=SEED)
    callback = ng.transformers.NoiseCallback()
    train(model, tmp_path, callback, max_steps=0, num_train_epochs=0)
    model.train()
    one, two = (model(X, Y)["logits"] for _ in range(2))
    assert not torch.equal(one, two)
    assert ng.handles(model) == (noise,)


def test_a_handle_of_another_model_is_refused(tmp_path: Path) -> None:
    noise = ng.inject(Model(), RULES, seed=SEED)
    with pytest.raises(ng.InvalidValue, match="does not act in the model that is trained"):
        train(Model(), tmp_path, ng.transformers.NoiseCallback(noise))


class SetRate(TrainerCallback):
    """Sets a rate at the third step, wherever the training began."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback

    def on_step_begin(self, args: Any, state: Any, control: Any, **words: Any) -> None:
        if state.global_step == 2:
            self.callback.noise.set_rate("net.1:out", 0.25)


def test_a_rate_that_was_set_in_training_is_resumed(tmp_path: Path) -> None:
    weights = []
    for resume in (None, tmp_path / "checkpoint-4"):
        model, callback = Model(), make_callback()
        trainer = make_trainer(model, tmp_path if resume is None else tmp_path / "r", callback)
        trainer.add_callback(SetRate(callback))
        trainer.train(resume_from_checkpoint=resume and str(resume))
        weights.append(copy_weights(model))
        assert callback.noise.state()["noises"][0]["noise"]["p"] == 0.25
    assert_same_weights(model, weights[0])


def test_a_compiled_model_has_the_same_noise(tmp_path: Path) -> None:
    class Clean(Model):
        def forward(self, x: Any, labels: Any = None) -> Any:
            hidden = self.net[:2](x)
            logits = self.net[2](hidden)
            loss = torch.nn.functional.cross_entropy(logits, labels)
            return {"loss": loss, "logits": logits, "hidden": hidden.detach()}

    weights = []
    for compiled in (False, True):
        model, callback = Clean(), make_callback()
        words = {"torch_compile": True, "torch_compile_backend": "aot_eager"} if compiled else {}
        train(model, tmp_path / str(compiled), callback, **words)
        weights.append(copy_weights(model))
        assert callback.noise.step == STEPS
        assert_clean(model)
    torch.testing.assert_close(*weights)
    key = ng.Stream(SEED).site("net.1:out").at(STEPS - 1)
    mask = torch.from_numpy(ng.mask(ng.Dropout(0.5), (BATCH, 16), key, rows=range(8, 16)))
    assert_same_bits(torch.from_numpy(callback.noise.mask("net.1:out")), mask)
