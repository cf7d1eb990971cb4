"""A model's own draws, beside other threads that draw, predict or wait."""

import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import get_testing_overrides

import noisegate as ng
from _draws import DISTRIBUTIONS, FUNCTIONS, beside, keyed, operators
from _functional import X
from noisegate.torch.model.draw_watch import COMPOSED

PERHAPS = (
    "{} generator moved during a forward: something in the model draws, or another thread does."
)


@contextmanager
def another_thread(draw: Callable[[], Any] | None = None) -> Iterator[None]:
    """Run another thread that draws all the time, or that waits."""
    done, drawn = threading.Event(), threading.Event()

    def work() -> None:
        while not done.is_set():
            if draw is not None:
                draw()
            drawn.set()
            done.wait(0.0001 if draw else 300)

    other = threading.Thread(target=work)
    other.start()
    assert drawn.wait(300)
    try:
        yield
    finally:
        done.set()
        other.join()


def test_beside_another_thread_a_generator_s_move_may_be_that_thread_s() -> None:
    model, unsure = beside(lambda: torch.rand(3, 4) + 1), beside(lambda: random.random())
    noise = ng.inject(model, existing=True, seed=1)
    doubted = ng.inject(unsure, existing=True, seed=1)
    with another_thread():
        for _ in range(3):
            model(X)
            unsure(X)
    assert noise.report().notes == (keyed("torch.rand"),)
    assert doubted.report().notes == (PERHAPS.format("Python's"),)
    for _ in range(2):  # alone: what moves is the model's
        unsure(X)
    assert doubted.report().notes[2:] == (keyed("Python's generator"),)


def test_a_prediction_beside_another_thread_says_which_generator_moved() -> None:
    model = beside(lambda: random.random())
    with another_thread(), pytest.warns(RuntimeWarning) as caught:
        ng.predict(model, X, 3, existing=True, seed=1)
    assert [str(each.message) for each in caught] == [
        "predict: Python's generator moved during a forward: something in the model draws, which "
        "the seed does not reach, or another thread does."
    ]


@pytest.mark.parametrize("name", [*FUNCTIONS, *DISTRIBUTIONS])
def test_a_function_that_is_known_to_draw_is_named_beside_any_thread(name: str) -> None:
    call, words = DISTRIBUTIONS.get(name) or (FUNCTIONS[name], name)
    noise = ng.inject(model := beside(call), existing=True, unreached="keep", seed=1)
    with another_thread():
        model(X)
    assert any(f"{words} in Drawing" in note for note in noise.report().notes)
    assert not any("another thread" in note for note in noise.report().notes)


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("torch's", lambda: torch.rand(3)),
        ("NumPy's", lambda: np.random.rand(3)),  # noqa: NPY002
        ("Python's", lambda: random.random()),
    ],
)
def test_a_quiet_model_is_blamed_for_nothing_that_another_thread_draws(
    name: str, draw: Callable[[], Any]
) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 8, 2, dropout=0.5))
    noise = ng.inject(model, {"0:out": 0.5}, existing=True, seed=1)
    with another_thread(draw):
        for _ in range(50):
            model(X)
    assert set(noise.report().notes) <= {PERHAPS.format(name)}


def test_predictions_in_a_pool_each_tell_of_what_their_models_draw() -> None:
    def predict(draw: Callable[[], Any]) -> list[str]:
        model = beside(draw, always=True)
        ng.predict(model, X, 30, existing=True, seed=1)
        return []

    for draw, count in ((lambda: random.random(), 12), (lambda: None, 0)):
        with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(3) as pool:
            warnings.simplefilter("always")
            list(pool.map(predict, [draw] * 12))
        told = [str(w.message) for w in caught if "Python's generator" in str(w.message)]
        assert len(told) >= count
        assert count or not caught


def names_within(function: Any, seen: set[Any]) -> set[str]:
    """Return the names that a function of Python's uses, and those that it calls."""
    if function in seen:
        return set()
    seen.add(function)
    names = set(function.__code__.co_names)
    for name in set(names):
        inner = function.__globals__.get(name)
        if isinstance(inner, FunctionType) and inner.__module__.startswith("torch"):
            names |= names_within(inner, seen)
    return names


def test_every_composed_function_that_calls_an_operator_that_draws_is_listed() -> None:
    drawing = {name.partition(".")[0] for name in operators()}
    composed = {
        function
        for function in get_testing_overrides()
        if isinstance(function, FunctionType)
        and function.__name__ not in drawing
        and names_within(function, set()) & drawing
    }
    # Functions that are chosen by a flag show no code of their own.
    chosen = {F.fractional_max_pool2d, F.fractional_max_pool3d}
    assert set(COMPOSED) == composed | chosen


PROGRESS = """
import io, random, threading
import torch
from tqdm import tqdm
import noisegate as ng

class Scaling(torch.nn.Module):
    def forward(self, x):
        return x * random.random()

bar = tqdm(range(3), file=io.StringIO())
assert threading.active_count() == 2
noise = ng.inject(model := torch.nn.Sequential(Scaling()), existing=True, seed=1)
with noise.at(3):
    random.seed(1)
    first = model(torch.ones(2))
    random.seed(2)
    assert model(torch.ones(2)).equal(first)
print(*noise.report().notes)
"""


def test_the_thread_of_a_progress_bar_draws_nothing() -> None:
    # In a process without the threads of pytest's plugins.
    ran = subprocess.run(
        [sys.executable, "-c", PROGRESS], capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == keyed("Python's generator", "0", "Scaling"), ran.stderr
