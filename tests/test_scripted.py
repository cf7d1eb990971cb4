"""Models with script modules inside: rules beside them, at their ends, and for their inside."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits, assert_sentence
from _functional import key

# torch.jit is old; the models that have it are not gone for that.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

X = torch.randn(6, 8)


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), nn.BatchNorm1d(8))


def scripted() -> Any:
    return torch.jit.script(plain())


def traced() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(plain(), X, check_trace=False)


def frozen() -> Any:
    return torch.jit.freeze(torch.jit.script(plain()).eval())


def beside(part: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), part).train()


MAKERS = [scripted, traced, frozen]


@pytest.mark.parametrize("make", MAKERS)
def test_a_rule_beside_a_script_module_acts(make: Callable[[], Any]) -> None:
    model = beside(make())
    values: list[Tensor] = []
    noise = ng.inject(model, {"0:out": 0.5, "1:in": 0.2, "1:out": 0.5, ":out": 0.1}, seed=1)
    model[0].register_forward_hook(lambda m, args, output: values.append(output.detach()))
    y = model(X)
    expected = ng.Dropout(0.5)(torch.ones(6, 8), key("0:out")) == 0
    assert_same_bits(values[0] == 0, expected)
    kept = ng.Dropout(0.1)(ng.Dropout(0.5)(torch.ones(6, 8), key("1:out")), key(":out"))
    assert_same_bits(y == 0, kept == 0)
    assert noise.sites == ("0:out", "1:in", "1:out", ":out")
    noise.remove()
    assert ng.handles(model) == ()
    assert (model.eval()(X) != 0).all()


@pytest.mark.parametrize("make", MAKERS)
def test_a_script_module_is_a_model_too(make: Callable[[], Any]) -> None:
    model = make()
    noise = ng.inject(model, {":in": 0.2, ":out": 0.5}, seed=1)
    assert noise.step == 0
    model.train()
    assert_same_bits(model(X) == 0, ng.Dropout(0.5)(torch.ones(6, 8), key(":out")) == 0)
    assert ng.handles(model) == (noise,)
    assert noise.step == 1
    noise.remove()
    model.eval()
    # What was traced in training has its own dropout in evaluation too.
    sentence = "random numbers are drawn in evaluation by the model itself"
    told = pytest.warns(RuntimeWarning, match=sentence) if make is traced else nullcontext()
    with told:
        prediction = ng.predict(model, X, 3, rules={":out": 0.5}, seed=1)
    assert (prediction.std > 0).any()


def test_a_run_on_an_example_leaves_a_script_module_as_it_was() -> None:
    model = beside(scripted()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rules = {"0:out": 0.5}
    ng.inject(model, rules, existing=True, unreached="keep", example=X, seed=1)
    assert not any(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])


def test_hidden_counts_a_script_module_as_a_layer() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), scripted())
    assert ng.inject(model, hidden_dropout=0.5, seed=1).sites == ("1:out",)
    assert ng.inject(beside(scripted()), hidden_dropout=0.5, seed=1).sites == ("0:out",)


# What is inside ------------------------------------------------------------------------------


def test_a_rule_that_names_what_is_inside_is_refused() -> None:
    for rule, site in (
        ("1.0:out", "1.0:out"),
        ("1.0:in.0", "1.0:in.0"),
        ("1.*:out", "1.0:out"),
        ("1.1:dropout", "1.1:dropout"),
        ("1.0:weight", "1.0:weight"),
        ("1:pre", "1:pre"),
    ):
        with assert_sentence(
            ng.InvalidValue,
            f"inject: the rule '{rule}' names '{site}' inside the script module '1', where torch "
            "calls no hooks. Name '1:in' or '1:out' instead, or pass unreached='keep' to leave it "
            "to the model.",
        ):
            ng.inject(beside(scripted()), {rule: 0.5}, seed=1)
    with assert_sentence(
        ng.InvalidValue,
        "inject: the rule '0:out' names '0:out' inside the model, a script module, where torch "
        "calls no hooks. Name ':in' or ':out' instead, or pass unreached='keep' to leave it to "
        "the model.",
    ):
        ng.inject(scripted(), {"0:out": 0.5}, seed=1)


def test_a_pattern_that_reaches_further_says_what_it_leaves_out() -> None:
    noise = ng.inject(beside(scripted()), {"*:out": 0.5}, seed=1)
    assert noise.sites == (":out", "0:out", "1:out")
    sentence = (
        "'*:out' leaves out what is inside the script module '1', where torch calls no hooks."
    )
    assert noise.report().notes == (sentence,)
    model = nn.Sequential(nn.Dropout(0.1), scripted())
    noise = ng.inject(model, {"*:dropout": 0.5}, seed=1)
    assert noise.sites == ("0:dropout",)
    assert noise.report().notes == (sentence.replace("*:out", "*:dropout"),)
    rules = {"1.0:out": 0.5, "0:dropout": 0.5}
    noise = ng.inject(model, rules, seed=2, unreached="keep")
    assert noise.sites == ("0:dropout",)
    model(X)


class Drops(nn.Module):
    """Drops by functions, and in a module inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Dropout2d(0.4)])
        self.rnn = nn.LSTM(8, 8, num_layers=2, dropout=0.2)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.inner:
            x = part(x[None, :, :, None])[0, :, :, 0]
        return self.rnn(x)[0] * torch.bernoulli(torch.full_like(x, 0.5))


class Attends(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.3)


class Rate(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, self.p, self.training)


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (plain(), "'1.1:dropout' (Dropout in a script module)"),
        (Drops(), "'1.inner.0:dropout' (Dropout2d in a script module)"),
        (Attends(), "'1:dropout' (Attends in a script module)"),
        (Rate(0.2), "'1:dropout' (Rate in a script module)"),
    ],
    ids=["Dropout", "Drops", "Attends", "Rate"],
)
def test_existing_names_the_dropouts_inside(module: nn.Module, named: str) -> None:
    model = beside(torch.jit.script(module))
    with assert_sentence(
        ng.InvalidValue,
        f"inject: existing=True cannot reach {named}. Turn it off in the model and put "
        "noise in by a rule, or pass unreached='keep' to leave it to the model.",
    ):
        ng.inject(model, existing=True, seed=1)
    noise = ng.inject(model, {"0:out": 0.5}, existing=True, unreached="keep", seed=1)
    assert f"{named} is left to the model." in noise.report().notes


def test_existing_takes_over_the_dropouts_beside() -> None:
    for part in (torch.jit.script(nn.AlphaDropout(0.0)), frozen()):  # which drop nothing
        model = nn.Sequential(nn.Dropout(0.4), part)
        assert ng.inject(model, existing=True, seed=1).sites == ("0:dropout",)


def test_every_function_of_torch_s_that_drops_has_its_operator() -> None:
    """The proof that the table of operators is whole: each dropout, compiled, is found."""

    functions: list[Callable[..., Tensor]] = [
        *(F.dropout1d, F.dropout, F.dropout2d, F.dropout3d, F.alpha_dropout),
        *(F.feature_alpha_dropout, torch.dropout, torch.alpha_dropout, torch.feature_dropout),
        *(torch.feature_alpha_dropout, torch.native_dropout),
    ]
    for function in functions:
        axes = {F.dropout1d: 1, F.dropout2d: 2}.get(function, 3)
        x = torch.randn(2, 3, *[4] * axes)

        class One(nn.Module):
            def forward(self, x: Tensor) -> Any:
                return function(x, 0.3, True)  # noqa: B023  it is traced at once

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            model = nn.Sequential(torch.jit.trace(One(), x, check_trace=False))
        with pytest.raises(ng.InvalidValue, match="'0:dropout'"):
            ng.inject(model, existing=True, seed=1)
