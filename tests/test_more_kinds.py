"""What the younger kinds promise: exact sets and places first, then moments."""

import math
from typing import Any

import numpy as np
import pytest
import torch

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_within
from _backends import BACKENDS, Backend, each_backend, each_dtype, numpy_of, pure_engines

KEY = ng.Stream(13).site("hid1:out").at(5)
# Each with a shape that it takes.
KINDS: list[tuple[ng.Kind, tuple[int, ...]]] = [
    (ng.NeftuneNoise(5), (6, 7, 4)),
    (ng.ShotNoise(0.3), (6, 7, 4)),
    (ng.ShotNoise(0.004), (6, 7, 4)),
    (ng.QuantizationNoise(0.6, 3), (6, 7, 4)),
    (ng.QuantizationNoise(0.6, 3, channel_axes=-1, shared_axes=1), (6, 7, 4)),
    (ng.RandomErasing(0.7), (6, 2, 9, 7)),
    (ng.RandomErasing(0.7, axes=(1, 2), shared_axes=()), (6, 9, 7, 2)),
    (ng.SpanMask(0.7, 4, 3), (6, 7, 12)),
    (ng.PatchDropout(0.7), (6, 9, 4)),
    (ng.SpanMask(0.7, (3, 5), axes=(2, 3), vary=False, shared_axes=1), (6, 2, 9, 7)),
]
each_kind = pytest.mark.parametrize(("kind", "shape"), KINDS, ids=lambda value: repr(value))


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.abs(np.random.default_rng(7).normal(size=shape)).astype(dtype)


@each_kind
@each_dtype
def test_every_engine_and_dtype(kind: ng.Kind, shape: Any, dtype: np.dtype) -> None:
    for x in (sample(shape, dtype), np.zeros(shape, dtype), sample((0, *shape[1:]), dtype)):
        ours = kind(x, KEY)
        assert (ours.dtype, ours.shape) == (dtype, x.shape)
        for backend in BACKENDS:
            array = backend.array(x)
            assert_same_bits(numpy_of(kind(array, KEY)), ours)
            with pure_engines():
                assert_same_bits(numpy_of(kind(array, KEY)), ours)
            assert_same_bits(numpy_of(array), x)  # not written to


@each_kind
@each_backend
def test_a_sample_depends_on_no_other(backend: Backend, kind: ng.Kind, shape: Any) -> None:
    x = sample(shape)
    whole = numpy_of(kind(backend.array(x), KEY))
    order = [5, 0, 2]
    assert_same_bits(numpy_of(kind(backend.array(x[order]), KEY, rows=order)), whole[order])
    grown = np.concatenate([x, 9 * x])
    assert_same_bits(numpy_of(kind(backend.array(grown), KEY))[:6], whole)
    layout = np.asfortranarray(x)
    assert_same_bits(np.ascontiguousarray(numpy_of(kind(backend.array(layout), KEY))), whole)


@each_kind
def test_the_field_is_what_the_kind_does(kind: ng.Kind, shape: Any) -> None:
    x = sample(shape)
    keep, gain, shift, fill = ng.noise(kind, x if kind.reads_input else shape, KEY)
    assert_same_bits(kind(x, KEY), np.where(keep, gain * x + shift, fill).astype(np.float32))
    if kind.removes:
        assert_same_bits(ng.mask(kind, shape, KEY).copy(), keep.copy())
        part = ng.mask(kind, shape, KEY, rows=[4, 1])
        assert_same_bits(part.copy(), keep[[4, 1]])
        cache = ng.numpy.forward(kind, x, rng=KEY)[1]
        assert_same_bits(cache.mask.astype(bool), keep.copy())


@each_kind
@each_backend
def test_rates_at_both_ends_and_as_arrays(backend: Backend, kind: ng.Kind, shape: Any) -> None:
    array = backend.array(sample(shape))
    assert kind.at_rate(0)(array, KEY) is array
    live = backend.array(np.array([0.7] * 6).reshape(6, *[1] * (len(shape) - 1)))
    given = {kind.RATE: live}
    assert_same_bits(numpy_of(kind(array, KEY, **given)), numpy_of(kind.at_rate(0.7)(array, KEY)))
    mixed = np.array([0, 0.7] * 3).reshape(6, *[1] * (len(shape) - 1))
    y = numpy_of(kind(array, KEY, **{kind.RATE: backend.array(mixed)}))
    assert_same_bits(y[::2], numpy_of(array)[::2])
    assert_same_bits(y[1::2], numpy_of(kind.at_rate(0.7)(array, KEY))[1::2])


# Neftune -------------------------------------------------------------------------------------


def test_neftune_is_uniform_noise_of_a_width_by_size() -> None:
    x = sample((4, 7, 9), np.float64)
    uniform = ng.noise(ng.NeftuneNoise(1), x.shape, KEY, dtype="float64").shift * math.sqrt(63)
    assert np.abs(uniform).max() < 1
    norms = np.linalg.norm((ng.NeftuneNoise(5)(x, KEY) - x).reshape(4, -1), axis=1)
    assert (norms < 5).all()
    wide = ng.noise(ng.NeftuneNoise(5), (200, 50, 20), KEY, dtype="float64").shift
    assert_within(wide.mean(), 0, 5 / math.sqrt(1000 * 3 * wide.size))
    assert_within(wide.var(), 25 / 3000, 25 / 3000 * math.sqrt(0.8 / wide.size))


def test_neftune_of_a_sample_s_own_length() -> None:
    """As a jagged tensor, and in a padded batch by an alpha of each sample's own."""
    lengths, width = torch.tensor([3, 8, 5]), 4
    parts = [torch.randn(int(n), width) for n in lengths]
    apart = [ng.NeftuneNoise(5)(part[None], KEY, rows=[i])[0] for i, part in enumerate(parts)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    for mine, theirs in zip(ng.NeftuneNoise(5)(nested, KEY).unbind(), apart, strict=True):
        assert_same_bits(mine, theirs)
    padded = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    alpha = 5 * (padded.shape[1] / lengths.double()).sqrt()
    y = ng.NeftuneNoise()(padded, KEY, alpha=alpha[:, None, None])
    for row, n, theirs in zip(y, lengths, apart, strict=True):
        torch.testing.assert_close(row[:n], theirs, rtol=1e-6, atol=1e-7)


# Shot noise ----------------------------------------------------------------------------------


@each_backend
def test_shot_noise_counts(backend: Backend) -> None:
    x = np.repeat(np.array([[0.0], [0.5], [3.0], [40.0]]), 100_000, axis=1)
    y = numpy_of(ng.ShotNoise(0.25)(backend.array(x), KEY))
    events = y / 0.25
    assert (events == np.rint(events)).all()
    assert (y[0] == 0).all()
    for row, mean in zip(events[1:], (2.0, 12.0, 160.0), strict=True):
        assert_within(row.mean(), mean, math.sqrt(mean / row.size))
        # The fourth central moment of a Poisson number is mean + 3 mean².
        assert_within(row.var(), mean, math.sqrt((mean + 2 * mean**2) / row.size))
        for k in (int(mean), int(mean) + 2):
            chance = math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))
            assert_rate(int((row == k).sum()), row.size, chance)


@each_backend
def test_what_cannot_be_counted_stays(backend: Backend) -> None:
    x = np.array([[np.nan, np.inf, 1e300, 2.0]])
    y = numpy_of(ng.ShotNoise(0.5)(backend.array(x), KEY))
    assert_same_bits(y[:, :3], x[:, :3])
    assert y[0, 3] % 0.5 == 0


# Quantisation --------------------------------------------------------------------------------


@each_backend
def test_quantized_values_are_on_the_grid_of_their_group(backend: Backend) -> None:
    x = np.random.default_rng(1).normal(size=(4, 6, 50))
    kind = ng.QuantizationNoise(1.0, 4)
    for part in numpy_of(kind(backend.array(x), KEY)):
        assert len(np.unique(part)) <= 16
        assert np.isin(0.0, part)  # which padding and biases are
    flat = numpy_of(kind(backend.array(x), KEY, sample_axis=None))
    step = (x.max() - x.min()) / 15
    assert np.abs(flat - x).max() <= step / 2 * 1.000001 + step
    assert np.median(np.abs(flat - x)) < step / 2
    assert len(np.unique(np.rint(flat / step))) <= 16
    channels = ng.QuantizationNoise(1.0, 4, channel_axes=(0, 1))
    rows = numpy_of(channels(backend.array(x), KEY, sample_axis=None)).reshape(24, 50)
    alone = [numpy_of(kind(backend.array(r), KEY)) for r in x.reshape(24, 50)]
    assert_same_bits(rows, np.stack(alone))


def test_a_part_of_the_elements_is_quantized() -> None:
    x = np.random.default_rng(1).normal(size=(300, 400))
    kind, whole = ng.QuantizationNoise(0.3, 4), ng.QuantizationNoise(1.0, 4)
    keep = ng.mask(kind, x.shape, KEY)
    assert_rate(int((~keep).sum()), x.size, 0.3)
    assert_same_bits(kind(x, KEY), np.where(keep, x, whole(x, KEY)))
    more = ng.mask(ng.QuantizationNoise(0.5, 4), x.shape, KEY)
    assert (keep | ~more).all()  # a larger p quantizes more, and those as before
    blocks = ng.mask(ng.QuantizationNoise(0.3, shared_axes=1), x.shape, KEY)
    assert (blocks == blocks[:, :1]).all()


def test_quantization_of_a_weight_in_training_leaves_it_and_reaches_it() -> None:
    weight = torch.randn(8, 5, requires_grad=True)
    kind = ng.QuantizationNoise(0.5, 4, channel_axes=0)
    y = torch.nn.functional.linear(torch.ones(3, 5), kind(weight, KEY, sample_axis=None))
    y.sum().backward()
    assert_same_bits(weight.grad, torch.full((8, 5), 3.0))


# Rectangles and spans ------------------------------------------------------------------------


def find_box(keep: np.ndarray) -> tuple[int, ...]:
    """Return first and last index of what a map removes on each axis, or raise if it is no box."""
    places = np.nonzero(~keep)
    box = [(int(place.min()), int(place.max()) + 1) for place in places]
    assert (~keep).sum() == math.prod(end - first for first, end in box)
    return tuple(index for ends in box for index in ends)


def test_one_rectangle_a_sample_of_the_area_and_ratio_asked_for() -> None:
    mask = ng.mask(ng.RandomErasing(1.0, (0.1, 0.2), (0.5, 2.0)), (3000, 3, 40, 60), KEY)
    assert (mask == mask[:, :1]).all()
    tops, bottoms, lefts, rights = np.array([find_box(m) for m in mask[:, 0]]).T
    heights, widths = bottoms - tops, rights - lefts
    area, ratio = heights * widths / 2400, heights / widths
    assert 0.09 < area.min() < 0.105
    assert 0.195 < area.max() < 0.21
    assert 0.46 < ratio.min() < 0.55
    assert 1.9 < ratio.max() < 2.15
    assert_within(area.mean(), 0.15, 0.1 / math.sqrt(12 * 3000) + 1e-4)
    # Each place inside is as likely as another.
    along = tops / (40 - heights)
    assert_within(along.mean(), 0.5, math.sqrt(1 / 12 / 3000) * 1.2)
    assert {0, 40} <= {int(tops.min()), int(bottoms.max())}


def test_rectangles_come_with_probability_p_and_fit_at_any_rate() -> None:
    mask = ng.mask(ng.RandomErasing(0.3), (5000, 1, 8, 8), KEY)
    assert_rate(int((~mask).any((1, 2, 3)).sum()), 5000, 0.3)
    every = ng.mask(ng.RandomErasing(1.0), (5000, 1, 8, 8), KEY)
    chosen = (~mask).any((1, 2, 3))
    assert_same_bits(mask[chosen].copy(), every[chosen].copy())
    whole = ng.mask(ng.RandomErasing(1.0, (1.0, 1.0), (1.0, 1.0)), (9, 1, 8, 8), KEY)
    assert not whole.any()
    assert not ng.mask(ng.RandomErasing(1.0, (9.0, 9.0)), (9, 1, 8, 5), KEY).any()
    own = ng.mask(ng.RandomErasing(1.0, shared_axes=()), (50, 2, 8, 8), KEY)
    assert (own[:, 0] != own[:, 1]).any()


def test_spans_have_lengths_up_to_the_size_and_lie_inside() -> None:
    keep = ng.mask(ng.SpanMask(1.0, 7, shared_axes=1), (48000, 2, 20), KEY)
    assert (keep == keep[:, :1]).all()
    removed = ~keep[:, 0]
    lengths = removed.sum(1)
    assert ((np.diff(removed.astype(int), axis=1) == 1).sum(1) + removed[:, 0] <= 1).all()
    for length in range(8):
        assert_rate(int((lengths == length).sum()), 48000, 1 / 8)
    firsts = removed.argmax(1)
    for first in range(14):
        assert_rate(int((firsts[lengths == 7] == first).sum()), int((lengths == 7).sum()), 1 / 14)


def test_a_count_of_spans_is_that_many_spans() -> None:
    several = ng.SpanMask(0.6, 5, 3)
    shape = (4000, 30)
    keep = ng.mask(several, shape, KEY)
    pieces = (np.diff((~keep).astype(int), axis=1) == 1).sum(1) + ~keep[:, 0]
    assert set(np.unique(pieces)) == {0, 1, 2, 3}
    fewer = ng.mask(ng.SpanMask(0.6, 5, 2), shape, KEY)
    assert (fewer | ~keep).all()


def test_cutout_has_one_size_and_is_cut_by_the_edges() -> None:
    cutout = ng.SpanMask(1.0, 5, axes=(2, 3), vary=False, shared_axes=1, fill=0.5)
    x = np.ones((6000, 3, 12, 9), np.float32)
    y = cutout(x, KEY)
    assert set(np.unique(y)) == {0.5, 1.0}
    boxes = np.array([find_box(image[0] == 1) for image in y])
    heights = boxes[:, 1] - boxes[:, 0]
    assert set(heights) == {3, 4, 5}  # the middle is inside, so half of it stays
    middles = np.where(boxes[:, 0] > 0, boxes[:, 0] + 2, boxes[:, 1] - 3)
    for middle in range(12):
        assert_rate(int((middles == middle).sum()), 6000, 1 / 12)


@each_backend
def test_images_of_whole_numbers_keep_their_dtype(backend: Backend) -> None:
    x = np.full((50, 3, 8, 8), 200, np.uint8)
    for kind in (ng.RandomErasing(1.0, fill=7), ng.SpanMask(1.0, 4, fill=7, axes=(2, 3))):
        y = numpy_of(kind(backend.array(x), KEY))
        assert y.dtype == np.uint8
        assert set(np.unique(y)) == {7, 200}


def test_complex_numbers_have_one_mask_for_both_parts() -> None:
    x = (sample((6, 12)) + 1j * sample((6, 12))).astype(np.complex64)
    y = ng.SpanMask(1.0, 5)(x, KEY)
    assert_same_bits(y.real.copy(), ng.SpanMask(1.0, 5)(x.real.copy(), KEY))
    assert_same_bits(y.imag.copy(), ng.SpanMask(1.0, 5)(x.imag.copy(), KEY))


# Zoneout -------------------------------------------------------------------------------------


def test_a_mask_of_bools_blends_a_state_with_the_former_one() -> None:
    """Which zoneout needs: no sum of two products, and no rounding."""
    new, old = torch.randn(6, 5), torch.randn(6, 5)
    rates = (0.0, 0.3, 1.0)
    for kind in [*(ng.Dropout(p, rescale=False) for p in rates), *map(ng.Zoneout, rates)]:
        keep = kind(torch.ones(6, 5, dtype=torch.bool), KEY)
        assert_same_bits(keep, torch.tensor(ng.mask(kind, (6, 5), KEY)))
        state = torch.where(keep, new, old)
        assert torch.equal(state[keep], new[keep])
        assert torch.equal(state[~keep], old[~keep])


@each_backend
@each_dtype
def test_zoneout_alone_selects_by_a_mask_of_its_own(backend: Backend, dtype: np.dtype) -> None:
    x = sample((6, 40), dtype)
    x[:, 0] = np.inf
    removed = []
    for p in (0.1, 0.4, 0.9):
        keep = ng.mask(ng.Zoneout(p), x.shape, KEY)
        assert (keep != ng.mask(ng.Dropout(p), x.shape, KEY)).any()
        y = numpy_of(ng.Zoneout(p)(backend.array(x), KEY))
        assert_same_bits(y, np.where(keep, x, dtype.type(0)))
        removed.append(~keep)
    assert (removed[0] <= removed[1]).all()
    assert (removed[1] <= removed[2]).all()
    assert not ng.mask(ng.Zoneout(1.0), x.shape, KEY).any()
    assert ng.Zoneout(0.0)(x, KEY) is x
    mask = ng.mask(ng.Zoneout(0.3), (300, 400), KEY)
    assert_rate(np.count_nonzero(~mask), mask.size, 0.3)


def test_a_state_that_zoneout_keeps_has_the_whole_gradient() -> None:
    new, old = (torch.randn(6, 5, requires_grad=True) for _ in "ab")
    keep = ng.Zoneout(0.4)(torch.ones(6, 5, dtype=torch.bool), KEY)
    torch.where(keep, new, old).sum().backward()
    assert_same_bits(new.grad, keep.float())
    assert_same_bits(old.grad, (~keep).float())
    alone = new.detach().requires_grad_()
    ng.Zoneout(0.4)(alone, KEY).sum().backward()
    assert_same_bits(alone.grad, keep.float())


# Multiplicative ------------------------------------------------------------------------------


def test_multiplicative_noises_are_those_that_they_share_a_formula_with() -> None:
    ones = np.ones((400, 500))
    speckle, uniform = (
        ng.SpeckleNoise(0.2)(ones, KEY),
        ng.MultiplicativeUniformNoise(0.2)(ones, KEY),
    )
    assert_within(speckle.mean(), 1, 0.2 / math.sqrt(ones.size))
    assert_within(speckle.var(), 0.04, 0.04 * math.sqrt(2 / ones.size))
    assert 0.8 < uniform.min() < uniform.max() < 1.2
    assert_within(uniform.var(), 0.04 / 3, 0.04 / 3 * math.sqrt(0.8 / ones.size))
    for kind in (ng.SpeckleNoise(0.2), ng.MultiplicativeUniformNoise(0.2), ng.NeftuneNoise(0.2)):
        x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda x, rate: kind(x, KEY, **{kind.RATE: rate}),  # noqa: B023
            (x, rate),
            check_forward_ad=True,
        )


# Tokens --------------------------------------------------------------------------------------


def test_each_sample_loses_the_nearest_whole_number_of_tokens() -> None:
    for n, p in [(1, 0.9), (2, 0.25), (3, 0.5), (10, 0.35), (16, 0.1), (16, 0.999), (196, 0.5)]:
        mask = ng.mask(ng.PatchDropout(p), (7, n + 1, 3), KEY)
        assert (mask == mask[..., :1]).all()
        assert mask[:, 0].all()
        removed = (~mask[:, :, 0]).sum(1)
        assert (removed == min(math.floor(p * n + 0.5), n - 1)).all()
    assert ng.mask(ng.PatchDropout(0.5, 3), (7, 3, 2), KEY).all()
    assert ng.mask(ng.PatchDropout(0.5, 9), (7, 3, 2), KEY).all()
    assert ng.mask(ng.PatchDropout(0.5), (7, 0, 2), KEY).shape == (7, 0, 2)


def test_each_token_is_removed_as_often_as_another_and_more_with_a_larger_p() -> None:
    shape = (20_000, 9, 1)
    mask = ng.mask(ng.PatchDropout(0.25, 1), shape, KEY)[..., 0]
    for token in range(1, 9):
        assert_rate(int((~mask[:, token]).sum()), 20_000, 0.25)
    pairs = ~mask[:, 1] & ~mask[:, 2]
    assert_rate(int(pairs.sum()), 20_000, 0.25 * 1 / 7)
    more = ng.mask(ng.PatchDropout(0.75, 1), shape, KEY)[..., 0]
    assert (mask | ~more).all()
    turned = ng.mask(ng.PatchDropout(0.25), (9, 20_000, 1), KEY, sample_axis=1)[..., 0]
    assert_same_bits(turned.T.copy(), mask.copy())
    alone = ng.mask(ng.PatchDropout(0.25), (9, 4), KEY, sample_axis=None)
    assert (alone == alone[:, :1]).all()
    assert_same_bits(alone[:, 0].copy(), mask[0].copy())


@each_backend
def test_a_live_share_is_that_of_each_sample(backend: Backend) -> None:
    x = sample((6, 9, 4))
    rates = np.array([0.0, 0.1, 0.5, 0.9, 2.0, np.nan]).reshape(6, 1, 1)
    y = numpy_of(ng.PatchDropout()(backend.array(x), KEY, p=backend.array(rates)))
    for i, p in enumerate([0.0, 0.1, 0.5, 0.9, 1 - 2.0**-53]):
        assert_same_bits(y[[i]], ng.PatchDropout(p)(x[[i]], KEY, rows=[i]))
    assert np.isnan(y[5]).all()
