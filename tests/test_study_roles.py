"""How columns are read: their roles, other notations, missing values, and data of every kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from _asserts import assert_same_bits, assert_sentence
from _study_files import columns, csv, roles, table
from noisegate import InvalidValue
from noisegate.core.words import shorten
from noisegate.study import run
from noisegate.study.data.dataset import Dataset
from noisegate.study.data.read import read_like
from noisegate.study.source import Source

ROWS = 24


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def one(cells: list[Any], **options: Any) -> Dataset:
    """Read a file with a column of these cells, repeated, between numbers and a target."""
    rows = [f"{i}.5;{cells[i % len(cells)]};{'ab'[i // 3 % 2]}" for i in range(ROWS)]
    if options.get("decimal") == ",":
        rows = [row.replace(".5;", ",5;", 1) for row in rows]
    return csv(table("x;c;y", *rows), **options)


def refuse(sentence: str, cells: list[Any], error: type[Exception] = InvalidValue) -> None:
    with assert_sentence(error, f"study: {sentence}"):
        one(cells)


# Roles


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        ([1, 2, 3.5], "number"),
        ([1, 0], "number"),
        (["red", "blue"], "category"),
        (["02134", "10115", "00501"], "category"),
        (["True", "False"], "category"),
        (["4wd", "2wd"], "category"),
        (["1", "A"], "category"),
        (["A1", "B2"], "category"),
        (["18-25", "26-40"], "category"),
        (["3-4", "11-12"], "category"),
        (["Q1 2021", "Q2 2021"], "category"),
        (["route 66", "route 1"], "category"),
        (["0A", "1A", "2A"], "category"),
        (["1", "2", "3", ">3"], "category"),
        (["(1)", "(2)"], "category"),
        (["<=50K", ">50K"], "category"),
        (["1 male", "2 female"], "category"),
        (["1.2.3", "1.2.4"], "category"),
        (["2012-13", "2013-14"], "category"),
        (["2021-03-04", "2021-04-03"], "date"),
        (["2021-03-04 10:00", "2021-03-04T11:30:05+02:00"], "date"),
        ([f"w{i}" for i in range(ROWS)], "(identifier: another text in every row)"),
        (list(range(ROWS)), "(identifier: counts the rows)"),
        (list(range(100, 100 + ROWS)), "(identifier: counts the rows)"),
        ([i * 7 % 100 for i in range(ROWS)], "(identifier: another whole number in every row)"),
        ([i + 0.25 for i in range(ROWS)], "number"),
        (["always"], "(constant: one value in every row)"),
        ([7], "(constant: one value in every row)"),
        ([""], "(constant: no values)"),
    ],
)
def test_a_column_has_a_role(cells, role):
    data = one(cells)
    assert roles(data) == {"x": "number", "c": role, "y": "(target: 2 classes)"}
    assert ("c" in columns(data)) == (not role.startswith("("))
    if role.startswith("("):
        why = role.partition(": ")[2][:-1]
        assert data.notes[-1] == f"Not used: `c` ({why})."


def test_text_of_many_values_is_left_out_and_told():
    rows = [f"{i}.5,note {i // 2},{'ab'[i % 2]}" for i in range(204)]
    data = csv(table("x,c,y", *rows))
    assert roles(data)["c"] == "(text: 102 different texts)"
    assert data.notes[-1] == "Not used: `c` (102 different texts)."


def test_codes_keep_their_zeros_and_say_so():
    column = one(["02134", "10115", "00501"]).columns[1]
    assert column.categories == ("00501", "02134", "10115")
    assert column.why == "3 values, codes with leading zeros"


def test_what_looks_like_an_identifier_is_an_input_if_it_is_named():
    data = one(list(range(ROWS)), inputs=["x", "c"])
    assert columns(data)["c"] == list(range(ROWS))
    column = data.columns[1]
    assert (column.role, column.why) == ("number", "counts the rows; named by --inputs")
    assert columns(one(["always"], inputs=["c"]))["c"] == ["always"] * ROWS


def test_the_index_that_pandas_writes_is_left_out():
    rows = [f"{i},{i / 4},{'ab'[i % 2]}" for i in range(9)]
    data = csv(table(",x,y", *rows))
    assert roles(data)[""] == "(identifier: the unnamed index of the rows)"
    assert data.notes[-1] == "Not used: the unnamed index of the rows."
    with assert_sentence(
        InvalidValue,
        "study: every column must have a name; got none for column 1 of 'd.csv'. Name it in the "
        "first line; or, if it numbers the rows, save the file without it.",
    ):
        csv(table(",x,y", *(row.replace("3,", "3.5,", 1) for row in rows)))


def test_a_file_without_a_header_is_refused():
    with assert_sentence(
        InvalidValue,
        "study: the first line of a file must name its columns; got only numbers, `5.1`, `3.5`, "
        "`0`, in 'd.csv'. Put a line with names before it.",
    ):
        csv("5.1,3.5,0\n4.9,3.1,1\n", "0")
    assert csv(table("0,1,2", *(f"{i / 2},{i / 3},{i % 2}" for i in range(9))), "2").rows == 9


# Numbers and dates in another notation

NOTATION = "numbers must be written as 1234.5, or an option must say how; got"
ALONE = "numbers must stand without a sign or a unit; got"
DATES = "dates must be written YYYY-MM-DD; got"
SUCH = "in `c` at line 2 of 'd.csv', and such text in 24 of 24 cells."
OTHER = "or leave the column out with --ignore c."


@pytest.mark.parametrize(
    ("cells", "options", "values"),
    [
        (["1,5", "2,25"], "`--decimal ,`", [1.5, 2.25]),
        (["1.234,5", "12.345,25"], "`--decimal , --thousands .`", [1234.5, 12345.25]),
        (["1,234.5", "12,345.25"], "`--thousands ,`", [1234.5, 12345.25]),
        (["1 234,5", "12 345,25"], "`--decimal , --thousands ' '`", [1234.5, 12345.25]),
        (["0,126", "0,25"], "`--decimal ,`", [0.126, 0.25]),
        (["0,126", "1,234"], "`--decimal ,`", [0.126, 1.234]),
        (["1\xa0234", "12\u202f345"], "`--thousands ' '`", [1234, 12345]),
    ],
)
def test_an_option_reads_numbers_in_another_notation(cells, options, values):
    refuse(f"{NOTATION} {cells[0]!r} {SUCH} Read them with {options}, {OTHER}", cells)
    words = options.strip("`").replace("' '", "S").split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    how = {flag[2:]: " " if sign == "S" else sign for flag, sign in given.items()}
    assert columns(one(cells, **how))["c"] == values * (ROWS // 2)


def test_both_options_are_named_where_both_read_the_cells():
    both = "`--thousands ,` or `--decimal ,`"
    refuse(f"{NOTATION} '1,234' {SUCH} Read them with {both}, {OTHER}", ["1,234", "2,345"])


def test_one_column_has_one_notation():
    with assert_sentence(
        InvalidValue,
        "study: numbers must be written in one way; got '1.5' (`--decimal .`) at line 2 of "
        "'d.csv' and '1,5' (`--decimal ,`) at line 3 of 'd.csv', both in `c`. Write them alike, "
        "or leave the column out with --ignore c.",
    ):
        one(["1.5", "1,5"])


@pytest.mark.parametrize(
    "cells",
    [
        ["7%", "12%"],
        ["$5", "$1,250"],
        ["-$1.26", "$3"],
        ["5 kg", "7kg"],
        ["3€", "4€"],
        ["1 year", "5 years"],
        ["5\xa0kilograms", "12 kilograms"],
        ["7 CC", "8 CC"],
        ["~12", "~13"],
        ["<5", ">65", "<= 7"],
    ],
)
def test_signs_and_units_are_refused(cells):
    refuse(f"{ALONE} {cells[0]!r} {SUCH} Write the numbers alone, {OTHER}", cells)


def test_signs_of_some_cells_are_refused():
    half = SUCH.replace("24 of", "12 of")
    refuse(f"{ALONE} '<0.5' {half} Write the numbers alone, {OTHER}", ["<0.5", "1.25"])


@pytest.mark.parametrize(
    ("cells", "count"),
    [(["(1.26)", "3.5"], 12), (["(1,250.50)", "(3)"], 24), (["\u22121.5", "2"], 12)],
)
def test_other_signs_of_negative_numbers_are_refused(cells, count):
    such = SUCH.replace("24 of", f"{count} of")
    rule = "negative numbers must be written as -1234.5; got"
    word = shorten(cells[0], 42)
    refuse(f"{rule} {word} {such} Write them so, {OTHER}", cells)


@pytest.mark.parametrize(
    "cells",
    [
        ["03/04/2021"],
        ["3.4.2021", "12.11.2021"],
        ["2021/03/04"],
        ["Mar 4, 2021"],
        ["2021-02", "2021-03"],
        ["02/2021"],
    ],
)
def test_other_dates_are_refused(cells):
    refuse(f"{DATES} {cells[0]!r} {SUCH} Write them so, {OTHER}", [*cells, cells[0]])


@pytest.mark.parametrize(
    "cells",
    [["19/02/2021 03:00", "20/02/2021 4:00"], ["13:26", "9:05"], ["13:26:05"], ["1:26 pm"]],
)
def test_times_in_another_notation_are_refused(cells):
    rule = "dates must be written YYYY-MM-DD, times beside a date; got"
    refuse(f"{rule} {cells[0]!r} {SUCH} Write them so, {OTHER}", [*cells, cells[0]])


def test_a_target_in_another_notation_names_the_other_way_out():
    rows = [f"{i}.5;{i},25" for i in range(ROWS)]
    with assert_sentence(
        InvalidValue,
        f"study: {NOTATION} '0,25' in `y` at line 2 of 'd.csv', and such text in 24 of 24 cells. "
        "Read them with `--decimal ,`, or give --task classification if each text is a class.",
    ):
        csv(table("x;y", *rows))
    data = csv(table("x;y", *(row.replace(".5", ",5") for row in rows)), decimal=",")
    assert_same_bits(data.target, np.arange(ROWS) + 0.25)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"decimal": "comma"}, "study: `decimal` must be one sign, as ',' or '.'; got 'comma'."),
        ({"thousands": "1"}, "study: `thousands` must be one sign, as ',' or '.'; got '1'."),
        (
            {"decimal": ",", "thousands": ","},
            "study: `decimal` and `thousands` must differ; got ',' for both.",
        ),
        (
            {"missing": "ignore"},
            "study: `missing` must be 'error' or 'drop' or 'impute'; got 'ignore'.",
        ),
        (
            {"missing": "impute", "drop_missing": True},
            "study: `missing` must be 'drop' with drop_missing; got 'impute'. Give one of them.",
        ),
    ],
)
def test_words_on_how_to_read_are_checked(words, sentence):
    with assert_sentence(InvalidValue, sentence):
        Source("d.csv", "y", **words).check()


def test_a_source_is_given_whole_or_by_its_words():
    with assert_sentence(
        InvalidValue,
        "study: `source` says where the data come from; got `data`, `na` beside it. Put these "
        "words into the Source.",
    ):
        run(data="d.csv", na=("x",), source=Source("d.csv", "y"))


# Missing values

COUNTRIES = ["NA", "ZA", "BW", "ZM"]


def test_the_words_that_are_missing_are_counted_and_can_be_set():
    with pytest.raises(InvalidValue, match=r'with missing values \(`c`: 6 "NA"\), the first at li'):
        one(COUNTRIES)
    data = one(COUNTRIES, missing="drop")
    assert data.columns[1].missing == {"NA": 6}
    assert data.notes[1] == (
        "6 of 24 rows of 'd.csv' are left out for missing values (`c`: 6 \"NA\"); --na sets which "
        "words are missing."
    )
    kept = one(COUNTRIES, na=[])
    assert kept.columns[1].categories == ("BW", "NA", "ZA", "ZM")
    assert one(["-999", "1.5", "2"], na=["-999"], missing="drop").rows == 16


def test_imputed_inputs_stay_missing_and_the_target_must_be_there():
    data = one([1.5, "?", 2], missing="impute")
    assert_same_bits(data.inputs["c"].to_numpy(), np.array([1.5, np.nan, 2] * 8))
    assert data.notes[1] == (
        "Missing values of 'd.csv' are imputed (`c`: 8 \"?\"); --na sets which words are missing."
    )
    assert columns(one(["a", "", "b"], missing="impute"))["c"] == ["a", None, "b"] * 8
    days = one(["2021-03-04", "", "2021-05-04"], missing="impute").inputs["c"]
    assert (days.dtype, int(days.isna().sum())) == (np.dtype("M8[s]"), 8)
    rows = [f"{i}.5,{'' if i == 3 else 'ab'[i % 2]}" for i in range(9)]
    some = csv(table("x,y", *rows), missing="impute")
    assert (some.rows, some.columns[1].missing) == (8, {"": 1})


def test_one_value_and_gaps_are_an_input_only_where_gaps_are_imputed():
    assert roles(one(["yes", ""]))["c"] == "(constant: one value in every row)"
    assert roles(one(["yes", ""], missing="impute"))["c"] == "category"


# Other data like the data


def other(cells: list[Any], data: Dataset, **options: Any) -> Dataset:
    Path("t.csv").write_text(table("x;c", *(f"{i}.5;{cell}" for i, cell in enumerate(cells))))
    return read_like("t.csv", data, what="the OOD file", target=False, **options)


def test_other_data_are_read_in_the_roles_of_the_data():
    assert columns(other([7, 8], one(list(range(ROWS)), inputs=["x", "c"])))["c"] == [7, 8]
    assert columns(other(["02", "03"], one([1, 2, 3.5])))["c"] == [2, 3]
    assert columns(other(["00501", "7"], one(["02134", "00501"])))["c"] == ["00501", "7"]
    days = other(["2022-01-01"], one(["2021-03-04", "2021-04-03"])).inputs["c"]
    assert days.tolist() == [pd.Timestamp("2022-01-01")]
    with assert_sentence(
        InvalidValue,
        "study: `c` must hold dates as YYYY-MM-DD, as in the data; got 'soon' at line 3 of "
        "'t.csv'. Fix that cell.",
    ):
        other(["2022-01-01", "soon"], one(["2021-03-04", "2021-04-03"]))


def test_a_column_that_is_left_out_need_not_be_in_the_test_file():
    one(list(range(ROWS)))
    Path("t.csv").write_text(table("x,y", "1.5,a", "2.5,b"))
    Source("d.csv", "y", test="t.csv").check()
    assert Source("d.csv", "y", test="t.csv").read().test.rows == 2
