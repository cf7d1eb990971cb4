"""`noisegate.skorch.NoiseCallback`, in skorch's own nets."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint, EpochScoring, LoadInitState
from torch import Tensor

import noisegate as ng
from _loop_table import Accumulating
from _loops import (
    ACCUMULATE,
    BATCH,
    RULES,
    SEED,
    Net,
    X,
    Y,
    assert_clean,
    assert_same_weights,
    copy_weights,
)
from noisegate.loops.noise_loop import WORDS

XS, YS = X.numpy(), Y.numpy()
# Without validation an epoch is three steps of two micro-batches.
STEPS_OF_EPOCH = 3


class Module(Net):
    """Records what is kept in training; in evaluation it must have no noise in either mode."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            self.train()
            assert torch.equal(self.net(x), self.net(x))
            self.eval()
        hidden = self.net[:2](x)
        if self.training and torch.is_grad_enabled():
            self.masks.append(hidden.detach() != 0)
        y: Tensor = self.net[2](hidden).softmax(-1)
        return y


def make(epochs: int, *callbacks: Any, cls: Any = Accumulating, **words: Any) -> Any:
    return cls(
        Module,
        max_epochs=epochs,
        optimizer=torch.optim.Adam,
        lr=0.01,
        batch_size=BATCH,
        callbacks=list(callbacks),
        train_split=None,
        verbose=0,
        **words,
    )


def make_callback(**words: Any) -> Any:
    return ("noise", ng.skorch.NoiseCallback(RULES, SEED, **words))


@pytest.fixture(scope="module")
def whole() -> Any:
    return make(3, make_callback()).fit(XS, YS)


def test_the_steps_are_the_optimisers_and_micro_batches_go_on_in_rows(whole: Any) -> None:
    masks = whole.module_.masks
    assert len(masks) == 3 * STEPS_OF_EPOCH * ACCUMULATE
    key = ng.Stream(SEED).site("net.1:out")
    for number, seen in enumerate(masks):
        step, part = divmod(number, ACCUMULATE)
        rows = range(part * BATCH, part * BATCH + BATCH)
        mask = ng.mask(ng.Dropout(0.5), (BATCH, 16), key.at(step), rows=rows)
        assert not (seen.numpy() & ~mask).any()  # what ReLU has made 0 is 0 with any noise
        assert seen.numpy().sum() > 0.5 * mask.sum()
    assert_clean(whole.module_)
    assert "fit_loop" not in vars(whole)


@pytest.mark.parametrize("epochs", [1, 2])
def test_resumed_equals_uninterrupted(epochs: int, whole: Any, tmp_path: Path) -> None:
    saving = {"monitor": None, "dirname": str(tmp_path), "f_pickle": None}
    make(epochs, make_callback(), Checkpoint(**saving)).fit(XS, YS)
    resumed = make(3 - epochs, make_callback())
    resumed.initialize()
    resumed.load_params(checkpoint=Checkpoint(**saving))
    resumed.partial_fit(XS, YS)
    assert_same_weights(resumed.module_, copy_weights(whole.module_))


def test_a_fit_that_goes_on_equals_a_longer_one(whole: Any) -> None:
    net = make(2, make_callback()).fit(XS, YS)
    net.set_params(max_epochs=1)
    net.partial_fit(XS, YS)
    assert_same_weights(net.module_, copy_weights(whole.module_))
    net.set_params(max_epochs=3)
    net.fit(XS, YS)  # begins again
    assert_same_weights(net.module_, copy_weights(whole.module_))


def test_evaluation_and_prediction_have_no_noise() -> None:
    net = make(
        2, make_callback(), ("accuracy", EpochScoring("accuracy", on_train=True, use_caching=False))
    )
    net.set_params(train_split=None).fit(XS, YS)
    assert len(net.history[:, "accuracy"]) == 2
    net.predict(XS)


def test_rates_are_in_the_history_and_what_is_printed_is_not_the_state() -> None:
    rules = {"net.1:out": ng.Dropout(ng.schedule.linear(0.0, 0.6, steps=6)), "net.0:in": 0.25}
    printed: list[str] = []
    net = make(2, ("noise", ng.skorch.NoiseCallback(rules, SEED)))
    net.set_params(verbose=1, callbacks__print_log__sink=printed.append)
    net.fit(XS, YS)
    assert net.history[:, "noise/net.1:out/p"] == pytest.approx([0.2, 0.5])
    for step, share in zip((2, 5), net.history[:, "noise/net.0:in/removed"], strict=True):
        key = ng.Stream(SEED).site("net.0:in").at(step)
        mask = ng.mask(ng.Dropout(0.25), (8, 64), key, rows=range(8, 16))
        assert share == pytest.approx(1 - mask.mean())
    assert "scheme" not in "".join(printed)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_within_a_step_leaves_a_clean_model(
    error: type[BaseException], whole: Any, tmp_path: Path
) -> None:
    class Failing(Accumulating):
        def train_step(self, batch: Any, **parameters: Any) -> Any:
            step = super().train_step(batch, **parameters)
            if self.__dict__["number"] == 10:
                raise error("stop")
            return step

    saving = {"monitor": None, "dirname": str(tmp_path), "f_pickle": None}
    net = make(3, make_callback(), Checkpoint(**saving), cls=Failing)
    if error is RuntimeError:
        with pytest.raises(RuntimeError, match="stop"):
            net.fit(XS, YS)
    else:
        net.fit(XS, YS)  # skorch ends the training
    assert_clean(net.module_)
    assert "fit_loop" not in vars(net)
    resumed = make(2, make_callback())
    resumed.initialize()
    resumed.load_params(checkpoint=Checkpoint(**saving))
    resumed.partial_fit(XS, YS)
    assert_same_weights(resumed.module_, copy_weights(whole.module_))


def test_a_closure_that_is_called_again_has_the_same_noise() -> None:
    net = make(1, make_callback(), cls=NeuralNetClassifier)
    net.set_params(optimizer=torch.optim.LBFGS, optimizer__max_iter=3)
    net.fit(XS, YS)
    assert dict(net.callbacks_)["noise"].noise_.step == 6
    masks = net.module_.masks
    count = len(masks)
    assert count > 6
    key = ng.Stream(SEED).site("net.1:out")
    fields = [ng.mask(ng.Dropout(0.5), (BATCH, 16), key.at(step)) for step in range(6)]
    # Each evaluation has the mask of its step from row 0, and the steps follow each other.
    steps = []
    for mask in masks:
        (step,) = [s for s in range(6) if not (mask.numpy() & ~fields[s]).any()]
        steps.append(step)
    assert steps == sorted(steps)
    assert set(steps) == set(range(6))


def test_callbacks_are_cloned_and_searched_as_any_parameter() -> None:
    net = make(1, make_callback(existing=False), cls=NeuralNetClassifier).initialize()
    copied = clone(net).initialize()
    callback = dict(copied.callbacks_)["noise"]
    own = {"rules": RULES, "seed": SEED, "rows": None, "log": True}
    assert callback.get_params() == WORDS | own
    grid = {"callbacks__noise__seed": [1, 2], "callbacks__noise__rules": [{"net.1:out": 0.1}]}
    search = GridSearchCV(copied, grid, cv=2, scoring="accuracy", refit=True).fit(XS, YS)
    best = dict(search.best_estimator_.callbacks_)["noise"]
    assert best.noise is best.noise_
    assert best.noise.sites == ("net.1:out",)


def test_the_arguments_of_inject_are_parameters_that_can_be_searched() -> None:
    net = make(1, make_callback(), cls=NeuralNetClassifier)
    grid = {"callbacks__noise__hidden_dropout": [0.1], "callbacks__noise__existing": [True]}
    search = GridSearchCV(net, grid, cv=2, scoring="accuracy", refit=True).fit(XS, YS)
    noise = dict(search.best_estimator_.callbacks_)["noise"].noise
    assert noise.sites == ("net.1:out", "net.0:weight")
    assert "hidden_dropout" in str(noise.report())


@pytest.mark.parametrize("first", [True, False])
def test_a_callback_that_loads_a_checkpoint_may_stand_before_or_after(
    first: bool, whole: Any, tmp_path: Path
) -> None:
    saving = {"monitor": None, "dirname": str(tmp_path), "f_pickle": None}
    make(1, make_callback(), Checkpoint(**saving)).fit(XS, YS)
    both = [make_callback(), LoadInitState(Checkpoint(**saving))]
    resumed = make(2, *(reversed(both) if first else both)).fit(XS, YS)
    assert_same_weights(resumed.module_, copy_weights(whole.module_))
    assert_clean(resumed.module_)


def test_a_net_that_is_pickled_while_it_trains_can_predict_and_go_on(tmp_path: Path) -> None:
    saving = Checkpoint(monitor=None, dirname=str(tmp_path), f_pickle="net.pkl")
    net = make(2, make_callback(), saving, cls=NeuralNetClassifier).fit(XS, YS)
    with open(tmp_path / "net.pkl", "rb") as file:
        loaded = pickle.load(file)
    assert loaded.predict(XS).tolist() == net.predict(XS).tolist()
    for one in (net, loaded):
        one.partial_fit(XS, YS)
        assert_clean(one.module_)
    assert_same_weights(loaded.module_, copy_weights(net.module_))
