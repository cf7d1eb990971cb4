"""Statistics of the younger kinds; each check is followed by faults that it must refuse."""

from itertools import combinations

import numpy as np
import pytest
import torch

import _statistical as st
import noisegate as ng
from _asserts import assert_rate, assert_within
from noisegate.core.kinds.alpha_dropout import FLOOR

KEY = ng.Stream(13).site("hid1:out").at(0)
SHAPE = (512, 8192)
RATES = (0.01, 0.1, 0.3, 0.5, 0.9)


# AlphaDropout --------------------------------------------------------------------------------


def selu(count: tuple[int, int], seed: int) -> st.Floats:
    normal = np.random.default_rng(seed).normal(size=count)
    return torch.nn.functional.selu(torch.from_numpy(normal)).numpy()


def assert_moments_stay(x: st.Floats, y: st.Floats) -> None:
    """Mean 0 and variance 1, which SELU's activations have, stay.

    The mean of y has the sd of y over √n, and the mean of y² that of y² over √n; both from the
    sample. x is a sample of the same size, and is held to the same.
    """
    for values in (x, y):
        n = values.size
        assert_within(values.mean(), 0, values.std() / n**0.5)
        square = values**2
        assert_within(square.mean(), 1, square.std() / n**0.5)


@pytest.mark.parametrize("p", RATES)
def test_alpha_dropout_keeps_mean_and_variance_of_selu(p: float) -> None:
    x = selu(SHAPE, 5)
    assert_moments_stay(x, ng.AlphaDropout(p)(x, KEY))
    single = ng.AlphaDropout(p)(torch.from_numpy(x).float(), KEY).double().numpy()
    assert_moments_stay(x, single)


@pytest.mark.slow
@pytest.mark.parametrize("p", RATES)
def test_alpha_dropout_keeps_them_in_the_long_run(p: float) -> None:
    for seed in range(3):
        x = selu((4096, 8192), seed)
        assert_moments_stay(x, ng.AlphaDropout(p)(x, ng.Stream(seed).site("a").at(0)))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_a_wrong_affine_map_is_refused(p: float) -> None:
    x = selu(SHAPE, 5)
    keep = ng.mask(ng.AlphaDropout(p), SHAPE, KEY)

    def alpha(a: float, floor: float) -> st.Floats:
        return np.where(keep, a * x, a * floor) - a * p * floor

    right = (1 - p + FLOOR**2 * p * (1 - p)) ** -0.5
    assert_moments_stay(x, alpha(right, FLOOR))
    for a, floor in (
        ((1 - p) ** -0.5, FLOOR),  # without the floor's own variance
        (1 / (1 - p), 0.0),  # plain dropout
        (right, FLOOR * 1.0507),  # scaled twice
    ):
        with pytest.raises(AssertionError, match="standard deviations from"):
            assert_moments_stay(x, alpha(a, floor))


@pytest.mark.parametrize("p", RATES)
def test_alpha_dropout_decides_at_its_rate(p: float) -> None:
    gone = ~ng.mask(ng.AlphaDropout(p), SHAPE, KEY)
    assert_rate(int(gone.sum()), gone.size, p)
    st.assert_spread(np.count_nonzero(gone, axis=1), SHAPE[1], p)
    y = ng.AlphaDropout(p)(np.ones(SHAPE, np.float32), KEY)
    assert len(np.unique(y)) == 2
    maps = ~ng.mask(ng.AlphaDropout(p, shared_axes=slice(2, None)), (256, 512, 3, 2), KEY)
    assert (maps == maps[..., :1, :1]).all()
    assert_rate(int(maps[..., 0, 0].sum()), 256 * 512, p)


# ImpulseNoise --------------------------------------------------------------------------------


@pytest.mark.parametrize("p", RATES)
def test_salt_and_pepper_are_even_and_independent_of_the_decision(p: float) -> None:
    y = ng.ImpulseNoise(p, -1, 1)(np.zeros(SHAPE, np.float32), KEY)
    hit = y != 0
    assert_rate(int(hit.sum()), y.size, p)
    st.assert_spread(np.count_nonzero(hit, axis=1), SHAPE[1], p)
    salt = int((y > 0).sum())
    assert_rate(salt, int(hit.sum()), 0.5)
    # The coin of an element, hit or not, by a field in which all are hit.
    coin = ng.ImpulseNoise(1, -1, 1)(np.zeros(SHAPE, np.float32), KEY)
    assert (coin[hit] == y[hit]).all()
    assert_rate(int((coin[~hit] > 0).sum()), int((~hit).sum()), 0.5)


def test_a_coin_tied_to_the_decision_is_refused() -> None:
    u = st.words(KEY, SHAPE, "ImpulseNoise")
    hit = u < 0.3 * 2**32
    tied = u < 0.16 * 2**32  # of the same number, and not quite the half
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int((hit & tied).sum()), int(hit.sum()), 0.5)


# ConcreteDropout -----------------------------------------------------------------------------


def uniforms_behind(p: float, temperature: float, key: ng.Key) -> st.Floats:
    """Return v in (−1, 1) of each gain whose z is far enough from 0 and 1 to say it."""
    gain = ng.ConcreteDropout(p, temperature)(np.ones((512, 4096)), key)
    kept = gain * (1 - p)
    logit = np.log(p / (1 - p)) - temperature * np.log((1 - kept) / kept)
    return np.tanh(logit / 2)


@pytest.mark.parametrize(("p", "temperature"), [(0.1, 1.0), (0.5, 0.6), (0.8, 2.0)])
def test_concrete_dropout_relaxes_a_uniform_number(p: float, temperature: float) -> None:
    v = uniforms_behind(p, temperature, KEY)
    assert np.isfinite(v).all()
    tally = st.Tally(st.uniform_cdf).add(v)
    st.assert_moments(tally, st.uniform_moment)
    st.assert_distribution(tally)
    for wrong in (v**3, v + 0.01 * (1 - v**2)):
        with pytest.raises(AssertionError):
            st.assert_distribution(st.Tally(st.uniform_cdf).add(wrong))


@pytest.mark.parametrize("p", RATES)
def test_at_a_low_temperature_it_is_dropout(p: float) -> None:
    gain = ng.ConcreteDropout(p, 1e-6)(np.ones(SHAPE), KEY)
    between = (gain > 1e-9) & (np.abs(gain - 1 / (1 - p)) > 1e-9)
    assert between.mean() < 1e-4
    assert_rate(int((gain < 0.5).sum()), gain.size, p)
    assert_within(gain.mean(), 1, (p / (1 - p) / gain.size) ** 0.5)


def test_a_higher_temperature_biases_the_mean_and_the_check_sees_it() -> None:
    p = 0.1
    gain = ng.ConcreteDropout(p, 0.5)(np.ones(SHAPE), KEY)
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_within(gain.mean(), 1, (p / (1 - p) / gain.size) ** 0.5)


# Together ------------------------------------------------------------------------------------


def test_kinds_under_one_key_are_independent() -> None:
    p, shape = 0.3, (256, 4, 4096)
    kinds = (
        ng.Dropout(p),
        ng.AlphaDropout(p),
        ng.ImpulseNoise(p, 0, 1),
        ng.DropBlock(p, 1),
    )
    masks = [ng.mask(kind, shape, KEY) for kind in kinds]
    agree = 1 - 2 * p * (1 - p)
    for one, other in combinations(masks, 2):
        assert_rate(int((one == other).sum()), one.size, agree)
    with pytest.raises(AssertionError, match="standard deviations from"):
        assert_rate(int((masks[0] == masks[0]).sum()), masks[0].size, agree)
