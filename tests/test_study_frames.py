"""DataFrames, arrays and files of every kind are read alike."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from _asserts import assert_same_bits, assert_sentence
from _study_files import roles, table
from noisegate import InvalidType, InvalidValue, MissingExtra
from noisegate.study.data import formats
from noisegate.study.data.read import read_data
from noisegate.study.source import Source

ROWS = 24


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def frame() -> pd.DataFrame:
    days = pd.date_range("2021-01-01", periods=ROWS, freq="36h")
    return pd.DataFrame(
        {
            "number": np.arange(ROWS) / 8,
            3: pd.array([1, 2, None, 2] * 6, dtype="Int64"),
            "kind": pd.Categorical(["7", "8"] * 12),
            "flag": np.arange(ROWS) % 3 == 0,
            "day": days,
            "word": ["up", "down", "left"] * 8,
            "y": ["a", "b"] * 12,
        }
    )


ROLES = {
    "number": "number",
    "3": "number",
    "kind": "category",
    "flag": "category",
    "day": "date",
    "word": "category",
    "y": "(target: 2 classes)",
}


def test_a_dataframe_is_read_by_its_dtypes():
    table = frame()
    data = read_data(table, "y", missing="impute")
    assert (data.name, roles(data)) == ("DataFrame", ROLES)
    assert [dtype.kind for dtype in data.inputs.dtypes] == [*"ffOOMO"]
    assert_same_bits(data.inputs["number"].to_numpy(), table["number"].to_numpy())
    assert data.inputs["flag"].tolist()[:2] == ["True", "False"]
    assert len(data.notes) == 2
    named = read_data(table.set_index("word"), "y", missing="impute")
    assert named.notes[-1] == "The DataFrame's index is not used."
    assert "word" not in roles(named)
    with assert_sentence(
        InvalidValue,
        "study: the columns' names must differ; got `y` for columns 1 and 2 of the DataFrame. "
        "Rename one.",
    ):
        read_data(pd.concat([table[["y"]], table[["y"]]], axis=1), "y")
    with assert_sentence(
        InvalidValue,
        "study: numbers must be finite, and below 1e100; got inf in `number` at row 0 (from 0) of "
        "the DataFrame. Fix it, or leave it blank and drop its row with --missing drop.",
    ):
        read_data(
            table.assign(number=np.inf)[["number", "word", "y"]], "y", inputs=["number", "word"]
        )


@pytest.mark.parametrize("name", ["d.parquet", "d.feather", "d.arrow", "d.xlsx"])
def test_tables_of_other_files_are_equal_to_the_dataframe(name):
    table = frame().rename(columns={3: "3"})
    save = table.to_excel if name.endswith("xlsx") else table.to_feather
    (table.to_parquet if name.endswith("parquet") else save)(name)
    if name.endswith("xlsx"):  # which knows no categories
        table["kind"] = table["kind"].astype(int)
    data = read_data(name, "y", missing="impute")
    assert {k: v for k, v in roles(data).items() if k} == roles(
        read_data(table, "y", missing="impute")
    )
    assert data.digest == read_data(table, "y", missing="impute").digest
    with pytest.raises(InvalidValue, match=f"--target must name a column of '{name}'"):
        Source(name, "z").check()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("d.xlsx", "a spreadsheet"), ("d.feather", "Arrow's"), ("d.parquet", "Parquet's")],
)
def test_other_bytes_are_no_table(name, kind):
    Path(name).write_text("text")
    with assert_sentence(
        InvalidValue,
        f"study: a {name[1:]} file must be {kind}; got '{name}', which is not. Save it anew.",
    ):
        read_data(name, "y")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("d.ods", "An ods file needs odfpy. Install it with: pip install odfpy"),
        ("d.xls", "An xls file needs xlrd. Install it with: pip install xlrd"),
        ("d.xlsx", 'An xlsx file needs openpyxl. Install it with: pip install "noisegate[excel]"'),
    ],
)
def test_a_reader_that_is_not_installed_is_named(name, sentence, monkeypatch):
    Path(name).touch()
    monkeypatch.setattr(formats, "find_spec", lambda module: None)
    with assert_sentence(MissingExtra, sentence):
        read_data(name, "y")


def test_compressed_text_and_tabs_are_read():
    text = table("x\ty, z", *(f"{i}.5\t{'ab'[i % 2]}" for i in range(9)))
    Path("d.tsv").write_text(text)
    with gzip.open("d.tsv.gz", "wt") as file:
        file.write(text)
    with zipfile.ZipFile("d.TSV.zip", "w") as archive:
        archive.writestr("d.tsv", text)
    found = {read_data(name, "y, z").digest for name in ("d.tsv", "d.tsv.gz", "d.TSV.zip")}
    assert len(found) == 1
    Path("bad.csv.gz").write_text("x,y\n")
    with assert_sentence(
        InvalidValue,
        "study: the data file must be readable; got 'bad.csv.gz': Not a gzipped file (b'x,'). "
        "Name a file that you can read.",
    ):
        read_data("bad.csv.gz", "y")


def test_a_pair_of_arrays_is_read_as_x_and_y():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(ROWS, 3)), np.array(["a", "b"] * 12)
    data = read_data((values, labels), "y")
    assert (data.name, roles(data)) == ("arrays", {"x": "array", "y": "(target: 2 classes)"})
    assert list(data.inputs) == ["x.0", "x.1", "x.2"]
    assert data.features(data.columns[0]) == ("x.0", "x.1", "x.2")
    assert_same_bits(data.inputs.to_numpy(), values)
    tensors = torch.from_numpy(values), torch.arange(ROWS) % 2
    assert_same_bits(read_data(tensors, "y").inputs.to_numpy(), values)
    images = read_data((values.reshape(ROWS, 1, 3, 1).astype(np.float32), labels), "y")
    assert images.inputs.shape == (ROWS, 1, 3, 1)
    named = read_data(
        (pd.DataFrame(values, columns=[*"abc"]), pd.Series(labels, name="kind")), "kind"
    )
    assert [*named.inputs] == ["a", "b", "c"]
    assert Source((values, labels)).read().test.rows == 5
    # The name of y is a column's beside a DataFrame alone, whatever it is.
    assert Source((values, pd.Series(labels, name="kind"))).target == "y"
    for name in ("kind", 0):
        pair = pd.DataFrame(values, columns=[*"abc"]), pd.Series(labels, name=name)
        assert Source(pair).read().search.target_name == str(name)
    with assert_sentence(
        InvalidType,
        "study: the data file must be a path, a DataFrame, or a pair of arrays (X, y); got 3.",
    ):
        read_data(3, "y")


def test_the_arguments_of_data_in_memory_name_a_file():
    source = Source(frame(), "y", missing="impute", na=(), decimal=",")
    assert source.arguments() == [
        *["--data", "data.csv", "--target", "y", "--missing", "impute", "--na", "--decimal", ","]
    ]
    assert Source("d.csv", "y", drop_missing=True).arguments()[-2:] == ["--missing", "drop"]
    assert Source("d.csv", "y", na=("-9",)).arguments()[-1] == "--na=-9"
