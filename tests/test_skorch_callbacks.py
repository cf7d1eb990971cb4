"""Several callbacks in a skorch net, other parameters after a training, and Accelerate's nets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint
from skorch.hf import AccelerateMixin

import noisegate as ng
from _loop_table import Model, run_skorch
from _loops import BATCH, RULES, SEED, X, Y, assert_clean, assert_same_weights, copy_weights

XS, YS = X.numpy(), Y.numpy()


class Plain(Model):
    def __init__(self) -> None:
        super().__init__()
        self.net[0]._forward_hooks.clear()


def make(epochs: int, *callbacks: Any, cls: Any = NeuralNetClassifier, **words: Any) -> Any:
    named = [(f"noise{number}", each) for number, each in enumerate(callbacks)]
    return cls(
        Plain,
        max_epochs=epochs,
        optimizer=torch.optim.Adam,
        lr=0.01,
        batch_size=BATCH,
        callbacks=named,
        train_split=None,
        verbose=0,
        **words,
    )


def make_two() -> list[Any]:
    return [ng.skorch.NoiseCallback({site: rule}, SEED) for site, rule in RULES.items()]


def test_one_callback_twice_is_refused() -> None:
    callback = ng.skorch.NoiseCallback(RULES, SEED)
    net = make(1, callback, callback)
    for _ in range(2):
        with pytest.raises(ng.InvalidValue) as error:
            net.fit(XS, YS)
        assert str(error.value) == (
            "NoiseCallback: the net has one callback twice. Make a callback of its own for each "
            "set of rules, or one with all the rules."
        )
        assert_clean(net.module_)
        assert not {"fit_loop", "train_step"} & vars(net).keys()


def test_two_callbacks_have_the_noise_of_one_with_all_rules_and_resume(tmp_path: Path) -> None:
    one = make(3, ng.skorch.NoiseCallback(RULES, SEED)).fit(XS, YS)
    two = make(3, *make_two()).fit(XS, YS)
    assert_same_weights(two.module_, copy_weights(one.module_))
    saving = {"monitor": None, "dirname": str(tmp_path), "f_pickle": None}
    make(1, *make_two(), Checkpoint(**saving)).fit(XS, YS)
    resumed = make(2, *make_two())
    resumed.initialize()
    resumed.load_params(checkpoint=Checkpoint(**saving))
    resumed.partial_fit(XS, YS)
    assert_same_weights(resumed.module_, copy_weights(one.module_))
    assert_clean(resumed.module_)


def test_a_training_without_epochs_leaves_the_users_noise_as_it_was() -> None:
    net = make(1, ng.skorch.NoiseCallback()).initialize()
    noise = ng.inject(net.module_, RULES, seed=SEED)
    net.set_params(max_epochs=0)
    net.partial_fit(XS, YS)
    net.module_.train()
    assert not torch.equal(net.module_(X), net.module_(X))
    assert ng.handles(net.module_) == (noise,)


def test_rules_that_are_set_after_a_training_hold_from_its_step_on() -> None:
    def fit(rules: Any) -> Any:
        net = make(1, ng.skorch.NoiseCallback(RULES, SEED)).fit(XS, YS)
        net.set_params(callbacks__noise0__rules=rules)
        net.partial_fit(XS, YS)
        return net

    callback = dict(fit({"net.1:out": 0.25}).callbacks_)["noise0"]
    assert callback.noise_.step == 12
    assert callback.noise_.sites == ("net.1:out",)
    assert_same_weights(
        fit(dict(RULES)).module_,
        copy_weights(make(2, ng.skorch.NoiseCallback(RULES, SEED)).fit(XS, YS).module_),
    )


def test_other_rules_than_those_of_a_history_are_refused(tmp_path: Path) -> None:
    saving = {"monitor": None, "dirname": str(tmp_path), "f_pickle": None}
    make(1, ng.skorch.NoiseCallback(RULES, SEED), Checkpoint(**saving)).fit(XS, YS)
    resumed = make(1, ng.skorch.NoiseCallback({"net.1:out": 0.25}, SEED))
    resumed.initialize()
    resumed.load_params(checkpoint=Checkpoint(**saving))
    with pytest.raises(ng.InvalidValue, match=r"Give the same rules, .* by `set_rate`\."):
        resumed.partial_fit(XS, YS)
    assert_clean(resumed.module_)


class SetRate(Callback):  # type: ignore[misc]
    """Sets a rate in the second epoch, wherever the training began."""

    def on_epoch_begin(self, net: Any, **words: Any) -> None:
        if len(net.history) == 2:
            dict(net.callbacks_)["noise0"].noise_.set_rate("net.1:out", np.float32(0.25))


def test_a_rate_that_was_set_in_training_is_resumed() -> None:
    def make_net(epochs: int) -> Any:
        return make(epochs, ng.skorch.NoiseCallback(RULES, SEED), SetRate())

    whole, parts = make_net(3).fit(XS, YS), make_net(2).fit(XS, YS)
    other = make(2, ng.skorch.NoiseCallback(RULES, SEED)).fit(XS, YS)
    with pytest.raises(AssertionError):
        assert_same_weights(parts.module_, copy_weights(other.module_))
    parts.set_params(max_epochs=1)
    parts.partial_fit(XS, YS)
    assert_same_weights(parts.module_, copy_weights(whole.module_))


class Accelerated(AccelerateMixin, NeuralNetClassifier):  # type: ignore[misc]
    """A net whose optimiser steps where Accelerate lets it."""


def test_a_net_with_accelerate_has_the_same_noise(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, plain = Model(), Model()
    net = Accelerated(
        model,
        accelerator=accelerator,
        max_epochs=1,
        batch_size=BATCH,
        callbacks=[ng.skorch.NoiseCallback({"net.0:in": 0.5}, SEED)],
        train_split=None,
        verbose=0,
    )
    net.fit(XS, YS)
    run_skorch(plain, tmp_path, len(X), 1, 0, lambda model: None)
    assert model.find_places() == plain.find_places()
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
