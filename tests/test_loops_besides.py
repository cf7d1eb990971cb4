"""Noise that a model has besides a loop's own, in its copies, and of another model."""

import copy
import gc
import json
import pickle
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.loops.noise_loop import NoiseLoop

X = torch.ones(4, 8)


def make(*names: str) -> nn.Sequential:
    model = nn.Sequential()
    for name in names or ("a", "b"):
        model.add_module(name, nn.Identity())
    return model


def expect(site: str, step: int, first: int = 0, p: float = 0.5, x: Tensor = X) -> Tensor:
    key = ng.Stream(13).site(site).at(step)
    y: Tensor = ng.Dropout(p)(x, key, range(first, first + len(x)))
    return y


def compile_eagerly(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager")


# A handle ----------------------------------------------------------------------------------------


def test_a_handle_that_does_not_act_in_the_model_is_refused() -> None:
    model, other = make(), make()
    noise = ng.inject(other, {"a:out": 0.5}, seed=13)
    removed = ng.inject(model, {"a:out": 0.5}, seed=13)
    removed.remove()
    for handle, name in ((noise, "noise"), (removed, "removed noise")):
        for call in (NoiseLoop.begin, NoiseLoop.prepare):
            with pytest.raises(ng.InvalidValue) as error:
                call(NoiseLoop(handle, None, {}), model)
            assert str(error.value) == (
                f"`rules` is <{name} at 1 site, seed 13, step 0>, which does not act in the model "
                "that is trained. Give the callback its rules instead, or the handle that "
                "noisegate.inject(model, rules, seed=...) returned for this model."
            )
    assert torch.equal(model(X), X)
    assert not torch.equal(other(X), X)  # still as it was


@pytest.mark.parametrize("wrap", [nn.Sequential, AveragedModel, compile_eagerly])
@pytest.mark.parametrize("rule", ["a:out", "a:weight"])
def test_a_handle_of_a_model_in_the_model_or_around_it_is_taken(wrap: Any, rule: str) -> None:
    inner = nn.Sequential()
    inner.add_module("a", nn.Linear(8, 8))
    outer = wrap(inner)
    if isinstance(outer, AveragedModel):
        inner = outer.module
    noise = ng.inject(inner, {rule: 0.5}, seed=13)
    loop = NoiseLoop(noise, None, {})
    loop.begin(outer)
    loop.open_step(3)
    with loop.act():
        y = inner(X)
    loop.end()
    assert not torch.equal(y, inner.eval()(X))
    assert noise.step == 4
    whole = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8)))
    noise = ng.inject(whole, {"1.0:out": 0.5}, seed=13)
    assert NoiseLoop(noise, None, {}).begin(whole[1]) is noise


# Besides -----------------------------------------------------------------------------------------


def test_noise_besides_is_silent_outside_of_steps_and_has_the_loops_steps() -> None:
    model = make()
    noise = ng.inject(model, {"b:out": 0.5}, seed=13)
    loop = NoiseLoop({"a:out": 0.5}, 13, {})
    loop.prepare(model)
    assert torch.equal(model(X), X)
    loop.begin(model)
    assert torch.equal(model(X), X)
    for first in (0, 4):
        loop.open_step(5)
        with loop.act():
            y = model(X)
        assert_same_bits(y, expect("b:out", 5, first, x=expect("a:out", 5, first)))
    state = json.loads(json.dumps(loop.state()))
    loop.close_step()
    assert noise.step == 6
    assert set(loop.measure()) == {"noise/a:out/removed", "noise/b:out/removed"}
    loop.end()
    assert ng.handles(model) == (noise,)
    assert_same_bits(model(X), expect("b:out", 6))

    resumed = make()
    ng.inject(resumed, {"b:out": 0.5}, seed=13)
    again = NoiseLoop({"a:out": 0.5}, 13, {})
    again.load(state)
    again.begin(resumed)
    again.open_step(5)
    with again.act():
        assert_same_bits(resumed(X), expect("b:out", 5, 8, x=expect("a:out", 5, 8)))
    again.end()
    with pytest.raises(ng.InvalidValue) as error:
        again.resume(plain := make(), None, state)
    assert str(error.value) == (
        "the state has noise of 2 handles, and the model that of 1. Put in the noise that the "
        "model had, in the same order."
    )
    assert ng.handles(plain) == ()


def test_two_loops_in_one_model_have_their_own_noise_each() -> None:
    model = make("a", "b", "c")
    ng.inject(model, {"c:out": 0.5}, seed=13)
    loops = [NoiseLoop({f"{name}:out": 0.5}, 13, {}) for name in "ab"]
    for loop in loops:
        loop.begin(model)
    with pytest.raises(AssertionError):
        assert_same_bits(model(X), expect("c:out", 0))
    for step in (2, 3):
        for loop in loops:
            loop.open_step(step)
        with loops[0].act(), loops[1].act():
            y = model(X)
        assert_same_bits(y, expect("c:out", step, x=expect("b:out", step, x=expect("a:out", step))))
        assert torch.equal(model(X), X)
        for loop in loops:
            loop.close_step()
    for loop in loops:
        loop.end()
    assert_same_bits(model(X), expect("c:out", 4))


def test_noise_is_taken_over_from_a_training_that_was_never_told_of_its_end() -> None:
    model = make()
    noise = ng.inject(model, {"a:out": 0.5}, seed=13)
    interrupted = NoiseLoop(noise, None, {})
    interrupted.begin(model)
    interrupted.open_step(0)
    loop = NoiseLoop(None, None, {})
    loop.begin(model)
    loop.open_step(1)
    with loop.act():
        assert_same_bits(model(X), expect("a:out", 1))
    loop.end()
    interrupted.mute()
    interrupted.open_step(7)
    interrupted.end()
    assert_same_bits(model(X), expect("a:out", 2))


# Copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_has_no_noise_of_the_loop_and_keeps_that_of_the_user(
    duplicate: Any, within: bool
) -> None:
    model = make()
    ng.inject(model, {"b:out": 0.5}, seed=13)
    loop = NoiseLoop({"a:out": 0.5}, 13, {})
    loop.begin(model)
    loop.open_step(4)
    if within:
        loop.unmute()
    copied = duplicate(model)
    for one in (duplicate(copied), copied):
        assert_same_bits(one(X), expect("b:out", 4))
    # Noise that is put into the copy has the slot of the loop's.
    ng.inject(copied, {"a:out": 0.5}, seed=13)
    assert_same_bits(copied(X), expect("b:out", 5, x=expect("a:out", 0)))
    assert len(ng.handles(copied)) == 2
    loop.end()


def test_a_copy_acts_if_the_user_has_let_the_noise_act() -> None:
    model = make()
    noise = ng.inject(model, {"b:out": 0.5}, seed=13)
    loop = NoiseLoop(noise, None, {})
    loop.begin(model)
    noise.on()
    assert_same_bits(copy.deepcopy(model)(X), expect("b:out", 0))
    loop.end()


def test_a_loop_that_is_forgotten_leaves_the_noise_as_it_was() -> None:
    model = make()
    ng.inject(model, {"b:out": 0.5}, seed=13)
    loop = NoiseLoop(None, None, {})
    loop.begin(model)
    loop.open_step(0)
    del loop
    gc.collect()
    assert_same_bits(model(X), expect("b:out", 0))
    again = NoiseLoop(None, None, {})
    again.begin(model)
    again.open_step(2)
    again.end()
    assert_same_bits(model(X), expect("b:out", 3))
    gone = ref(model)
    del model
    gc.collect()
    assert again.noise is not None
    del again
    gc.collect()
    assert gone() is None


def test_noise_on_weights_is_not_in_a_copy() -> None:
    model = nn.Sequential(nn.Linear(8, 8))
    loop = NoiseLoop({"0:weight": 0.5}, 13, {})
    plain = model(X)
    loop.begin(model)
    loop.open_step(0)
    with loop.act():
        averaged = AveragedModel(model)
        assert not torch.equal(model(X), plain)
        averaged.update_parameters(model)
        assert torch.equal(averaged(X), plain)
    loop.end()


# What the user has set ---------------------------------------------------------------------------


def test_resuming_within_a_training_keeps_what_the_user_has_set() -> None:
    model = make("a")
    loop = NoiseLoop({"a:out": 0.5}, 13, {})
    noise = loop.begin(model)
    loop.open_step(2)
    loop.close_step()
    state = loop.state()
    noise.rows = [5, 6, 7, 8]
    noise.off()
    loop.open_step(3)
    loop.resume(model, None, state)
    assert loop.noise is noise
    assert noise.step == 3
    assert list(noise.rows) == [5, 6, 7, 8]
    loop.open_step(3)
    with loop.act():
        assert torch.equal(model(X), X)
    noise.on()
    with loop.act():
        y = model(X)
    assert_same_bits(y, ng.Dropout(0.5)(X, ng.Stream(13).site("a:out").at(3), [5, 6, 7, 8]))
    loop.end()


def test_rows_that_the_user_has_assigned_stay_where_the_state_has_another_seed() -> None:
    loops = [NoiseLoop({"a:out": 0.5}, None, {}) for _ in range(2)]
    model, _ = make("a"), loops[1].begin(make("a"))
    first = loops[0].begin(model)
    first.rows = {"a:out": [5, 6, 7, 8]}
    state = loops[1].state()
    assert state["seed"] != first.seed
    loops[0].resume(model, None, state)
    noise = loops[0].noise
    assert noise is not None
    assert noise.seed == state["seed"]
    assert noise.rows == {"a:out": (5, 6, 7, 8)}


def test_rates_that_were_set_are_in_the_state() -> None:
    rules = {"a:out": 0.5, "b:out": [0.25, ng.GaussianNoise(0.1)]}
    ramp = ng.schedule.linear(0.0, 0.5, steps=10)
    model, loop = make(), NoiseLoop(rules, 13, {})
    noise = loop.begin(model)
    noise.set_rate("a:out", 0.125)
    noise.set_rate("b:out", ramp)
    state = json.loads(json.dumps(loop.state()))
    resumed, again = make(), NoiseLoop(rules, 13, {})
    again.load(state)
    restored = again.begin(resumed)
    assert [p.kind for p in restored.plan.placements] == [
        ng.Dropout(0.125),
        ng.Dropout(ramp),
        ng.GaussianNoise(ramp),
    ]
    assert again.state() == state
    again.open_step(2)
    with again.act():
        resumed(X)
    assert_same_bits(torch.tensor(restored.mask("a:out")), expect("a:out", 2, p=0.125).bool())
    # A state from before has the rates of the rules.
    fresh = NoiseLoop(rules, 13, {})
    fresh.begin(make())
    restored.load_state({n: v for n, v in fresh.state().items() if n != "samples"})
    assert [p.kind.rate for p in restored.plan.placements] == [0.5, 0.25, 0.1]
    for one in (loop, again, fresh):
        one.end()


def test_a_state_of_other_rules_says_how_to_have_other_rates() -> None:
    loops = [NoiseLoop({"a:out": rate}, 13, {}) for rate in (0.5, 0.25)]
    for loop in loops:
        loop.begin(make("a"))
    state = {n: v for n, v in loops[0].state().items() if n != "samples"}
    noise = loops[1].noise
    assert noise is not None
    with pytest.raises(ng.InvalidValue) as error:
        noise.load_state(state)
    entries = [
        [
            {
                "site": "a:out",
                "slot": 0,
                "noise": {"kind": "Dropout", "p": rate, "rescale": True, "shared_axes": []},
            }
        ]
        for rate in (0.5, 0.25)
    ]
    assert str(error.value) == (
        f"load_state: the state's `noises` is another; got {entries[0]!r}, and this noise has "
        f"{entries[1]!r}. They differ at '{entries[0][0]['site']}'. Give the same rules, and set "
        "other rates after that by `set_rate`."
    )
    for loop in loops:
        loop.end()


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


def test_a_rate_is_set_again_where_a_forward_alone_shows_its_site() -> None:
    noises = [ng.inject(Dropping(), seed=13, existing=True) for _ in range(2)]
    models = [noise.host.model for noise in noises]
    models[0](X)
    noises[0].set_rate(":dropout", 0.125)
    noises[1].load_state(json.loads(json.dumps(noises[0].state())))
    assert_same_bits(models[1](X), models[0](X))
    assert noises[1].state() == noises[0].state()
