"""Random rows keep the shares of the classes; tensors depend on the training rows only."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from _asserts import assert_rate, assert_same_bits, assert_ulps
from noisegate import InvalidValue
from noisegate.study.data import (
    Column,
    Dataset,
    Task,
    derived_seed,
    digits,
    drawn,
)
from noisegate.study.data.encode import Encoder, input_shape


def words(values: list[str]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def of_classes(target: list[int] | np.ndarray, groups: np.ndarray | None = None) -> Dataset:
    target = np.asarray(target, np.int64)
    names = tuple(str(i) for i in range(int(target.max()) + 1))
    column = Column("x", np.arange(len(target), dtype=float), text=False)
    return Dataset("d", (column,), "y", target, Task("classification", names), groups)


def of_numbers(columns: list[Column], target: np.ndarray) -> Dataset:
    return Dataset("d", tuple(columns), "y", target, Task("regression"))


SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**64)


def assert_partition(rest: np.ndarray, part: np.ndarray, rows: int) -> None:
    assert len(rest) > 0
    assert len(part) > 0
    assert sorted([*rest, *part]) == list(range(rows))


@given(st.lists(st.integers(0, 4), min_size=3, max_size=200), SHARES, SEEDS)
def test_each_class_has_its_share(classes, share, seed):
    data = of_classes(classes)
    assume(0 < int(share * data.rows + 0.5) < data.rows)
    rest, part = drawn(data, share, seed, "test")
    assert_partition(rest, part, data.rows)
    assert abs(len(part) - share * data.rows) <= 0.5 + 1e-9
    for name, count in enumerate(np.bincount(data.target)):
        assert abs(np.sum(data.target[part] == name) - share * count) <= 1


@given(st.lists(st.integers(-3, 6), min_size=3, max_size=100), SHARES, SEEDS, st.booleans())
def test_groups_never_straddle(codes, share, seed, regression):
    groups = np.array(codes)
    assume(len(set(codes)) > 1)
    data = of_classes(np.arange(len(codes)) % 2, groups)
    if regression:
        data = replace(data, task=Task("regression"), target=np.arange(len(codes), dtype=float))
    rest, part = drawn(data, share, seed, "test")
    assert_partition(rest, part, data.rows)
    assert not set(groups[rest]) & set(groups[part])
    # Nearest among whole groups: at most half of the largest away, or one group must be out.
    most = np.unique(groups, return_counts=True)[1].max()
    low, high = min(len(part), len(rest)), share * len(codes)
    assert abs(len(part) - high) <= most / 2 or low <= most


@given(st.integers(2, 100), SHARES, SEEDS)
def test_a_regression_is_drawn_plainly(rows, share, seed):
    assume(0 < int(share * rows + 0.5) < rows)
    data = of_numbers([Column("x", np.ones(rows), text=False)], np.arange(rows, dtype=float))
    rest, part = drawn(data, share, seed, "test")
    assert_partition(rest, part, rows)
    assert len(part) == int(share * rows + 0.5)


def test_the_same_seed_draws_the_same_rows_always():
    """A known answer: a study that is resumed elsewhere must find its splits."""
    found = blake2b(digest_size=8)
    data = digits()
    for dataset in (
        data,
        replace(data, groups=np.arange(data.rows) // 10),
        replace(data, task=Task("regression"), target=data.target.astype(float)),
    ):
        for rows in drawn(dataset, 0.2, 3, "test"):
            found.update(rows.astype("<i8").tobytes())
    assert found.hexdigest() == "64edcaad044aff53"
    assert derived_seed(3, "test") == 15570868740929438093


def test_other_seeds_and_purposes_draw_other_rows():
    data = digits()
    parts = [drawn(data, 0.2, seed, purpose)[1] for seed in range(4) for purpose in ("test", "x")]
    assert len({tuple(part) for part in parts}) == 8
    assert len({frozenset(part) for part in parts}) == 8


def test_rows_come_in_random_order_and_each_is_as_likely():
    data = of_classes([0] * 6 + [1] * 14)
    counts = np.zeros(20, int)
    first = np.zeros(20, int)
    for seed in range(4000):
        rest, part = drawn(data, 0.3, seed, "test")
        counts[part] += 1
        first[rest[0]] += 1
    for row in range(20):
        assert_rate(int(counts[row]), 4000, 0.3)
    for half in (first[:6].sum() / 6, first[6:].sum() / 14):
        assert half == pytest.approx(200, rel=0.15)


# Tensors


@st.composite
def tables(draw):
    """Columns of numbers and of text, and which rows train."""
    rows = draw(st.integers(2, 30))
    numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=rows, max_size=rows)
    texts = st.lists(st.sampled_from(["a", "B", "é", "", "10", "9"]), min_size=rows, max_size=rows)
    columns = [
        Column(f"n{i}", np.array(draw(numbers)), text=False) for i in range(draw(st.integers(0, 3)))
    ]
    columns += [
        Column(f"t{i}", words(draw(texts)), text=True) for i in range(draw(st.integers(0, 2)))
    ]
    assume(columns)
    train = draw(st.lists(st.integers(0, rows - 1), min_size=1, unique=True))
    return of_numbers(columns, np.array(draw(numbers))), np.array(train)


def by_sklearn(data: Dataset, train: np.ndarray) -> np.ndarray:
    """The same by scikit-learn, in double precision."""
    parts = []
    for column in data.columns:
        values = column.values.reshape(-1, 1)
        if not column.text:
            parts.append(StandardScaler().fit(values[train]).transform(values))
            continue
        names = sorted(set(column.values))
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        found = encoder.fit(values[train]).transform(values)
        wide = np.zeros((data.rows, len(names)))
        wide[:, [names.index(name) for name in encoder.categories_[0]]] = found
        parts.append(wide)
    return np.concatenate(parts, axis=1)


@given(tables())
def test_tables_are_encoded_as_by_scikit_learn(drawn_table):
    data, train = drawn_table
    encoder = Encoder.fit(data, train)
    found, expected = encoder.inputs(data), by_sklearn(data, train)
    assert found.dtype == torch.float32
    assert found.shape == (data.rows, *input_shape(data))
    numbers = [i for i, column in enumerate(data.columns) if not column.text]
    texts = slice(len(numbers), None)
    assert_same_bits(found[:, texts], torch.from_numpy(expected[:, texts]).float())
    for i in numbers:
        values = data.columns[i].values[train]
        spread = np.ptp(values)
        if spread == 0:
            assert torch.all(found[train, i] == 0)
        elif spread > 1e-6 * np.abs(values).max():  # where sklearn does not call it constant
            np.testing.assert_allclose(found[:, i], expected[:, i], rtol=1e-5, atol=1e-5)


def test_moments_are_exact_where_they_can_be():
    data = of_numbers([Column("x", np.array([1.0, 3.0, 7.0]), text=False)], np.array([2.0, 6, 1]))
    encoder = Encoder.fit(data, np.array([0, 1]))
    assert encoder.inputs(data).tolist() == [[-1], [1], [5]]
    assert (encoder.center, encoder.scale) == (4, 2)
    assert encoder.targets(data).tolist() == [[-1], [1], [-1.5]]


@pytest.mark.parametrize("value", [0.1, 1e99, -7, 1e-300])
def test_a_constant_column_becomes_zeros(value):
    data = of_numbers([Column("x", np.full(7, value), text=False)], np.full(7, value))
    encoder = Encoder.fit(data, np.arange(3))
    assert not encoder.inputs(data).any()
    assert not encoder.targets(data).any()
    assert encoder.scale == 1


def test_the_smallest_and_the_largest_numbers_stay_finite():
    for size in (1e-200, 1e99):
        data = of_numbers([Column("x", np.arange(4) * size, text=False)], np.arange(4) * size)
        encoder = Encoder.fit(data, np.arange(3))
        assert torch.isfinite(encoder.inputs(data)).all()
        assert torch.isfinite(encoder.targets(data)).all()


@given(tables(), st.randoms(use_true_random=False))
def test_a_validation_row_changes_no_training_bit(drawn_table, random):
    data, train = drawn_table
    others = np.setdiff1d(np.arange(data.rows), train)
    assume(len(others))
    changed = []
    for column in data.columns:
        values = column.values.copy()
        known = sorted(set(values))
        # Text changes among known categories: the width is that of all rows but the test rows.
        values[others] = words([random.choice(known) for _ in others]) if column.text else 1e5
        if column.text and set(values) != set(known):
            values = column.values
        changed.append(replace(column, values=values))
    target = data.target.copy()
    target[others] = 1e5
    before = Encoder.fit(data, train)
    other = replace(data, columns=tuple(changed), target=target)
    after = Encoder.fit(other, train)
    assert_same_bits(before.inputs(data.take(train)), after.inputs(other.take(train)))
    assert_same_bits(before.targets(data.take(train)), after.targets(other.take(train)))
    assert (before.center, before.scale) == (after.center, after.scale)


def test_a_category_that_no_training_row_has_is_all_zeros():
    data = of_numbers([Column("c", words(["b", "a", "c"]), text=True)], np.arange(3.0))
    encoder = Encoder.fit(data, np.array([0, 1]))
    assert encoder.inputs(data).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    test = of_numbers([Column("c", words(["d", "b"]), text=True)], np.arange(2.0))
    assert encoder.inputs(test).tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9, 5), (0,)),
        ((9, 4, 3), (0, 1, 2)),
        ((9, 2, 4, 3), (0, 2, 3)),
        ((9, 2, 2, 3, 2), (0, 2, 3, 4)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_standardised_by_feature_channel_or_whole(shape, axes, dtype):
    values = np.random.default_rng(0).normal(3, 2, shape).astype(dtype)
    data = of_numbers([Column("x", values, text=False)], np.arange(9.0))
    found = Encoder.fit(data, np.arange(6)).inputs(data)
    train = values[:6].astype(np.float64)
    expected = (values - train.mean(axes, keepdims=True)) / train.std(axes, keepdims=True)
    assert found.shape == shape
    assert input_shape(data) == shape[1:]
    assert_ulps(found, expected, 4, larger=np.full(shape, 4.0))


def test_several_arrays_stand_side_by_side():
    rng = np.random.default_rng(0)
    data = of_numbers(
        [
            Column("a", rng.normal(size=(6, 3)).astype(np.float32), text=False),
            Column("b", words(["u", "v"] * 3), text=True),
            Column("c", rng.normal(size=6), text=False),
        ],
        np.arange(6.0),
    )
    found = Encoder.fit(data, np.arange(6)).inputs(data)
    assert input_shape(data) == (6,)
    assert found[:, 3:5].tolist() == [[1, 0], [0, 1]] * 3
    np.testing.assert_allclose(found[:, [0, 1, 2, 5]].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, [0, 1, 2, 5]].std(0, correction=0), 1, atol=1e-6)


def test_tensors_are_torchs_own_and_lie_in_order():
    data = digits()
    rows = np.arange(0, 1797, 2)
    encoder = Encoder.fit(data, rows)
    images, labels = encoder.inputs(data.take(rows)), encoder.targets(data.take(rows))
    assert (images.shape, images.stride()) == ((899, 1, 8, 8), (64, 64, 8, 1))
    assert (labels.dtype, labels.shape) == (torch.int64, (899,))
    assert (encoder.center, encoder.scale) == (0, 1)
    for tensor in (images, labels):
        tensor += 1
    assert data.columns[0].values.max() == 1
    assert_same_bits(data.target, digits().target)


def test_shares_out_of_bounds_are_refused():
    with pytest.raises(InvalidValue, match="must be in"):
        drawn(digits(), 1.0, 0, "test")
