"""A wrong call fails at once: before torch and the like are imported, and without a file written.

All calls run in one process of its own, since this one has torch already. An import stays in the
process: the first call that imports torch would fail, and so would all that follow. The proof is
proved by right calls, after which everything is imported.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from _study_runs import environment
from noisegate import InvalidValue
from noisegate.study import files

SLOW = ["matplotlib", "optuna", "scipy", "skorch", "sklearn", "torch"]
PROGRAM = f"""
import contextlib, io, json, os, sys
from noisegate import cli

def files():
    return sorted(os.path.join(*each) for each in os.walk('.') for each in [each[:1], *(
        (each[0], name) for name in each[2])])

def called(words):
    before, errors, output = files(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(output):
        try:
            code = cli.main(words)
        except SystemExit as ended:
            code = ended.code
    slow = [name for name in {SLOW!r} if name in sys.modules]
    return [code, errors.getvalue(), slow, files() == before]

print(json.dumps([called(words) for words in json.load(sys.stdin)]))
"""
DATA = ["--data", "d.csv", "--target", "y"]
COLUMNS = "It has `x`, `who`, `y`."
SUFFIX = (
    "must be .csv, .tsv, .npz, .parquet, .feather, .arrow, .xlsx, .xls or .ods, or a .csv or .tsv "
    "with .gz, .bz2, .xz, .zip behind; got 'd.txt'. Save it as one of these, with that ending."
)
READ = "Name a file that you can read."
MODELS = "a model must be mlp, cnn, or module:function for your own; got 'mpl'. Did you mean `mlp`?"
RECIPES = (
    "unknown recipe 'gausian'; known are none, hidden, input-hidden, gaussian, "
    "spatial, recurrent, weights. Did you "
    "mean `gaussian`? Your own is NAME=RULES, for example 'mine=hid*:out=0.5'."
)
HAS_RUNS = (
    "'used' has runs already. Go on with them by --resume, or name another folder with --out."
)
OUT = "Name another folder with --out."

# What `study` and `tune` share: words, and what is said.
SHARED: list[tuple[list[str], str]] = [
    # Files.
    (
        ["--data", "no.csv", "--target", "y"],
        "the data file must exist; got 'no.csv', which does not. Check its path.",
    ),
    (
        ["--data", "folder.csv", "--target", "y"],
        f"the data file must be readable; got 'folder.csv': it is a folder. {READ}",
    ),
    (["--data", "d.txt", "--target", "y"], f"the data file {SUFFIX}"),
    (
        ["--data", "empty.csv", "--target", "y"],
        "the first line of a CSV file must name its columns; got 'empty.csv', which is empty. "
        "Check that it was saved.",
    ),
    (
        ["--data", "latin.csv", "--target", "y"],
        "a CSV file must be UTF-8; got other bytes at line 1 of 'latin.csv'. Save it as UTF-8.",
    ),
    (
        ["--data", "bad.npz", "--target", "y"],
        "an .npz file must be NumPy's; got 'bad.npz', which is not. Save it with numpy.savez.",
    ),
    (
        ["--data", "bad.parquet", "--target", "y"],
        "a .parquet file must be Parquet's; got 'bad.parquet', which is not. Save it anew.",
    ),
    (
        [*DATA, "--test", "no.csv"],
        "the test file must exist; got 'no.csv', which does not. Check its path.",
    ),
    ([*DATA, "--ood", "d.txt"], f"the OOD file {SUFFIX}"),
    # Columns.
    (
        ["--data", "d.csv"],
        "`target` must say which column of 'd.csv' is to be predicted; it is missing. Name it "
        "with --target.",
    ),
    (
        ["--data", "d.csv", "--target", "Yy"],
        f"--target must name a column of 'd.csv'; got `Yy`. {COLUMNS} Did you mean `y`?",
    ),
    (
        ["--data", "d.npz", "--target", "label"],
        "--target must name a column of 'd.npz'; got `label`. It has `x`, `labels`. Did you mean "
        "`labels`?",
    ),
    (
        ["--data", "d.parquet", "--target", "outcom"],
        "--target must name a column of 'd.parquet'; got `outcom`. It has `x`, `outcome`. Did you "
        "mean `outcome`?",
    ),
    (
        [*DATA, "--split", "hwo"],
        f"--split must name a column of 'd.csv'; got `hwo`. {COLUMNS} Did you mean `who`?",
    ),
    ([*DATA, "--inputs", "z"], f"--inputs must name a column of 'd.csv'; got `z`. {COLUMNS}"),
    (
        [*DATA, "--ignore", "y"],
        "a column has one role; got `y` for --target and for --ignore. Leave it out of one.",
    ),
    (
        [*DATA, "--ignore", "x", "who"],
        "there must be a column to learn from; got none of 'd.csv', which has `x`, `who`, `y`. "
        "Ignore fewer, or add inputs to the file.",
    ),
    (
        [*DATA, "--test", "short.csv"],
        "the test file must have every column that the data have; got 'short.csv' without `who`. "
        "It has `x`, `y`.",
    ),
    (
        ["--ood", "short.csv"],
        "the OOD file must have every column that the data have; got 'short.csv' without "
        "`images`. It has `x`, `y`.",
    ),
    # Numbers.
    (
        ["--seeds", "1"],
        "`seeds` must be a whole number >= 2; got 1. An interval needs at least two runs of each "
        "recipe.",
    ),
    (["--seeds", "10001"], "`seeds` must be at most 10,000; got 10001."),
    (["--epochs", "0"], "`epochs` must be a whole number >= 1; got 0. 60 is the default."),
    (
        ["--batch-size", "0"],
        "`batch_size` must be a whole number >= 1; got 0. Left out, it is chosen by the rows.",
    ),
    (["--learning-rate", "nan"], "`learning_rate` must be a number in (0, inf); got nan."),
    (["--jobs", "0"], "`jobs` must be a whole number >= 1; got 0. 1 is this process."),
    (["--jobs", "5000"], "`jobs` must be at most 1,024; got 5000."),
    ([*DATA, "--test-share", "1"], "`test_share` must be a number in (0, 1); got 1.0."),
    (
        ["--target", "y"],
        "`data` must say where the target 'y' is; it is missing, and the digits have one of their "
        "own. Name the file with --data.",
    ),
    ([*DATA, "--decimal", "comma"], "`decimal` must be one sign, as ',' or '.'; got 'comma'."),
    ([*DATA, "--thousands", "+"], "`thousands` must be one sign, as ',' or '.'; got '+'."),
    (
        [*DATA, "--decimal", ",", "--thousands", ","],
        "`decimal` and `thousands` must differ; got ',' for both.",
    ),
    # Models, and where the results go.
    (["--model", "mpl"], MODELS),
    (
        ["--model", "nest:make"],
        "the module of a model must be in the current folder, or installed; got 'nest'. Did you "
        "mean `nets`?",
    ),
    (["--out", "d.csv"], f"cannot write to 'd.csv': File exists. {OUT}"),
    (["--out", "d.csv/below"], f"cannot write to 'd.csv/below': Not a directory. {OUT}"),
    (["--out", "used"], HAS_RUNS),
]
OWN: list[tuple[list[str], str]] = [
    (["study", "--recipe", "gausian"], f"study: {RECIPES}"),
    (
        ["study", "--recipe", "mine=hid*:out"],
        "study: recipe 'mine': a rule must be PATTERN=NOISE; got 'hid*:out'. Write for example "
        "'hid*:out=0.5'.",
    ),
    (
        ["study", "--recipe", "mine=hid*:out=1.5"],
        "study: recipe 'mine', rule 'hid*:out': Dropout: `p` must be in [0, 1]; got 1.5. Did you "
        "mean 0.15?",
    ),
    (
        ["study", "--recipe", "no.yaml"],
        "study: cannot read the recipes in 'no.yaml': No such file or directory.",
    ),
    (
        ["tune", "--trials", "0"],
        "tune: `trials` must be a whole number >= 1; got 0. 30 is the default.",
    ),
    (
        ["tune", "--tune-seed", "-1"],
        "tune: `tune_seed` must be a whole number >= 0; got -1. 0 is the default.",
    ),
    (
        ["tune", "--rules", "hid*:out=0.8..0.2"],
        "tune: a range is LOW..HIGH with LOW below HIGH; got '0.8..0.2'.",
    ),
    (
        ["tune", "--rules", "hid*:out=0..much"],
        "tune: a range is LOW..HIGH, LOW..HIGH log or LOW..HIGH int; got '0..much'.",
    ),
    (
        ["tune", "--rules", "hid*:out=0..2"],
        "tune: rule 'hid*:out': Dropout: `p` must be in [0, 1]; got 2.0. Did you mean 0.2?",
    ),
    (
        ["tune", "--always", "--rules", "hid*:out=0.5"],
        "tune: with every rule always on at least one must have a range; got 'hid*:out=0.5'. Write "
        "a range: 'hid*:out=0..0.8'.",
    ),
    (
        ["compare", "no.json", "d.csv"],
        "compare: a file to compare must be one that can be read; got 'no.json': No such file or "
        "directory. Name the folder of a study's --out, or the study.json in it.",
    ),
    (
        ["compare", "d.csv", "d.csv"],
        "compare: a file to compare must be a study's study.json; got 'd.csv': it is not JSON. "
        "Name the folder of a study's --out, or the study.json in it.",
    ),
    (["sites", "mpl"], f"sites: {MODELS}"),
    (
        ["sites", "nest:make"],
        "sites: the module of a model must be in the current folder, or installed; got 'nest'. "
        "Did you mean `nets`?",
    ),
    (
        ["sites", "mlp", "hid*:out"],
        "sites: the text: a rule must be PATTERN=NOISE; got 'hid*:out'. Write for example "
        "'hid*:out=0.5'.",
    ),
    (
        ["show", "dropuot(0.5)", "--shape", "4,4"],
        "there is no noise called `dropuot`. Did you mean `dropout`?",
    ),
    (
        ["show", "0.5", "--shape", "4,0"],
        "show: an input of shape (4, 0) has no elements to draw.",
    ),
    (
        ["show", "0.5", "--shape", "4,4", "-o", "mask.jpg"],
        "show: `format` must be 'png' or 'svg' or 'pdf'; got 'jpg'. Did you mean 'png'?",
    ),
    (
        ["show", "0.5", "--shape", "4,4", "-o", "none/mask.png"],
        "show: --out must name a file in a folder that exists; got 'none/mask.png'. Make that "
        "folder, or name another.",
    ),
    (
        ["show", "0.5", "--shape", "4,4", "-o", "folder.png"],
        "show: --out must name a file; 'folder.png' is a folder. Name a file in it.",
    ),
]
CALLS = [
    *(
        ([command, *words], f"{command}: {sentence}")
        for command in ("study", "tune")
        for words, sentence in SHARED
    ),
    *OWN,
]


def write_files(folder: Path) -> None:
    rows = "".join(f"{i}.5,g{i // 4},{'ab'[i % 2]}\n" for i in range(40))
    (folder / "d.csv").write_text(f"x,who,y\n{rows}")
    (folder / "short.csv").write_text("x,y\n1,a\n")
    (folder / "empty.csv").touch()
    (folder / "latin.csv").write_bytes("größe,y\n1,a\n".encode("latin-1"))
    (folder / "d.txt").write_text("x,y\n1,a\n")
    np.savez(folder / "d.npz", x=np.zeros((9, 2)), labels=np.arange(9) % 2)
    (folder / "bad.npz").write_text("x")
    table = pyarrow.table({"x": [1.5, 2.5], "outcome": ["a", "b"]})
    pyarrow.parquet.write_table(table, folder / "d.parquet")
    (folder / "bad.parquet").write_text("x")
    (folder / "nets.py").write_text("raise AssertionError('imported')\n")
    (folder / "used" / "runs" / "mlp").mkdir(parents=True)
    (folder / "used" / "runs" / "settings.json").write_text("{}")
    for name in ("folder.csv", "folder.png"):
        (folder / name).mkdir()


def called(calls: list[list[str]], folder: Path) -> Any:
    """Return each call's exit code, errors, slow imports so far, and whether it left nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(calls),
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("wrong")
    write_files(folder)
    return called([words for words, _ in CALLS], folder)


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[" ".join(words) for words, _ in CALLS])
def test_a_wrong_call_is_answered_without_torch(number: int, answers: Any) -> None:
    words, sentence = CALLS[number]
    code = 1 if "--out must name a file" in sentence else 2
    assert answers[number] == [code, f"noisegate: {sentence}\n", [], True], words


@pytest.mark.parametrize("name", ["file", "file/below", "file/far/below"])
def test_a_file_in_the_way_is_told_as_when_the_folder_is_made(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / name
    with pytest.raises(InvalidValue) as made:
        files.make_folder(folder)
    with pytest.raises(InvalidValue) as told:
        files.check_folder(folder)
    assert str(told.value) == str(made.value)
    files.check_folder(tmp_path / "new" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


QUICK = [["--version"], ["info"], ["info", "--json"], ["study", "--sedes"]]


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_what_needs_no_torch_does_not_wait_for_it(words: list[str], tmp_path: Path) -> None:
    ((code, _, slow, clean),) = called([words], tmp_path)
    assert (code, slow, clean) == (2 if "--sedes" in words else 0, [], True)


def test_right_calls_import_what_wrong_ones_do_without(tmp_path: Path) -> None:
    write_files(tmp_path)
    few = [*DATA, "--ignore", "who", "--seeds", "2", "--epochs", "1", "--jobs", "1"]
    study = ["study", *few, "--recipe", "hidden", "--out"]
    calls = [
        ["show", "0.5", "--shape", "4,4"],
        ["sites", "mlp"],
        [*study, "a"],
        [*study, "b"],
        ["compare", "a", "b/study.json"],
        ["tune", *few, "--trials", "1", "--out", "c"],
    ]
    found = called(calls, tmp_path)
    assert [(code, errors) for code, errors, _, _ in found] == [(0, "")] * len(calls)
    drawn, listed, studied, _, _, tuned = (set(slow) for _, _, slow, _ in found)
    assert drawn == {"matplotlib"}
    assert "torch" in listed
    assert studied == {"matplotlib", "scipy", "skorch", "sklearn", "torch"}
    assert tuned == set(SLOW)
    assert [clean for *_, clean in found] == [False, True, False, False, True, False]
