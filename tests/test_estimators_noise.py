"""Estimators: the noise of the last training in predictions; devices, copies, pages; codes."""

import inspect
import pickle
import pydoc
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.estimators import Autoencoder, Classifier, Estimator, Regressor
from noisegate.nets import BatchNorm, Dropout, Input, Linear, Relu, join
from noisegate.nets.regularizers import BernoulliDropout

DATA, CLASSES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(DATA).astype(np.float32)[::3]
Y = CLASSES[::3]
TWO = (Y > 0).astype(int)
NUMBERS = X[:, :2] * 2
HOLES = np.where(np.abs(X) < 0.7, 0, X).astype(np.float32)
QUICK: dict[str, Any] = {"network": (None, 8, None), "max_epochs": 2, "random_state": 13}
WHOLE = QUICK | {"batch_size": 1000, "max_epochs": 5, "lr": 0.1}
KINDS: dict[str, tuple[Any, Any]] = {
    "classifier": (Classifier, Y),
    "regressor": (Regressor, NUMBERS),
    "autoencoder": (Autoencoder, None),
}
each = pytest.mark.parametrize("name", KINDS)


def last(model: Any, loss: str = "train_loss") -> float:
    return float(model.history_[-1, loss])


# Noise of the last training --------------------------------------------------------------------


def test_samples_have_the_noise_of_the_last_training() -> None:
    noise: dict[str, Any] = {"hidden_dropout": 0.5, "rules": {"in:out": ng.GaussianNoise(0.1)}}
    asked: dict[str, Any] = {"samples": 20, "return_std": True, "seed": 3}
    model = Regressor(**QUICK, hidden_dropout=0.5).fit(X, NUMBERS, rules=noise["rules"])
    for method in (model.predict, Classifier(**QUICK).fit(X, Y, **noise).predict_proba):
        for one, other in zip(method(X, **asked), method(X, **asked, **noise), strict=True):
            assert_same_bits(one, other)
    assert model.score(X, NUMBERS, samples=20, seed=3) == pytest.approx(
        model.score(X, NUMBERS, samples=20, seed=3, **noise)
    )
    coded = Autoencoder(**QUICK).fit(X, **noise)
    assert_same_bits(coded.transform(X, **asked)[1], coded.encode(X, **asked, **noise)[1])
    assert_same_bits(model.predict(X), model.predict(X))  # clean without samples


def test_what_a_call_says_goes_before_the_noise_of_training() -> None:
    asked: dict[str, Any] = {"samples": 20, "seed": 3}
    model = Regressor(**QUICK).fit(X, NUMBERS, hidden_dropout=0.5)
    found = model.predict(X, input_noise=0.1, **asked)
    rows = torch.from_numpy(X)
    assert_same_bits(found, ng.predict(model.network_, rows, 20, input_noise=0.1, seed=3).mean)
    for words in ({"hidden_dropout": 0}, {"existing": False}):
        with pytest.raises(ng.InvalidValue, match=r"^Regressor.predict: `samples` and"):
            model.predict(X, **asked, **words)


def test_a_schedule_has_the_rate_at_which_training_ended() -> None:
    """Also for a kind, in a list, and where that rate is 0."""
    steps = 2 * 2  # of 50 rows in batches of 32
    rising, falling = (ng.schedule.linear(*ends, steps=2 * steps) for ends in ((0, 1), (1, 0)))
    asked: dict[str, Any] = {"samples": 5, "seed": 3}
    for value in (rising, ng.Dropout(falling), [ng.Dropout(rising)]):
        model = Regressor(**QUICK).fit(X, NUMBERS, hidden_dropout=value)
        assert_same_bits(model.predict(X, **asked), model.predict(X, hidden_dropout=0.5, **asked))
    gone = Regressor(**QUICK).fit(X, NUMBERS, hidden_dropout=ng.schedule.early(0.5, steps=2))
    with pytest.raises(ng.InvalidValue, match=r"^Regressor.predict: `samples` and"):
        gone.predict(X, **asked)


class Functional(nn.Module):
    """A module whose dropout is a function that it calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        return self.second(functional.dropout(self.first(x).relu(), 0.5, self.training))


@pytest.mark.parametrize(
    "network", [join(Input(4), Relu(8), BatchNorm(), Dropout(0.5), Linear(2)), Functional()]
)
def test_the_network_s_own_dropouts_are_part_of_its_noise(network: Any) -> None:
    model = Regressor(**QUICK | {"network": network}).fit(X, NUMBERS)
    asked: dict[str, Any] = {"samples": 20, "return_std": True, "seed": 3}
    mean, std = model.predict(X, **asked)
    assert (std > 0).any()
    assert_same_bits(mean, model.predict(X, existing=True, **asked)[0])
    by_rng = {"regularizers": [BernoulliDropout("in:out", 0.5, rng=13)]}
    one, both = (model.predict(X, existing=on, **asked, **by_rng)[1] for on in (False, True))
    assert both.mean() > one.mean() > 0


def test_rng_decides_whatever_the_seed_of_the_call_is() -> None:
    """As in `feed_forward`; another `rng` of a regularizer that is there has its effect."""
    model = Regressor(**QUICK).fit(X, NUMBERS)
    regularizer = BernoulliDropout("in:out", 0.5, rng=13)

    def asked(**words: Any) -> np.ndarray:
        return np.asarray(model.predict(X, regularizers=[regularizer], **words))

    first = asked(seed=1)
    assert_same_bits(asked(seed=2), first)
    assert_same_bits(
        model.feed_forward(X, regularizers=[regularizer])["out:out"].astype("f8"), first
    )
    assert (asked(samples=3) != first).any()
    losses = [last(model.fit(X, NUMBERS, regularizers=[regularizer]))]
    regularizer.rng = 99
    assert regularizer.rng == 99
    losses.append(last(model.fit(X, NUMBERS, regularizers=[regularizer])))
    assert losses[0] != losses[1]
    other = [BernoulliDropout("in:out", 0.5, rng=99)]
    assert_same_bits(asked(), model.predict(X, regularizers=other))
    with pytest.raises(ng.NoisegateError, match=r"^BernoulliDropout: `rng` must be in"):
        regularizer.rng = -1
    assert regularizer.rng == 99


def test_noise_by_rng_is_the_same_in_parts_of_the_rows() -> None:
    """Predictions take 1024 rows at a time; each row has its own noise."""
    rows = np.random.default_rng(1).normal(size=(2500, 4)).astype(np.float32)
    model = Regressor(**QUICK | {"max_epochs": 1}).fit(X, NUMBERS)
    words = {"regularizers": [BernoulliDropout("in:out", 0.5, rng=13)]}
    found = model.feed_forward(rows, **words)["out:out"]
    np.testing.assert_allclose(model.predict(rows, **words), found, rtol=1e-4, atol=1e-6)


# Devices, copies, pages ------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"])
def test_devices(device: Any) -> None:
    model = Classifier(**QUICK, device=device).fit(X, Y)
    found = torch.accelerator.current_accelerator(check_available=True)
    expected = "cpu" if device != "auto" or found is None else found.type
    assert next(model.network_.parameters()).device.type == expected
    assert model.partial_fit(X, Y).score(X, Y) >= 0
    model.network_.cpu()
    assert model.predict(X).shape == (50,)
    assert clone(model).device == device


def test_the_net_of_a_trained_estimator_reads_its_outputs() -> None:
    words = np.array(["a", "b", "c"])[Y]
    model = Classifier(**QUICK).fit(X, words)
    net = pickle.loads(pickle.dumps(model)).net_
    assert net.predict(X).tolist() == model.predict(X).tolist()
    assert_same_bits(net.predict_proba(X), model.predict_proba(X))
    assert net.score(X, words) == model.score(X, words)


@each
def test_a_notebook_shows_an_estimator(name: str) -> None:
    """By scikit-learn's page of it, before and after training."""
    kind, y = KINDS[name]
    model = kind(**QUICK)
    for shown in (model, model.fit(X, y)):
        page = shown._repr_mimebundle_()["text/html"]
        assert kind.__name__ in page
        assert f"{kind.__name__}(max_epochs=2, network=(None, 8, None), random_state=13)" in repr(
            shown
        )


# Codes -----------------------------------------------------------------------------------------

CODED = Autoencoder((None, 6, 3, 5, None), max_epochs=2, random_state=13).fit(X)


@pytest.mark.parametrize(
    ("layer", "place"),
    [
        (None, "hid2:out"),
        ("hid1", "hid1:out"),
        ("hid1:pre", "hid1:pre"),
        (0, "in:out"),
        (1, "hid1:out"),
        (np.int64(3), "hid3:out"),
        (-1, "out:out"),
        (-2, "hid3:out"),
    ],
)
def test_a_layer_by_its_name_or_number(layer: Any, place: str) -> None:
    """In theanets' meaning, but that the code is the narrowest layer rather than the middle."""
    code = CODED.encode(X, layer)
    assert_same_bits(code, CODED.feed_forward(X)[place])
    assert_same_bits(CODED.decode(code, layer), CODED.predict(X))


def test_a_code_decides_the_output() -> None:
    code = CODED.transform(X)
    with torch.no_grad():
        expected = CODED.network_["out"](CODED.network_["hid3"](torch.from_numpy(code * 2)))
    assert_same_bits(CODED.decode(code * 2), expected.double())
    assert CODED.decode(code[:7]).shape == (7, 4)
    assert_same_bits(CODED.decode(code.tolist()), CODED.predict(X))
    noisy = CODED.decode(code, rules={"hid3:out": 0.5}, seed=3)
    assert (noisy != CODED.predict(X)).any()
    assert_same_bits(noisy, CODED.decode(code, rules={"hid3:out": 0.5}, seed=3))
    assert not ng.handles(CODED.network_)


def test_names_of_features_are_checked() -> None:
    frame = pd.DataFrame(X, columns=[*"abcd"])
    model = clone(CODED).fit(frame)
    names = ["code0", "code1", "code2"]
    for given in (None, [*"abcd"]):
        assert model.get_feature_names_out(given).tolist() == names
    with pytest.raises(ValueError, match=r"^input_features is not equal to feature_names_in_"):
        model.get_feature_names_out([*"abce"])
    with pytest.raises(ValueError, match=r"^input_features should have length equal"):
        CODED.get_feature_names_out([*"abc"])
    assert model.set_output(transform="pandas").transform(frame).columns.tolist() == names


# Rules -----------------------------------------------------------------------------------------

NOISE = ng.GaussianNoise(0.1)
HALF = ng.Dropout(0.5)


def at_hidden(seed: int = 3, **words: Any) -> np.ndarray:
    """Return what a pass gives at the hidden layer."""
    return np.asarray(CODED.feed_forward(X, seed=seed, **words)["hid1:out"])


def by_hand(*kinds: ng.Kind, slots: tuple[int, ...] = (0, 0, 0, 0)) -> np.ndarray:
    """Return the clean output of the hidden layer with kinds on it, one after the other."""
    y = np.asarray(CODED.feed_forward(X)["hid1:out"])
    for kind, slot in zip(kinds, slots, strict=False):
        y = kind(y, ng.Stream(3).site("hid1:out", slot).at(0))
    return y


@pytest.mark.parametrize(
    ("words", "kinds", "slots"),
    [
        ({"rules": {"hid1:out": 0.5}}, (HALF,), (0,)),
        ({"rules": {"hid1:out": NOISE}}, (NOISE,), (0,)),
        # Dropout acts first, in whatever order the rules stand.
        ({"rules": {"hid1:out": NOISE, "hid?:out": 0.5}}, (HALF, NOISE), (0, 0)),
        ({"rules": {"hid1:out": [0.5, NOISE]}}, (HALF, NOISE), (0, 0)),
        ({"rules": {"hid1:out": NOISE}, "hidden_dropout": 0.5}, (HALF, NOISE), (0, 0)),
        ({"rules": {"hid1:out": 0.5}, "hidden_noise": 0.1}, (HALF, NOISE), (0, 0)),
        ({"hidden_noise": 0.1, "rules": {"hid1:out": NOISE}}, (NOISE, NOISE), (0, 1)),
        # A list in which dropout comes last keeps its order.
        ({"rules": {"hid1:out": [NOISE, 0.5]}}, (NOISE, HALF), (0, 0)),
        ({"rules": {"hid1:out": [NOISE, 0.5, NOISE]}}, (NOISE, HALF, NOISE), (0, 0, 1)),
    ],
    ids=str,
)
def test_rules_and_shorthands_act_in_one_order(words: Any, kinds: Any, slots: Any) -> None:
    """By keys of the site, in every method alike."""
    assert_same_bits(at_hidden(**words), by_hand(*kinds, slots=slots))
    assert_same_bits(CODED.encode(X, "hid1", seed=3, **words), at_hidden(**words))
    assert_same_bits(
        CODED.predict(X, seed=3, **words),
        CODED.feed_forward(X, seed=3, **words)["out:out"].astype(np.float64),
    )


def test_rules_are_those_of_inject() -> None:
    """Kinds, schedules, lists and globs; zeros and empty values put nothing in."""
    rules = {"*:pre": ng.schedule.linear(0.1, 0.5, steps=9), "in:out": [0.2, NOISE]}
    model = clone(CODED).fit(X)
    found = model.feed_forward(X, seed=3, rules=rules)["out:out"]
    with ng.inject(model.network_.train(), rules, seed=3), torch.no_grad():
        assert_same_bits(found, model.network_(torch.from_numpy(X)))
    for nothing in ({}, {"hid1:out": 0}, {"hid1:out": None}, {"hid1:out": []}):
        assert_same_bits(model.predict(X, rules=nothing), model.predict(X))


def test_recording_puts_every_noise_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(ng.injection.Injection):
        def __init__(self, *args: Any, **words: Any) -> None:
            made.append(args[1])
            super().__init__(*args, **words)

    monkeypatch.setattr("noisegate.estimators.session.Injection", Counted)
    found = CODED.feed_forward(X, hidden_dropout=0.5, rules={"in:out": NOISE}, seed=3)
    assert made == [{"hidden_dropout": 0.5}, {"in:out": [NOISE]}]
    clean = CODED.feed_forward(X)
    assert_same_bits(found["in:out-prenoise"], clean["in:out"])
    assert (found["hid1:out-predrop"] != found["hid1:out"]).any()


# Arguments -------------------------------------------------------------------------------------

SHARED = list(inspect.signature(Estimator).parameters)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (Classifier, ["output", "class_weight"]),
        (Regressor, ["normalize_y"]),
        (Autoencoder, ["code"]),
    ],
)
def test_a_class_shows_every_argument(kind: Any, own: list[str]) -> None:
    """To `help`, to editors by the signature, and to scikit-learn; copied and pickled."""
    shown = inspect.signature(kind)
    assert list(shown.parameters) == [*SHARED, *own]
    assert len(SHARED) == 26
    positional = [n for n, p in shown.parameters.items() if p.kind is not p.KEYWORD_ONLY]
    assert positional == ["network"]
    assert sorted(kind().get_params()) == sorted(shown.parameters)
    assert all(p.default is kind().get_params()[n] for n, p in shown.parameters.items())
    for word in shown.parameters:
        assert word in pydoc.render_doc(kind)
    value = {"rules": {"in:out": 0.5}, "verbose": 1, **dict.fromkeys(own)}
    model = kind((None, 3, None), **value)
    for twin in (clone(model), pickle.loads(pickle.dumps(model)), kind().set_params(**value)):
        assert {n: twin.get_params()[n] for n in value} == value
    assert type("Mine", (kind,), {})(**value).get_params() == {
        **model.get_params(),
        "network": (None, 100, None),
    }
