"""Several threads and one model: each gets the result that it would get alone."""

import asyncio
import copy
import gc
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.core.local import Local
from noisegate.torch.model import sharing

# Against a deadlock, in seconds.
DEADLINE = 300


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions at the same time; return what they return, or raise what one raised."""
    results: list[Any] = [None] * len(functions)
    ready = threading.Barrier(len(functions))

    def run(i: int) -> None:
        ready.wait(DEADLINE)
        try:
            results[i] = functions[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a deadlock"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class Functional(nn.Module):
    """Makes its dropout by a function, so that a prediction runs it in training first."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(8, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.dropout(self.first(x), 0.5, self.training)
        out: Tensor = self.last(hidden)
        return out


X = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))


def predict(model: nn.Module, seed: int, x: Tensor = X) -> np.ndarray:
    words: dict[str, Any] = {"existing": True, "seed": seed, "progress": False}
    return ng.predict(model, x, 4, **words).mean


def modules() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 3))


@pytest.mark.parametrize("make", [Functional, modules])
@pytest.mark.parametrize("training", [False, True])
def test_predictions_of_several_threads_are_those_of_one(
    make: Callable[[], nn.Module], training: bool
) -> None:
    model = make().train(training)
    alone = [predict(model, seed) for seed in (3, 3, 4)]
    asked = [lambda seed=seed: [predict(model, seed) for _ in range(8)] for seed in (3, 3, 4)]
    for expected, found in zip(alone, in_threads(*asked), strict=True):
        for mean in found:
            np.testing.assert_array_equal(mean, expected)
    assert all(module.training == training for module in model.modules())
    assert not ng.handles(model)


def test_models_that_share_a_module_count_as_one() -> None:
    shared = Functional()
    models = [nn.Sequential(shared, nn.Identity()), nn.Sequential(nn.Identity(), shared)]
    alone = [predict(model, 3) for model in models]
    asked = [lambda model=model: [predict(model, 3) for _ in range(8)] for model in models]
    for expected, found in zip(alone, in_threads(*asked), strict=True):
        for mean in found:
            np.testing.assert_array_equal(mean, expected)


@pytest.mark.parametrize("make", [Functional, modules])
def test_a_forward_in_evaluation_is_clean_while_another_thread_predicts(
    make: Callable[[], nn.Module],
) -> None:
    model, done = make().eval(), threading.Event()
    clean = model(X)

    def serve() -> int:
        count = 0
        while not done.is_set():
            assert torch.equal(model(X), clean)
            count += 1
        return count

    def ask() -> None:
        try:
            for seed in range(20):
                predict(model, seed)
        finally:
            done.set()

    served, _ = in_threads(serve, ask)
    assert served > 0


def test_a_forward_in_training_waits_for_a_prediction() -> None:
    model, done = Functional().train(), threading.Event()
    noise = ng.inject(model, {"first:out": ng.GaussianNoise(0.1)}, seed=5)

    def train() -> list[bool]:
        modes = []
        model.last.register_forward_hook(lambda module, args, y: modes.append(module.training))
        while not done.is_set():
            with torch.no_grad():
                model(X)
        return modes

    def ask() -> list[np.ndarray]:
        try:
            return [ng.predict(model, X, 4, input_noise=0.1, seed=7).mean for _ in range(10)]
        finally:
            done.set()

    modes, means = in_threads(train, ask)
    assert noise.step > 0  # of forwards that trained, whole
    assert noise.step <= len(modes)
    for mean in means[1:]:
        np.testing.assert_array_equal(mean, means[0])


def test_threads_that_train_one_model_share_no_step() -> None:
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    x = torch.ones(16, 16)

    def train() -> list[Tensor]:
        return [model(x) for _ in range(50)]

    found = [y for ys in in_threads(train, train, train) for y in ys]
    assert noise.step == 150
    key = ng.Stream(13).site("0:out")
    expected = {bytes(ng.Dropout(0.5)(x, key.at(n)).numpy().tobytes()) for n in range(150)}
    assert {bytes(y.numpy().tobytes()) for y in found} == expected


def test_a_seeded_layer_of_several_threads_shares_no_step() -> None:
    layer = ng.torch.Dropout(0.5, seed=13, site="a")
    x = torch.ones(16, 16)
    found = [y for ys in in_threads(*[lambda: [layer(x) for _ in range(50)]] * 3) for y in ys]
    assert layer.step == 150
    assert len({bytes(y.numpy().tobytes()) for y in found}) == 150


def test_a_pinned_step_is_one_thread_s() -> None:
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    x, key = torch.ones(16, 16), ng.Stream(13).site("0:out")
    with noise.at(99):
        (other,) = in_threads(lambda: model(x))
        mine = model(x)
    assert_same_bits(other, ng.Dropout(0.5)(x, key.at(0)))
    assert_same_bits(mine, ng.Dropout(0.5)(x, key.at(99)))


def test_silence_that_two_threads_ask_for_ends_with_the_later() -> None:
    noise = ng.inject(nn.Sequential(nn.Identity()), {"0:out": 0.5}, seed=13)
    first, second = noise.off(), noise.off()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert noise.silent == 1
    second.__exit__(None, None, None)
    assert noise.silent == 0


def test_removing_noise_in_the_middle_of_another_thread_s_forward() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = F.dropout(x, 0.5, self.training)
            inside.set()
            assert go_on.wait(DEADLINE)
            return y

    model = Slow()
    noise = ng.inject(model, existing=True, example=None, seed=13)

    def forward() -> tuple[Tensor, int]:
        return model(torch.ones(4, 4)), torch._C._len_torch_function_stack()

    def remove() -> None:
        assert inside.wait(DEADLINE)
        noise.remove()
        go_on.set()

    (_, modes), _ = in_threads(forward, remove)
    assert modes == 0
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    assert not ng.handles(model)


def test_tasks_have_pinned_steps_of_their_own() -> None:
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    x, key = torch.ones(16, 16), ng.Stream(13).site("0:out")

    async def task(step: int) -> Tensor:
        with noise.at(step):
            await asyncio.sleep(0)
            y: Tensor = model(x)
            await asyncio.sleep(0)
        return y

    async def both() -> list[Tensor]:
        return await asyncio.gather(task(7), task(8))

    for step, y in zip((7, 8), asyncio.run(both()), strict=True):
        assert_same_bits(y, ng.Dropout(0.5)(x, key.at(step)))


# What it is made of ---------------------------------------------------------------------------


def test_a_local_value_is_seen_by_its_own_thread_alone() -> None:
    local: Local[int | None] = Local(None)
    local.set(3)
    assert in_threads(local.get) == [None]
    assert local.get() == 3
    assert copy.deepcopy(local).get() is None
    local.set(None)
    assert local.get() is None


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.05)
    model = nn.Sequential(nn.Identity())
    sentence = (
        "noisegate: the model is in use by another thread, which has not given it back in ten "
        "minutes. Predict with a copy of it: copy.deepcopy(model)."
    )

    def ask() -> str:
        with pytest.raises(ng.NoisegateError) as caught, sharing.exclusive(model):
            pass
        return str(caught.value)

    with sharing.exclusive(model), sharing.exclusive(model):  # one thread may, twice
        assert in_threads(ask) == [sentence]


def test_a_thread_that_is_inside_already_is_waited_for() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def forward(self) -> bool:
            inside.set()
            go_on.wait(DEADLINE)
            return self.training

    model = Slow().eval()
    order: list[str] = []

    def forward() -> None:
        assert model() is False
        order.append("forward")
        assert model() is False  # which waits until the block has ended
        order.append("second forward")

    def change() -> None:
        assert inside.wait(DEADLINE)
        threading.Timer(0.05, go_on.set).start()
        with sharing.exclude_others(model.modules()):
            model.train()
            order.append("block")
            time.sleep(0.05)
            model.eval()
            order.append("end")

    in_threads(forward, change)
    assert order == ["forward", "block", "end", "second forward"]
    assert not model._forward_pre_hooks


def test_one_thread_alone_puts_no_gate_into_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "is_alone", lambda: True)
    model = nn.Sequential(nn.Identity())
    with sharing.exclude_others(model.modules()):
        assert not model._forward_pre_hooks
    monkeypatch.setattr(sharing, "is_alone", lambda: False)
    with sharing.exclude_others(model.modules()):
        assert model._forward_pre_hooks
    assert not model._forward_pre_hooks


def test_no_garbage_is_collected_while_threads_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enabled = []
    frames = sys._current_frames

    def looked_at() -> Any:
        enabled.append(gc.isenabled())
        return frames()

    monkeypatch.setattr(sharing.sys, "_current_frames", looked_at)
    assert gc.isenabled()
    assert threading.get_ident() in sharing._frames_of_threads()
    assert enabled == [False]
    assert gc.isenabled()


def test_no_warning_of_threads_that_end() -> None:
    model = Functional().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_threads(*[lambda: predict(model, 3)] * 2)
