"""A test file is read like the data, with no leak from it; tasks have losses, errors and units."""

import math
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow.parquet import write_table

from _asserts import assert_same_bits
from _study_files import columns, csv, npz, table, target
from noisegate.estimators import Epoch, History
from noisegate.study.data.columns import Column
from noisegate.study.data.dataset import Dataset
from noisegate.study.data.read import read_like
from noisegate.study.data.tasks import Task


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def like(text: str, dataset: Dataset, **options: object) -> Dataset:
    Path("t.csv").write_text(text, "utf-8")
    return read_like("t.csv", dataset, what="the test file", **options)


DATA = table("x,c,y", "1,red,no", "2.5,blue,yes", "3,red,no", "4,red,yes")


def test_a_further_column_is_ignored_and_noted():
    """A planted leak, the target as a column of the test file only, changes nothing."""
    data = csv(DATA)
    plain = like(table("x,c,y", "5,red,yes", "6,blue,no"), data)
    leak = like(table("leak,y,c,x", "yes,yes,red,5", "no,no,blue,6"), data)
    assert columns(plain) == {"x": [5, 6], "c": ["red", "blue"]}
    assert plain.target.tolist() == [1, 0]
    assert leak.digest == plain.digest
    assert (plain.notes, leak.notes) == (
        (),
        ("Not used of 't.csv', as the data do not have them as inputs: `leak`.",),
    )


def test_unseen_categories_dropped_rows_and_one_class_are_fine():
    test = like(table("x,c,y", "5,green,yes", ",red,no"), csv(DATA), missing="drop")
    assert columns(test) == {"x": [5], "c": ["green"]}
    assert test.notes == (
        "1 of 2 rows of 't.csv' are left out for missing values (`x`: 1 empty); --na sets which "
        "words are missing.",
        "`c` of 't.csv' has categories that the data lack, `green`: the network gets zeros for "
        "them.",
    )


def test_categories_and_classes_that_look_like_numbers_stay_text():
    rows = ["1,1,01", "2,A,2", "3,1,01", "4,A,2"]
    data = npz(x=np.array(["01", "A"] * 2), y=np.array(["01", "2"] * 2))
    assert columns(like(table("x,y", "01,2", "01,01"), data)) == {"x": ["01", "01"]}
    coded = csv(table("x,c,y", *rows))
    test = like(table("x,c,y", "5,1,01", "6,1,01"), coded)
    assert (coded.task.classes, test.target.tolist()) == (("01", "2"), [0, 0])
    assert columns(test)["c"] == ["1", "1"]
    words = csv(table("x,y", "1,1", "2,b", "3,1", "4,b"))
    assert like(table("x,y", "1,1"), words).target.tolist() == [0]


def test_codes_that_parquet_holds_as_numbers_are_the_categories_of_a_csv():
    coded = csv(table("x,c,y", "1,1,0", "2,A,1", "3,1,0", "4,A,1"))
    write_table(pyarrow.table({"x": [1, 2], "c": [1, 1], "y": [0, 1]}), "t.parquet")
    assert columns(read_like("t.parquet", coded, what="the test file"))["c"] == ["1", "1"]


def test_the_target_need_not_be_there_where_it_is_not_asked_for():
    for data in (csv(DATA), csv(DATA.replace("no", "1.5").replace("yes", "2"))):
        other = like(table("x,c", "5,red", "6,blue"), data, target=False)
        assert_same_bits(other.target, np.zeros(2, data.target.dtype))
        assert other.notes == ()
        assert like(table("x,c,y", "5,red,?"), data, target=False).notes == ()


def test_a_regression_reads_a_target_of_any_numbers():
    data = csv(target([0.5, 2, 3]))
    assert_same_bits(like(table("y,x", "1,5"), data).target, np.array([1.0]))


# Tasks


def test_tasks_have_names_losses_and_units():
    task = Task("classification", ("a", "b"))
    logits, classes = torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    assert (task.loss_name, task.error_name, task.error_factor) == (
        "cross-entropy",
        "error, %",
        100,
    )
    expected = (math.log(2) + math.log(1 + math.e)) / 2
    assert task.loss(logits, classes).item() == pytest.approx(expected)
    assert task.error(logits, classes).tolist() == [0, 1]
    history = History((Epoch(1, 4.0, 9.0, 0.5), Epoch(2, 0.0, 1.0, None)))
    assert task.in_units(history, 10.0) is history

    task = Task("regression")
    values, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert (task.loss_name, task.error_name, task.error_factor) == (
        "RMSE",
        "mean absolute error",
        1,
    )
    assert task.loss(values, targets).item() == 4.5
    assert task.error(values, targets).tolist() == [0, 3]
    assert task.in_units(history, 10.0) == History(
        (Epoch(1, 20.0, 30.0, 5.0), Epoch(2, 0.0, 10.0, None))
    )


def test_a_column_is_a_value():
    column = Column("x", "number", True, "3 values")
    with pytest.raises(AttributeError):
        column.name = "z"  # type: ignore[misc]  # it is frozen: that is what is tested
