"""Warnings point at the user's line."""

import pytest
import torch
from torch import nn

import noisegate as ng
from noisegate.core.callers import warn_caller
from noisegate.loops.noise_loop import NoiseLoop


def line_of(caught: pytest.WarningsRecorder) -> str:
    """Return the line of this file that a warning points at."""
    (warning,) = caught
    assert warning.filename == __file__
    with open(__file__, encoding="utf-8") as file:
        return file.read().splitlines()[warning.lineno - 1].strip()


def test_of_a_direct_call_it_is_that_line() -> None:
    with pytest.warns(RuntimeWarning, match="^told$") as caught:
        warn_caller("told")
    assert line_of(caught) == 'warn_caller("told")'


def test_of_a_forward_it_is_the_call_of_the_model() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model.spare = nn.Linear(2, 2)
    model.forward = lambda x: model[1](model[0](x))  # type: ignore[method-assign]
    ng.inject(model, {"0:out": 0.5, "spare:out": 0.5}, seed=1)
    with pytest.warns(RuntimeWarning, match="acted nowhere") as caught:
        model(torch.ones(2, 4))
    assert line_of(caught) == "model(torch.ones(2, 4))"


def test_of_a_part_of_a_model_it_is_the_call_of_that() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    ng.inject(model, {"0:out": 0.5}, seed=1)
    with pytest.warns(RuntimeWarning, match="without a forward of its model") as caught:
        model[0](torch.ones(2, 4))
    assert line_of(caught) == "model[0](torch.ones(2, 4))"


def test_of_a_prediction_it_is_the_call_of_predict() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.ReLU())
    with pytest.warns(RuntimeWarning, match="all 5 samples are the same") as caught:
        ng.predict(model, -torch.ones(2, 4), 5, existing=True, seed=1)
    assert line_of(caught) == "ng.predict(model, -torch.ones(2, 4), 5, existing=True, seed=1)"


def test_of_a_step_of_a_loop_it_is_where_the_step_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Sequential(nn.Identity()), torch.ones(2, 4)
    loop = NoiseLoop({"0:out": 0.5}, 1, {})
    graphs = loop.begin(model).steps.graphs
    monkeypatch.setattr(type(graphs), "find_rank", lambda self: (0, 2))
    loop.open_step(0)
    with pytest.warns(RuntimeWarning, match="draw different noise") as caught, loop.hold([x]):
        model(x)
    assert line_of(caught).startswith("with pytest.warns")
    monkeypatch.undo()
    loop.end()


@pytest.mark.parametrize("library", ["accelerate", "lightning", "skorch", "transformers"])
def test_of_a_trainer_it_is_the_call_of_its_training(library: str) -> None:
    names = {"__name__": f"{library}.trainer", "warn_caller": warn_caller}
    exec("def fit():\n    warn_caller('told')", names)
    with pytest.warns(RuntimeWarning, match="^told$") as caught:
        names["fit"]()  # type: ignore[operator]
    assert line_of(caught).startswith('names["fit"]()')
