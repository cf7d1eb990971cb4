"""The table of `docs/loops.md` in transformers, skorch and Accelerate; Lightning has its own."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from torch.optim.swa_utils import AveragedModel

import noisegate as ng
from _loop_table import LIBRARIES, Model, Watch, no_watch
from _loops import COUNT, X, assert_clean

PLAIN = [(0, 0), (0, 8), (1, 0), (1, 8), (2, 0), (2, 8)]


@pytest.fixture(autouse=True, params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    yield request.param
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def train(
    library: str,
    folder: Path,
    count: int = COUNT,
    epochs: int = 1,
    workers: int = 0,
    watch: Watch = no_watch,
    model: Model | None = None,
) -> list[tuple[int, int]]:
    model = Model() if model is None else model
    LIBRARIES[library](model, folder, count, epochs, workers, watch)
    model.net[0]._forward_hooks.clear()
    vars(model).pop("forward", None)  # Accelerate's own
    assert_clean(model)
    return model.find_places()


def test_accumulation_in_the_table(library: str, tmp_path: Path) -> None:
    assert train(library, tmp_path) == PLAIN


def test_an_epoch_that_ends_within_an_accumulation_in_the_table(
    library: str, tmp_path: Path
) -> None:
    places = train(library, tmp_path, count=36, epochs=2)
    if library == "skorch":  # this net's own train_step goes on
        assert places == [*PLAIN[:5], (2, 4), (3, 0), (3, 8), (4, 0), (4, 8)]
    else:
        once = PLAIN[:5]
        assert places == [*once, *((step + 3, first) for step, first in once)]


def assert_silent(model: nn.Module) -> None:
    with torch.no_grad():
        for mode in (False, True):
            model.train(mode)
            assert torch.equal(model(X), model(X))


def test_evaluation_in_the_table(library: str, tmp_path: Path) -> None:
    assert train(library, tmp_path, watch=assert_silent) == PLAIN


def test_averages_and_copies_in_the_table(library: str, tmp_path: Path) -> None:
    averages: list[Any] = []

    def average(model: Any) -> None:
        if not averages:
            averages.append(AveragedModel(model))
        averages[0].update_parameters(model)
        averages.append(copy.deepcopy(model))

    assert train(library, tmp_path, watch=average) == PLAIN
    for each in averages:
        assert_silent(each)


def test_a_copy_that_is_made_within_a_step_in_the_table(library: str, tmp_path: Path) -> None:
    copies: list[Any] = []

    class Copying(Model):
        def forward(self, x: Any, labels: Any = None) -> Any:
            y = super().forward(x, labels)
            if torch.is_grad_enabled():
                seen, self.seen = self.seen, []
                self.clean = None
                # Of the layers, since this forward's hooks are running.
                copies.append(copy.deepcopy(self.net))
                self.seen = seen
            return y

    assert train(library, tmp_path, model=Copying()) == PLAIN
    assert len(copies) == len(PLAIN)
    for each in copies:
        each[0]._forward_hooks.pop(next(iter(each[0]._forward_hooks)))
        assert_silent(each)


def test_workers_in_the_table(library: str, tmp_path: Path) -> None:
    assert train(library, tmp_path, workers=1) == PLAIN


def test_an_exception_in_the_table(library: str, tmp_path: Path) -> None:
    model = Model(fails_at=4)
    with pytest.raises(KeyError, match="stop"):
        train(library, tmp_path, model=model)
    assert model.find_places() == PLAIN[:4]
    assert ng.handles(model) == ()
