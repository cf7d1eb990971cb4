"""The younger kinds: both ends of their rates, live rates, NaN, masks, configs, compilers."""

import copy
import itertools
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_same_bits, assert_ulps
from _backends import Backend, each_backend, numpy_of
from noisegate.core.kinds import KINDS, alpha_dropout

KEY = ng.Stream(13).site("hid1:out").at(0)
YOUNG = [
    ng.AlphaDropout(0.3),
    ng.AlphaDropout(0.2, shared_axes=slice(2, None)),
    ng.ConcreteDropout(0.3, 0.2),
    ng.DropBlock(0.3, 2),
    ng.DropBlock(0.3, (1, 3), axes=(1, 2), shared_axes=3, normalize="sample"),
    ng.ImpulseNoise(0.3, -1, 2.5),
    ng.ImpulseNoise(ng.schedule.early(0.3, 5), 0, 1, shared_axes=1),
]
each_young = pytest.mark.parametrize("kind", YOUNG, ids=repr)
SHAPE = (3, 4, 5, 6)


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(dtype)


def test_a_kind_s_file_is_named_after_it() -> None:
    for name, kind in KINDS.items():
        words = kind.__module__.rpartition(".")[2].replace("_", "")
        assert words == name.lower()


def test_every_name_of_a_kind_is_taken() -> None:
    for name in KINDS:
        with pytest.raises(ng.InvalidValue, match="a kind of noisegate has this name"):
            type(name, (ng.Kind,), {"__module__": "elsewhere"})


@each_young
def test_kinds_are_frozen_hashable_data(kind: ng.Kind) -> None:
    again = ng.from_config(json.loads(json.dumps(kind.config())))
    assert again == kind
    assert hash(again) == hash(kind)
    assert eval(repr(kind), vars(ng)) == kind
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert copy.deepcopy(kind) == kind
    with pytest.raises(AttributeError):
        kind.shared_axes = (1,)


def test_reprs() -> None:
    assert repr(YOUNG[1]) == "AlphaDropout(p=0.2, shared_axes=slice(2, None))"
    assert repr(YOUNG[2]) == "ConcreteDropout(p=0.3, temperature=0.2)"
    assert repr(YOUNG[3]) == "DropBlock(p=0.3, block_size=2)"
    assert repr(YOUNG[4]) == (
        "DropBlock(p=0.3, block_size=(1, 3), axes=(1, 2), shared_axes=(3,), normalize='sample')"
    )
    assert repr(YOUNG[5]) == "ImpulseNoise(p=0.3, low=-1.0, high=2.5)"


@each_young
@each_backend
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_field_is_what_the_kind_does(backend: Backend, kind: ng.Kind, dtype: Any) -> None:
    x = sample(SHAPE, dtype)
    keep, gain, shift, fill = ng.noise(kind, SHAPE, KEY, dtype=dtype)
    for part in (keep, gain, shift, fill):
        assert part.shape == SHAPE
    assert gain.dtype == shift.dtype == fill.dtype == dtype
    expected = np.where(keep, gain * x + shift, fill)
    if isinstance(kind, ng.ConcreteDropout):
        assert_ulps(numpy_of(kind(backend.array(x), KEY)), expected, 1000, larger=abs(x) + 1)
        return
    assert_same_bits(numpy_of(kind(backend.array(x), KEY)), expected)
    assert_same_bits(ng.mask(kind, SHAPE, KEY).copy(), keep.copy())


@each_young
def test_rows_rebuild_any_part_without_the_rest(kind: ng.Kind) -> None:
    shape = (40, 3, 5, 2)
    whole = ng.noise(kind, shape, KEY)
    for rows, index in ((slice(8, 20), slice(8, 20)), ([7, 7, 3], [7, 7, 3])):
        for mine, theirs in zip(ng.noise(kind, shape, KEY, rows=rows), whole, strict=True):
            assert_same_bits(np.array(mine), np.array(theirs[index]))


@each_backend
def test_both_ends_of_the_rate(backend: Backend) -> None:
    x = np.array([[[1.0, -2.0, np.inf, np.nan]]], np.float32)
    array = backend.array(x)
    for kind in (
        ng.AlphaDropout(0),
        ng.AlphaDropout(2.0**-34),
        ng.ImpulseNoise(0, 1, 2),
        ng.DropBlock(0, 3),
        ng.ConcreteDropout(0),
    ):
        assert kind(array, KEY) is array
    assert_same_bits(numpy_of(ng.AlphaDropout(1)(array, KEY)), np.zeros_like(x))
    live = backend.array(np.array(1.0))
    assert_same_bits(numpy_of(ng.AlphaDropout()(array, KEY, p=live)), np.zeros_like(x))
    both = numpy_of(ng.ImpulseNoise(1, -3, 7)(backend.array(np.zeros((50, 50))), KEY))
    assert set(np.unique(both)) == {-3.0, 7.0}


@each_backend
def test_what_is_replaced_is_gone(backend: Backend) -> None:
    x = np.full((50, 20), np.nan, np.float32)
    for kind, values in (
        (ng.ImpulseNoise(0.5, -1, 2), {-1.0, 2.0}),
        (ng.AlphaDropout(0.5), {alpha_floor(0.5)}),
        (ng.DropBlock(0.5, 2, axes=1), {0.0}),
    ):
        y = numpy_of(kind(backend.array(x), KEY))
        mask = ng.mask(kind, x.shape, KEY)
        assert np.isnan(y[mask]).all()
        assert set(y[~mask].tolist()) == values


def alpha_floor(p: float) -> float:
    """Return a · α' + b, from the formulas of the paper in float64."""
    floor = alpha_dropout.FLOOR
    a = (1 - p + floor**2 * p * (1 - p)) ** -0.5
    return float(np.float32(a * floor - a * p * floor))


def test_the_affine_map_is_that_of_the_paper() -> None:
    for p in (0.05, 0.25, 0.5, 0.9):
        _, gain, shift, fill = ng.noise(ng.AlphaDropout(p), (100,), KEY, dtype="float64")
        a = (1 - p + alpha_dropout.FLOOR**2 * p * (1 - p)) ** -0.5
        np.testing.assert_allclose(gain, a, rtol=1e-8)  # p is rounded to 2⁻³²
        np.testing.assert_allclose(shift, -a * p * alpha_dropout.FLOOR, rtol=1e-8)
        np.testing.assert_allclose(fill, (1 - p) * a * alpha_dropout.FLOOR, rtol=1e-8)
        # Of a mean of 0 and a variance of 1, both stay.
        q = 1 - p
        mean = q * shift + p * fill
        square = q * (gain**2 + shift**2) + p * fill**2
        np.testing.assert_allclose(mean, 0, atol=1e-9)
        np.testing.assert_allclose(square, 1, rtol=1e-8)
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    assert -scale * alpha == alpha_dropout.FLOOR
    torch_floor = torch.nn.functional.selu(torch.tensor(-1e9, dtype=torch.float64)).item()
    assert torch_floor == alpha_dropout.FLOOR


@each_backend
@pytest.mark.parametrize("kind", [ng.AlphaDropout(), ng.ImpulseNoise(0, -1, 2)], ids=repr)
def test_a_live_rate_is_that_rate_clamped(backend: Backend, kind: ng.Kind) -> None:
    x = sample((6, 11))
    config = kind.config()
    for rate in (0.25, 0.3, 0.9):
        constant = ng.from_config({**config, "p": rate})(x, KEY)
        live = numpy_of(kind(backend.array(x), KEY, p=backend.array(np.array(rate))))
        assert_ulps(live, constant, 3, larger=np.abs(constant) + 2)
    nan = backend.array(np.array(np.nan, np.float32))
    assert np.isnan(numpy_of(kind(backend.array(x), KEY, p=nan))).all()
    for rate, clamped in ((-0.3, 0.0), (1.7, 1.0)):
        far, near = (backend.array(np.array(r, np.float32)) for r in (rate, clamped))
        assert_same_bits(
            numpy_of(kind(backend.array(x), KEY, p=far)),
            numpy_of(kind(backend.array(x), KEY, p=near)),
        )


@each_backend
def test_a_live_rate_of_concrete_dropout(backend: Backend) -> None:
    x = np.ones((64, 3), np.float32)
    rates = np.array([0.0, 0.3, 2.0])
    y = numpy_of(ng.ConcreteDropout()(backend.array(x), KEY, p=backend.array(rates)))
    assert (y[:, 0] == 1).all()
    assert_ulps(y[:, 1], ng.ConcreteDropout(0.3)(x, KEY)[:, 1], 1)
    assert np.isfinite(y).all()
    nan = backend.array(np.array(np.nan))
    assert np.isnan(numpy_of(ng.ConcreteDropout()(backend.array(x), KEY, p=nan))).all()


@each_backend
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.bool_])
def test_salt_and_pepper_on_integers(backend: Backend, dtype: Any) -> None:
    low, high = (0, 1) if dtype == np.bool_ else (int(np.iinfo(dtype).min) // 2, 77)
    x = np.ones((30, 40), dtype)
    kind = ng.ImpulseNoise(0.4, low, high)
    field = ng.noise(kind, x.shape, KEY, dtype="float64")
    expected = np.where(field.keep, x, field.fill.astype(dtype))
    assert_same_bits(numpy_of(kind(backend.array(x), KEY)), expected)
    assert len(np.unique(expected)) == len({low, high, 1})


def test_raising_p_only_ever_replaces_more() -> None:
    x = np.full((50, 60), 0.5)
    steps = [ng.ImpulseNoise(p, 0, 1)(x, KEY) for p in (0.1, 0.3, 0.9, 1.0)]
    for fewer, more in itertools.pairwise(steps):
        was = fewer != 0.5
        assert_same_bits(more[was], fewer[was])
        assert (more[~was] != 0.5).any()


def test_compiled_layers_of_every_form() -> None:
    layers = [
        (ng.torch.Dropout2d(0.5, seed=1, site="a"), (4, 3, 5, 5)),
        (ng.torch.SpatialDropout1D(0.5, "tf", seed=1, site="a"), (4, 5, 3)),
        (ng.torch.DropBlock2d(0.3, 2, seed=1, site="a"), (4, 3, 5, 5)),
        (ng.torch.AlphaDropout(ng.schedule.linear(0, 1, 5), seed=1, site="a"), (4, 5)),
        (ng.torch.Dropout(0.5, inplace=True, seed=1, site="a"), (4, 5)),
        (ng.torch.ConcreteDropout(0.3, seed=1, site="a"), (4, 5)),
    ]
    for module, shape in layers:
        torch.compiler.reset()
        plain = copy.deepcopy(module)
        fast = torch.compile(lambda x, module=module: module(x * 2), backend="eager")
        for _ in range(4):
            x = torch.randn(shape)
            assert_same_bits(fast(x).detach(), plain(x * 2).detach())


def test_vmap_gives_each_example_the_same_noise() -> None:
    x = torch.randn(5, 3, 8)
    for kind in (
        ng.AlphaDropout(0.3),
        ng.ImpulseNoise(0.3, -1, 2),
        ng.ConcreteDropout(0.3),
        ng.DropBlock(0.3, 2, axes=-1),
    ):
        whole = torch.func.vmap(lambda x, kind=kind: kind(x, KEY), randomness="same")(x)
        for i in range(5):
            assert_same_bits(whole[i], kind(x[i], KEY))
