"""Kinds, presets, masks and fields: every promise of the documentation."""

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

KEY = ng.Stream(13).site("hid1:out").at(0)
KINDS = [
    ng.Dropout(),
    ng.Dropout(0.3, rescale=False, shared_axes=(-1, 2)),
    ng.Dropout(0.2, shared_axes=slice(2, None)),
    ng.GaussianNoise(0.25, shared_axes=1),
    ng.GaussianDropout(0.1, shared_axes=slice(None, -1, 2)),
    ng.UniformNoise(0.5),
]
RATES = {"Dropout": "p", "GaussianNoise": "sigma", "GaussianDropout": "p", "UniformNoise": "width"}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(dtype)


# Frozen data ---------------------------------------------------------------------------------


def test_defaults() -> None:
    assert ng.Dropout().config() == {
        "kind": "Dropout",
        "p": 0.5,
        "rescale": True,
        "shared_axes": [],
    }
    assert ng.GaussianNoise().sigma == 0.1
    assert ng.GaussianDropout().p == 0.5
    with pytest.raises(TypeError, match="width"):
        ng.UniformNoise()  # type: ignore[call-arg]


@each_kind
def test_kinds_are_frozen_hashable_data(kind: ng.Kind) -> None:
    again = ng.from_config(json.loads(json.dumps(kind.config())))
    assert again == kind
    assert hash(again) == hash(kind)
    assert eval(repr(kind), vars(ng)) == kind
    assert pickle.loads(pickle.dumps(kind)) == kind
    assert copy.deepcopy(kind) == kind
    with pytest.raises(AttributeError):
        kind.shared_axes = (1,)
    assert kind != ng.Dropout(0.123)


def test_reprs() -> None:
    assert repr(ng.Dropout()) == "Dropout(p=0.5)"
    assert repr(KINDS[1]) == "Dropout(p=0.3, rescale=False, shared_axes=(-1, 2))"
    assert repr(KINDS[2]) == "Dropout(p=0.2, shared_axes=slice(2, None))"
    assert repr(KINDS[4]) == "GaussianDropout(p=0.1, shared_axes=slice(None, -1, 2))"
    assert repr(ng.UniformNoise(1)) == "UniformNoise(width=1.0)"


def test_equal_numbers_make_equal_kinds() -> None:
    assert ng.Dropout(np.float64(0.25)) == ng.Dropout(0.25)
    assert ng.Dropout(0) == ng.Dropout(-0.0)
    assert hash(ng.Dropout(0)) == hash(ng.Dropout(-0.0))
    assert ng.Dropout(shared_axes=[2, 3]) == ng.Dropout(shared_axes=(2, np.int64(3)))
    assert ng.Dropout(shared_axes=2) == ng.Dropout(shared_axes=(2,))
    assert ng.Dropout(np.float32(0.1)).p == float(np.float32(0.1))  # as it holds it


def test_presets() -> None:
    assert ng.dropout_channels(0.3, "channels_first") == ng.Dropout(0.3, shared_axes=slice(2, None))
    assert ng.dropout_channels(0.3, "channels_last") == ng.Dropout(0.3, shared_axes=slice(1, -1))
    assert ng.dropout_locations(0.3, "channels_first") == ng.Dropout(0.3, shared_axes=1)
    assert ng.dropout_locations(0.3, "channels_last") == ng.Dropout(0.3, shared_axes=-1)
    assert ng.drop_path(0.3) == ng.Dropout(0.3, shared_axes="all_but_samples")
    assert ng.locked_dropout(0.3, 1) == ng.Dropout(0.3, shared_axes=1)
    assert ng.spatial_dropout is ng.dropout_channels


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        (ng.dropout_channels(0.5, "channels_first"), (3, 4, 1, 1)),
        (ng.dropout_channels(0.5, "channels_last"), (3, 1, 1, 6)),
        (ng.dropout_locations(0.5, "channels_first"), (3, 1, 5, 6)),
        (ng.dropout_locations(0.5, "channels_last"), (3, 4, 5, 1)),
        (ng.drop_path(0.5), (3, 1, 1, 1)),
        (ng.locked_dropout(0.5, 1), (3, 1, 5, 6)),
    ],
)
def test_presets_decide_once_for_what_they_share(kind: ng.Kind, groups: tuple[int, ...]) -> None:
    shape = (3, 4, 5, 6)
    mask = ng.mask(kind, shape, KEY)
    cut = tuple(slice(None, 1) if extent == 1 else slice(None) for extent in groups)
    assert mask[cut].shape == groups
    assert_same_bits(np.ascontiguousarray(mask), np.broadcast_to(mask[cut], shape).copy())
    assert 0 < mask.mean() < 1


def test_slices_work_for_every_rank() -> None:
    channels = ng.dropout_channels(0.5, "channels_first")
    for shape in ((4, 5), (4, 5, 6), (4, 5, 6, 2), (4, 5, 6, 2, 3)):
        mask = ng.mask(channels, shape, KEY)
        flat = mask.reshape(4, 5, -1)
        assert (flat == flat[:, :, :1]).all()
        # Sharing leaves the rows and offsets of what is decided: one field for all ranks.
        assert_same_bits(flat[:, :, 0].copy(), ng.mask(ng.Dropout(0.5), (4, 5), KEY))


# Identity, zeros, NaN ------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize(
    "kind",
    [
        ng.Dropout(0),
        ng.Dropout(2**-34),
        ng.GaussianNoise(0),
        ng.GaussianDropout(0),
        ng.UniformNoise(0),
    ],
)
def test_a_rate_of_0_returns_the_very_same_object(backend: Backend, kind: ng.Kind) -> None:
    x = backend.array(sample((3, 4)))
    assert kind(x, KEY) is x
    name = RATES[type(kind).__name__]
    strong = type(kind)(0.5)
    assert strong(x, KEY, **{name: 0}) is x
    assert strong(x, KEY, **{name: np.float32(0)}) is x


@each_backend
def test_p_of_1_gives_zeros(backend: Backend) -> None:
    x = backend.array(np.array([[1.0, -2.0], [np.inf, np.nan]], np.float32))
    y = numpy_of(ng.Dropout(1)(x, KEY))
    assert_same_bits(y, np.zeros((2, 2), np.float32))  # +0, not -0
    live = numpy_of(ng.Dropout(0.5)(x, KEY, p=backend.array(np.array(1.0))))
    assert_same_bits(live, np.zeros((2, 2), np.float32))


@each_backend
def test_removal_is_a_select(backend: Backend) -> None:
    x = np.full((50, 20), np.inf, np.float32)
    x[::2] = np.nan
    y = numpy_of(ng.Dropout(0.5)(backend.array(x), KEY))
    mask = ng.mask(ng.Dropout(0.5), x.shape, KEY)
    assert_same_bits(y[~mask], np.zeros((~mask).sum(), np.float32))
    assert np.isinf(y[1::2][mask[1::2]]).all()
    assert np.isnan(y[::2][mask[::2]]).all()


@each_backend
def test_the_values_are_those_and_no_others(backend: Backend) -> None:
    ones = backend.array(np.ones((40, 50), np.float32))
    assert set(np.unique(numpy_of(ng.Dropout(0.5)(ones, KEY)))) == {0.0, 2.0}
    scale = np.float32(2**32 / (2**32 - round(0.1 * 2**32)))
    assert set(np.unique(numpy_of(ng.Dropout(0.1)(ones, KEY)))) == {np.float32(0), scale}
    assert set(np.unique(numpy_of(ng.Dropout(0.1, rescale=False)(ones, KEY)))) == {0.0, 1.0}


@each_backend
def test_a_kind_without_a_shift_leaves_minus_0(backend: Backend) -> None:
    x = backend.array(np.full((10, 10), -0.0, np.float32))
    y = numpy_of(ng.Dropout(0.5)(x, KEY))
    mask = ng.mask(ng.Dropout(0.5), (10, 10), KEY)
    assert_same_bits(np.signbit(y), mask)


@each_backend
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.bool_, np.int32])
def test_integers_without_rescaling_keep_their_dtype(backend: Backend, dtype: Any) -> None:
    x = np.ones((6, 7), dtype)
    y = ng.Dropout(0.4, rescale=False)(backend.array(x), KEY)
    assert_same_bits(numpy_of(y), ng.mask(ng.Dropout(0.4), (6, 7), KEY).astype(dtype))


def test_raising_p_only_ever_removes_more() -> None:
    masks = [ng.mask(ng.Dropout(p), (50, 60), KEY) for p in (0.1, 0.1000001, 0.3, 0.9, 1.0)]
    for fewer, more in itertools.pairwise(masks):
        assert not (more & ~fewer).any()
    assert not masks[-1].any()


# Live rates ----------------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize(
    "kind", [ng.Dropout(), ng.GaussianNoise(), ng.GaussianDropout(), ng.UniformNoise(1)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_live_rate_is_that_rate(backend: Backend, kind: ng.Kind, dtype: Any) -> None:
    x = sample((6, 11), dtype)
    name = RATES[type(kind).__name__]
    for rate in (0.0, 0.25, 0.3, 0.9):
        constant = numpy_of(type(kind)(rate)(backend.array(x), KEY))
        live = numpy_of(kind(backend.array(x), KEY, **{name: backend.array(np.array(rate))}))
        # A scale computed from a live rate is within 1 ulp, and its product with x within 2.
        assert_ulps(live, constant, 3, larger=np.maximum(np.abs(x), np.abs(constant)))
        assert_same_bits(live == 0, constant == 0)
        assert_same_bits(numpy_of(kind(backend.array(x), KEY, **{name: rate})), constant)


@each_backend
def test_a_live_rate_broadcasts(backend: Backend) -> None:
    x = np.ones((64, 5), np.float32)
    rates = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    y = numpy_of(ng.Dropout()(backend.array(x), KEY, p=backend.array(rates)))
    for column, rate in enumerate(rates):
        expected = ng.mask(ng.Dropout(rate), (64, 5), KEY)[:, column]
        assert_same_bits(y[:, column] != 0, expected)
    per_sample = rates.repeat(13)[:64, None]
    y = numpy_of(ng.Dropout()(backend.array(x), KEY, p=backend.array(per_sample)))
    assert_same_bits(y != 0, ng.mask(ng.Dropout(), (64, 5), KEY, p=per_sample))


@each_backend
def test_a_live_rate_is_clamped_and_nan_gives_nan(backend: Backend) -> None:
    x = np.ones((4, 30), np.float32)
    for kind, name, low, high in (
        (ng.Dropout(), "p", 0.0, 1.0),
        (ng.GaussianDropout(), "p", 0.0, None),
        (ng.GaussianNoise(), "sigma", 0.0, None),
        (ng.UniformNoise(1), "width", 0.0, None),
    ):

        def at(rate: float, kind: ng.Kind = kind, name: str = name) -> np.ndarray:
            live = backend.array(np.array(rate, np.float32))
            return numpy_of(kind(backend.array(x), KEY, **{name: live}))

        assert np.isnan(at(np.nan)).all()
        assert_same_bits(at(-0.3), at(low))
        if high is not None:
            assert_same_bits(at(1.7), at(high))
    assert np.isnan(
        numpy_of(
            ng.Dropout(rescale=False)(backend.array(x), KEY, p=backend.array(np.array(np.nan)))
        )
    ).all()
    beyond = backend.array(np.array(1.0, np.float32))
    assert np.isfinite(numpy_of(ng.GaussianDropout()(backend.array(x), KEY, p=beyond))).all()


@each_backend
def test_live_rates_draw_as_they_hold_their_value(backend: Backend) -> None:
    # 0.1 in float16 is 0.0999755859375: the threshold is that of this number.
    half = np.array(0.1, np.float16)
    x = np.ones((200, 300), np.float32)
    y = numpy_of(ng.Dropout()(backend.array(x), KEY, p=backend.array(half)))
    assert_same_bits(y != 0, ng.mask(ng.Dropout(float(half)), x.shape, KEY))


# Masks and fields ----------------------------------------------------------------------------


@each_backend
@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_field_is_what_the_kind_does(backend: Backend, kind: ng.Kind, dtype: Any) -> None:
    x = sample((3, 4, 5, 6), dtype)
    keep, gain, shift, fill = ng.noise(kind, x.shape, KEY, dtype=dtype)
    for part in (keep, gain, shift, fill):
        assert part.shape == x.shape
    assert keep.dtype == bool
    assert gain.dtype == shift.dtype == fill.dtype == dtype
    expected = np.where(keep, gain * x + shift, fill)
    assert_same_bits(numpy_of(kind(backend.array(x), KEY)), expected)


def test_a_mask_is_true_where_kept() -> None:
    kind = ng.Dropout(0.4)
    y = kind(np.ones((9, 14)), KEY)
    mask = ng.mask(kind, (9, 14), KEY)
    assert_same_bits(mask, y != 0)
    assert_same_bits(mask, np.array(ng.noise(kind, (9, 14), KEY).keep))
    assert ng.mask(ng.Dropout(0), (5,), KEY).all()
    assert not ng.mask(ng.Dropout(1), (5,), KEY).any()
    assert ng.mask(kind, 5, KEY).shape == (5,)


def test_shared_axes_are_broadcast_views() -> None:
    mask = ng.mask(ng.spatial_dropout(0.5, "channels_first"), (4, 8, 100, 100), KEY)
    assert mask.shape == (4, 8, 100, 100)
    assert mask.strides[2:] == (0, 0)


@each_kind
def test_rows_rebuild_any_part_without_the_rest(kind: ng.Kind) -> None:
    shape = (40, 3, 5, 2)
    whole = ng.noise(kind, shape, KEY)
    for rows, index in (
        (slice(8, 20), slice(8, 20)),
        (slice(-5, None), slice(-5, None)),
        (slice(None, None, -3), slice(None, None, -3)),
        ([7, 7, 3], [7, 7, 3]),
        (np.array([39, 0], np.uint64), [39, 0]),
        (torch.tensor([4, 5]), [4, 5]),
        (range(2, 30, 9), slice(2, 30, 9)),
        ([], slice(0, 0)),
    ):
        part = ng.noise(kind, shape, KEY, rows=rows)
        for mine, theirs in zip(part, whole, strict=True):
            assert_same_bits(np.array(mine), np.array(theirs[index]))


def test_ids_may_be_any_numbers_and_their_count_is_the_extent() -> None:
    far = ng.mask(ng.Dropout(), (4, 100), KEY, rows=[2**64 - 1, 2**32, 0])
    assert far.shape == (3, 100)
    assert_same_bits(far[2:], ng.mask(ng.Dropout(), (1, 100), KEY))
    axis_1 = ng.mask(ng.Dropout(), (100, 4), KEY, rows=[2**64 - 1, 2**32, 0], sample_axis=1)
    assert_same_bits(axis_1.T.copy(), far)


def test_ranks_0_and_1_have_no_samples_unless_named() -> None:
    without = ng.mask(ng.Dropout(), (64,), KEY)
    assert_same_bits(without, ng.mask(ng.Dropout(), (1, 64), KEY)[0])
    named = ng.mask(ng.Dropout(), (64,), KEY, sample_axis=0)
    assert_same_bits(named, ng.mask(ng.Dropout(), (64, 1), KEY)[:, 0])
    assert (named != without).any()
    none = ng.mask(ng.Dropout(), (4, 16), KEY, sample_axis=None)
    assert_same_bits(none.reshape(-1), without)
    assert ng.mask(ng.Dropout(), (), KEY).shape == ()


def test_a_shared_sample_axis_has_row_0() -> None:
    mask = ng.mask(ng.Dropout(shared_axes=0), (5, 30), KEY)
    assert (mask == mask[0]).all()
    assert_same_bits(mask[0].copy(), ng.mask(ng.Dropout(), (1, 30), KEY)[0])


def test_keys_that_differ_anywhere_give_other_noise() -> None:
    site = ng.Stream(13).site("hid1:out")
    keys = [
        KEY,
        ng.Stream(14).site("hid1:out").at(0),
        ng.Stream(13).site("hid2:out").at(0),
        ng.Stream(13).site("hid1:out", slot=1).at(0),
        site.at(1),
        site.at(0, call=1),
    ]
    masks = [ng.mask(ng.Dropout(), (200,), key).tobytes() for key in keys]
    assert len(set(masks)) == len(keys)


def test_two_kinds_at_one_site_draw_apart() -> None:
    u = [ng.noise(kind, (4000,), KEY).shift for kind in (ng.UniformNoise(1), ng.GaussianNoise(1))]
    assert abs(np.corrcoef(*u)[0, 1]) < 0.1


def test_unknown_objects_are_refused_in_a_sentence() -> None:
    with pytest.raises(ng.InvalidType, match="must be an array of numpy or torch"):
        ng.Dropout()([1.0, 2.0], KEY)
    with pytest.raises(ng.InvalidType, match="`key` must be a Key"):
        ng.Dropout()(np.ones(3), 13)  # type: ignore[arg-type]
