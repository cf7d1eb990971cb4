"""theanets' dropout, noise and regularizers: what holds here, and what differs.

T1 to T9, C8 to C10, S5, S6, S9 and F8 to F19 are the numbers of a list of what the
old code did: its own tests, values to check, and faults. The page is docs/from/theanets.md.
"""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_sentence, assert_within
from noisegate.estimators import Autoencoder, Regressor
from noisegate.nets import LSTM, Input, Linear, join, outputs_matching, parameters_matching
from noisegate.nets.regularizers import (
    BernoulliDropout,
    Contractive,
    GaussianNoise,
    RecurrentNorm,
    RecurrentState,
    Regularizer,
)

# Their sizes: 64 examples, 7 inputs, 20 hidden units, 5 outputs.
SIZES = (7, 20, 5)
RANDOM = np.random.default_rng(13)
X = RANDOM.normal(size=(64, 7)).astype(np.float32)
Y = RANDOM.normal(size=(64, 5)).astype(np.float32)
# So many independent cells that a rate of 0.5 is known to 0.5 %.
ONES = np.ones((200, 50), np.float32)


def regressor(sizes: Any = SIZES, **words: Any) -> Regressor:
    options = {"optimizer": torch.optim.SGD, "lr": 0.1, "max_epochs": 2, "random_state": 13}
    return Regressor(sizes, **options | words)


def trained(sizes: Any = SIZES, x: Any = X, **words: Any) -> Regressor:
    y = np.zeros((len(x), 5), np.float32)
    return regressor(sizes, max_epochs=1).fit(x, y, **words)


def placed(report: str) -> list[tuple[str, str]]:
    """Return site and noise of each row of a report."""
    rows = [re.split(r" {2,}", line)[:2] for line in report.splitlines()[1:]]
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def noises(model: Regressor) -> list[tuple[str, str]]:
    return [row for report in model.noise_ for row in placed(report)]


def kept(outputs: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Return what dropout left of an output that has no zero of its own."""
    assert (outputs[f"{name}-predrop"] != 0).all()
    return outputs[name] != 0


@pytest.fixture(scope="module")
def smooth() -> Regressor:
    """Two hidden layers as wide as the input, of units that are never 0: a zero is dropout's."""
    y = np.zeros((len(ONES), 5), np.float32)
    return regressor((50, 50, 50, 5), activation="sigmoid", max_epochs=1).fit(ONES, y)


# Their tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"input_noise": 0.01}, [GaussianNoise("in:out", 0.01)]])
def test_regularizers_by_a_dict_and_by_a_list(given: Any) -> None:
    """T1, T2."""
    assert noises(trained(regularizers=given)) == [(":in", "GaussianNoise(sigma=0.01)")]


@pytest.mark.parametrize(
    "words",
    [
        {"input_noise": 0.1},
        {"input_dropout": 0.2},
        {"hidden_noise": 0.1},
        {"hidden_dropout": 0.2},
        {"rules": {"*:out": ng.GaussianNoise(0.1)}},
        {"rules": {"hid?:out": 0.2}},
        {"regularizers": {"hidden_l1": 0.1}},
        {"regularizers": {"weight_l1": 0.1}},
        {"regularizers": {"weight_l2": 0.01}},
        {"regularizers": {"contractive": 0.01}},
    ],
    ids=str,
)
def test_training_makes_progress(words: dict[str, Any]) -> None:
    """T3, F10. `contractive`, which failed there, does too."""
    model = regressor(lr=0.02, max_epochs=6, early_stopping=2)
    model.fit(X, Y, validation_data=(X, Y), **words)
    losses = model.history_[:, "valid_loss"]
    assert min(losses) < losses[0]


def sequences() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    x, y = random.normal(size=(64, 6, 7)), random.normal(size=(64, 6, 5))
    return x.astype(np.float32), y.astype(np.float32)


def recurrent(return_sequences: bool = True) -> Any:
    torch.manual_seed(13)
    hidden = LSTM(20, return_sequences=return_sequences, name="hid1")
    return join(Input((None, 7), name="in"), hidden, Linear(5, name="out"))


def test_matching_of_a_recurrent_network() -> None:
    """T4."""
    assert outputs_matching(recurrent(), "hid1:out") == ["hid1:out"]


@pytest.mark.parametrize("name", ["recurrent_norm", "recurrent_state"])
def test_recurrent_training_makes_progress(name: str) -> None:
    """T5."""
    x, y = sequences()
    model = regressor(recurrent(), max_epochs=4)
    model.fit(x, y, regularizers={name: {"pattern": "hid1:out", "weight": 0.1}})
    losses = model.history_[:, "train_loss"]
    assert min(losses) < losses[0]


@pytest.mark.parametrize(
    ("name", "kind"), [("recurrent_norm", RecurrentNorm), ("recurrent_state", RecurrentState)]
)
def test_penalties_of_time_where_there_is_none(name: str, kind: type[Regularizer]) -> None:
    """T6. A bare number is an error, and so is an output without an axis of time.

    It differs in the class of the error: theirs was to be a ConfigurationError, and was a TypeError
    of Theano's. Here it is InvalidType, or InvalidValue, and says what to write.
    """
    sentence = (
        f"{kind.__name__}: `pattern` must be text, or several; got None. "
        "Write for example 'hid1:out'."
    )
    with assert_sentence(ng.InvalidType, sentence):
        regressor().fit(X, Y, regularizers={name: 0.1})
    with pytest.raises(ng.InvalidValue, match=rf"^{kind.__name__}: outputs must be \(N, time, f"):
        regressor().fit(X, Y, regularizers=[kind("hid1:out", 0.1)])


CODES = (10, 20, 30, 10)


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    x = np.random.default_rng(1).normal(size=(64, 10)).astype(np.float32)
    return Autoencoder(CODES, max_epochs=1, random_state=13).fit(x)


def test_names_of_outputs(autoencoder: Autoencoder) -> None:
    """T7."""
    every = ["hid1:out", "hid1:pre", "hid2:out", "hid2:pre", "in:out", "out:out", "out:pre"]
    net = autoencoder.network_
    assert outputs_matching(net, "*") == every
    assert outputs_matching(net, "hid?:*") == every[:4]
    assert outputs_matching(net, "*:pre") == ["hid1:pre", "hid2:pre", "out:pre"]


def test_names_of_parameters(autoencoder: Autoencoder) -> None:
    """T8. Torch's names hold, and theirs: `w` is `weight`, `b` is `bias`."""
    net = autoencoder.network_
    assert len(parameters_matching(net, "*")) == 6
    assert list(parameters_matching(net, "*.w")) == ["hid1.weight", "hid2.weight", "out.weight"]
    assert list(parameters_matching(net, "*.weight")) == list(parameters_matching(net, "*.w"))
    assert sorted(parameters_matching(net, "o*.?")) == ["out.bias", "out.weight"]


def test_feed_forward_gives_every_output(autoencoder: Autoencoder) -> None:
    """T9. Seven without noise, and one more for each target of dropout."""
    x = np.random.default_rng(1).normal(size=(64, 10)).astype(np.float32)
    clean = autoencoder.feed_forward(x)
    assert sorted(clean) == outputs_matching(autoencoder.network_, "*")
    assert [clean[name].shape[1] for name in ("in:out", "hid1:out", "hid2:pre")] == [10, 20, 30]
    assert_same_bits(clean["out:out"], autoencoder.predict(x).astype(np.float32))
    noisy = autoencoder.feed_forward(x, hidden_dropout=0.5)
    assert sorted(set(noisy) - set(clean)) == ["hid1:out-predrop", "hid2:out-predrop"]


# Values ----------------------------------------------------------------------------------------


def test_the_outputs_with_noise_on_the_input() -> None:
    """C8."""
    x = np.random.default_rng(2).normal(size=(400, 6)).astype(np.float32)
    y = np.zeros((400, 6), np.float32)
    model = regressor((6, 6, 6, 6), max_epochs=1).fit(x, y)
    assert len(model.feed_forward(x)) == 7
    found = model.feed_forward(x, input_dropout=0.2)
    assert set(found) - set(model.feed_forward(x)) == {"in:out-predrop"}
    assert_same_bits(found["in:out-predrop"], x)
    factors = found["in:out"] / x
    assert set(np.unique(np.round(factors, 5))) == {0, 1.25}
    ones = model.feed_forward(np.ones_like(x), input_dropout=0.2)["in:out"]
    assert set(np.unique(ones)) == {0, 1.25}
    assert_rate(int((ones == 0).sum()), ones.size, 0.2)


def test_the_order_is_dropout_then_noise() -> None:
    """2a. `-predrop` is the clean value, `-prenoise` what dropout left of it."""
    model = trained()
    found = model.feed_forward(X, input_dropout=0.2, input_noise=0.1, seed=7)
    key = ng.Stream(7).site(":in").at(0)
    assert_same_bits(found["in:out-predrop"], X)
    dropped = ng.Dropout(0.2)(torch.from_numpy(X), key)
    assert_same_bits(found["in:out-prenoise"], dropped)
    assert_same_bits(found["in:out"], ng.GaussianNoise(0.1)(dropped, key))


def test_selectors() -> None:
    """C9. A glob over the whole path; braces are no sign of it."""
    sizes = (7, *[3] * 10, 5)
    model = trained(sizes)
    net = model.network_
    assert outputs_matching(net, "hid[23]:out") == ["hid2:out", "hid3:out"]
    assert len(outputs_matching(net, "hid?:out")) == 9
    assert "hid10:out" not in outputs_matching(net, "hid?:out")
    everything = outputs_matching(net, "*:out")
    assert len(everything) == 12
    assert {"in:out", "out:out"} < set(everything)
    with pytest.raises(ng.UnmatchedRule, match=r"the rule '{hid1,hid2}:out' matches no site"):
        outputs_matching(net, "{hid1,hid2}:out")
    model.fit(X, Y, rules={"hid[23]:out": 0.1})
    assert [site for site, _ in noises(model)] == ["hid2:out", "hid3:out"]
    model.fit(X, Y, rules={"*:out": 0.1})
    assert len(noises(model)) == 12


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, []),
        ({"input_dropout": 0.1}, [(":in", "Dropout(p=0.1)")]),
        (
            {"hidden_dropout": 0.2},
            [("hid1:out", "Dropout(p=0.2)"), ("hid2:out", "Dropout(p=0.2)")],
        ),
        (
            {"rules": {"hid1:out": 0.1, "hid2:out": 0.2}},
            [("hid1:out", "Dropout(p=0.1)"), ("hid2:out", "Dropout(p=0.2)")],
        ),
        ({"output_noise": 0.3}, [(":out", "GaussianNoise(sigma=0.3)")]),
        ({"input_dropout": 0, "hidden_noise": 0.0, "rules": {"hid1:out": 0}}, []),
    ],
)
def test_what_keywords_make(words: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """C10."""
    assert noises(trained((7, 6, 6, 5), **words)) == expected


def test_a_list_is_taken_as_given_and_with_the_keywords() -> None:
    """C10. There a list silenced all other keywords; here both act."""
    model = trained(
        (7, 6, 6, 5), regularizers=[BernoulliDropout("hid2:out", 0.3)], input_dropout=0.1
    )
    assert noises(model) == [(":in", "Dropout(p=0.1)"), ("hid2:out", "Dropout(p=0.3)")]


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "score", "feed_forward"])
@pytest.mark.parametrize("word", ["hidden_dropouts", "rgn"])
def test_an_unknown_keyword_is_an_error(method: str, word: str) -> None:
    """C10, F11. It differs: there a word that nobody knows did nothing.

    theanets' own script for characters passed the plural of an older version, without effect.
    """
    model = trained()
    arguments = (X, Y) if method in ("fit", "partial_fit", "score") else (X,)
    near = " Did you mean `hidden_dropout`?" if word == "hidden_dropouts" else ""
    with pytest.raises(ng.InvalidType, match=rf"unknown keyword `{word}`.*{re.escape(near)}$"):
        getattr(model, method)(*arguments, **{word: 0.5})


# Statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_masks_of_two_sites_are_independent(smooth: Regressor, p: float) -> None:
    """S5, F9. Two masks agree at 1 - 2p(1 - p) of the elements; there at all of them."""
    found = smooth.feed_forward(ONES, input_dropout=p, hidden_dropout=p, seed=3)
    masks = [kept(found, name) for name in ("in:out", "hid1:out", "hid2:out")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        agree = int((masks[first] == masks[second]).sum())
        assert_rate(agree, ONES.size, 1 - 2 * p * (1 - p))


def test_masks_of_two_regularizers_are_independent(smooth: Regressor) -> None:
    """S5, F9. Each has the default seed 13, as there."""
    several = [BernoulliDropout(name, 0.5) for name in ("in:out", "hid1:out", "hid2:out")]
    assert {regularizer.seed for regularizer in several} == {13}
    found = smooth.feed_forward(ONES, regularizers=several)
    masks = [kept(found, name) for name in ("in:out", "hid1:out", "hid2:out")]
    assert_rate(int((masks[0] == masks[1]).sum()), ONES.size, 0.5)
    assert_rate(int((masks[1] == masks[2]).sum()), ONES.size, 0.5)


def test_noise_of_two_sites_is_independent(smooth: Regressor) -> None:
    """F9. There the correlation of input and hidden noise was 0.9999."""
    found = smooth.feed_forward(ONES, input_noise=1, hidden_noise=1, seed=3)
    first, second = (found[name] - found[f"{name}-prenoise"] for name in ("in:out", "hid1:out"))
    assert_within((first * second).mean(), 0, 1 / math.sqrt(ONES.size))


def test_calls_samples_and_units_are_independent(smooth: Regressor) -> None:
    """S6. A call, a row and a column have each a mask of their own."""
    first = kept(smooth.feed_forward(ONES, input_dropout=0.5, seed=3), "in:out")
    second = kept(smooth.feed_forward(ONES, input_dropout=0.5, seed=4), "in:out")
    assert_rate(int((first == second).sum()), ONES.size, 0.5)
    assert_rate(int((first[1:] == first[:-1]).sum()), first[1:].size, 0.5)
    assert_rate(int((first[:, 1:] == first[:, :-1]).sum()), first[:, 1:].size, 0.5)


def test_steps_of_time_are_independent() -> None:
    """S6. Of an LSTM's outputs, as there: outside of the recurrence, another mask at each step."""
    x, y = np.ones((40, 20, 7), np.float32), np.zeros((40, 20, 5), np.float32)
    model = regressor(recurrent(), max_epochs=1).fit(x, y)
    mask = kept(model.feed_forward(x, rules={"hid1:out": 0.5}, seed=3), "hid1:out")
    assert_rate(int((mask[:, 1:] == mask[:, :-1]).sum()), mask[:, 1:].size, 0.5)


def test_two_rules_at_one_place_are_two_masks() -> None:
    """S9. Zeros are 1 - (1 - p)², the mean is 1; there p and 2."""
    x = np.ones((1000, 7), np.float32)
    found = trained().feed_forward(x, rules={"in:out": 0.5, "*:out": 0.5}, seed=3)["in:out"]
    assert set(np.unique(found)) == {0, 4}
    assert_rate(int((found == 0).sum()), found.size, 0.75)
    assert_within(found.mean(), 1, math.sqrt(3 / found.size))
    again = trained().feed_forward(
        x, regularizers=[BernoulliDropout("in:out", 0.5), BernoulliDropout("*:out", 0.5)]
    )
    assert set(np.unique(again["in:out"])) == {0, 4}
    assert_rate(int((again["in:out"] == 0).sum()), found.size, 0.75)


# Faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_what_stays_is_divided_by_what_is_kept(smooth: Regressor, p: float) -> None:
    """F8. Version 0.7.3 divided by the weight: 0.1 gave values of 10 and a mean of 9."""
    for words in ({"input_dropout": p}, {"regularizers": [BernoulliDropout("in:out", p)]}):
        found = smooth.feed_forward(ONES, seed=13, **words)["in:out"]
        key = ng.Stream(13).site(":in").at(0)
        assert_same_bits(found, ng.Dropout(p)(ONES, key))
        assert found.max() == pytest.approx(1 / (1 - p), rel=1e-6)
        assert_within(found.mean(), 1, math.sqrt(p / (1 - p) / ONES.size))


def test_rng_decides_the_masks(smooth: Regressor) -> None:
    """F9. There another rng went on with the stream of 13, once the graph was built."""
    several = [[BernoulliDropout("in:out", 0.5, rng)] for rng in (13, 99, 13)]
    masks = [kept(smooth.feed_forward(ONES, regularizers=one), "in:out") for one in several]
    assert_same_bits(masks[2], masks[0])
    assert_rate(int((masks[0] == masks[1]).sum()), ONES.size, 0.5)
    losses = [trained(regularizers=one).history_[-1, "train_loss"] for one in several]
    assert losses[0] == losses[2] != losses[1]


def test_recurrent_norm_has_its_square() -> None:
    """F10. There -368 on these numbers, which telescopes; the formula says 176384."""
    z = torch.arange(24.0).reshape(2, 3, 4)
    assert RecurrentNorm("a:out").loss([], {"a:out": z}) == 176384
    assert RecurrentState("a:out").loss([], {"a:out": z}) == 16


def test_contractive_has_a_default() -> None:
    """F10. There `contractive=0.1` was a TypeError: no pattern, and none by default."""
    model = trained((7, 6, 6, 5), regularizers=[found := Contractive(weight=0.1)])
    assert found.matched == ("hid1:out", "hid2:out")
    assert math.isfinite(model.history_[-1, "train_loss"])


def test_validation_is_clean_of_noise() -> None:
    """F19. There it had the noise of the training. No step is taken, so that the loss is known."""

    class Still(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return closure()

    model = regressor(optimizer=Still, max_epochs=1)
    model.fit(X, Y, hidden_dropout=0.5, validation_data=(X, Y))
    with torch.no_grad():
        outputs = model.network_(torch.from_numpy(X))
        clean = torch.nn.functional.mse_loss(outputs, torch.from_numpy(Y)).item()
    assert model.history_[-1, "valid_loss"] == clean
    assert abs(model.history_[-1, "train_loss"] - clean) > 0.001
