"""Random rows keep the shares of the classes; too few rows are refused, few are noted."""

import re
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from _asserts import assert_rate, assert_sentence
from noisegate import InvalidValue
from noisegate.study.data.dataset import Dataset
from noisegate.study.data.read import digits
from noisegate.study.data.split import check_parts, derived_seed, split_rows
from noisegate.study.data.tasks import Task


def of_classes(target: list[int] | np.ndarray, groups: np.ndarray | None = None) -> Dataset:
    target = np.asarray(target, np.int64)
    names = tuple(str(i) for i in range(int(target.max()) + 1))
    inputs = pd.DataFrame({"x": np.arange(len(target), dtype=float)})
    return Dataset("d", inputs, (), "y", target, Task("classification", names), groups)


def of_numbers(rows: int, groups: np.ndarray | None = None) -> Dataset:
    inputs = pd.DataFrame({"x": np.ones(rows)})
    return Dataset("d", inputs, (), "y", np.arange(rows, dtype=float), Task("regression"), groups)


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
    rest, part = split_rows(data, share, seed, "test")
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
    rest, part = split_rows(data, share, seed, "test")
    assert_partition(rest, part, data.rows)
    assert not set(groups[rest]) & set(groups[part])
    # Nearest among whole groups: at most half of the largest away, or one group must be out.
    most = np.unique(groups, return_counts=True)[1].max()
    low, high = min(len(part), len(rest)), share * len(codes)
    assert abs(len(part) - high) <= most / 2 or low <= most


@given(st.integers(2, 100), SHARES, SEEDS)
def test_a_regression_is_drawn_plainly(rows, share, seed):
    assume(0 < int(share * rows + 0.5) < rows)
    data = of_numbers(rows)
    rest, part = split_rows(data, share, seed, "test")
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
        for rows in split_rows(dataset, 0.2, 3, "test"):
            found.update(rows.astype("<i8").tobytes())
    assert found.hexdigest() == "64edcaad044aff53"
    assert derived_seed(3, "test") == 15570868740929438093


def test_other_seeds_and_purposes_draw_other_rows():
    data = digits()
    parts = [
        split_rows(data, 0.2, seed, purpose)[1] for seed in range(4) for purpose in ("test", "x")
    ]
    assert len({tuple(part) for part in parts}) == 8
    assert len({frozenset(part) for part in parts}) == 8


def test_rows_come_in_random_order_and_each_is_as_likely():
    data = of_classes([0] * 6 + [1] * 14)
    counts = np.zeros(20, int)
    first = np.zeros(20, int)
    for seed in range(4000):
        rest, part = split_rows(data, 0.3, seed, "test")
        counts[part] += 1
        first[rest[0]] += 1
    for row in range(20):
        assert_rate(int(counts[row]), 4000, 0.3)
    for half in (first[:6].sum() / 6, first[6:].sum() / 14):
        assert half == pytest.approx(200, rel=0.15)


def test_shares_out_of_bounds_are_refused():
    with pytest.raises(InvalidValue, match="must be in"):
        split_rows(digits(), 1.0, 0, "test")


# Parts


def checked(data: Dataset, share: float = 0.25) -> tuple[str, ...]:
    """Cut off a fifth of the rows for the test, and check all parts."""
    rest, part = split_rows(data, 0.2, 0, "test")
    return check_parts(data.take(rest), data.take(part), share, 3)


RARE = (
    "study: each class must have at least 3 rows, to train on, to validate on and to test on; got "
    "{}. Leave out the rows of such a class, or join it with another; if `y` is a quantity, give "
    "--task regression."
)
SMALL = "study: each part must have at least 5 rows; got {}. Bring more rows, or change the shares."


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ([30, 1, 30], "`1` with 1 row"),
        ([2, 2], "`0` with 2 rows; `1` with 2 rows"),
        ([40, 1, 2], "`1` with 1 row; `2` with 2 rows"),
        ([300] + [1] * 10, "; ".join(f"`{i}` with 1 row" for i in range(1, 9)) + "; and 2 more"),
    ],
)
def test_a_class_of_fewer_than_three_rows_is_refused(counts, named):
    with assert_sentence(InvalidValue, RARE.format(named)):
        checked(of_classes(np.repeat(np.arange(len(counts)), counts)))


def test_three_rows_of_a_class_are_enough_and_noted():
    notes = checked(of_classes([0] * 97 + [1] * 100 + [2] * 3))
    assert len(notes) == 1
    found = re.fullmatch(
        r"Classes have few rows: `2` with (\d) to train on, (\d) to validate on, (\d) to test on\.",
        notes[0],
    )
    assert found
    assert sum(map(int, found.groups())) == 3


def test_the_rows_of_a_class_in_each_part_are_those_of_seed_0():
    data = of_classes(np.random.default_rng(0).permutation([0] * 200 + [1] * 9 + [2] * 10))
    rest, part = split_rows(data, 0.2, 0, "test")
    train, validation = split_rows(data.take(rest), 0.25, 0, "split")
    ones = [int(sum(data.target[rows] == 1)) for rows in (rest[train], rest[validation], part)]
    assert checked(data) == (
        "Classes have few rows: `1` with {} to train on, {} to validate on, {} to test on.".format(
            *ones
        ),
    )


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (4, "2 to train on, 1 to validate on, 1 to test on"),
        (22, "13 to train on, 5 to validate on, 4 to test on"),
    ],
)
def test_a_part_of_fewer_than_five_rows_is_refused(rows, parts):
    for data in (of_numbers(rows), of_classes([0] * 11 + [1] * 11)):
        if data.rows == rows:
            with assert_sentence(InvalidValue, SMALL.format(parts)):
                checked(data)


def test_parts_of_five_rows_are_enough_and_noted():
    few = "There are few rows: 13 to train on, 5 to validate on, 5 to test on."
    assert checked(of_numbers(23)) == (few,)
    assert checked(of_classes([0] * 11 + [1] * 12)) == (few,)
    assert checked(of_numbers(150)) == ()
    assert checked(of_numbers(140)) == (
        "There are few rows: 84 to train on, 28 to validate on, 28 to test on.",
    )


def test_a_large_validation_share_leaves_too_few_rows_to_train_on():
    sentence = SMALL.format("3 to train on, 77 to validate on, 20 to test on")
    with assert_sentence(InvalidValue, sentence):
        checked(of_numbers(100), 0.96)


def test_parts_of_groups_are_checked_for_every_seed():
    """Of one large group and ten pairs, the pairs before the large group validate."""
    data = of_numbers(110, np.concatenate([np.zeros(90, int), np.repeat(np.arange(1, 11), 2)]))
    test = of_numbers(40)
    sizes = [len(split_rows(data, 0.2, seed, "split")[1]) for seed in range(40)]
    first = next(seed for seed, size in enumerate(sizes) if size < 5)
    assert first > 0
    check_parts(data, test, 0.2, first)
    parts = f"{110 - sizes[first]} to train on, {sizes[first]} to validate on, 40 to test on"
    with assert_sentence(InvalidValue, SMALL.format(parts)):
        check_parts(data, test, 0.2, first + 1)


LACK = (
    "study: each class must have rows to train on, for every seed; got {}. Bring more {}, join "
    "such a class with another or leave it out, or {}."
)
MISSING = "Classes are missing from a part: {}."


def of_groups(size: int, chosen: int) -> Dataset:
    """Return 200 rows in groups of one size: one group has every second row of class 1."""
    groups = np.arange(200) // size
    return of_classes((groups == chosen) & (np.arange(200) % 2 == 0), groups)


def test_a_class_that_some_seed_does_not_train_on_is_refused():
    test = split_rows(of_groups(50, 0), 0.2, 0, "test")[1]
    data = of_groups(50, test[0] // 50)
    way_out = "groups", "study without --split"
    counts = "`1` with 0 to train on, 0 to validate on, 25 to test on for seed 0"
    with assert_sentence(InvalidValue, LACK.format(counts, *way_out)):
        checked(data)

    held = of_classes([0, 1] * 50)
    group = split_rows(of_groups(25, 0), 0.25, 0, "split")[0][0] // 25
    search = of_groups(25, group)
    trained = [group in split_rows(search, 0.25, seed, "split")[0] // 25 for seed in range(40)]
    first = trained.index(False)
    assert first > 0
    check_parts(search, held, 0.25, first)
    rows = search.target.sum()
    counts = f"`1` with 0 to train on, {rows} to validate on, 50 to test on for seed {first}"
    with assert_sentence(InvalidValue, LACK.format(counts, *way_out)):
        check_parts(search, held, 0.25, first + 1)


def test_at_most_eight_classes_without_rows_to_train_on_are_named():
    search = of_classes([0] * 100)
    search = replace(search, task=Task("classification", tuple(map(str, range(11)))))
    held = of_classes([0] * 50 + list(range(1, 11)) * 3)
    named = "; ".join(
        f"`{i}` with 0 to train on, 0 to validate on, 3 to test on for seed 0" for i in range(1, 9)
    )
    sentence = LACK.format(f"{named}; and 2 more", "rows", "change the shares")
    with assert_sentence(InvalidValue, sentence):
        check_parts(search, held, 0.25, 3)


def test_a_class_that_is_missing_from_the_test_rows_is_noted():
    groups = np.arange(400) // 50
    tested = split_rows(of_classes(groups % 2, groups), 0.2, 0, "test")[1] // 50
    data = of_classes(~np.isin(groups, tested) & (np.arange(400) % 5 > 0), groups)
    rest = split_rows(data, 0.2, 0, "test")[0]
    parts = [data.target[rest[rows]] for rows in split_rows(data.take(rest), 0.25, 0, "split")]
    train, validation = (int(part.sum()) for part in parts)
    assert train > 0 < validation
    counts = f"`1` with {train} to train on, {validation} to validate on, 0 to test on for seed 0"
    assert checked(data) == (MISSING.format(counts),)


def test_the_first_seed_that_leaves_a_class_out_is_named():
    """A class is in three of eight groups: some seed validates on none of them."""
    groups, held = np.arange(400) // 50, of_classes([0, 1] * 50)
    validated = split_rows(of_classes(groups % 2, groups), 0.25, 0, "split")[1][0] // 50
    chosen = [validated, *[group for group in range(8) if group != validated][:2]]
    search = of_classes(np.isin(groups, chosen) & (np.arange(400) % 2 == 0), groups)
    parts = [
        [int(search.target[rows].sum()) for rows in split_rows(search, 0.25, seed, "split")]
        for seed in range(40)
    ]
    first = [validation for _, validation in parts].index(0)
    assert first > 0
    assert check_parts(search, held, 0.25, first) == ()
    counts = f"`1` with 75 to train on, 0 to validate on, 50 to test on for seed {first}"
    assert check_parts(search, held, 0.25, first + 1) == (MISSING.format(counts),)


def test_without_groups_a_class_may_miss_a_part_too():
    """Ten rows of a class, a twentieth to validate on: many seeds have none of them."""
    search, held = of_classes([0] * 797 + [1] * 10), of_classes([0] * 100 + [1] * 3)
    validated = [np.sum(split_rows(search, 0.05, seed, "split")[1] >= 797) for seed in range(20)]
    first = [int(count) for count in validated].index(0)
    counts = f"`1` with 10 to train on, 0 to validate on, 3 to test on for seed {first}"
    assert check_parts(search, held, 0.05, first + 1) == (MISSING.format(counts),)


def test_a_class_of_few_rows_is_named_once():
    """With the counts of the first seed that leaves it out of a part."""
    search, held = of_classes([0] * 797 + [1] * 5), of_classes([0] * 100 + [1] * 3)
    assert any(split_rows(search, 0.1, seed, "split")[1].max() >= 797 for seed in range(40))
    few = "Classes have few rows: `1` with 5 to train on, 0 to validate on, 3 to test on."
    assert check_parts(search, held, 0.1, 40) == (few,)


def test_the_digits_are_enough():
    assert checked(digits()) == ()
