"""Random functions of array libraries: distributions, ranges, shapes and rows."""

from typing import Any

import numpy as np
import pytest
import torch

import _draw_statistics as st
from _backends import BACKENDS, Backend, each_backend, numpy_of
from _distributions import COMPLEX, KEY, draw, find_dtype
from noisegate.core import distributions, rejection
from noisegate.core.distributions import DISTRIBUTIONS, sample
from noisegate.core.number_source import FLOATS, FORMATS, WHOLE, NumberSource
from noisegate.core.window import Window, window_of
from noisegate.engines.numpy import NumpyEngine
from noisegate.engines.torch import TorchEngine

NUMPY = BACKENDS[0]
SIZE = 100_000
# Parameters by which each function may be called, arrays among them: (2, 1) and (3,).
CALLS: dict[str, list[dict[str, Any]]] = {
    "uniform": [{}, {"low": -1.5, "high": 0.1}],
    "normal": [{}, {"mean": [0.5, 1.0, 2.0], "std": [[0.1], [2.0]]}],
    "bernoulli": [{"p": 0.3}, {"p": [[0.2], [0.9]]}],
    "randint": [{}, {"low": 0, "high": 2}],
    "randperm": [{}],
    "multinomial": [
        {"weights": [[0.2, 0.1, 0.5], [1.0, 0.3, 2.0]], "replacement": True},
        {"weights": [[0.2, 0.1, 0.5], [1.0, 0.3, 2.0]]},
    ],
    "exponential": [{"rate": 2.0}, {"rate": [[0.1], [3.0]]}],
    "geometric": [{"p": 0.3}, {"p": [0.1, 0.5, 0.9]}],
    "cauchy": [{}],
    "log_normal": [{}],
    "gamma": [{"concentration": [[0.3], [20.0]]}, {"concentration": 2.0}],
    "dirichlet": [{"concentration": [0.3, 2.0, 9.0]}],
    "poisson": [{"rate": [0.5, 9.0, 50.0]}, {"rate": [[5.0], [500.0]]}],
    "binomial": [{"count": [4, 40, 4000], "p": [[0.2], [0.8]]}],
}
# A permutation of three has no bools.
EVERY = [
    (name, dtype)
    for name, (_, formats) in DISTRIBUTIONS.items()
    for dtype in formats
    if (name, dtype) != ("randperm", "bool")
]
EXACT = ("uniform", "normal", "bernoulli", "randint", "randperm")


def test_every_function_is_called_here() -> None:
    assert set(CALLS) == set(DISTRIBUTIONS)


# Distributions -------------------------------------------------------------------------------


@pytest.mark.parametrize("law", st.CONTINUOUS, ids=str)
def test_numbers_have_their_distribution(law: st.Law) -> None:
    st.assert_continuous(st.sample_law(NUMPY, law, SIZE), law.law)


@pytest.mark.parametrize("law", st.DISCRETE, ids=str)
def test_whole_numbers_have_their_distribution(law: st.Law) -> None:
    st.assert_discrete(st.sample_law(NUMPY, law, SIZE), law.law)


@pytest.mark.parametrize("law", st.LARGE, ids=str)
def test_large_whole_numbers_have_their_distribution(law: st.Law) -> None:
    st.assert_continuous(st.sample_law(NUMPY, law, SIZE), law.law)


def test_classes_are_as_frequent_as_their_weights() -> None:
    weights = np.random.default_rng(1).random(50) ** 4
    weights[3] = 0
    drawn = draw(NUMPY, "multinomial", "int64", (SIZE,), weights=weights, replacement=True)
    counts = np.bincount(drawn, minlength=50)
    assert counts[3] == 0
    st.assert_cells(counts, weights / weights.sum() * SIZE)
    with pytest.raises(AssertionError, match="a chance of"):
        st.assert_cells(counts, np.roll(weights, 1) / weights.sum() * SIZE)


def test_pairs_without_replacement_are_as_frequent_as_one_draw_after_another() -> None:
    weights = np.array([0.5, 0.2, 0.0, 0.3])
    rows = np.broadcast_to(weights, (SIZE, 4))
    drawn = draw(NUMPY, "multinomial", "int64", (SIZE, 2), weights=rows)
    expected = np.outer(weights, weights) / (1 - weights)[:, None] * (1 - np.eye(4)) * SIZE
    counts = np.bincount(drawn @ [4, 1], minlength=16)
    assert (counts[expected.ravel() == 0] == 0).all()
    st.assert_cells(counts, expected.ravel())


def test_every_permutation_is_as_frequent() -> None:
    drawn = draw(NUMPY, "randperm", "int64", (SIZE, 4))
    assert (np.sort(drawn) == np.arange(4)).all()
    codes = np.unique(drawn @ [64, 16, 4, 1], return_counts=True)[1]
    st.assert_cells(codes, np.full(24, SIZE / 24))


def test_shares_of_dirichlet_are_beta_numbers_that_sum_to_1() -> None:
    given = {"concentration": np.broadcast_to([0.5, 2.0, 7.0], (SIZE, 3))}
    drawn = draw(NUMPY, "dirichlet", "float64", (SIZE, 3), **given)
    np.testing.assert_allclose(drawn.sum(-1), 1, rtol=1e-14)
    for axis, (a, rest) in enumerate([(0.5, 9.0), (2.0, 7.5), (7.0, 2.5)]):
        st.assert_continuous(drawn[:, axis], st.stats.beta(a, rest))


@pytest.mark.parametrize("dtype", COMPLEX)
def test_parts_of_complex_numbers_are_two_numbers(dtype: str) -> None:
    drawn = draw(NUMPY, "normal", dtype, (SIZE,))
    parts = drawn.real.astype(float), drawn.imag.astype(float)
    for part in parts:
        st.assert_continuous(part, st.stats.norm(0, 0.5**0.5))
    assert abs(np.corrcoef(*parts)[0, 1]) < 4 * SIZE**-0.5


def test_complex_means_are_added_to_both_parts() -> None:
    for engine, array in ((NumpyEngine(), np.array), (TorchEngine(), torch.tensor)):
        mean = array([1 + 2j, -3j, 0.5])
        drawn = sample(engine, "normal", KEY, window_of((3,)), "complex64", mean=mean)
        plain = sample(engine, "normal", KEY, window_of((3,)), "complex64")
        expected = numpy_of(plain) + numpy_of(mean).astype(np.complex64)
        np.testing.assert_array_equal(numpy_of(drawn), expected)


FAULTS = [
    ("uniform", lambda x: x * 0.98),
    ("normal", lambda x: x + 0.005),
    ("exponential", lambda x: x**1.02),
    ("cauchy", lambda x: x * 1.1),
    ("log_normal", lambda x: x * 1.03),
    ("gamma", lambda x: x * 1.01),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_faulty_distribution_is_refused(name: str, fault: Any) -> None:
    law = [law for law in st.CONTINUOUS if law.name == name][-1]
    drawn = st.sample_law(NUMPY, law, SIZE)
    with pytest.raises(AssertionError, match="a chance of"):
        st.assert_continuous(fault(drawn), law.law)


@pytest.mark.parametrize("law", st.DISCRETE, ids=str)
def test_faulty_whole_numbers_are_refused(law: st.Law) -> None:
    drawn = st.sample_law(NUMPY, law, SIZE)
    few = SIZE // 60
    drawn[:few], drawn[few : 2 * few] = law.law.ppf(1e-3), law.law.isf(1e-3)
    with pytest.raises(AssertionError, match="a chance of"):
        st.assert_discrete(drawn, law.law)


def test_a_hat_that_is_too_low_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rejection itself is planted with a fault: heights that are a little too even."""
    monkeypatch.setattr(rejection, "_weigh", lambda s, k, mean: (k - mean) * 1.001)
    law = next(law for law in st.DISCRETE if law.given == {"rate": 80.0})
    drawn = st.sample_law(NUMPY, law, SIZE)
    with pytest.raises(AssertionError, match="a chance of"):
        st.assert_discrete(drawn, law.law)


# Engines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_engines_agree(name: str, dtype: str) -> None:
    window = window_of((2, 3), (), (7, 2**64 - 1), 0)
    for given in CALLS[name]:
        drawn = [draw(backend, name, dtype, window, **given) for backend in BACKENDS]
        if name in EXACT or given.get("replacement"):
            np.testing.assert_array_equal(*drawn)
        else:
            digits = FORMATS[dtype].digits or 53
            numbers = [values.astype(np.float64) for values in drawn]
            np.testing.assert_allclose(*numbers, rtol=2.0**-41 + 2.0 ** (1 - min(digits, 48)))


# Ranges --------------------------------------------------------------------------------------

WIDE: dict[str, list[dict[str, Any]]] = {
    "exponential": [{"rate": 1e-300}, {"rate": 1e300}],
    "cauchy": [{"sigma": 1e300}, {"median": 1e308, "sigma": 1e-3}],
    "log_normal": [{"mean": 1e6}, {"mean": -1e6}],
    "gamma": [{"concentration": 1e-300}, {"concentration": 1e300}, {"concentration": 0.01}],
    "dirichlet": [{"concentration": 1e-3}, {"concentration": 1e100}],
}


@each_backend
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", WIDE)
def test_numbers_stay_finite_and_normal(backend: Backend, name: str, dtype: str) -> None:
    for given in WIDE[name]:
        drawn = np.abs(draw(backend, name, dtype, (50, 10), **given).astype(np.float64))
        _, least, largest = FLOATS[dtype]
        assert drawn.max() <= (1 if name == "dirichlet" else largest)
        assert name == "cauchy" or drawn.min() >= least


@each_backend
@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLE])
def test_whole_numbers_stay_within_their_dtype(backend: Backend, dtype: str) -> None:
    digits, least, largest = FORMATS[dtype]
    drawn = draw(backend, "geometric", dtype, (100,), p=1e-300)
    assert (drawn.astype(np.float64) == float(np.array(min(largest, 2**53)).astype(dtype))).all()
    ends = draw(backend, "randint", dtype, (4000,)).astype(np.float64)
    last = 2.0**digits if digits else float(largest)
    assert 0 <= ends.min() < 0.01 * last or last < 1000
    assert 0.99 * last < ends.max() <= last
    if digits:
        assert draw(backend, "poisson", dtype, (9,), rate=9e15).max() <= largest
        assert draw(backend, "binomial", dtype, (9,), count=9 * 10**15, p=0.9).max() <= largest
    else:
        low, high = int(least), int(largest) + 1
        drawn = draw(backend, "randint", dtype, (4000,), low=low, high=high)
        assert drawn.min() <= low + largest // 100
        assert drawn.max() > largest // 2


BOUNDS = [
    (0.0, 1.0),
    (2.0, 3.0),
    (1.0, 1.0 + 2.0**-20),
    (2.0**24, 2.0**24 + 2),
    (-1e-3, 1e-3),
    (3e-45, 2.4e-44),
    (1e-42, 2e-42),
    (-1e-42, 2e-42),
]


@each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_uniform_numbers_lie_between_their_bounds(
    backend: Backend, dtype: str, low: float, high: float
) -> None:
    drawn = draw(backend, "uniform", dtype, (5000,), low=low, high=high)
    parts = drawn.view(drawn.real.dtype)
    assert parts.min() >= parts.dtype.type(low)
    assert parts.max() < parts.dtype.type(high)
    assert len(np.unique(parts)) > 1 or high == 2.0**24 + 2


@each_backend
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_numbers_below_a_rounded_bound(backend: Backend, dtype: str) -> None:
    drawn = draw(backend, "uniform", dtype, (20000,)).astype(np.float64)
    assert drawn.min() >= 0
    assert 0.99 < drawn.max() < 1
    same = draw(backend, "uniform", dtype, (9,), low=0.1, high=0.1)
    assert (same == np.array(0.1, np.float64).astype(find_dtype(dtype))).all()


# Shapes and rows -----------------------------------------------------------------------------


@each_backend
@pytest.mark.parametrize("name", CALLS)
def test_rank_0_and_empty_arrays(backend: Backend, name: str) -> None:
    dtype = "int64" if name == "multinomial" else "float32"
    given = CALLS[name][-1]
    if name != "multinomial":
        given = {k: v for k, v in CALLS[name][0].items() if not isinstance(v, list)}
        given |= {k: 0.5 for k, v in CALLS[name][0].items() if isinstance(v, list)}
        if name == "binomial":
            given["count"] = 4
    shapes = [(0, 3), (2, 0)] if name == "multinomial" else [(), (0,), (3, 0, 2)]
    for shape in shapes:
        if shape == (0, 3):
            given = {"weights": np.ones((0, 3))}
        elif name == "multinomial":
            given = {"weights": [[1.0, 2.0], [0.1, 3.0]]}
        assert draw(backend, name, dtype, shape, **given).shape == shape


def test_rank_0_is_the_first_number_of_a_vector() -> None:
    for name in ("uniform", "normal", "exponential", "cauchy", "log_normal"):
        first = draw(NUMPY, name, "float64", (3,))[0]
        assert draw(NUMPY, name, "float64", ()) == first


# The entries of the last axis belong together.
TOGETHER = ("randperm", "multinomial", "dirichlet")
AXES = [(name, axis) for name in CALLS for axis in (0, 1) if not axis or name not in TOGETHER]


@each_backend
@pytest.mark.parametrize(("name", "axis"), AXES)
def test_a_row_does_not_depend_on_the_batch(backend: Backend, name: str, axis: int) -> None:
    dtype = "int64" if name == "multinomial" else "float32"
    shape, rows = ((2, 3), (5, 2**64 - 1)) if axis == 0 else ((2, 3), (5, 1, 2**64 - 1))
    for given in CALLS[name]:
        whole = draw(backend, name, dtype, window_of(shape, (), rows, axis), **given)
        for place, row in enumerate(rows):
            own = {k: pick(v, axis, place) for k, v in given.items()}
            one = (1, 3) if axis == 0 else (2, 1)
            alone = draw(backend, name, dtype, window_of(one, (), (row,), axis), **own)
            np.testing.assert_array_equal(alone, whole.take([place], axis))


def pick(value: Any, axis: int, place: int) -> Any:
    """Return a parameter's part for a place of an axis of a result of rank 2."""
    array = np.asarray(value)
    if not isinstance(value, list) or array.ndim < 2 - axis or array.shape[axis - 2] == 1:
        return value
    return array.take([place], axis - 2)


def test_a_part_of_a_field_has_the_numbers_of_that_part() -> None:
    whole = draw(NUMPY, "gamma", "float32", (4, 9), concentration=0.7)
    part = Window((4, 9), 0, (1, 2), (0, 3), (2, 5))
    drawn = draw(NUMPY, "gamma", "float32", part, concentration=0.7)
    np.testing.assert_array_equal(drawn, whole[1:3, 3:8])


@each_backend
def test_samples_side_by_side_are_chosen_together(backend: Backend) -> None:
    """A choice without replacement of the samples themselves knows all of them."""
    window = window_of((3,), (), (5, 9, 2), 0)
    drawn = draw(backend, "multinomial", "int64", window, weights=[1.0, 2.0, 0.5, 3.0, 1.0])
    assert len(set(drawn.tolist())) == 3
    permutation = draw(backend, "randperm", "uint8", window_of((3,), (), (5, 9, 2), 0))
    assert sorted(permutation.tolist()) == [0, 1, 2]


def test_an_element_does_not_wait_for_another_to_be_accepted() -> None:
    rates = np.array([20.0, 1e6, 11.0, 300.0])
    together = draw(NUMPY, "poisson", "float64", (2000, 4), rate=rates)
    for column, rate in enumerate(rates):
        alone = draw(NUMPY, "poisson", "float64", (2000, 4), rate=rate)
        np.testing.assert_array_equal(together[:, column], alone[:, column])


def test_draws_are_named_as_such() -> None:
    source = NumberSource(NumpyEngine(), distributions.DRAW, KEY, window_of((3,)), "float32", "x")
    assert distributions.DRAW == "Draw"
    assert source.u32().shape == (3,)
