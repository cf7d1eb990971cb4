"""Schedules: values, both ends, data, and where they are read."""

import itertools
import json
import pickle
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits, assert_ulps
from _backends import Backend, each_backend, numpy_of

SITE = ng.Stream(13).site("a")
ALL = [
    ng.schedule.constant(0.3),
    ng.schedule.linear(0, 0.5, steps=10),
    ng.schedule.linear(0.9, 0.1, steps=7),
    ng.schedule.cosine(0.1, 0.6, steps=9),
    ng.schedule.curriculum(0.5, steps=20),
    ng.schedule.early(0.5, steps=5),
    ng.schedule.late(0.5, steps=5),
]
each_schedule = pytest.mark.parametrize("schedule", ALL, ids=repr)
RISING = ng.schedule.linear(0, 0.8, steps=8)
KINDS: list[Any] = [
    lambda rate: ng.Dropout(rate),
    lambda rate: ng.Dropout(rate, rescale=False),
    lambda rate: ng.AlphaDropout(rate),
    lambda rate: ng.ConcreteDropout(rate),
    lambda rate: ng.DropBlock(rate, 2, axes=-1),
    lambda rate: ng.GaussianDropout(rate),
    lambda rate: ng.GaussianNoise(rate),
    lambda rate: ng.ImpulseNoise(rate, -1, 1),
    lambda rate: ng.UniformNoise(rate),
    lambda rate: ng.spatial_dropout(rate),
    lambda rate: ng.locked_dropout(rate, 1),
]
each_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: repr(make(0.5)))


def sample(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


# Values --------------------------------------------------------------------------------------


def test_values() -> None:
    steps = (0, 1, 4, 5, 10, 1000)
    assert [ng.schedule.constant(0.3).at(s) for s in steps] == [0.3] * 6
    linear = ng.schedule.linear(0, 0.5, steps=10)
    assert [linear.at(s) for s in steps] == [0, 0.05, 0.2, 0.25, 0.5, 0.5]
    assert [ng.schedule.early(0.5, 5).at(s) for s in steps] == [0.5, 0.5, 0.5, 0, 0, 0]
    assert [ng.schedule.late(0.5, 5).at(s) for s in steps] == [0, 0, 0, 0.5, 0.5, 0.5]
    cosine = ng.schedule.cosine(1.0, 0.0, steps=4)
    assert cosine.at(0) == 1
    assert cosine.at(2) == 0.5
    assert cosine.at(4) == cosine.at(99) == 0
    assert cosine.at(1) == pytest.approx(0.5 + 0.5 * 2**-0.5, abs=1e-15)
    curriculum = ng.schedule.curriculum(0.5, steps=20)
    assert curriculum.at(0) == 0
    assert curriculum.at(20) == pytest.approx(0.5 * (1 - np.exp(-10)), abs=1e-15)
    assert 0.5 * (1 - 5e-5) < curriculum.at(20) < curriculum.at(40) <= 0.5


@given(
    start=st.floats(-1e300, 1e300),
    end=st.floats(-1e300, 1e300),
    steps=st.integers(1, 2**32 - 1),
    at=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=5),
    shape=st.sampled_from(["linear", "cosine"]),
)
def test_between_its_ends_and_never_back(
    start: float, end: float, steps: int, at: list[int], shape: str
) -> None:
    schedule = getattr(ng.schedule, shape)(start, end, steps)
    assert schedule.at(0) == start
    assert schedule.at(steps) == schedule.at(2**32 - 1) == end
    values = [schedule.at(step) for step in sorted(at)]
    assert all(min(start, end) <= value <= max(start, end) for value in values)
    # Up to a rounding of each of three operations.
    slack = 3e-16 * max(abs(start), abs(end))
    for earlier, later in itertools.pairwise(values):
        assert (later - earlier) * (1 if end >= start else -1) >= -slack


def test_the_platform_s_library_decides_no_bit() -> None:
    """Against series of their own in 60 digits, rounded once."""
    with localcontext() as context:
        context.prec = 60
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        for step in range(1, 100):
            angle, cosine, term, n = pi * Decimal(step / 100), Decimal(1), Decimal(1), 0
            while abs(term) > Decimal("1e-58"):
                n += 2
                term *= -angle * angle / (n * (n - 1))
                cosine += term
            done = float((1 - cosine) / 2)
            assert ng.schedule.cosine(0, 1, 100).at(step) == done
            power, term, n = Decimal(1), Decimal(1), 0
            while term > Decimal("1e-58"):
                n += 1
                term *= Decimal(10.0 * (step / 100)) / n
                power += term
            assert ng.schedule.curriculum(1, 100).at(step) == 1 - float(1 / power)


# Data ----------------------------------------------------------------------------------------


@each_schedule
def test_schedules_are_frozen_hashable_data(schedule: Any) -> None:
    again = ng.schedule.from_config(json.loads(json.dumps(schedule.config())))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert eval(repr(schedule), vars(ng)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    with pytest.raises(AttributeError):
        schedule.start = 0.1
    assert schedule != ng.schedule.linear(0, 0.123, 3)


@each_kind
def test_a_kind_with_a_schedule_is_data_too(make: Any) -> None:
    kind = make(RISING)
    again = ng.from_config(json.loads(json.dumps(kind.config())))
    assert again == kind
    assert hash(again) == hash(kind)
    assert eval(repr(kind), vars(ng)) == kind
    assert kind.rate == RISING
    assert kind != make(0.5)


def test_reprs() -> None:
    assert repr(ng.schedule.constant(1)) == "schedule.constant(1.0)"
    assert repr(RISING) == "schedule.linear(0.0, 0.8, steps=8)"
    assert repr(ng.schedule.early(0.5, 5)) == "schedule.early(0.5, steps=5)"


# Where it is read ----------------------------------------------------------------------------


@each_kind
@each_backend
def test_a_call_reads_it_at_the_step_of_its_key(backend: Backend, make: Any) -> None:
    x = sample((3, 4, 5))
    kind = make(RISING)
    for step in (0, 3, 8, 4000):
        key = SITE.at(step)
        constant = make(RISING.at(step))
        assert_same_bits(
            numpy_of(kind(backend.array(x), key)), numpy_of(constant(backend.array(x), key))
        )
    first = backend.array(x)
    assert kind(first, SITE.at(0)) is first  # a rate of 0 there


@each_kind
def test_what_the_call_says_wins(make: Any) -> None:
    x, key = sample((3, 4, 5)), SITE.at(3)
    kind = make(RISING)
    assert_same_bits(kind(x, key, **{kind.RATE: 0.7}), make(0.7)(x, key))
    other = ng.schedule.constant(0.1)
    assert_same_bits(make(0.7)(x, key, **{kind.RATE: other}), make(0.1)(x, key))
    if kind.takes_live:
        live = torch.tensor(0.7, dtype=torch.float64)
        got = kind(torch.from_numpy(x), key, **{kind.RATE: live})
        expected = make(0.7)(x, key)
        assert_ulps(got, expected, 3, larger=np.abs(x) + np.abs(expected) + 1)


def test_masks_fields_and_forward() -> None:
    kind, key = ng.Dropout(RISING), SITE.at(4)
    assert_same_bits(ng.mask(kind, (5, 6), key), ng.mask(ng.Dropout(0.4), (5, 6), key))
    out, cache = ng.numpy.forward(kind, sample((5, 6)), rng=key)
    assert_same_bits(out, ng.Dropout(0.4)(sample((5, 6)), key))
    gradient = ng.numpy.backward(np.ones((5, 6), np.float32), cache)
    assert_same_bits(gradient, ng.Dropout(0.4)(np.ones((5, 6), np.float32), key))
    assert cache.rate == 0.4


def test_without_a_step_it_is_an_error_that_names_the_ways_out() -> None:
    sentence = "without a seed there is no step .* `seed=` and `site=`, .* noisegate.inject"
    x = torch.ones(3, 4)
    calls = (
        lambda: ng.torch.Dropout(RISING),
        lambda: ng.torch.layer(ng.GaussianNoise(RISING)),
        lambda: ng.torch.NoiseLayer(ng.GaussianNoise(RISING)),
        lambda: ng.torch.DropBlock2d(RISING, 3),
        lambda: ng.torch.gaussian_noise(x, RISING),
        lambda: ng.numpy.forward(ng.Dropout(RISING), np.ones(3)),
        lambda: ng.numpy.forward(ng.Dropout(RISING), np.ones(3), rng=3),
        lambda: ng.numpy.dropout_forward(np.ones(3), RISING, rng=np.random.default_rng(1)),
    )
    for call in calls:
        with pytest.raises(ng.InvalidValue, match=sentence):
            call()


def test_a_layer_reads_its_own_step_and_resumes() -> None:
    layer = ng.torch.Dropout(RISING, seed=13, site="a")
    x = torch.ones(6, 50)
    whole = [layer(x) for _ in range(10)]
    for step, y in enumerate(whole):
        assert_same_bits(y, ng.Dropout(RISING.at(step))(x, SITE.at(step)))
    resumed = ng.torch.Dropout(RISING, seed=13, site="a")
    resumed.step = 6
    assert_same_bits(resumed(x), whole[6])
    layer.p = 0.25
    assert_same_bits(layer(x), ng.Dropout(0.25)(x, SITE.at(10)))
    layer.p = RISING
    assert layer.p == RISING


@pytest.mark.parametrize("value", [RISING, ng.Dropout(RISING), ng.GaussianNoise(RISING)], ids=repr)
def test_an_injection_reads_its_step_and_resumes(value: Any) -> None:
    torch.manual_seed(1)
    model, x = nn.Sequential(nn.Linear(4, 30), nn.ReLU()), torch.randn(6, 4)
    clean = model(x)
    kind = value if isinstance(value, ng.Kind) else ng.Dropout(value)
    noise = ng.inject(model, {"1:out": value}, seed=13)
    whole = [model(x) for _ in range(10)]
    site = ng.Stream(13).site("1:out")
    constant = type(kind)
    for step, y in enumerate(whole):
        assert_same_bits(y, constant(RISING.at(step))(clean, site.at(step)))
    noise.remove()
    again = ng.inject(model, {"1:out": value}, seed=13)
    again.step = 6
    assert_same_bits(model(x), whole[6])
    assert "schedule.linear(0.0, 0.8, steps=8)" in again.report()
    again.remove()
