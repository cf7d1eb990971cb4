"""One definition: NumPy and torch give the same bits, whatever the dtype, shape and layout."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import noisegate as ng
from _asserts import assert_same_bits, assert_ulps
from _backends import BACKENDS, Backend, each_backend, each_dtype, numpy_of, pure_engines

KEY = ng.Stream(13).site("hid1:out").at(5)
KINDS = [
    ng.Dropout(0.3),
    ng.Dropout(0.5, rescale=False),
    ng.Dropout(1.0),
    ng.GaussianNoise(0.1),
    ng.GaussianDropout(0.3),
    ng.UniformNoise(0.7),
    ng.AlphaDropout(0.3),
    ng.AlphaDropout(1.0),
    ng.ImpulseNoise(0.4, -1, 0.3),
    ng.ConcreteDropout(0.3),
    ng.MultiplicativeUniformNoise(0.3),
    ng.SpeckleNoise(0.3),
    ng.DropKey(0.3),
    ng.Zoneout(0.3),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)
TORCH = BACKENDS[1]


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


def both(kind: ng.Kind, x: np.ndarray, **arguments: Any) -> np.ndarray:
    """Return the noised array, once NumPy's and torch's have been found equal, in both ways."""
    ours = kind(x, KEY, **arguments)
    theirs = kind(TORCH.array(x), KEY, **arguments)
    assert type(ours) is type(x)
    assert_tier(kind, numpy_of(theirs), ours)
    with pure_engines():
        assert_tier(kind, kind(x, KEY, **arguments), ours)
        assert_tier(kind, numpy_of(kind(TORCH.array(x), KEY, **arguments)), ours)
    return np.asarray(ours)


def assert_tier(kind: ng.Kind, theirs: np.ndarray, ours: np.ndarray) -> None:
    """Bits are equal, but for the one kind that needs a logarithm, whose tier is looser."""
    if not isinstance(kind, ng.ConcreteDropout):
        assert_same_bits(theirs, ours)
        return
    assert theirs.dtype == ours.dtype
    # |w| is at most 2 · atanh(1 − 2⁻²⁴) and the logit, over the temperature: less than 200.
    double = ours.dtype in (np.float64, np.complex128)
    flat = (theirs.view(theirs.real.dtype), ours.view(ours.real.dtype)) if ours.ndim else None
    assert_ulps(*(flat or (theirs, ours)), 204 * 4 if double else 2)


@each_kind
@each_dtype
@pytest.mark.parametrize(
    "shape", [(), (1,), (13,), (0,), (3, 0, 2), (2, 3), (5, 7, 11), (1, 8, 1, 3)]
)
def test_shapes_and_dtypes(kind: ng.Kind, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    x = sample(shape, dtype)
    y = both(kind, x)
    assert y.shape == shape
    assert y.dtype == dtype


@each_kind
@pytest.mark.parametrize(
    "axes", [(0,), (1,), (-1,), (1, 3), slice(2, None), slice(1, -1), slice(None)]
)
def test_shared_axes(kind: ng.Kind, axes: Any) -> None:
    shared = ng.from_config({**kind.config(), "shared_axes": ()})
    values = {name: getattr(shared, name) for name in shared.names() if name != "shared_axes"}
    kind = type(kind)(**values, shared_axes=axes)
    both(kind, sample((3, 4, 5, 6)))
    field = ng.noise(kind, (3, 4, 5, 6), KEY)
    index = range(4)[axes] if isinstance(axes, slice) else [axis % 4 for axis in axes]
    for part in field[:3]:
        for axis in index:
            first = np.take(part, [0], axis)
            assert_same_bits(np.broadcast_to(first, part.shape), np.array(part))


@each_kind
def test_large_enough_for_several_passes(kind: ng.Kind) -> None:
    both(kind, sample((3, 300_001)))
    both(kind, sample((40_000, 9)))
    # And for selecting in parts, the last of them short.
    y = both(kind, sample((1031, 1025)))
    assert_same_bits(y[1029:], kind(sample((1031, 1025))[1029:], KEY, rows=[1029, 1030]))


@each_kind
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers_have_one_real_noise_for_both_parts(kind: ng.Kind, dtype: Any) -> None:
    x = (sample((4, 9)) + 1j * sample((4, 9))[::-1]).astype(dtype)
    refused = {
        ng.GaussianNoise: "additive noise on complex numbers",
        ng.UniformNoise: "additive noise on complex numbers",
        ng.AlphaDropout: "additive noise on complex numbers",
        ng.ImpulseNoise: "a value in place of complex numbers",
        ng.DropKey: "a value in place of complex numbers",
    }
    if type(kind) in refused:
        for array in (x, TORCH.array(x)):
            with pytest.raises(ng.InvalidType, match=refused[type(kind)]):
                kind(array, KEY)
        return
    y = both(kind, x)
    assert y.dtype == dtype
    assert_same_bits(y.real, kind(np.ascontiguousarray(x.real), KEY))
    assert_same_bits(y.imag, kind(np.ascontiguousarray(x.imag), KEY))


def test_the_mask_does_not_depend_on_dtype() -> None:
    shape = (7, 13)
    masks = [np.asarray(both(ng.Dropout(0.4), np.ones(shape, t)) != 0) for t in "efd"]
    assert_same_bits(masks[0], masks[1])
    assert_same_bits(masks[0], masks[2])
    assert_same_bits(masks[0], ng.mask(ng.Dropout(0.4), shape, KEY))


def layouts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return tensors of equal values, shape (2, 3, 4, 5), laid out in memory in many ways."""
    wide = torch.zeros(2, 3, 8, 5)
    wide[:, :, ::2] = x
    return {
        "channels_last": x.to(memory_format=torch.channels_last),
        "transposed": x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "sliced": wide[:, :, ::2],
        "offset": torch.cat([torch.zeros(1), x.reshape(-1)])[1:].view(2, 3, 4, 5),
    }


@each_kind
def test_the_noise_does_not_depend_on_memory_layout(kind: ng.Kind) -> None:
    x = torch.from_numpy(sample((2, 3, 4, 5)))
    expected = kind(x, KEY)
    for name, other in layouts(x).items():
        assert torch.equal(other, x)
        assert_same_bits(kind(other, KEY), expected)
        array = other.numpy()
        assert_same_bits(kind(array, KEY), expected.numpy())
        if name in ("channels_last", "transposed"):
            assert kind(other, KEY).stride() == other.stride()
    reverse = x.numpy()[::-1].copy()[::-1]  # negative strides
    assert_same_bits(kind(reverse, KEY), expected.numpy())
    expanded = torch.ones(1, 3, 1, 5).expand(2, 3, 4, 5)
    assert_same_bits(kind(expanded, KEY), kind(expanded.contiguous(), KEY))
    frozen = x.numpy().copy()
    frozen.setflags(write=False)
    assert_same_bits(kind(frozen, KEY), expected.numpy())


def test_the_input_is_not_written_to() -> None:
    for backend in BACKENDS:
        for kind in KINDS:
            x = sample((5, 6))
            array = backend.array(x)
            kind(array, KEY)
            assert_same_bits(numpy_of(array), x)


def test_the_mask_does_not_depend_on_threads() -> None:
    x = torch.ones(64, 5000)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(ng.GaussianDropout(0.2)(x, KEY))
    finally:
        torch.set_num_threads(before)
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@each_backend
def test_a_sample_keeps_its_noise_in_any_batch(backend: Backend) -> None:
    x = sample((8, 5, 3))
    for kind in KINDS:
        whole = numpy_of(kind(backend.array(x), KEY))
        grown = numpy_of(kind(backend.array(np.concatenate([x, x])), KEY))
        assert_same_bits(grown[:8], whole)
        order = [5, 0, 7, 2]
        ids = numpy_of(kind(backend.array(x[order]), KEY, rows=order))
        assert_same_bits(ids, whole[order])
        second = numpy_of(kind(backend.array(x[4:]), KEY, rows=slice(4, 8)))
        assert_same_bits(second, whole[4:])
        open_ended = numpy_of(kind(backend.array(x[4:]), KEY, rows=slice(4, None)))
        assert_same_bits(open_ended, whole[4:])
        padded = np.concatenate([x, np.zeros((8, 4, 3), np.float32)], axis=1)
        assert_same_bits(numpy_of(kind(backend.array(padded), KEY))[:, :5], whole)


@each_backend
def test_any_axis_can_be_that_of_the_samples(backend: Backend) -> None:
    x = sample((4, 6, 5))
    for kind in KINDS:
        first = numpy_of(kind(backend.array(x), KEY))
        for axis in (1, 2, -1, np.int64(2)):
            moved = np.moveaxis(x, 0, axis)
            got = numpy_of(kind(backend.array(moved), KEY, sample_axis=axis))
            assert_same_bits(np.moveaxis(got, axis, 0), first)


@given(
    shape=st.lists(st.integers(0, 9), min_size=0, max_size=4).map(tuple),
    data=st.data(),
    kind=st.sampled_from(KINDS),
)
def test_any_shape_axes_and_rows(
    shape: tuple[int, ...], data: st.DataObject, kind: ng.Kind
) -> None:
    rank = len(shape)
    axes = data.draw(st.sets(st.integers(-rank, rank - 1)) if rank else st.just(set()))
    axis = data.draw(st.sampled_from([None, *range(rank)]))
    rows = None
    if axis is not None:
        ids = st.integers(0, 2**64 - 1)
        rows = data.draw(st.none() | st.lists(ids, min_size=shape[axis], max_size=shape[axis]))
    config = {**kind.config(), "shared_axes": sorted(axes)}
    both(ng.from_config(config), sample(shape), rows=rows, sample_axis=axis)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_close_tier_bounds_a_contracted_product(dtype: Any) -> None:
    """What a compiler may give, one rounding for product and sum, is within the stated ulp."""
    x = sample((200, 300), dtype)
    exact = np.longdouble  # wide enough for a product of two float32, and nearly of float64
    rate = np.asarray(0.3, dtype).astype(exact)
    for kind, number in (
        (ng.GaussianNoise(0.3), ng.noise(ng.GaussianNoise(1.0), x.shape, KEY, dtype=dtype).shift),
        (ng.UniformNoise(0.3), ng.noise(ng.UniformNoise(1.0), x.shape, KEY, dtype=dtype).shift),
    ):
        term = rate * number.astype(exact)
        contracted = (x.astype(exact) + term).astype(dtype)
        larger = np.maximum(np.abs(x), np.abs(term)).astype(dtype)
        assert_ulps(kind(x, KEY), contracted, 1, larger=larger)
    # A rate of 0.5 has sigma 1, so that epsilon can be had from the gain's own kind.
    gain = ng.noise(ng.GaussianDropout(0.3), x.shape, KEY, dtype=dtype).gain
    epsilon = ng.noise(ng.GaussianDropout(0.5), x.shape, KEY, dtype="float64").gain - 1
    sigma = np.asarray((0.3 / 0.7) ** 0.5, dtype).astype(np.float64)
    contracted = (1 + sigma * epsilon).astype(dtype)
    assert_ulps(gain, contracted, 1, larger=np.maximum(1, np.abs(gain)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_close_tier_bounds_a_contracted_product_of_alpha_dropout(dtype: Any) -> None:
    x = sample((200, 300), dtype)
    exact = np.longdouble
    keep, gain, shift, fill = ng.noise(ng.AlphaDropout(0.3), x.shape, KEY, dtype=dtype)
    term = gain.astype(exact) * x
    contracted = np.where(keep, (term + shift).astype(dtype), fill)
    larger = np.maximum(np.abs(term), np.abs(shift)).astype(dtype)
    assert_ulps(ng.AlphaDropout(0.3)(x, KEY), contracted, 1, larger=larger)


def test_a_scale_from_a_live_rate_is_within_1_ulp() -> None:
    for p in (1e-6, 0.1, 1 / 3, 0.5, 0.7, 0.999):
        for dtype in ("float32", "float64"):
            host = ng.noise(ng.Dropout(p), (1,), KEY, dtype=dtype).gain
            live = ng.noise(ng.Dropout(), (1,), KEY, dtype=dtype, p=np.array(p)).gain
            assert_ulps(live, host, 1)
