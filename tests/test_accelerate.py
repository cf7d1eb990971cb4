"""`noisegate.accelerate.NoiseState`, in loops with Accelerate's own Accelerator."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.tracking import GeneralTracker
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_post_hooks
from torch.utils.data import DataLoader

import noisegate as ng
from _asserts import assert_same_bits
from _loops import (
    ACCUMULATE,
    BATCH,
    RULES,
    SEED,
    STEPS,
    Net,
    X,
    assert_clean,
    assert_same_weights,
    copy_weights,
    make_data,
)


@pytest.fixture(autouse=True)
def _begin_again() -> Any:
    """Accelerate keeps its settings in the classes."""
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def train(folder: Path, resume: int = 0, fails_at: int = -1, **words: Any) -> nn.Module:
    """Train for two epochs, evaluate and save after each step; or resume after some steps."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=ACCUMULATE, **words)
    model = Net()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    loader = DataLoader(make_data(), BATCH)
    wrapped, optimiser, loader = accelerator.prepare(model, optimiser, loader)
    with ng.accelerate.NoiseState(accelerator, wrapped, RULES, SEED) as noise:
        accelerator.register_for_checkpointing(noise)
        if resume:
            accelerator.load_state(str(folder / str(resume)))
        number = 0
        for _ in range(2):
            for x, y in loader:
                number += 1
                if number <= resume * ACCUMULATE:
                    continue
                with noise.accumulate(wrapped):
                    accelerator.backward(F.cross_entropy(wrapped(x), y))
                    if number == fails_at:
                        raise RuntimeError("stop")
                    optimiser.step()
                    optimiser.zero_grad()
                assert torch.equal(wrapped(X), wrapped(X))
                if accelerator.sync_gradients and not resume:
                    assert noise.step == number // ACCUMULATE
                    accelerator.save_state(str(folder / str(noise.step)))
    vars(model).pop("forward", None)  # Accelerate's own, which casts to and from bfloat16
    assert_clean(model)
    return model


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = train(tmp_path)
    for step in range(1, STEPS):
        assert_same_weights(train(tmp_path, step), copy_weights(whole))


def test_resumed_in_mixed_precision(tmp_path: Path) -> None:
    whole = train(tmp_path, mixed_precision="bf16")
    resumed = train(tmp_path, 4, mixed_precision="bf16")
    assert_same_weights(resumed, copy_weights(whole))


def test_an_exception_within_a_step_leaves_a_clean_model(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        train(tmp_path, fails_at=8)
    assert_same_weights(train(tmp_path, 3), copy_weights(train(tmp_path / "whole")))


def divide_by_zero(y: Tensor) -> None:
    raise ZeroDivisionError


def make(**words: Any) -> tuple[Accelerator, nn.Sequential, Any]:
    accelerator = Accelerator(cpu=True, **words)
    model = nn.Sequential(nn.Identity())
    return accelerator, model, ng.accelerate.NoiseState(accelerator, model, {"0:out": 0.5}, SEED)


def test_micro_batches_go_on_in_rows_and_a_failed_step_is_done_again() -> None:
    _, model, noise = make(gradient_accumulation_steps=2)
    x = torch.ones(4, 8)
    seen: list[Tensor] = []
    for _ in range(2):
        with noise.accumulate():
            seen.append(model(x))
    key = ng.Stream(SEED).site("0:out")
    assert_same_bits(torch.cat(seen), ng.Dropout(0.5)(torch.ones(8, 8), key.at(0)))
    with pytest.raises(ZeroDivisionError), noise.accumulate():
        divide_by_zero(model(x))
    assert noise.step == 1
    with noise.accumulate():
        assert_same_bits(model(x), ng.Dropout(0.5)(x, key.at(1)))
    assert json.loads(json.dumps(noise.state_dict())) == noise.state_dict()
    noise.remove()
    assert_clean(model)


class Tracker(GeneralTracker):
    name, requires_logging_directory = "list", False

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Any] = []

    @property
    def tracker(self) -> Any:
        return self.values

    def log(self, values: Any, step: Any = None, **words: Any) -> None:
        self.values.append((step, values))

    def store_init_configuration(self, values: Any) -> None:
        pass


def test_rates_are_logged_by_the_accelerators_trackers() -> None:
    tracker = Tracker()
    accelerator, model, noise = make(log_with=tracker)
    accelerator.init_trackers("test")
    with noise.accumulate():
        y = model(torch.ones(4, 8))
    noise.log()
    assert tracker.values == [(1, {"noise/0:out/removed": float((y == 0).double().mean())})]


def test_a_state_of_another_seed_is_refused() -> None:
    _, model, noise = make()
    state = noise.state_dict() | {"seed": 14}
    with pytest.raises(ng.InvalidValue) as error:
        noise.load_state_dict(state)
    assert str(error.value) == (
        "load_state: the state's `seed` is another; got 14, and this noise has 13."
    )
    assert_clean(model)


def test_what_the_user_has_set_stays_when_a_state_is_loaded(tmp_path: Path) -> None:
    accelerator, model, noise = make()
    accelerator.register_for_checkpointing(noise)
    handle, x = noise.noise, torch.ones(4, 8)
    handle.rows = [5, 6, 7, 8]
    handle.set_rate("0:out", 0.25)
    accelerator.save_state(str(tmp_path))
    handle.set_rate("0:out", 0.75)
    accelerator.load_state(str(tmp_path))
    assert noise.noise is handle
    with noise.accumulate():
        y = model(x)
    key = ng.Stream(SEED).site("0:out").at(0)
    assert_same_bits(y, ng.Dropout(0.25)(x, key, [5, 6, 7, 8]))
    noise.remove()
    assert_clean(model)


def test_noise_besides_acts_within_accumulate_alone() -> None:
    accelerator = Accelerator(cpu=True)
    model = nn.Sequential(nn.Identity())
    handle = ng.inject(model, {"0:in": 0.5}, seed=SEED)
    noise = ng.accelerate.NoiseState(accelerator, model, {"0:out": 0.5}, SEED)
    x = torch.ones(4, 8)
    assert torch.equal(model(x), x)
    with noise.accumulate():
        model(x)
    assert torch.equal(model(x), x)
    assert handle.step == noise.step == 1
    noise.remove()
    assert not torch.equal(model(x), x)


def test_a_handle_of_another_model_is_refused() -> None:
    handle = ng.inject(nn.Sequential(nn.Identity()), {"0:in": 0.5}, seed=SEED)
    with pytest.raises(ng.InvalidValue, match="does not act in the model that is trained"):
        ng.accelerate.NoiseState(Accelerator(cpu=True), nn.Identity(), handle)


def test_the_handle_of_inject_can_be_registered_too(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": 0.5}, seed=SEED)
    accelerator.register_for_checkpointing(noise)
    noise.step = 7
    accelerator.save_state(str(tmp_path))
    noise.step = 0
    accelerator.load_state(str(tmp_path))
    assert noise.step == 7


def test_rows_rates_and_report_are_those_of_the_handle() -> None:
    _, model, noise = make()
    noise.rows = [5, 6, 7, 8]
    x = torch.ones(4, 8)
    with noise.accumulate():
        y = model(x)
    assert_same_bits(y, ng.Dropout(0.5)(x, ng.Stream(SEED).site("0:out").at(0), [5, 6, 7, 8]))
    assert noise.rows == (5, 6, 7, 8)
    assert noise.rates() == noise.noise.rates() == {"0:out": float((y == 0).double().mean())}
    assert str(noise.report()) == str(noise.noise.report())
    for name, hint in (("mask", " The handle has: noise.noise.mask."), ("row", "")):
        with pytest.raises(AttributeError) as error:
            getattr(noise, name)
        assert str(error.value) == f"NoiseState has no attribute `{name}`.{hint}"
    with pytest.raises(AttributeError):
        noise.row = "interleaved"
    noise.remove()


def test_a_model_in_place_of_the_accelerator_is_refused() -> None:
    model: Any = nn.Sequential()
    with pytest.raises(ng.InvalidType) as error:
        ng.accelerate.NoiseState(model, {"0:out": 0.5}, SEED)
    assert str(error.value) == (
        "NoiseState: `accelerator` must be an accelerate.Accelerator; got Sequential(). Write "
        "NoiseState(accelerator, model, rules, seed)."
    )


def test_a_training_outside_of_the_noises_accumulate_is_warned_of_once() -> None:
    accelerator = Accelerator(cpu=True)
    model, other = Net(), Net()
    optimisers = [torch.optim.SGD(each.parameters(), 0.01) for each in (model, other)]
    optimisers = [accelerator.prepare(each) for each in optimisers]
    noise = ng.accelerate.NoiseState(accelerator, model, RULES, SEED)

    def step(number: int) -> None:
        F.cross_entropy([model, other][number](X), make_data().tensors[1]).backward()
        optimisers[number].step()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(1)  # that of another model
    with pytest.warns(RuntimeWarning) as caught, accelerator.accumulate(model):
        list(map(step, (0, 0)))
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "noisegate: the optimiser has stepped, and the noise has not acted, since it acts within "
        "its own `accumulate` alone. Write `with noise.accumulate(model):` in place of `with "
        "accelerator.accumulate(model):`."
    )
    noise.remove()
    noise = ng.accelerate.NoiseState(accelerator, model, RULES, SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with noise.accumulate(model):
            step(0)
        step(0)
        noise.remove()
        step(0)
    before = len(_global_optimizer_post_hooks)
    with ng.accelerate.NoiseState(accelerator, model, RULES, SEED):
        assert len(_global_optimizer_post_hooks) == before + 1
    assert len(_global_optimizer_post_hooks) == before
