"""Rates and distributions, on samples small enough for every run.

Each statistic is followed by faults planted for it, so that none is unable to fail.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import _statistical as st
import noisegate as ng
from _asserts import assert_rate, assert_within

KEY = ng.Stream(13).site("hid1:out").at(0)
SHAPE = (512, 16384)
COUNT = SHAPE[0] * SHAPE[1]
RATES = (1e-4, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.9, 0.999, 1 - 1e-4)


def removed(p: float, key: ng.Key = KEY) -> NDArray[np.bool_]:
    return ~ng.mask(ng.Dropout(p), SHAPE, key)


# Rates


@pytest.mark.parametrize("p", RATES)
def test_dropout_removes_at_its_rate(p: float) -> None:
    gone = removed(p)
    assert_rate(int(np.count_nonzero(gone)), COUNT, p)
    st.assert_spread(np.count_nonzero(gone, axis=1), SHAPE[1], p)
    st.assert_spread(np.count_nonzero(gone, axis=0), SHAPE[0], p)


def test_raising_the_rate_only_removes_more() -> None:
    for fewer, more in pairwise(removed(p) for p in RATES):
        assert not (fewer & ~more).any()
        assert more.sum() > fewer.sum()


@pytest.mark.parametrize("p", RATES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ones_become_zero_or_the_scale(p: float, dtype: type[np.floating]) -> None:
    shape = (64, 16384)
    y = ng.Dropout(p)(np.ones(shape, dtype), KEY)
    scale = dtype(Fraction(2**32, 2**32 - round(p * 2**32)))
    assert set(np.unique(y)) == {0, scale}
    assert np.array_equal(y != 0, ng.mask(ng.Dropout(p), shape, KEY))


def test_a_live_rate_and_a_shared_one_remove_at_their_rates() -> None:
    p = np.repeat([0.1, 0.7], SHAPE[1] // 2)
    gone = ~ng.mask(ng.Dropout(), SHAPE, KEY, p=p)
    for half, rate in zip(np.hsplit(gone, 2), (0.1, 0.7), strict=True):
        assert_rate(int(half.sum()), COUNT // 2, rate)
    maps = ~ng.mask(ng.dropout_channels(0.3, "channels_first"), (256, 1024, 2, 2), KEY)
    assert (maps == maps[:, :, :1, :1]).all()
    assert_rate(int(maps[:, :, 0, 0].sum()), 256 * 1024, 0.3)


def bytewise(p: float) -> float:
    """The rate of a mask that compares bytes with floor(256 p)."""
    return np.floor(256 * p) / 256


def off_by(deviations: float, p: float) -> float:
    return p + deviations * (p * (1 - p) / COUNT) ** 0.5


@pytest.mark.parametrize("p", RATES[:-1])
@pytest.mark.parametrize("deviations", [-7.5, 7.5])
def test_a_rate_off_by_seven_deviations_is_refused(p: float, deviations: float) -> None:
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int(removed(off_by(deviations, p)).sum()), COUNT, p)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.9, 0.999])
def test_a_threshold_in_bytes_is_refused(p: float) -> None:
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int(removed(bytewise(p)).sum()), COUNT, p)


def test_a_lumpy_mask_of_the_right_rate_is_refused() -> None:
    whole_rows = np.repeat(removed(0.3)[:, :1], SHAPE[1], axis=1)
    stratified = np.tile(np.arange(SHAPE[1]) % 10 < 3, (SHAPE[0], 1))
    for gone in (whole_rows, stratified):
        with pytest.raises(AssertionError, match="standard deviations from"):
            st.assert_spread(np.count_nonzero(gone, axis=1), SHAPE[1], 0.3)


# The mean of the output is that of the input

KINDS: list[tuple[ng.Kind, float, float]] = [  # with the variance of gain and of shift
    *((ng.Dropout(p), p / (1 - p), 0.0) for p in (0.01, 0.1, 0.5, 0.9, 0.999)),
    *((ng.GaussianDropout(p), p / (1 - p), 0.0) for p in (0.1, 0.5, 0.9)),
    (ng.GaussianNoise(0.3), 0.0, 0.09),
    (ng.UniformNoise(0.3), 0.0, 0.03),
]
INPUT = np.random.default_rng(1).normal(0.7, 1.0, (256, 8192))


def assert_mean_stays(y: st.Floats, gain: float, shift: float) -> None:
    variance = gain * (INPUT**2).sum() + shift * INPUT.size
    assert_within((y.astype(np.float64) - INPUT).sum(), 0, variance**0.5)


@pytest.mark.parametrize(("kind", "gain", "shift"), KINDS, ids=lambda value: repr(value))
def test_the_mean_of_the_output_is_that_of_the_input(
    kind: ng.Kind, gain: float, shift: float
) -> None:
    assert_mean_stays(kind(INPUT, KEY), gain, shift)
    backward = ng.numpy.backward(INPUT, ng.numpy.forward(kind, INPUT, rng=KEY)[1])
    if gain:
        assert_mean_stays(backward, gain, shift)
    else:
        assert np.array_equal(backward, INPUT)


@pytest.mark.parametrize("deviations", [-7.5, 7.5])
def test_survivors_at_the_wrong_scale_are_refused(deviations: float) -> None:
    y = ng.Dropout(0.3)(INPUT, KEY)
    off = deviations * (3 / 7 * (INPUT**2).sum()) ** 0.5 / INPUT.sum()
    for wrong in (y * (1 + off), y * 0.7):
        with pytest.raises(AssertionError, match="standard deviations from"):
            assert_mean_stays(wrong, 3 / 7, 0.0)


# Distributions


@cache
def normals() -> st.Floats:
    return ng.noise(ng.GaussianNoise(1.0), (512, 8192), KEY).shift.astype(np.float64)


@cache
def tally_of_normals() -> st.Tally:
    return st.Tally().add(normals())


def test_gaussian_noise_is_normal() -> None:
    y = ng.GaussianNoise(0.2)(np.full((512, 8192), 3.0), KEY)
    assert_within(y.mean(), 3, 0.2 / y.size**0.5)
    assert_within(y.var(), 0.04, 0.04 * (2 / y.size) ** 0.5)
    st.assert_normal(st.Tally().add((y - 3) / 0.2))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_gaussian_dropout_has_mean_one_and_the_variance_of_dropout(p: float) -> None:
    gain = ng.GaussianDropout(p)(np.ones((512, 8192)), KEY)
    odds = p / (1 - p)
    assert_within(gain.mean(), 1, (odds / gain.size) ** 0.5)
    assert_within(gain.var(), odds, odds * (2 / gain.size) ** 0.5)
    st.assert_normal(st.Tally().add((gain - 1) / odds**0.5))


@cache
def uniforms() -> st.Floats:
    return ng.UniformNoise(0.3)(np.zeros((512, 8192)), KEY)


def test_uniform_noise_is_uniform() -> None:
    y = uniforms()
    assert np.abs(y).max() < 0.3
    assert_within(y.mean(), 0, (0.03 / y.size) ** 0.5)
    # The variance of u² is 1/5 - 1/9 = 4/45.
    assert_within(y.var(), 0.03, 0.09 * (4 / 45 / y.size) ** 0.5)
    tally = st.Tally(st.uniform_cdf).add(y / np.float64(np.float32(0.3)))
    st.assert_moments(tally, st.uniform_moment)
    st.assert_distribution(tally)
    st.assert_cells_of(tally)


Fault = Callable[[Any], Any]
SIZE = 512 * 8192
Check = Callable[[st.Tally], None]
NORMAL_FAULTS: list[tuple[str, Check, Fault]] = [
    ("mean", st.assert_moments, lambda x: x + 7.5 / SIZE**0.5),
    ("variance", st.assert_moments, lambda x: x * (1 + 7.5 / (2 * SIZE) ** 0.5)),
    ("skew", st.assert_moments, lambda x: x + 0.005 * (x**2 - 1)),
    ("kurtosis", st.assert_moments, lambda x: x + 0.002 * (x**3 - 3 * x)),
    ("clipped at 3.5", st.assert_moments, lambda x: np.clip(x, -3.5, 3.5)),
    ("shifted", st.assert_distribution, lambda x: x + 0.005),
    ("bent", st.assert_distribution, lambda x: x + x**3 / 99),
    ("in steps of 1/256", st.assert_cells_of, lambda x: np.round(x * 256) / 256),
    ("regular", st.assert_cells_of, lambda x: st.norm.ppf((np.arange(SIZE) + 0.5) / SIZE)),
    ("clipped at 4", st.assert_tails, lambda x: np.clip(x, -4, 4)),
    ("heavy tail", st.assert_tails, lambda x: np.where(np.abs(x) > 3.5, 1.2 * x, x)),
    ("nothing above 4", st.assert_tails, lambda x: np.where(x > 4, 0, x)),
]


@pytest.mark.parametrize(
    ("refuses", "fault"),
    [planted[1:] for planted in NORMAL_FAULTS],
    ids=[planted[0] for planted in NORMAL_FAULTS],
)
def test_numbers_that_are_not_normal_are_refused(refuses: Check, fault: Fault) -> None:
    faulty = st.Tally().add(fault(normals()))
    refuses(tally_of_normals())
    with pytest.raises(AssertionError):
        refuses(faulty)


@pytest.mark.parametrize("fault", [lambda u: u**3, lambda u: np.abs(u), lambda u: u + 1e-2])
@pytest.mark.parametrize(
    "refuses",
    [lambda tally: st.assert_moments(tally, st.uniform_moment), st.assert_distribution],
)
def test_numbers_that_are_not_uniform_are_refused(refuses: Check, fault: Fault) -> None:
    u = np.clip(fault(uniforms() / 0.3), -1, 1)
    with pytest.raises(AssertionError):
        refuses(st.Tally(st.uniform_cdf).add(u))


# The other engine


def test_torch_keeps_the_statistics() -> None:
    x = torch.ones(512, 2048)
    y = ng.Dropout(0.3)(x, KEY)
    assert_rate(int((y == 0).sum()), y.numel(), 0.3)
    assert_within(y.double().mean().item(), 1, (3 / 7 / y.numel()) ** 0.5)
    noise = ng.GaussianNoise(1.0)(torch.zeros(512, 8192), KEY)
    st.assert_normal(st.Tally().add(noise.numpy()))
