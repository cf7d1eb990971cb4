"""The results of a prediction: classes, calibration, plots; and the sentences for bad input."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import data

import noisegate as ng
from _asserts import assert_sentence
from _nets import X, net

# What the outputs are ----------------------------------------------------------------------------


def test_logits_log_probabilities_and_probabilities() -> None:
    words: dict[str, Any] = {"rules": {"hid:out": 0.4}, "seed": 7, "samples": 6}
    logits = ng.predict(net(), X, **words)
    assert logits.outputs == "logits"
    made = nn.Sequential(net(), nn.LogSoftmax(-1))
    log = ng.predict(made, X, **{**words, "rules": {"0.hid:out": 0.4}})
    assert log.outputs == "logits"
    ended = nn.Sequential(net(), nn.Softmax(-1))
    ready = ng.predict(ended, X, **{**words, "rules": {"0.hid:out": 0.4}})
    assert ready.outputs == "probabilities"
    assert ready.probabilities.shape == log.probabilities.shape == logits.probabilities.shape
    np.testing.assert_allclose(ready.probabilities.sum(-1), 1, atol=1e-6)


def test_one_column_is_a_value_or_the_probability_of_class_1() -> None:
    made = net(1)
    words: dict[str, Any] = {"rules": {"hid:out": 0.4}, "seed": 7, "samples": 6}
    values = ng.predict(made, X, **words)
    assert values.outputs == "values"
    with assert_sentence(
        ng.InvalidValue,
        "Prediction: the outputs are taken as values, which have no probabilities. Pass "
        "outputs='logits' or outputs='probabilities' to predict.",
    ):
        _ = values.probabilities
    binary = ng.predict(made, X, outputs="logits", keep_samples=True, **words)
    assert binary.samples is not None
    ones = 1 / (1 + np.exp(-binary.samples.astype(np.float64)[..., 0]))
    np.testing.assert_allclose(binary.probabilities[:, 1], ones.mean(0), rtol=1e-9)
    assert binary.calibration(np.zeros(40, int)).accuracy == (ones.mean(0) < 0.5).mean()

    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum(-1).sigmoid()

    flat = ng.predict(Flat(), X, 5, input_dropout=0.5, outputs="probabilities", seed=7)
    assert flat.probabilities.shape == (40, 2)


def test_classes_may_be_on_another_axis() -> None:
    made = nn.Sequential(nn.Conv2d(3, 5, 1))
    p = ng.predict(
        made, torch.randn(2, 3, 4, 4), 5, input_dropout=0.5, class_axis=1, seed=7, batch_size=1
    )
    assert p.classes.shape == p.entropy.shape == (2, 4, 4)
    np.testing.assert_allclose(p.probabilities.sum(1), 1)
    assert p.calibration(np.zeros((2, 4, 4), int)).counts.sum() == 32


def test_one_output_of_several() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"loss": x.sum(), "first": x, "logits": x * 2, "ids": torch.arange(3)}

    words: dict[str, Any] = {"input_dropout": 0.5, "seed": 7, "samples": 3}
    logits = ng.predict(Several(), X, **words)
    first = ng.predict(Several(), X, output="first", **words)
    np.testing.assert_allclose(logits.mean, 2 * first.mean)
    with assert_sentence(
        ng.InvalidType,
        "predict: the model's output has no floating-point tensor `ids`; it has loss, first, "
        "logits.",
    ):
        ng.predict(Several(), X, output="ids", **words)


# Calibration and plots ---------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    p = np.array([[0.88, 0.12], [0.58, 0.42], [0.55, 0.45], [0.22, 0.78]])
    y = np.array([0, 1, 0, 1])
    prediction = ng.predict(nn.Identity(), torch.from_numpy(p), [0], rules={":out": 1e-9})
    c = prediction.calibration(y, bins=10)
    assert c.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 1, 1, 0]
    np.testing.assert_allclose(c.ece, (0.12 + 2 * abs(0.5 - 0.565) + 0.22) / 4)
    np.testing.assert_allclose(c.nll, -np.log([0.88, 0.42, 0.55, 0.78]).mean())
    np.testing.assert_allclose(c.brier, np.mean([0.0288, 0.6728, 0.405, 0.0968]))
    assert c.accuracy == 0.75
    assert repr(c) == "<calibration: ECE 0.1175, NLL 0.4604, Brier 0.3008, accuracy 0.7500>"
    with assert_sentence(
        ng.InvalidValue,
        "calibration: `y` must be whole numbers in [0, 2), of shape (4,); got shape (3,).",
    ):
        prediction.calibration([0, 1, 0])
    must = "calibration: `y` must be whole numbers in [0, 2), of shape (4,); got "
    wrong: list[tuple[Any, str]] = [
        ([0, 1, 2, 0], "2."),
        (torch.tensor([0, 1, 0, -1]), "-1."),
        ([0.0, 1.0, 0.0, 1.0], "dtype float64."),
        ([[0], [1], [0], [1]], "shape (4, 1)."),
        (["a", "b", "a", "b"], "dtype <U1."),
    ]
    for labels, got in wrong:
        with assert_sentence(ng.InvalidValue, must + got):
            prediction.calibration(labels)


def test_plots_draw_what_was_predicted() -> None:
    made = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    x = torch.linspace(-1, 1, 50)[:, None]
    p = ng.predict(made, x, 20, hidden_dropout=0.3, seed=7)
    ax = p.plot(x**2, data=(x, x**2))
    lines = {line.get_label(): np.asarray(line.get_xydata()) for line in ax.lines}
    assert set(lines) == {"mean", "true", "data"}
    np.testing.assert_allclose(lines["mean"], np.stack([x[:, 0].numpy(), p.mean[:, 0]], 1))
    assert [patch.get_label() for patch in ax.collections] == ["5% to 95%", "25% to 75%"]
    top = np.asarray(ax.collections[0].get_paths()[0].vertices)[:, 1]
    np.testing.assert_allclose(top.max(), p.quantile(0.95).max())
    plain = ng.predict(made, x, 20, hidden_dropout=0.3, seed=7, quantiles=())
    assert [patch.get_label() for patch in plain.plot().collections] == ["±2 std", "±1 std"]
    wide = ng.predict(net(), X, 3, hidden_dropout=0.3, seed=7)
    with assert_sentence(
        ng.InvalidValue,
        "Prediction.plot: bands need a regression of one output on one input; the output has "
        "shape (40, 3). Pass x= where the input was not one number a sample.",
    ):
        wide.plot()
    one = ng.predict(net(1), X, 3, hidden_dropout=0.3, seed=7)
    assert one.plot(x=X[:, 0]).lines
    reliability = wide.calibration(torch.zeros(40, dtype=torch.int64)).plot()
    assert reliability.get_title().startswith("ECE ")
    heights = sum(patch.get_height() > 0 for patch in reliability.patches)
    assert heights


# Bad input ---------------------------------------------------------------------------------------

BAD: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {"samples": 0},
        "predict: `samples` must be a whole number > 0, or a list of steps; got 0.",
    ),
    (
        {"samples": "many"},
        "predict: `samples` must be a whole number > 0, or a list of steps; got 'many'.",
    ),
    ({"samples": [-1]}, "predict: `samples` must be in [0, 2**32); got -1."),
    ({"quantiles": [1.5]}, "predict: a quantile must be in [0, 1]; got 1.5."),
    (
        {"outputs": "logit"},
        "predict: `outputs` must be 'values' or 'logits' or 'probabilities'; got 'logit'. Did you "
        "mean 'logits'?",
    ),
    ({"batch_size": 0}, "predict: `batch_size` must be a finite number > 0; got 0.0."),
    ({"x": torch.zeros(0, 4)}, "predict: `x` has no samples."),
)


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=[b[1][:50] for b in BAD])
def test_bad_input_is_answered_in_a_sentence(words: dict[str, Any], sentence: str) -> None:
    with assert_sentence(ng.InvalidValue, sentence):
        ng.predict(**{"model": net(), "x": X, "hidden_dropout": 0.5, **words})


@pytest.mark.parametrize("x", [[[1.0] * 4] * 8, [1.0, 2.0], ((1, 2), (3, 4)), [[]]])
def test_lists_of_numbers_are_answered(x: Any) -> None:
    with assert_sentence(
        ng.InvalidType,
        f"predict: `x` must hold tensors or arrays; got a {type(x).__name__} of numbers. Pass "
        "torch.tensor(x).",
    ):
        ng.predict(net(), x, hidden_dropout=0.5)


@pytest.mark.parametrize("level", [95, -0.1, "0.9", float("nan")])
@pytest.mark.parametrize("keep", [True, False])
def test_a_level_that_is_no_share_is_answered(level: Any, keep: bool) -> None:
    p = ng.predict(net(), X, 3, hidden_dropout=0.5, keep_samples=keep)
    with assert_sentence(
        ng.InvalidValue, f"Prediction: a quantile must be in [0, 1]; got {level!r}."
    ):
        p.quantile(level)


SAMPLERS: dict[str, Any] = {
    "RandomSampler": {"shuffle": True},
    "SubsetRandomSampler": {"sampler": data.SubsetRandomSampler(range(40))},
    "WeightedRandomSampler": {"sampler": data.WeightedRandomSampler([1.0] * 40, 40)},
    "DistributedSampler": {"sampler": data.DistributedSampler(X, 1, 0)},  # type: ignore[arg-type]
}
IN_ORDER: tuple[dict[str, Any], ...] = (
    {},
    {"sampler": data.DistributedSampler(X, 1, 0, shuffle=False)},  # type: ignore[arg-type]
    {"batch_sampler": data.BatchSampler(range(40), 7, False)},
)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loader_that_shuffles_is_told_of(name: str) -> None:
    sentence = (
        f"predict: the loader shuffles, by its {name}, so row i of the prediction is the i-th that "
        "it yields, not sample i of its data set. Pass a loader with shuffle=False."
    )
    loaders = [data.DataLoader(X, 7, **SAMPLERS[name])]  # type: ignore[arg-type]
    batches = data.BatchSampler(loaders[0].sampler, 7, False)
    loaders.append(data.DataLoader(X, batch_sampler=batches))  # type: ignore[arg-type]
    loaders.append(data.DataLoader(X, None, sampler=batches))  # type: ignore[arg-type]
    for loader in loaders:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ng.predict(net(), loader, 2, hidden_dropout=0.5)
        assert [(str(one.message), one.filename) for one in told] == [(sentence, __file__)]
    for words in IN_ORDER:
        ng.predict(net(), data.DataLoader(X, **words), 2, hidden_dropout=0.5)  # type: ignore[arg-type]


def test_a_batch_that_is_no_batch_of_the_output_is_answered() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(0)

    p = ng.predict(Mean(), X, 3, input_dropout=0.5, seed=7, quantiles=())
    assert p.mean.shape == (4,)
    with assert_sentence(
        ng.InvalidValue,
        "predict: the output of a batch of 10 must have as many rows, to be joined with the "
        "others; got shape (4,). Leave out batch_size, and pass quantiles=().",
    ):
        ng.predict(Mean(), X, 3, input_dropout=0.5, batch_size=10, quantiles=())


def test_a_bar_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    ng.predict(net(), X, 3, hidden_dropout=0.5, seed=7)
    assert capsys.readouterr() == ("", "")
    ng.predict(net(), X, 3, hidden_dropout=0.5, seed=7, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3 samples" in captured.err


# What is said beside the numbers -----------------------------------------------------------------


class Two(nn.Module):
    """Two outputs, of which only the second has dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.mask, self.label = nn.Linear(4, 3), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mask(x), self.label(x)


@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_that_does_not_reach_the_output_is_told_of(count: int, dtype: torch.dtype) -> None:
    model, x = Two().to(dtype), torch.randn(count, 4).to(dtype)
    sentence = (
        "predict: all 20 samples are the same, though noise acted at 'label.0:dropout': it does "
        "not reach the output that is taken, or is too rare to change it. Name another output by "
        "output=, or put more noise before it with rules=."
    )
    with pytest.warns(RuntimeWarning) as caught:
        ng.predict(model, x, 20, existing=True, seed=1)
    assert [str(warning.message) for warning in caught] == [sentence]
    assert [warning.filename for warning in caught] == [__file__]
    # Nothing is said of another output, of one sample, or of the same sample twice.
    ng.predict(model, x, 20, existing=True, seed=1, output=1)
    ng.predict(model, x, 1, existing=True, seed=1)
    ng.predict(model, x, [4, 4], existing=True, seed=1)
    # Nor of noise that leaves nothing.
    ng.predict(nn.Identity(), x, 3, rules={":out": 1.0}, seed=1)


def test_of_many_sites_three_are_named() -> None:
    model = nn.Sequential(*(nn.Dropout(0.5) for _ in range(5)), nn.ReLU())
    with pytest.warns(
        RuntimeWarning,
        match="acted at '0:dropout', '1:dropout', '2:dropout' and at 2 other sites: it does not",
    ):
        ng.predict(model, -torch.ones(4, 4), 5, existing=True, seed=1)


def test_a_rule_that_acts_nowhere_is_told_of_at_the_line_that_predicts() -> None:
    model = net()
    model.spare = nn.Linear(2, 2)
    with pytest.warns(RuntimeWarning, match="acted nowhere in this forward") as caught:
        ng.predict(model, X, 3, rules={"hid:out": 0.5, "spare:out": 0.5}, seed=1)
    assert [warning.filename for warning in caught] == [__file__]
