"""The NumPy face: forward and backward by hand, and its sources of randomness."""

from typing import Any

import numpy as np
import pytest

import noisegate as ng
from _asserts import assert_same_bits
from noisegate.numpy import backward, dropout_backward, dropout_forward, forward

X = np.random.default_rng(1).normal(size=(6, 9))
KINDS = [
    ng.Dropout(0.3),
    ng.Dropout(0.5, rescale=False),
    ng.Dropout(1.0),
    ng.GaussianNoise(0.2),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.4),
    ng.Dropout(0.4, shared_axes=1),
]


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_backward_is_the_gradient(kind: ng.Kind) -> None:
    weights = np.random.default_rng(2).normal(size=X.shape)

    def loss(x: np.ndarray) -> float:
        return float((forward(kind, x, rng=13)[0] * weights).sum())

    _, cache = forward(kind, X, rng=13)
    dx = backward(weights, cache)
    step = 1e-6
    for index in np.ndindex(X.shape):
        shifted = X.copy()
        shifted[index] += step
        numeric = (loss(shifted) - loss(X)) / step
        assert abs(numeric - dx[index]) < 1e-7 * max(1, abs(weights[index])) * 10


def test_dropout_forward_and_backward() -> None:
    out, cache = dropout_forward(X, 0.4, rng=13)
    mask = cache.mask
    assert mask.dtype == X.dtype
    assert set(np.unique(mask)) == {0.0, 1.0}
    scale = 2**32 / (2**32 - round(0.4 * 2**32))
    assert_same_bits(out, np.where(mask == 1, X * scale, 0.0))
    assert_same_bits(dropout_backward(X, cache), out)
    key = ng.Stream(13).site("").at(0)
    assert_same_bits(mask == 1, ng.mask(ng.Dropout(0.4), X.shape, key))


def test_dropout_removes_half_by_default() -> None:
    assert dropout_forward(X, rng=1)[1].kind == ng.Dropout(0.5)
    assert set(np.unique(dropout_forward(np.ones(100), rng=1)[0])) == {0.0, 2.0}


def test_the_cache_holds_no_mask() -> None:
    _, cache = dropout_forward(np.ones((1000, 1000)), rng=1)
    for name in cache.__slots__:
        assert not isinstance(getattr(cache, name), np.ndarray)


@pytest.mark.parametrize("arguments", [{"training": False}, {"p": 0}])
def test_without_noise_the_same_object_comes_back(arguments: dict[str, Any]) -> None:
    generator = np.random.default_rng(5)
    before = generator.bit_generator.state
    out, cache = dropout_forward(X, rng=generator, **arguments)
    assert out is X
    assert generator.bit_generator.state == before  # nothing is drawn
    assert dropout_backward(X, cache) is X
    assert_same_bits(cache.mask, np.ones(X.shape))
    assert not cache.active


def test_rng_may_be_a_seed_a_generator_a_key_or_nothing() -> None:
    def masks(rng: Any) -> bytes:
        return dropout_forward(np.ones(200), rng=rng)[1].mask.tobytes()

    assert masks(13) == masks(np.int64(13)) == masks(ng.Stream(13).site("").at(0))
    assert masks(13) != masks(14)
    key = ng.Stream(13).site("hid1:out").at(4)
    assert masks(key) == ng.mask(ng.Dropout(), (200,), key).astype(float).tobytes()
    generator = np.random.default_rng(5)
    first, second = masks(generator), masks(generator)
    assert first != second  # a generator is used up
    assert masks(np.random.default_rng(5)) == first
    assert masks(None) != masks(None)


def test_numpy_s_global_state_is_never_touched() -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]  # noqa: NPY002
    for rng in (None, 3, np.random.default_rng(1)):
        dropout_forward(X, rng=rng)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index, union-attr]  # noqa: NPY002


def test_a_live_rate_and_rows() -> None:
    out, cache = dropout_forward(np.ones((4, 50)), p=np.array([0.0, 0.1, 0.5, 1.0])[:, None], rng=3)
    assert (out[0] == 1).all()
    assert not out[3].any()
    assert_same_bits(cache.mask == 1, out != 0)
    part, _ = forward(ng.Dropout(), np.ones((2, 50)), rng=3, rows=[3, 1])
    whole, _ = forward(ng.Dropout(), np.ones((4, 50)), rng=3)
    assert_same_bits(part, whole[[3, 1]])


def test_scalars_and_rank_0() -> None:
    for x in (np.float32(2.0), np.array(2.0, np.float32)):
        out, cache = dropout_forward(x, 0.5, rng=13)
        assert out.shape == ()
        assert out.dtype == np.float32
        assert cache.mask.shape == ()


def test_removed_values_warn_of_nothing() -> None:
    with np.errstate(all="raise"):
        huge = np.full((4, 4), np.finfo(np.float32).max, np.float32)
        y = ng.Dropout(0.5)(huge, ng.Stream(1).site("a").at(0))
    assert set(np.unique(y)) <= {np.float32(0), np.float32(np.inf)}
