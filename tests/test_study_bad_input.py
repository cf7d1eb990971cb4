"""Every bad input: exit code 2, and one line that says what would be right."""

import json
import shlex
from pathlib import Path

import pytest
import sklearn.datasets

from _study_runs import on_the_terminal, without_pictures, write_csv, write_table
from noisegate import InvalidValue
from noisegate.study import Source, run

QUICK = ["--seeds", "2", "--epochs", "3", "--jobs", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder, from which modules are imported, and leave out the pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    without_pictures(monkeypatch)


RAISES = "def make(input_shape, n_outputs):\n    raise RuntimeError('no network today')\n"
RETURNS = "def make(input_shape, n_outputs):\n    return 7\n"
TABLE = "a,b,y\n" + "".join(f"{i}.5,{i % 7},{'no' if i % 3 else 'yes'}\n" for i in range(30))
BAD: dict[str, tuple[dict[str, str], str, str]] = {
    "no file": ({}, "--data no.csv --target y", "study: the data file must exist; got 'no.csv'"),
    "no test file": ({"d.csv": TABLE}, "--data d.csv --target y --test no.csv", "must exist; got"),
    "no ood file": ({"d.csv": TABLE}, "--data d.csv --target y --ood no.csv", "must exist; got"),
    "no column": (
        {"d.csv": TABLE},
        "--data d.csv --target z",
        "study: --target must name a column of 'd.csv'; got `z`. It has `a`, `b`, `y`.",
    ),
    "no target": ({"d.csv": TABLE}, "--data d.csv", "study: `target` must say which column"),
    "no column to ignore": ({"d.csv": TABLE}, "--data d.csv --target y --ignore q", "got `q`"),
    "no column to split": ({"d.csv": TABLE}, "--data d.csv --target y --split q", "got `q`"),
    "test lacks a column": (
        {"d.csv": TABLE, "t.csv": "a,y\n1,no\n2,yes\n"},
        "--data d.csv --target y --test t.csv",
        "got 't.csv' without `b`",
    ),
    "ragged": (
        {"d.csv": TABLE + "1,2\n"},
        "--data d.csv --target y",
        "study: every row must have a cell for each of the 3 columns; got 2 cells at line 32 of",
    ),
    "empty": (
        {"d.csv": ""},
        "--data d.csv --target y",
        "study: the first line of a CSV file must name its columns; got 'd.csv', which is empty.",
    ),
    "no rows": ({"d.csv": "a,b,y\n"}, "--data d.csv --target y", "got 'd.csv' with no rows."),
    "one class": (
        {"d.csv": TABLE.replace("yes", "no")},
        "--data d.csv --target y",
        "study: a classification must have at least two classes; got 'no' in every row of `y`",
    ),
    "one row": (
        {"d.csv": "a,b,y\n1,2,no\n2,3,no\n"},
        "--data d.csv --target y",
        "study: at least 3 complete rows are needed",
    ),
    "a constant target": (
        {"d.csv": "a,y\n" + "".join(f"{i}.5,2.5\n" for i in range(30))},
        "--data d.csv --target y",
        "study: the target of a regression must vary; got 2.5 in every row of `y` of 'd.csv'.",
    ),
    "NaN": (
        {"d.csv": TABLE + "NaN,1,no\n,,\n"},
        "--data d.csv --target y",
        "got 2 of 32 rows of 'd.csv' with missing values",
    ),
    "text by row": (
        {"d.csv": "a,b,y\n" + "".join(f"{i},w{i},{'no' if i % 3 else 'yes'}\n" for i in range(30))},
        "--data d.csv --target y",
        "`a` (counts the rows), `b` (another text in every row). Name those that are inputs",
    ),
    "another ending": ({"d.doc": ""}, "--data d.doc --target y", "must be .csv, .tsv, .npz, "),
    "no spreadsheet": ({"d.xlsx": ""}, "--data d.xlsx --target y", "must be a spreadsheet; got"),
    "unknown recipe": ({}, "--recipe gausian", "study: unknown recipe 'gausian'; known are none"),
    "no recipe file": ({}, "--recipe no.yaml", "study: cannot read the recipes in 'no.yaml'"),
    "no noise": ({}, "--recipe mine=hid1:out", "a rule must be PATTERN=NOISE; got 'hid1:out'."),
    "a rule of nothing": ({}, "--model mlp --recipe mine=conv*:out=0.5", "'conv*:out'"),
    "one rule of nothing": ({}, "--model mlp --recipe 'm=hid1:out=1, foo=0.5'", "'foo'"),
    "a bad rate": ({}, "--model mlp --recipe mine=hid*:out=1.5", "`p` must be in [0, 1]; got 1.5"),
    "two of one name": ({}, "--recipe m=hid1:out=0.5 m=hid1:out=0.4", "two recipes called 'm'"),
    "unknown model": ({}, "--model mpl", "study: a model must be mlp, cnn, or module:function"),
    "no module": ({}, "--model nothing_here:make", "got 'nothing_here'. Start the command where"),
    "a raising model": (
        {"net_raising.py": RAISES},
        "--model net_raising:make",
        "study: 'net_raising:make', called with (1, 8, 8), 10, raised RuntimeError: no network "
        "today (net_raising.py:2).",
    ),
    "no model": (
        {"net_seven.py": RETURNS},
        "--model net_seven:make",
        "study: 'net_seven:make' must return a torch.nn.Module; got 7.",
    ),
    "cnn of a table": (
        {"d.csv": TABLE},
        "--data d.csv --target y --model cnn",
        "study: cnn needs images",
    ),
    "a folder below a file": (
        {"file": ""},
        "--out file/below",
        "study: cannot write to 'file/below': Not a directory. Name another folder with --out.",
    ),
    "a file as the folder": ({"file": ""}, "--out file", "study: cannot write to 'file'"),
    "one seed": ({}, "--seeds 1", "study: `seeds` must be a whole number >= 2; got 1."),
    "no epochs": ({}, "--epochs 0", "study: `epochs` must be a whole number >= 1; got 0."),
    "no jobs": ({}, "--jobs 0", "study: `jobs` must be a whole number >= 1; got 0."),
    "no rate": ({}, "--learning-rate 0", "study: `learning_rate` must be a number in (0, inf)"),
    "all is test": ({}, "--test-share 1", "study: `test_share` must be a number in (0, 1); got"),
    "one group": (
        {"d.csv": TABLE.replace("\n", ",g\n").replace("y,g", "y,who", 1)},
        "--data d.csv --target y --split who",
        "group",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_2_and_a_sentence(name, capsys):
    written, words, sentence = BAD[name]
    for path, text in written.items():
        Path(path).write_text(text)
    code, out, err = on_the_terminal(["study", *shlex.split(words)], capsys)
    assert (code, out) == (2, "")
    assert err.startswith("noisegate: ")
    assert sentence in err
    assert err.count("\n") == 1, "one line"
    left = {path.name for path in Path().iterdir()} - {"__pycache__"}
    assert left <= {*written, "noisegate-study"}
    assert not list(Path().rglob("*.tmp"))
    assert not list(Path().rglob("settings.json")), "nothing has begun"


def test_a_call_that_was_wrong_can_be_mended_without_resume(capsys):
    write_table(Path("d.csv"))
    call = ["study", "--data", "d.csv", "--target", "y", "--ignore", "who", "--recipe", "hidden"]
    assert on_the_terminal([*call, *QUICK, "--seeds", "1"], capsys)[0] == 2
    assert on_the_terminal([*call, *QUICK], capsys)[0] == 0


def test_a_bad_row_in_the_middle_is_named_by_its_line(capsys):
    lines = TABLE.splitlines()
    lines[17] = "oops,3,no"
    Path("d.csv").write_text("\n".join(lines) + "\n")
    code, _, err = on_the_terminal(["study", "--data", "d.csv", "--target", "y"], capsys)
    assert code == 2
    assert "got 'oops' at line 18 of 'd.csv'" in err


def test_an_infinite_loss_is_no_traceback(capsys):
    """A learning rate at which weights overflow: the study ends, or says what to do."""
    data = sklearn.datasets.load_diabetes()
    write_csv(
        "diabetes.csv",
        {**dict(zip("abcdefghij", data.data.T, strict=True)), "progress": data.target},
    )
    code, out, err = on_the_terminal(
        ["study", "--data", "diabetes.csv", "--target", "progress", "--model", "mlp",
         "--recipe", "gaussian", *QUICK, "--learning-rate", "1e30", "--json"], capsys,
    )  # fmt: skip
    assert code in (0, 1)
    if code == 0:
        json.loads(out, parse_constant=_no_constant)
    else:
        assert err.startswith("noisegate: study: ")


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_errors_of_the_command_are_those_of_the_function():
    with pytest.raises(InvalidValue, match=r"must exist; got 'no.csv'"):
        run(source=Source("no.csv", "y"), progress=False)
