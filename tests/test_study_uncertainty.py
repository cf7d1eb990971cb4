"""How far uncertainty can be trusted: exact measures, by brute force and by hand."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from noisegate.study.judge.uncertainty.evaluation import shuffle_columns
from noisegate.study.judge.uncertainty.outcomes import (
    LEVELS,
    SHARES,
    Predictions,
    compute_auroc,
    compute_coverage,
    compute_rejection,
    compute_shares,
    score_classes,
    score_values,
    take_shares,
)

# Rejection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "doubt", [(3, 1, 2, 5, 4), (1, 1, 1, 1, 1), (2, 1, 2, 1, 2), (0, 0, 7, 7, 7)]
)
def test_rejection_is_the_mean_over_every_order_of_equal_doubt(doubt):
    values, doubt = np.array([1.0, 0.0, 4.0, 9.0, 2.0]), np.array(doubt)
    every = []
    for order in itertools.permutations(range(5)):
        if all(doubt[a] <= doubt[b] for a, b in itertools.pairwise(order)):
            every.append([values[list(order[: 5 - k])].mean() for k in range(5)])
    np.testing.assert_allclose(compute_rejection(values, doubt), np.mean(every, axis=0), rtol=1e-12)


def test_rejection_depends_on_no_order_of_rows():
    draws = np.random.default_rng(3)
    values, doubt = draws.integers(0, 2, 200).astype(float), draws.integers(0, 9, 200)
    order = draws.permutation(200)
    np.testing.assert_array_equal(
        compute_rejection(values, doubt), compute_rejection(values[order], doubt[order])
    )


def test_the_shares_are_those_of_whole_rows():
    curve = np.arange(20.0)
    assert take_shares(curve).tolist() == list(range(20))
    assert take_shares(np.arange(3.0)).tolist() == [math.floor(3 * s + 1e-9) for s in SHARES]
    assert take_shares(np.array([0.5])).tolist() == [0.5] * len(SHARES)


# Ranking, coverage, bins -------------------------------------------------------------------------


@pytest.mark.parametrize("distinct", [2, 5, 1000])
def test_auroc_is_that_of_scikit_learn(distinct):
    draws = np.random.default_rng(distinct)
    test, ood = draws.integers(0, distinct, 60), draws.integers(0, distinct, 25) + distinct // 5
    labels = np.repeat([0, 1], [60, 25])
    expected = roc_auc_score(labels, np.concatenate([test, ood]))
    assert compute_auroc(test, ood) == pytest.approx(expected, abs=1e-12)


def test_auroc_at_its_ends():
    assert compute_auroc(np.zeros(3), np.ones(4)) == 1
    assert compute_auroc(np.ones(3), np.zeros(4)) == 0
    assert compute_auroc(np.ones(3), np.ones(4)) == 0.5


def test_coverage_counts_the_targets_inside():
    z = NormalDist().inv_cdf(0.9)
    errors, sd = np.array([-1.0, 0.5, 2.0, -3.0]), np.array([1.0, 0.1, 2.0, 2.0])
    at = LEVELS.index(0.8)
    # Half widths z = 1.28 times sd: 1.28, 0.128, 2.56, 2.56.
    found = compute_coverage("residuals", errors, sd)
    assert (found.source, found.levels) == ("residuals", LEVELS)
    assert (found.held[at], found.widths[at]) == (0.5, pytest.approx(2 * z * 5.1 / 4))
    same = compute_coverage("residuals", errors, np.full(4, 2.0), scale=3)
    assert (same.held[at], same.widths[at]) == (0.75, pytest.approx(3 * 4 * z))


def test_bins_take_what_is_beyond_them():
    shares = compute_shares(np.array([-5, 0, 0.9, 1, 1.5, 2, 99]), np.array([0.0, 1, 2]))
    assert shares.tolist() == [3 / 7, 4 / 7]


# Outcomes ----------------------------------------------------------------------------------------


def test_a_classifier_by_hand():
    test = Predictions(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]))
    ood = Predictions(np.array([[0.5, 0.5], [0.7, 0.3]]))
    found = score_classes(test, np.array([0, 1, 1, 1]), ood)
    # Right, wrong, right, wrong; the order of doubt is 0, 2, 1, 3.
    assert found.rejection[0] == 0.5
    assert found.rejection[SHARES.index(0.25)] == 2 / 3
    assert found.rejection[SHARES.index(0.5)] == found.rejection[-1] == 1
    measures = found.measures
    assert measures["accuracy_area"] == pytest.approx((0.5 + 2 / 3 + 1 + 1) / 4)
    assert measures["overconfidence"] == pytest.approx((0.9 + 0.6 + 0.8 + 0.5) / 4 - 0.5)
    assert measures["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.5]).mean())
    assert measures["entropy_ood"] == pytest.approx((math.log(2) + entropy(0.7)) / 2)
    # Of 4 · 2 pairs the test row is in less doubt in 4 + 2, and equal in 1.
    assert measures["entropy_auroc"] == 5.5 / 8
    assert "information_auroc" not in measures
    assert found.reliability is not None
    assert sum(found.reliability.counts) == 4
    assert found.histogram is not None
    assert found.histogram.edges[-1] == math.log(2)


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_a_probability_of_zero_has_a_finite_loss():
    sure = Predictions(np.array([[1.0, 0.0], [1.0, 0.0]]))
    found = score_classes(sure, np.array([1, 0]), sure)
    assert found.measures["nll"] == pytest.approx(-math.log(np.finfo(float).tiny) / 2)


def test_a_regression_without_noise_by_hand():
    test, validation = Predictions(np.array([0.0, 1.0, 2.0])), Predictions(np.array([1.0, 1.0]))
    targets, known = np.array([0.0, 0.0, 5.0]), np.array([0.0, 3.0])
    found = score_values(test, targets, validation, known, test, scale=10)
    # Squared errors 0, 1, 9; the validation residuals 1 and −2 have a mean square of 2.5.
    assert found.rejection == pytest.approx([10 * math.sqrt(10 / 3)] * len(SHARES))
    assert found.measures["rmse_area"] == found.measures["rmse"]
    assert found.measures["residual_sd"] == pytest.approx(10 * math.sqrt(2.5))
    assert found.measures["sd_auroc"] == 0.5
    assert found.histogram is None
    (line,) = found.coverage
    assert (line.source, line.levels) == ("residuals", LEVELS)
    # z · 1.58: 1.07 at 50 %, 2.03 at 80 %, 2.60 at 90 %, 3.10 at 95 %.
    assert line.held == pytest.approx((2 / 3, 2 / 3, 2 / 3, 1))
    assert line.widths[0] == pytest.approx(20 * NormalDist().inv_cdf(0.75) * math.sqrt(2.5))


def test_a_regression_with_noise_by_hand():
    test = Predictions(np.array([0.0, 1.0, 2.0]), np.array([0.1, 0.2, 2.0]))
    validation = Predictions(np.array([1.0, 1.0]), np.array([1.0, 0.5]))
    ood = Predictions(np.zeros(2), np.array([0.15, 9.0]))
    targets, known = np.array([0.0, 0.0, 5.0]), np.array([0.0, 3.0])
    found = score_values(test, targets, validation, known, ood, scale=2)
    # Of the mean square 2.5 of the residuals, noise makes 0.625.
    assert found.measures["residual_sd"] == pytest.approx(2 * math.sqrt(1.875))
    assert found.rejection[SHARES.index(0.35)] == pytest.approx(2 * math.sqrt(0.5))
    assert found.rejection[-1] == 0
    both, alone = found.coverage
    assert (both.source, alone.source) == ("noise and residuals", "noise alone")
    z, sd = NormalDist().inv_cdf(0.95), np.sqrt(1.875 + np.array([0.01, 0.04, 4]))
    assert both.widths[2] == pytest.approx(4 * z * sd.mean())
    assert alone.widths[2] == pytest.approx(4 * z * 2.3 / 3)
    # ± z · sd: 2.26, 2.28, 3.99 hold errors of 0, 1, −3; noise alone: 0.16, 0.33, 3.29.
    assert both.held[2] == 1
    assert alone.held[2] == pytest.approx(2 / 3)
    assert found.measures["sd_auroc"] == 4 / 6
    assert found.measures["noise_sd_ood"] == pytest.approx(9.15)


def test_a_variance_is_never_below_zero():
    noisy = Predictions(np.zeros(3), np.full(3, 5.0))
    found = score_values(noisy, np.ones(3), noisy, np.ones(3), noisy, scale=1)
    assert found.measures["residual_sd"] == 0


# Shuffled columns --------------------------------------------------------------------------------


def columns() -> list[np.ndarray]:
    numbers = np.arange(60.0)
    names = np.array([f"n{i}" for i in range(60)], dtype=object)
    images = np.arange(60 * 12, dtype=np.float32).reshape(60, 1, 3, 4)
    return [numbers, numbers.copy(), names, images]


def test_shuffling_keeps_each_column_and_breaks_what_ties_them():
    before, after = columns(), shuffle_columns(columns(), 4)
    for old, new in zip(before, after, strict=True):
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
        np.testing.assert_array_equal(np.sort(new, axis=0), np.sort(old, axis=0))
        assert (new != old).mean() > 0.8
    assert (after[0] != after[1]).mean() > 0.8
    rows = after[3].reshape(60, 12) // 12
    assert len({tuple(feature) for feature in rows.T}) == 12, "two pixels moved together"


def test_shuffling_repeats_by_its_seed_and_leaves_the_data_alone():
    given = columns()
    one, same, other = (shuffle_columns(given, seed) for seed in (4, 4, 5))
    for a, b, c, old, new in zip(one, same, other, columns(), given, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        np.testing.assert_array_equal(old, new)
