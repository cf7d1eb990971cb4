"""Estimators: noise while they train, validation, early stopping, checkpoints, history."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from noisegate.estimators import Classifier, Regressor
from noisegate.nets import BatchNorm, Dropout, Input, Linear, Relu, join

DATA, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(DATA).astype(np.float32)[::3]
Y = CLASSES[::3]
NUMBERS = X[:, :2] * 2
TENSOR = torch.from_numpy(X)
QUICK: dict[str, Any] = {"network": (None, 8, None), "max_epochs": 2, "random_state": 13}


class Still(torch.optim.SGD):
    """An optimizer that takes no step, so that the weights are known."""

    def step(self, closure: Any = None) -> Any:
        return closure()


def regressor(**words: Any) -> Regressor:
    return Regressor(**QUICK | words)


def train_loss(model: Any, **words: Any) -> float:
    """Return the loss of a first step: it tells which noise acted."""
    model = clone(model).set_params(max_epochs=1, batch_size=50, optimizer=Still)
    return float(model.fit(X, NUMBERS, **words).history_[-1, "train_loss"])


CLEAN = train_loss(regressor())


# Noise while training --------------------------------------------------------------------------

WORDS: list[tuple[str, Any]] = [
    ("input_dropout", 0.5),
    ("hidden_dropout", 0.5),
    ("output_dropout", 0.5),
    ("input_noise", 0.5),
    ("hidden_noise", 0.5),
    ("output_noise", 0.5),
    ("rules", {"hid1:out": 0.5, "in:out": 0.1}),
    ("rules", {"hid1:pre": ng.GaussianNoise(0.5)}),
    ("regularizers", {"weight_l2": 0.5}),
]


@pytest.mark.parametrize(("word", "value"), WORDS)
def test_noise_by_the_constructor_is_noise_by_fit(word: str, value: Any) -> None:
    given = {word: value}
    found = train_loss(regressor(**given))
    assert found == train_loss(regressor(), **given) != CLEAN
    assert train_loss(regressor(**given), **{word: {} if isinstance(given[word], dict) else 0}) == (
        CLEAN
    )


def test_fit_replaces_by_name_for_that_call() -> None:
    model = regressor(hidden_dropout=0.5, input_noise=0.1)
    both = train_loss(regressor(hidden_dropout=0.2, input_noise=0.1))
    assert train_loss(model, hidden_dropout=0.2) == both
    assert train_loss(model, rules={"hid1:out": 0.2}) not in (both, CLEAN)
    assert model.hidden_dropout == 0.5
    model.fit(X, NUMBERS, hidden_dropout=0)
    assert len(model.noise_) == 1
    assert len(model.fit(X, NUMBERS).noise_) == 2


def test_kinds_presets_schedules_and_lists() -> None:
    values = [
        ng.AlphaDropout(0.5),
        ng.schedule.linear(0.5, 0.9, steps=9),
        [0.2, ng.UniformNoise(1)],
    ]
    found = {train_loss(regressor(), hidden_dropout=value) for value in values}
    assert len({*found, CLEAN}) == 4


def test_the_noise_is_that_of_inject(tmp_path: Path) -> None:
    """A training is that of a loop by hand, with the handle's noise."""
    model = regressor(batch_size=20, hidden_dropout=0.5, lr=0.1, optimizer=torch.optim.SGD)
    state = tmp_path / "state.pt"
    model.set_params(checkpoint=state).fit(X, NUMBERS)
    start = regressor(max_epochs=1, optimizer=Still).fit(X, NUMBERS).network_
    seed = int(torch.load(state, weights_only=True)["noise"].split('"seed": ')[1].split(",")[0])
    noise = ng.inject(start.train(), hidden_dropout=0.5, seed=seed)
    optimizer = torch.optim.SGD(start.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(model.net_.order_seed)
    for _ in range(2):
        for rows in torch.randperm(50, generator=generator).split(20):
            loss = functional.mse_loss(start(TENSOR[rows]), torch.from_numpy(NUMBERS)[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    noise.remove()
    for name, value in start.state_dict().items():
        assert_same_bits(model.network_.state_dict()[name], value)


def test_what_was_trained_is_clean() -> None:
    model = regressor(hidden_dropout=0.5, input_noise=0.1).fit(
        X, NUMBERS, regularizers={"hidden_l1": 0.1, "contractive": 0.1}, rules={"*:pre": 0.1}
    )
    net = model.network_
    model.predict(X, samples=3, hidden_dropout=0.5)
    model.feed_forward(X, hidden_dropout=0.5)
    assert list(net.state_dict()) == ["hid1.weight", "hid1.bias", "out.weight", "out.bias"]
    assert not ng.handles(net)
    assert not net.training
    for module in net.modules():
        hooks = [n for n, v in vars(module).items() if "hook" in n or n == "_at_pre" if v]
        assert not hooks
        assert "forward" not in vars(module)
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    names = dict(zip(plain.state_dict(), net.state_dict().values(), strict=True))
    plain.load_state_dict(names)
    assert_same_bits(plain(TENSOR), net(TENSOR))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_trained_estimator_is_copied(how: Any) -> None:
    model = Classifier(**QUICK).fit(X, Y, hidden_dropout=0.5, regularizers={"weight_l2": 0.1})
    copied = how(model)
    words = {"hidden_dropout": 0.5, "seed": 3}
    assert_same_bits(copied.predict_proba(X, **words), model.predict_proba(X, **words))
    first, second = (m.partial_fit(X, Y, hidden_dropout=0.5) for m in (model, copied))
    assert first.history_[-1, "train_loss"] == second.history_[-1, "train_loss"]


def test_an_error_leaves_no_noise_behind() -> None:
    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ArithmeticError("broken")

    class Seen(Callback):
        def on_train_begin(self, net: Any, **told: Any) -> None:
            seen.append(net.module_)
            assert ng.handles(net.module_)

    seen: list[Any] = []
    model = regressor(loss=broken, callbacks=[Seen()])
    with pytest.raises(ArithmeticError):
        model.fit(X, NUMBERS, hidden_dropout=0.5, regularizers={"contractive": 0.1})
    assert not ng.handles(seen[0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in seen[0].modules())
    assert not hasattr(model, "network_")


def test_a_random_state_decides_everything_and_draws_from_nobody() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    net = join(Input(4), Relu(8), Dropout(0.5), Linear(2))
    after = torch.get_rng_state()
    words = {"network": net, "hidden_noise": 0.1, "validation_split": 0.2}
    first = regressor(**words).fit(X, NUMBERS).predict(X)
    torch.set_rng_state(before)
    assert_same_bits(regressor(**words).fit(X, NUMBERS).predict(X), first)
    assert_same_bits(torch.get_rng_state(), before)
    assert (before != after).any()
    assert (regressor(**words, random_state=5).fit(X, NUMBERS).predict(X) != first).any()


# partial_fit -----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["none", "by a keyword", "of the network"])
def test_two_partial_fits_are_one_fit(noise: str) -> None:
    """Weights, optimizer, order of rows and noise go on from where they were."""
    words = {"hidden_dropout": 0.5 if noise == "by a keyword" else 0}
    words |= {"network": net()} if noise == "of the network" else {}
    model = regressor(**words)
    for _ in range(2):
        model.partial_fit(X, NUMBERS)
    whole = regressor(**words, max_epochs=4).fit(X, NUMBERS)
    assert model.history_[:, "train_loss"] == whole.history_[:, "train_loss"]
    assert_same_bits(model.predict(X), whole.predict(X))


def test_partial_fit_of_classes_that_come_later() -> None:
    model = Classifier(**QUICK)
    model.partial_fit(X[:10], Y[:10] * 0, classes=[0, 1, 2])
    model.partial_fit(X, Y)
    assert model.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ng.InvalidValue, match=r"y has \[7\], which are none of the classes of bef"):
        model.partial_fit(X, Y * 0 + 7)


def test_fit_begins_anew() -> None:
    model = regressor()
    first = model.fit(X, NUMBERS).predict(X)
    net = model.network_
    assert_same_bits(model.fit(X, NUMBERS).predict(X), first)
    assert model.network_ is not net
    assert len(model.history_) == 2


# Validation, stopping --------------------------------------------------------------------------


def test_validation_is_clean() -> None:
    """The network's own dropouts, its batch norm, and noise by name: none of them acts."""
    net = join(Input(4), Linear(8), BatchNorm(), Relu(), Dropout(0.5), Linear(2))
    model = regressor(network=net, lr=1e-30)
    model.fit(X, NUMBERS, hidden_dropout=0.5, input_noise=1, validation_data=(X, NUMBERS))
    clean = functional.mse_loss(model.network_(TENSOR), torch.from_numpy(NUMBERS)).item()
    assert model.history_[-1, "valid_loss"] == clean
    assert model.history_[-1, "train_loss"] != clean


def test_no_rows_are_kept_unless_asked() -> None:
    assert "valid_loss" not in regressor().fit(X, NUMBERS).history_[-1]
    assert regressor(batch_size=1).fit(X, NUMBERS).history_[-1, "train_batch_count"] == 50
    model = regressor(batch_size=1, validation_split=0.2).fit(X, NUMBERS)
    assert model.history_[-1, "train_batch_count"] == 40
    assert "valid_loss" in model.history_[-1]


def stopped(**words: Any) -> Regressor:
    words = {"early_stopping": 3, "max_epochs": 60, "lr": 0.3, "batch_size": 50} | words
    model = regressor(**words | {"random_state": 1})
    return model.fit(X, NUMBERS, hidden_dropout=0.2, validation_data=(X[::2], NUMBERS[::2]))


def test_stopping_returns_to_the_best() -> None:
    model = stopped()
    losses = model.history_[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 60
    again = stopped(early_stopping=None, max_epochs=best + 1)
    same_weights(model, again)
    outputs = model.network_(TENSOR[::2])
    assert functional.mse_loss(outputs, torch.from_numpy(NUMBERS[::2])).item() == min(losses)


def test_stopping_needs_validation() -> None:
    sentence = (
        "Regressor: `early_stopping` must be None without validation: give `validation_data` or "
        "`validation_split`; got 3."
    )
    with assert_sentence(ng.InvalidValue, sentence):
        regressor(early_stopping=3).fit(X, NUMBERS)
    regressor(early_stopping=3, validation_split=0.2).fit(X, NUMBERS)


def same_weights(first: Any, second: Any) -> None:
    other = second.network_.state_dict()
    for name, value in first.network_.state_dict().items():
        assert_same_bits(value, other[name])


# Checkpoints -----------------------------------------------------------------------------------


def net() -> Any:
    """Return a network with all that a resume has to bring back: buffers, and torch's generator."""
    torch.manual_seed(3)
    return join(Input(4), Linear(8), BatchNorm(), Relu(), Dropout(0.5), Linear(2))


NOISES: dict[str, dict[str, Any]] = {
    "none": {},
    "keywords": {"hidden_dropout": 0.5, "input_noise": 0.1},
    "regularizers": {"regularizers": {"bernoullidropout": 0.1, "contractive": 0.1}},
}


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("stopping", [None, 3])
def test_a_resumed_training_is_the_uninterrupted_one(
    name: str, stopping: int | None, tmp_path: Path
) -> None:
    """Bit for bit: weights, buffers, history, order, noise, split, patience."""
    words = {"network": net(), "validation_split": 0.2, "early_stopping": stopping, **NOISES[name]}
    whole = regressor(**words, max_epochs=7).fit(X, NUMBERS)
    words["checkpoint"] = tmp_path / "state.pt"
    regressor(**words, max_epochs=3).fit(X, NUMBERS)
    resumed = regressor(**words, max_epochs=7, resume=True).fit(X, NUMBERS)
    same_weights(resumed, whole)
    for loss in ("train_loss", "valid_loss"):
        assert resumed.history_[:, loss] == whole.history_[:, loss]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.pt"]


def test_a_resume_after_the_end_changes_nothing(tmp_path: Path) -> None:
    words = {"checkpoint": tmp_path / "state.pt", "hidden_dropout": 0.5}
    whole = regressor(**words).fit(X, NUMBERS)
    same_weights(regressor(**words, resume=True).fit(X, NUMBERS), whole)
    stopped_once = stopped(checkpoint=tmp_path / "other.pt")
    same_weights(stopped(checkpoint=tmp_path / "other.pt", resume=True), stopped_once)


def test_a_resume_without_a_random_state(tmp_path: Path) -> None:
    """The seed of the noise is part of what is resumed."""
    words = {"checkpoint": tmp_path / "state.pt", "random_state": None, "hidden_dropout": 0.5}
    first = regressor(**words).fit(X, NUMBERS)
    model = regressor(**words, max_epochs=4, resume=True).fit(X, NUMBERS)
    assert model.history_[:2, "train_loss"] == first.history_[:, "train_loss"]
    assert len(model.history_) == 4


def test_without_a_file_a_resume_begins(tmp_path: Path) -> None:
    model = regressor(checkpoint=tmp_path / "state.pt", resume=True).fit(X, NUMBERS)
    same_weights(model, regressor().fit(X, NUMBERS))


def test_a_file_of_another_training(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    regressor(checkpoint=path).fit(X, NUMBERS)
    words = {"checkpoint": path, "resume": True, "max_epochs": 4}
    start = f"resume: {path} does not belong to this training: "
    with assert_sentence(ng.InvalidValue, f"{start}its noise is another."):
        regressor(**words).fit(X, NUMBERS, hidden_dropout=0.5)
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(start)}Error.* size mismatch"):
        regressor(**words, network=(None, 9, None)).fit(X, NUMBERS)
    path.write_text("nothing")
    with pytest.raises(ng.InvalidValue, match=f"^{re.escape(start)}"):
        regressor(**words).fit(X, NUMBERS)


# History ---------------------------------------------------------------------------------------


def test_history_has_the_losses_of_each_epoch() -> None:
    model = regressor(max_epochs=3, batch_size=16, lr=1e-30, validation_split=0.2)
    model.fit(X, NUMBERS, hidden_dropout=0.5)
    assert model.history_[:, "epoch"] == [1, 2, 3]
    assert len(set(model.history_[:, "train_loss"])) == 3  # the noise moves on
    assert len(set(model.history_[:, "valid_loss"])) == 1
    assert model.history_[:, "train_batch_count"] == [3, 3, 3]
    assert model.history_ is model.net_.history


def test_a_table_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    regressor(verbose=1, validation_split=0.2).fit(X, NUMBERS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["epoch", "train_loss", "valid_loss", "dur"]
    assert len(lines) == 4
    regressor().fit(X, NUMBERS)
    assert capsys.readouterr().out == ""


def test_plot_history() -> None:
    model = regressor(max_epochs=3, validation_split=0.2).fit(X, NUMBERS)
    axes = model.plot_history()
    assert [line.get_label() for line in axes.lines] == ["training, noise on", "validation"]
    for line, name in zip(axes.lines, ("train_loss", "valid_loss"), strict=True):
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == model.history_[:, name]
    assert regressor().fit(X, NUMBERS).plot_history(axes) is axes
    assert len(axes.lines) == 3


# Callbacks -------------------------------------------------------------------------------------


def test_callbacks_of_skorch_act() -> None:
    words = {"callbacks": [EarlyStopping(patience=2)], "validation_split": 0.2, "lr": 1e-30}
    assert len(regressor(**words, max_epochs=9).fit(X, NUMBERS).history_) == 3
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.5)
    model = regressor(callbacks=[schedule], lr=0.1, max_epochs=3).fit(X, NUMBERS)
    rates = [group["lr"] for group in model.net_.optimizer_.param_groups]
    assert rates == pytest.approx([0.1 / 8])


def test_callbacks_see_the_gradients() -> None:
    """`max_gradient_norm=1` of theanets is skorch's GradientNormClipping(1)."""
    words = {"optimizer": torch.optim.SGD, "lr": 1.0, "batch_size": 50, "max_epochs": 1}
    start = regressor(**words, callbacks=[GradientNormClipping(0.0)]).fit(X, NUMBERS)
    moved = regressor(**words | {"optimizer": Still}).fit(X, NUMBERS)
    same_weights(start, moved)
