"""DropBlock: any ranks, axes, block sizes and parts; shares and means at every position."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import noisegate as ng
from _asserts import assert_rate, assert_same_bits, assert_within
from _backends import BACKENDS, Backend, each_backend, each_dtype, numpy_of
from noisegate.core import philox
from noisegate.core.draws import Draws
from noisegate.core.window import Window

SITE = ng.Stream(13).site("conv1:out")
KEY = SITE.at(0)
TORCH = BACKENDS[1]


def both(kind: ng.Kind, x: np.ndarray, **arguments: Any) -> np.ndarray:
    """Return the noised array, once NumPy's and torch's have been found equal."""
    ours = kind(x, KEY, **arguments)
    assert_same_bits(numpy_of(kind(TORCH.array(x), KEY, **arguments)), ours)
    return np.asarray(ours)


def sample(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


# Equality ------------------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("normalize", ["expected", "sample"])
@pytest.mark.parametrize(
    "shape", [(3, 2, 9), (3, 2, 5, 6), (2, 2, 3, 4, 5), (0, 2, 4), (2, 3, 0), (1, 1, 1)]
)
def test_engines_agree(dtype: np.dtype, normalize: str, shape: tuple[int, ...]) -> None:
    y = both(ng.DropBlock(0.4, 3, normalize=normalize), sample(shape, dtype))
    assert (y.shape, y.dtype) == (shape, dtype)


@given(
    shape=st.lists(st.integers(0, 6), min_size=2, max_size=5).map(tuple),
    data=st.data(),
    block=st.integers(1, 8),
    p=st.floats(0, 1),
    normalize=st.sampled_from(["expected", "sample"]),
)
def test_any_axes_blocks_and_rows(
    shape: tuple[int, ...], data: st.DataObject, block: int, p: float, normalize: str
) -> None:
    axis = data.draw(st.sampled_from([None, *range(len(shape))]))
    free = [a for a in range(len(shape)) if a != axis]
    spatial = data.draw(st.sets(st.sampled_from(free), min_size=1, max_size=3))
    others = [a for a in range(len(shape)) if a not in spatial]
    shared = data.draw(st.sets(st.sampled_from(others))) if others else set()
    rows = None
    if axis is not None:
        ids = st.integers(0, 2**64 - 1)
        rows = data.draw(st.none() | st.lists(ids, min_size=shape[axis], max_size=shape[axis]))
    kind = ng.DropBlock(p, block, tuple(spatial), shared_axes=tuple(shared), normalize=normalize)
    both(kind, sample(shape), rows=rows, sample_axis=axis)


def slow_mask(p: float, sizes: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the mask of a (samples, channels, height, width) by its definition."""
    high, wide = sizes
    n, c, height, width = shape
    t = philox.block_threshold(p, high * wide)
    at = Window((n, c, height + high - 1, width + wide - 1), 0, range(n), (0,) * 4, ())
    at = Window(at.shape, 0, at.rows, at.start, at.shape)
    seed = Draws(BACKENDS[0].engine(), "DropBlock", KEY, at, "float32").u32() < t
    keep = np.ones(shape, bool)
    for i, j in product(range(height + high - 1), range(width + wide - 1)):
        top, left = max(0, i - high + 1), max(0, j - wide + 1)
        keep[:, :, top : i + 1, left : j + 1] &= ~seed[:, :, i, j][:, :, None, None]
    return keep


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (3, 3), (2, 5), (7, 1), (6, 9)])
def test_a_seed_removes_the_block_that_ends_at_it(sizes: tuple[int, int]) -> None:
    for p in (0.05, 0.5, 0.95):
        mask = ng.mask(ng.DropBlock(p, sizes), (3, 2, 5, 7), KEY)
        assert_same_bits(mask, slow_mask(p, sizes, (3, 2, 5, 7)))


@each_backend
@pytest.mark.parametrize("normalize", ["expected", "sample"])
def test_any_part_of_a_map_has_the_noise_of_the_whole(backend: Backend, normalize: str) -> None:
    shape = (4, 3, 8, 9)
    kind = ng.DropBlock(0.4, (3, 4), normalize=normalize)

    def field(start: tuple[int, ...], extent: tuple[int, ...]) -> Any:
        window = Window(shape, 0, range(4), start, extent)
        draws = Draws(backend.engine(), "DropBlock", KEY, window, "float32")
        return kind.field(draws, 0.4)

    whole = field((0, 0, 0, 0), shape)
    for start, extent in (((0, 1, 2, 3), (4, 2, 5, 4)), ((0, 2, 7, 8), (4, 1, 1, 1))):
        cut = tuple(slice(s, s + e) for s, e in zip(start, extent, strict=True))
        part = field(start, extent)
        assert_same_bits(numpy_of(part.keep), numpy_of(whole.keep)[cut].copy())
        if normalize == "sample":
            assert_same_bits(numpy_of(part.gain), numpy_of(whole.gain))
        else:
            assert part.gain == whole.gain


def test_a_sample_depends_on_no_other() -> None:
    x = np.ones((6, 2, 8, 8), np.float32)
    for normalize in ("expected", "sample"):
        kind = ng.DropBlock(0.3, 3, normalize=normalize)
        whole = kind(x, KEY)
        for i in range(6):
            assert_same_bits(kind(x[i : i + 1], KEY, rows=[i]), whole[i : i + 1])


def test_channels_are_independent_or_together() -> None:
    apart = ng.mask(ng.DropBlock(0.3, 3), (4, 8, 9, 9), KEY)
    assert (apart != apart[:, :1]).any()
    together = ng.mask(ng.DropBlock(0.3, 3, shared_axes=1), (4, 8, 9, 9), KEY)
    assert (together == together[:, :1]).all()
    last = ng.mask(ng.DropBlock(0.3, 3, slice(1, -1), shared_axes=-1), (4, 9, 9, 8), KEY)
    assert_same_bits(np.moveaxis(last, -1, 1).copy(), np.array(together))


def test_blocks_of_1_remove_like_dropout() -> None:
    # Other bits, since the kind's name is in the key; the same rate, scale and shape.
    kind = ng.DropBlock(0.3, 1)
    y = kind(np.ones((64, 8, 16, 16)), KEY)
    assert_rate(int((y == 0).sum()), y.size, 0.3)
    assert set(np.unique(y)) == {0.0, philox.survivor_scale(round(0.3 * 2**32), 53)}


# Nothing, everything -------------------------------------------------------------------------


@each_backend
def test_p_of_0_and_1(backend: Backend) -> None:
    x = np.array([[[np.inf, np.nan, 1.0]]], np.float32)
    array = backend.array(x)
    assert ng.DropBlock(0, 3)(array, KEY) is array
    for normalize in ("expected", "sample"):
        gone = ng.DropBlock(1, 3, normalize=normalize)(array, KEY)
        assert_same_bits(numpy_of(gone), np.zeros_like(x))


def test_a_rate_too_small_for_a_seed_leaves_everything() -> None:
    x = sample((2, 2, 5, 5))
    assert_same_bits(ng.DropBlock(1e-12, 7)(x, KEY), x)


def test_a_sample_of_which_nothing_is_left_is_zeros() -> None:
    x = np.ones((400, 1, 3, 3), np.float32)
    y = ng.DropBlock(0.9, 5, normalize="sample")(x, KEY)
    assert np.isfinite(y).all()
    sums = y.sum((1, 2, 3))
    empty = sums == 0
    assert 0 < empty.sum() < 400
    np.testing.assert_allclose(sums[~empty], 9, rtol=1e-6)  # each keeps the mean of its mask


# Shares and means ----------------------------------------------------------------------------

SPACES = {1: (9,), 2: (6, 5), 3: (4, 3, 4)}


def assert_positions(y: np.ndarray, p: float) -> None:
    """Of ones (samples, positions), each position is removed at p and has mean 1."""
    samples = len(y)
    for removed, mean in zip((y == 0).sum(0), y.mean(0), strict=True):
        assert_within(float(removed), samples * p, (samples * p * (1 - p)) ** 0.5)
        assert_within(float(mean), 1, (p / (1 - p) / samples) ** 0.5)


def assert_unbiased(rank: int, block: int, p: float, samples: int) -> None:
    y = ng.DropBlock(p, block)(np.ones((samples, 1, *SPACES[rank])), KEY)
    count = block**rank
    t = philox.block_threshold(p, count)
    exact = 1 - (1 - t / 2**32) ** count  # what p is in whole numbers of seeds
    assert abs(exact - p) <= count * 2.0**-33 * (1 - p) ** (1 - 1 / count) + 1e-15
    assert_positions(y.reshape(samples, -1), exact)


CASES = [(1, b, p) for b in range(1, 8) for p in (0.01, 0.3, 0.9)]
CASES += [(2, b, p) for b in range(1, 8) for p in (0.05, 0.5, 0.9)]
CASES += [(3, b, p) for b in (1, 2, 3, 5, 7) for p in (0.1, 0.5)]


@pytest.mark.parametrize(("rank", "block", "p"), CASES)
def test_every_position_is_removed_at_p_and_keeps_its_mean(rank: int, block: int, p: float) -> None:
    assert_unbiased(rank, block, p, 40_000)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("block", range(1, 8))
@pytest.mark.parametrize("p", [0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_every_position_in_the_long_run(rank: int, block: int, p: float) -> None:
    assert_unbiased(rank, block, p, 400_000)


@pytest.mark.parametrize(("border", "gain"), [(0.9, 1.0), (1.0, 1.03)])
def test_a_biased_border_or_scale_is_refused(border: float, gain: float) -> None:
    samples, p = 40_000, 0.3
    removal = np.full((6, 5), p)
    removal[0] *= border  # as where no block reaches over the edge
    kept = np.random.default_rng(1).random((samples, 6, 5)) >= removal
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_positions((gain * kept / (1 - p)).reshape(samples, -1), p)


def test_what_is_removed_is_made_of_whole_blocks() -> None:
    mask = ng.mask(ng.DropBlock(0.2, 3), (50, 1, 12, 12), KEY)[:, 0]
    inner = np.zeros_like(mask)
    gone = ~mask
    for i, j in product(range(10), range(10)):
        whole = gone[:, i : i + 3, j : j + 3].all((1, 2))
        inner[:, i : i + 3, j : j + 3] |= whole[:, None, None]
    # Away from the edges, where blocks are clipped, each removed position is in a whole block.
    assert (inner[:, 2:-2, 2:-2] == gone[:, 2:-2, 2:-2]).all()
