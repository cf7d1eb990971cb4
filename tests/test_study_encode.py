"""Tensors depend on the training rows only, whatever the columns hold."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes

from _asserts import assert_same_bits
from _study_tables import dates, of
from noisegate.study.data.dataset import Dataset
from noisegate.study.data.encode import Encoder
from noisegate.study.data.read import digits, read_data


def shape_of(data: Dataset) -> tuple[int, ...]:
    """Return the shape of one row as a model gets it."""
    return Encoder.fit(data, np.arange(1)).shape


def standardised(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return one column less the mean of its training rows, divided by their deviation."""
    part = np.ascontiguousarray(values[train], np.float64)
    if part.min() == part.max():
        return (values - part[0]).astype(np.float32)
    return ((values - part.mean()) / (part.std() or 1.0)).astype(np.float32)


def one_hot(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return a column for each value, in their order: zeros if no training row has the value."""
    known = sorted({value for value in values if value is not None})
    part = set(values[train])
    columns = [[value == name and name in part for value in values] for name in known]
    return np.array(columns, np.float32).T


def by_formula(data: Dataset, train: np.ndarray) -> np.ndarray:
    parts = []
    for name in data.inputs:
        values = data.inputs[name].to_numpy()
        if values.dtype == object:
            parts.append(one_hot(values, train))
        else:
            parts.append(standardised(values, train).reshape(-1, 1))
    return np.concatenate(parts, axis=1)


# scikit-learn takes its time over each table, and a slow machine is not a fault.
FEWER = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw):
    """Columns of numbers and of text in any order, and which rows train."""
    rows = draw(st.integers(2, 30))
    numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=rows, max_size=rows)
    texts = st.lists(st.sampled_from(["a", "B", "é", "-", "10", "9"]), min_size=rows, max_size=rows)
    kinds = draw(st.lists(st.sampled_from([numbers, texts]), min_size=1, max_size=5))
    columns = {f"c{i}": draw(kind) for i, kind in enumerate(kinds)}
    train = draw(st.lists(st.integers(0, rows - 1), min_size=1, unique=True))
    return of(columns, draw(numbers)), np.array(train)


@FEWER
@given(tables())
def test_tables_are_encoded_as_by_the_formula(table):
    data, train = table
    encoder = Encoder.fit(data, train)
    found = encoder.inputs(data)
    assert found.dtype == torch.float32
    assert found.shape == (data.rows, *shape_of(data))
    assert encoder.shape == shape_of(data)
    assert_same_bits(found, by_formula(data, train))


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes])
def test_real_tables_are_encoded_as_by_the_formula(load):
    values, target = load(return_X_y=True)
    data = of({f"c{i}": column for i, column in enumerate(values.T)}, target)
    for seed in range(3):
        train = np.random.default_rng(seed).permutation(data.rows)[: data.rows * 3 // 5]
        encoder = Encoder.fit(data, train)
        assert_same_bits(encoder.inputs(data), by_formula(data, train))
        assert (encoder.center, encoder.scale) == (
            data.target[train].mean(),
            data.target[train].std(),
        )


def test_the_bits_do_not_depend_on_how_a_table_lies_in_memory():
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 3, (5000, 7))
    train = rng.permutation(5000)[:3000]
    names = [f"c{i}" for i in range(7)]
    frames = [
        pd.DataFrame(values, columns=names),
        pd.DataFrame(np.asfortranarray(values), columns=names),
        pd.concat([pd.Series(values[:, i].copy(), name=names[i]) for i in range(7)], axis=1),
    ]
    frames.append(pickle.loads(pickle.dumps(frames[0])))
    found = []
    for frame in frames:
        data = replace(of({"x": values[:, 0]}), inputs=frame)
        found.append(Encoder.fit(data, train).inputs(data))
    for other in found:
        assert_same_bits(other, by_formula(data, train))


def test_moments_are_exact_where_they_can_be():
    data = of({"x": [1.0, 3.0, 7.0]}, [2.0, 6, 1])
    encoder = Encoder.fit(data, np.array([0, 1]))
    assert encoder.inputs(data).tolist() == [[-1], [1], [5]]
    assert (encoder.center, encoder.scale) == (4, 2)
    assert encoder.targets(data).tolist() == [[-1], [1], [-1.5]]


@pytest.mark.parametrize("value", [0.1, 1e99, -7, 1e-300])
def test_a_constant_column_becomes_zeros(value):
    data = of({"x": np.full(7, value)}, np.full(7, value))
    encoder = Encoder.fit(data, np.arange(3))
    assert not encoder.inputs(data).any()
    assert not encoder.targets(data).any()
    assert encoder.scale == 1


def test_the_smallest_and_the_largest_numbers_stay_finite():
    for size in (1e-200, 1e99):
        data = of({"x": np.arange(4) * size}, np.arange(4) * size)
        encoder = Encoder.fit(data, np.arange(3))
        assert torch.isfinite(encoder.inputs(data)).all()
        assert torch.isfinite(encoder.targets(data)).all()


@FEWER
@given(tables(), st.randoms(use_true_random=False))
def test_a_validation_row_changes_no_training_bit(table, random):
    data, train = table
    others = np.setdiff1d(np.arange(data.rows), train)
    assume(len(others))
    inputs = data.inputs.copy()
    for name in inputs:
        values = inputs[name].to_numpy().copy()
        if values.dtype == object:
            # Text changes among known categories: the width is that of all rows but the test rows.
            known = sorted(set(values))
            values[others] = [random.choice(known) for _ in others]
            if set(values) != set(known):
                continue
        else:
            values[others] = 1e5
        inputs[name] = pd.Series(values, dtype=values.dtype)
    target = data.target.copy()
    target[others] = 1e5
    other = replace(data, inputs=inputs, target=target)
    before, after = Encoder.fit(data, train), Encoder.fit(other, train)
    assert_same_bits(before.inputs(data.take(train)), after.inputs(other.take(train)))
    assert_same_bits(before.targets(data.take(train)), after.targets(other.take(train)))
    assert (before.center, before.scale) == (after.center, after.scale)


def test_a_category_that_no_training_row_has_is_all_zeros():
    data = of({"c": ["b", "a", "c"]})
    encoder = Encoder.fit(data, np.array([0, 1]))
    assert encoder.inputs(data).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert encoder.inputs(of({"c": ["d", "b"]})).tolist() == [[0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9, 4, 3), (0, 1, 2)),
        ((9, 2, 4, 3), (0, 2, 3)),
        ((9, 2, 2, 3, 2), (0, 2, 3, 4)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_standardised_by_channel_or_whole(shape, axes, dtype):
    values = np.random.default_rng(0).normal(3, 2, shape).astype(dtype)
    data = of(values)
    found = Encoder.fit(data, np.arange(6)).inputs(data)
    train = values[:6]
    center = train.mean(axes, np.float64, keepdims=True)
    expected = (values - center) / train.std(axes, np.float64, keepdims=True)
    assert shape_of(data) == shape[1:]
    assert_same_bits(found, expected.astype(np.float32))


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
    assert data.inputs.max() == 1
    assert_same_bits(data.target, digits().target)


# Dates


def test_a_date_becomes_the_parts_that_vary():
    days = pd.date_range("2024-02-27", periods=5).to_list()
    data = of({"x": np.arange(5.0), "day": days, "c": list("ababa")})
    encoder, train = Encoder.fit(data, np.array([0, 1, 4])), np.array([0, 1, 4])
    names = encoder.preprocessor.get_feature_names_out().tolist()
    assert names == ["x", "day_month", "day_day", "day_day_of_week", "c_a", "c_b"]
    found = encoder.inputs(data)
    for i, values in ((1, [2, 2, 2, 3, 3]), (2, [27, 28, 29, 1, 2]), (3, [1, 2, 3, 4, 5])):
        assert_same_bits(found[:, i], standardised(np.array(values, float), train))


def test_times_have_hours_minutes_and_seconds():
    data = of({"t": dates("2020-01-01 10:00:00", "2020-01-01 11:30:00", "2021-01-01 11:30:05")})
    names = Encoder.fit(data, np.arange(3)).preprocessor.get_feature_names_out().tolist()
    assert names == ["t_year", "t_day_of_week", "t_hour", "t_minute", "t_second"]


def test_a_part_that_varies_in_no_training_row_is_zero_in_them():
    """Which parts are features is told by all rows but the test rows, as with categories."""
    data = of({"t": dates("2020-03-01", "2020-03-01", "2021-03-01")})
    found = Encoder.fit(data, np.array([0, 1])).inputs(data)
    assert found.tolist() == [[0, 0], [0, 0], [1, -6]]  # a Sunday, and a Monday


def test_a_date_that_never_varies_keeps_its_year():
    data = of({"t": dates("2020-03-01", "2020-03-01")})
    assert Encoder.fit(data, np.arange(2)).inputs(data).tolist() == [[0], [0]]


def test_a_column_may_have_the_name_of_a_part():
    data = of({"t": dates("2020-03-01", "2021-03-01"), "t_year": [5.0, 7.0]})
    names = Encoder.fit(data, np.arange(2)).preprocessor.get_feature_names_out().tolist()
    assert names == ["t__year", "t__day_of_week", "t_year"]


# Missing values


def test_missing_values_are_imputed_by_the_training_rows_and_marked():
    data = of(
        {
            "x": [1.0, np.nan, 2.0, 9.0, 100.0],
            "c": ["b", "b", None, "a", "a"],
            "z": [1.0, 2.0, 3.0, 4.0, 5.0],
            "t": dates("2020-01-01", "2022-01-01", None, "2021-01-01", "2031-01-01"),
        },
        impute=True,
    )
    train = np.arange(4)
    encoder = Encoder.fit(data, train)
    found = encoder.inputs(data)
    assert encoder.preprocessor.get_feature_names_out().tolist() == [
        *("x", "c_a", "c_b", "z", "t_year", "t_day_of_week"),
        *(f"missingindicator_{name}" for name in ("x", "c", "t_year")),
    ]
    assert_same_bits(found[:, 0], standardised(np.array([1.0, 2, 2, 9, 100]), train))
    assert found[:, 1:3].tolist() == [[0, 1], [0, 1], [0, 1], [1, 0], [1, 0]]
    assert_same_bits(found[:, 3], standardised(np.arange(1.0, 6), train))
    assert_same_bits(found[:, 4], standardised(np.array([2020.0, 2022, 2021, 2021, 2031]), train))
    assert found[:, 6:].T.tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]


def test_the_most_frequent_category_is_that_of_the_training_rows_and_the_first_of_several():
    data = of({"c": ["b", "a", None, "c", "c", "c"]}, impute=True)
    found = Encoder.fit(data, np.arange(3)).inputs(data)
    assert found[2].tolist() == [1, 0, 0, 1]
    assert found[3].tolist() == [0, 0, 0, 0]


def test_every_split_has_the_same_features():
    """Inputs that miss all values in training rows are neither dropped nor in the way."""
    data = of(
        {
            "x": [np.nan, np.nan, 3.0, 4.0],
            "c": [None, None, "u", "v"],
            "t": dates(None, None, "2020-01-01", "2021-02-03"),
            "z": [1.0, 2.0, 3.0, np.nan],
        },
        impute=True,
    )
    shapes, names = set(), set()
    for train in ([0, 1], [2, 3], [0, 3], [1], [0, 1, 2, 3]):
        encoder = Encoder.fit(data, np.array(train))
        found = encoder.inputs(data)
        assert torch.isfinite(found).all()
        shapes.add(found.shape)
        names.add(tuple(encoder.preprocessor.get_feature_names_out()))
    assert shapes == {(4, *shape_of(data))}
    assert len(names) == 1
    hidden = Encoder.fit(data, np.array([0, 1])).inputs(data)
    assert not hidden[:2, :3].any()
    assert hidden[:, 1:3].tolist() == [[0, 0]] * 4  # no training row has a category
    assert hidden[:, -4:].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_a_value_that_only_test_rows_miss_is_imputed_without_a_mark():
    data = of({"x": [1.0, 2.0, 3.0], "c": ["a", "b", "b"]}, impute=True)
    encoder = Encoder.fit(data, np.arange(3))
    test = of({"x": [np.nan, 2.0], "c": ["a", None]}, impute=True)
    assert_same_bits(encoder.inputs(test), np.float32([[0, 1, 0], [0, 0, 1]]))


def test_a_category_that_no_row_has_is_a_feature_of_zeros():
    data = of({"c": [None, None], "x": [1.0, 3.0]}, impute=True)
    found = Encoder.fit(data, np.arange(2)).inputs(data)
    assert found.tolist() == [[0, -1, 1], [0, 1, 1]]


def test_images_with_missing_pixels_are_left_out(tmp_path):
    images = np.random.default_rng(0).normal(size=(9, 4, 4))
    images[2, 1, 3] = np.nan
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(9) / 2)
    data = read_data(str(tmp_path / "d.npz"), "y", missing="impute")
    assert data.rows == 8
    assert torch.isfinite(Encoder.fit(data, np.arange(8)).inputs(data)).all()
