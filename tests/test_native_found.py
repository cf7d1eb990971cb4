"""Faults of the native engine that a review found, each by its smallest case."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits
from _backends import pure_engines
from noisegate.core import prepared
from noisegate.core.window import DEFAULT_AXIS

KEY = ng.Stream(13).site("hid1:out").at(5)


@pytest.mark.parametrize("kind", [ng.GaussianDropout(0.3), ng.GaussianNoise(0.3)], ids=repr)
def test_gradients_in_batches(kind: ng.Kind) -> None:
    """Torch's older wrapper of batches has no memory, and is not known as a wrapper."""
    x = torch.randn(3, 4)
    jacobian = torch.autograd.functional.jacobian
    found = jacobian(lambda v: kind(v, KEY), x, vectorize=True)
    assert_same_bits(found, jacobian(lambda v: kind(v, KEY), x))


@pytest.mark.parametrize("dtype", [np.longdouble, "U3", "M8[s]"])
@pytest.mark.parametrize("kind", [ng.Dropout(0.3, rescale=False), ng.ImpulseNoise(0.3, 0, 1)])
def test_a_gradient_of_a_dtype_that_no_noise_takes(kind: ng.Kind, dtype: Any) -> None:
    _, cache = ng.numpy.forward(kind, np.ones((4, 5), np.float32), rng=KEY)
    gradient = np.zeros((4, 5), dtype)
    with pytest.raises(ng.InvalidType):
        ng.numpy.backward(gradient, cache)


STRENGTH = {"now": 2.0}


@dataclass(frozen=True)
class Stronger(ng.Kind):
    p: float = 0.5
    RATE = "p"

    def field(self, draws: Any, rate: Any) -> ng.Field:
        return ng.Field(keep=draws.keep(rate), gain=STRENGTH["now"])


def test_a_kind_that_reads_what_is_not_its_own_is_read_anew() -> None:
    x = np.ones(64)
    for strength in (2.0, 5.0):
        STRENGTH["now"] = strength
        assert set(Stronger()(x, KEY)) == {0.0, strength}
        with pure_engines():
            assert set(Stronger()(x, KEY)) == {0.0, strength}


def test_such_a_kind_is_read_anew_in_a_model_too() -> None:
    model = torch.nn.Sequential(torch.nn.Identity())
    ng.inject(model, {"0:out": Stronger()}, seed=13)
    for strength in (2.0, 5.0):
        STRENGTH["now"] = strength
        assert set(model(torch.ones(4, 16)).flatten().tolist()) == {0.0, strength}


def test_works_of_many_layouts_are_not_all_kept() -> None:
    kind, memory = ng.Dropout(0.5), torch.ones(4 * 1000)
    for width in range(8, 8 + 3 * prepared.MOST_LAYOUTS):
        kind(memory.as_strided((4, 8), (width, 1)), KEY)
    works = prepared.find_prepared(kind, None, torch.Size((4, 8)), None, DEFAULT_AXIS).works
    assert works is not None
    assert 0 < len(works) <= prepared.MOST_LAYOUTS
