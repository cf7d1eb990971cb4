"""Every family of transformers that a small config builds is made from the seed, whole."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import noisegate as ng
from _asserts import assert_same_bits
from _draws import read_states, run_at, seed
from _every_family import build, find_example, find_families, run
from _unbuilt_families import DEPENDENT, STATEFUL, UNBUILT

pytestmark = pytest.mark.slow


def make(name: str) -> tuple[Any, dict[str, Tensor]]:
    model = build(name)
    for module in model.modules():  # its statistics are of the whole batch
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model, find_example(model)


@pytest.mark.parametrize("name", [name for name in find_families() if name in UNBUILT])
def test_a_family_cannot_be_built_this_way(name: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011  each has its own
        make(name)


def test_what_cannot_be_built_is_a_family() -> None:
    assert set(UNBUILT | STATEFUL | DEPENDENT) <= set(find_families())
    assert len(find_families()) - len(UNBUILT) > 380


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in find_families() if name not in UNBUILT])
def test_a_family_is_made_from_the_seed_whole(name: str) -> None:
    model, example = make(name)
    clean = copy.deepcopy(model)
    try:
        noise = ng.inject(model, existing=True, seed=3, example=example)
    except ng.InvalidValue as error:
        if "existing=True found no dropout" not in str(error):
            raise
        check_that_it_draws_nothing(model, example)
        return
    first = run_at(noise, 2, lambda: run(model, example), 1)
    second = run_at(noise, 2, lambda: run(model, example), 2)
    assert len(first) == len(second) > 0
    if name not in STATEFUL:
        for a, b in zip(first, second, strict=True):
            assert_same_bits(b, a)
    part = {name: x[:2] for name, x in example.items()}
    halves = run_at(noise, 2, lambda: run(model, part), 3)
    compares = name not in DEPENDENT and name not in STATEFUL
    for a, b in zip(first, halves, strict=True) if compares else ():
        if a.shape == (4, *b.shape[1:]) and b.shape[0] == 2:
            torch.testing.assert_close(b, a[:2], atol=1e-5, rtol=1e-4, equal_nan=True)
    noise.remove()
    clean.load_state_dict(model.state_dict())
    seed(7)
    left = run(model, example)
    seed(7)
    for a, b in zip(left, run(clean, example), strict=True):
        assert_same_bits(a, b)


def check_that_it_draws_nothing(model: Any, example: dict[str, Tensor]) -> None:
    seed(1)
    before = read_states()
    run(model, example)
    assert read_states() == before
