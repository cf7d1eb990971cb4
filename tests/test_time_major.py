"""Noise on time-major data (T, N, C) is that of batch-major data, transposed."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisegate as ng
from _asserts import assert_same_bits
from _backends import EACH, Backend, each_backend, numpy_of
from _functional import key
from noisegate.core.expression import parse
from noisegate.nets import from_config

T, N, C = 7, 64, 3
KEY = key("a")
PATH = ng.drop_path(0.5)

each_tensor_backend = pytest.mark.parametrize(
    "backend", [b for b in EACH if b.name == "torch"], ids=str, indirect=True
)


def expected(shape: tuple[int, ...] = (N, 1), site: str = "a") -> np.ndarray:
    """Return the factor of each sample, (N, 1, ...), as batch-major data has it."""
    x = np.ones((*shape[:1], 4), np.float32)
    factor = ng.Dropout(0.5, shared_axes=slice(1, None))(x, key(site))[:, :1]
    assert 0 < factor.mean() < 2
    return np.asarray(factor)


def whole_samples(y: Any, axis: int = 1, site: str = "a") -> None:
    """Check that each sample of ones was kept or removed whole, as batch-major data has it."""
    samples = np.moveaxis(numpy_of(y), axis, 0).reshape(N, -1)
    assert_same_bits(np.ascontiguousarray(samples), np.repeat(expected(site=site), T * C, 1))


@each_backend
@pytest.mark.parametrize(("shape", "axis"), [((N, T, C), 0), ((T, N, C), 1), ((T, C, N), -1)])
@pytest.mark.parametrize("kind", [PATH, ng.Dropout(0.5, shared_axes="all_but_samples")])
def test_the_kind(backend: Backend, shape: tuple[int, ...], axis: int, kind: ng.Kind) -> None:
    x = backend.array(np.ones(shape, np.float32))
    whole_samples(kind(x, KEY, sample_axis=axis), axis)
    mask = ng.mask(kind, shape, KEY, sample_axis=axis)
    assert_same_bits(mask, numpy_of(kind(x, KEY, sample_axis=axis)) != 0)
    part = kind(x[:, :2], KEY, rows=range(9, 9 + len(x[0, :2])), sample_axis=1)
    assert (numpy_of(part) == numpy_of(part)[:1, :, :1]).all()


@each_backend
def test_every_kind_shares_so(backend: Backend) -> None:
    x = np.random.default_rng(0).normal(size=(N, T, C)).astype(np.float32)
    for kind in (
        ng.GaussianNoise(0.5, shared_axes="all_but_samples"),
        ng.AlphaDropout(0.5, shared_axes="all_but_samples"),
        ng.ImpulseNoise(0.5, -1.0, 1.0, shared_axes="all_but_samples"),
    ):
        batch_major = numpy_of(kind(backend.array(x), KEY))
        moved = kind(backend.array(np.ascontiguousarray(x.swapaxes(0, 1))), KEY, sample_axis=1)
        assert_same_bits(np.ascontiguousarray(numpy_of(moved).swapaxes(0, 1)), batch_major)


@each_tensor_backend
def test_the_function_and_the_layer(backend: Backend) -> None:
    x = torch.ones(T, N, C)
    whole_samples(ng.torch.drop_path(x, 0.5, key=KEY, sample_axis=1))
    layer = ng.torch.DropPath(0.5, seed=KEY.seed, site="a", sample_axis=1)
    whole_samples(layer(x))


@each_tensor_backend
@pytest.mark.parametrize("layer", [ng.torch.DropPath, lambda p: ng.torch.layer(ng.drop_path(p))])
def test_a_layer_that_is_taken_over(backend: Backend, layer: Callable[[float], nn.Module]) -> None:
    model = nn.Sequential(nn.Identity(), layer(0.5))
    ng.inject(model, existing=True, sample_axis=1, seed=KEY.seed)
    whole_samples(model(torch.ones(T, N, C)), site="1:dropout")


@each_tensor_backend
def test_a_rule(backend: Backend) -> None:
    model = nn.Sequential(nn.Identity())
    noise = ng.inject(model, {"0:out": PATH}, sample_axis=1, seed=KEY.seed)
    whole_samples(model(torch.ones(T, N, C)), site="0:out")
    assert_same_bits(noise.mask("0:out")[:1, :, :1][0], expected(site="0:out") != 0)


@each_tensor_backend
@pytest.mark.parametrize("how", [{}, {"batch_size": 8}, {"shared_batch": True}])
def test_predict(backend: Backend, how: dict[str, Any]) -> None:
    x = torch.randn(T, N, C)

    def drawn(x: torch.Tensor, axis: int) -> np.ndarray:
        words: dict[str, Any] = {
            "seed": 1,
            "keep_samples": True,
            "outputs": "values",
            "sample_axis": axis,
            **how,
        }
        model = nn.Sequential(nn.Identity())
        samples = ng.predict(model, x, 5, rules={"0:out": PATH}, **words).samples
        assert samples is not None
        return samples

    batch_major = drawn(x.transpose(0, 1).contiguous(), 0)
    assert_same_bits(np.ascontiguousarray(drawn(x, 1).swapaxes(1, 2)), batch_major)
    removed = batch_major == 0
    assert (removed == removed[:, :, :1, :1]).all()
    assert 0 < removed.mean() < 1


@each_backend
def test_locked_dropout_shares_the_steps_of_each_sample(backend: Backend) -> None:
    x = np.ones((N, T, C), np.float32)
    batch_major = numpy_of(ng.locked_dropout(0.5, 1)(backend.array(x), KEY))
    moved = backend.array(np.ones((T, N, C), np.float32))
    y = numpy_of(ng.locked_dropout(0.5, 0)(moved, KEY, sample_axis=1))
    assert_same_bits(np.ascontiguousarray(y.swapaxes(0, 1)), batch_major)
    layer = ng.torch.LockedDropout(0.5, 0, seed=KEY.seed, site="a", sample_axis=1)
    assert_same_bits(layer(torch.ones(T, N, C)).transpose(0, 1).contiguous().numpy(), batch_major)


# What the word means at each rank --------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("shape", [(), (N,), (N, 3), (4, 3, 5, 2)])
def test_axis_0_has_the_samples_unless_another_is_named(
    backend: Backend, shape: tuple[int, ...]
) -> None:
    x = backend.array(np.ones(shape, np.float32))
    assert_same_bits(
        numpy_of(PATH(x, KEY)), numpy_of(ng.Dropout(0.5, shared_axes=slice(1, None))(x, KEY))
    )


@each_backend
@pytest.mark.parametrize("shape", [(), (N,), (N, 3), (4, 3, 5, 2)])
def test_without_samples_there_is_one_decision(backend: Backend, shape: tuple[int, ...]) -> None:
    x = backend.array(np.ones(shape, np.float32))
    assert_same_bits(
        numpy_of(PATH(x, KEY, sample_axis=None)),
        numpy_of(ng.Dropout(0.5, shared_axes=slice(None))(x, KEY, sample_axis=None)),
    )


@pytest.mark.parametrize("shape", [(8, 4, 5, 5), (32, 5, 5)])
def test_attention_probabilities(shape: tuple[int, ...]) -> None:
    x, rows = np.ones(shape, np.float32), range(8)
    sliced = ng.Dropout(0.5, shared_axes=slice(1, None))
    where: Any = {"rows": rows, "sample_axis": "attention"}
    assert_same_bits(PATH(x, KEY, **where), sliced(x, KEY, **where))


@pytest.mark.parametrize("axis", [3, -4])
def test_the_sample_axis_must_exist(axis: int) -> None:
    with pytest.raises(ng.InvalidValue, match="`sample_axis` names axis"):
        PATH(np.ones((2, 3, 4)), KEY, sample_axis=axis)


# Its forms -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ng.Dropout, ng.GaussianDropout, ng.ConcreteDropout])
def test_it_is_written_read_and_hashed(make: Callable[..., ng.Kind]) -> None:
    kind = make(0.25, shared_axes="all_but_samples")
    assert repr(kind).endswith("(p=0.25, shared_axes='all_but_samples')")
    assert parse(repr(kind)) == kind
    assert ng.from_config(json.loads(json.dumps(kind.config()))) == kind
    assert hash(kind) == hash(make(0.25, shared_axes="all_but_samples"))
    assert kind.config()["shared_axes"] == "all_but_samples"


def test_drop_path_is_that_kind_in_every_form() -> None:
    assert PATH == ng.torch.DropPath(0.5).kind == parse("drop_path(0.5)") == parse("DropPath(0.5)")
    assert ng.Dropout(0.5, shared_axes="all_but_samples") == PATH
    assert ng.torch.layer(PATH).kind == PATH


def test_an_old_config_is_as_it_was() -> None:
    old = {"kind": "Dropout", "p": 0.5, "rescale": True, "shared_axes": {"slice": [1, None, None]}}
    assert ng.from_config(old) == ng.Dropout(0.5, shared_axes=slice(1, None))


def test_blocks_need_axes_that_are_not_shared() -> None:
    kind = ng.DropBlock(0.5, 2, shared_axes="all_but_samples")
    with pytest.raises(ng.InvalidValue, match="`axes` names axis 2, which is a shared axis"):
        kind(np.ones((2, 3, 8)), KEY)


def test_layers_of_networks() -> None:
    layer = ng.nets.drop_path((None, 4, 5), p=0.5, seed=KEY.seed, site="a")
    assert layer.shared_axes == "all_but_samples"
    found = from_config(json.loads(json.dumps(layer.write_config())))
    assert repr(found) == repr(layer)
    assert (found.kind, found.seed, found.site) == (layer.kind, layer.seed, layer.site)
    y = layer(torch.ones(N, 4, 5)).detach().numpy().reshape(N, -1)
    assert_same_bits(y, np.repeat(expected(), 20, 1))
