"""The command line: its help, its exit codes, its sentences, and what it leaves behind."""

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noisegate as ng
from _backends import pure_engines
from _study_runs import NET, ended, environment, numbers, on_the_terminal, started, without_pictures
from noisegate import cli
from noisegate.core import extras
from noisegate.engines import native
from noisegate.study import RECIPES, main, run

SMALL = ["--model", "mlp", "--recipe", "gaussian", "--seeds", "2", "--epochs", "1", "--jobs", "1"]
COMMANDS = ["study", "tune", "compare", "sites", "show", "info"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_version(capsys):
    assert on_the_terminal(["--version"], capsys) == (0, f"noisegate {ng.__version__}\n", "")


# Help -------------------------------------------------------------------------------------------


def examples_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return the examples of a help as the words that follow `noisegate`."""
    code, out, err = on_the_terminal([*command, "--help"], capsys)
    assert (code, err) == (0, "")
    lines = re.findall(r"^  noisegate (.+)$", out.partition("Example")[2], re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=["", *COMMANDS])
def test_the_examples_of_the_help_can_be_pasted(command, capsys):
    examples = examples_of(command, capsys)
    assert examples
    for example in examples:
        assert example[: len(command)] == command or command == ["compare"]
        assert cli.parser().parse_args(example).execute


def test_every_command_is_listed_and_has_a_help(capsys):
    _, out, _ = on_the_terminal(["--help"], capsys)
    assert re.findall(r"^    (\w+) ", out, re.MULTILINE) == COMMANDS


# What makes the long ones short: of two values of an option the last one counts.
FEW = ["--epochs", "1", "--seeds", "2", "--jobs", "1"]


def write_what_examples_name() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = (x[:, 0] > 0).astype(int)
    rows = (f"{a},{b},c{i // 4},{t}" for i, ((a, b, _), t) in enumerate(zip(x, y, strict=True)))
    Path("patients.csv").write_text("\n".join(["age,dose,clinic,outcome", *rows]) + "\n")
    np.savez("x.npz", x=x, y=y)
    Path("nets.py").write_text(NET)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_run(command, capsys, monkeypatch):
    without_pictures(monkeypatch)
    write_what_examples_name()
    for number, example in enumerate(examples_of([command], capsys)):
        more = FEW if example[0] in ("study", "tune") else []
        if example[0] == "tune":
            if "--storage" in example:  # a machine that is not here
                continue
            more = [*more, "--trials", "2"]
        if example[0] in ("study", "tune") and "--out" not in example:
            more = [*more, "--out", f"out-{number}"]
        code, out, err = on_the_terminal([*example, *more], capsys)
        assert (code, err) == (0, ""), example
        assert out


@pytest.mark.slow
def test_the_shortest_examples_of_a_study_run_as_they_stand(capsys):
    (first,) = examples_of([], capsys)
    for number, example in enumerate([first, examples_of(["study"], capsys)[1]]):
        code, out, err = on_the_terminal([*example, "--out", str(number)], capsys)
        assert (code, err) == (0, "")
        assert f"Report: {number}/report.html" in out


def test_the_help_names_every_recipe(capsys):
    _, out, _ = on_the_terminal(["study", "--help"], capsys)
    for name in RECIPES:
        assert re.search(rf"\b{name}\b", out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_wait_for_torch(command):
    code = (
        "import sys; from noisegate import cli\n"
        f"try: cli.main(['{command}', '--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'matplotlib', 'sklearn', 'rich', 'optuna', 'scipy'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment())


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=["", *COMMANDS])
def test_the_help_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = on_the_terminal([*command, "--help"], capsys)
    assert [line for line in out.splitlines() if len(line) > 80] == []


# Info -------------------------------------------------------------------------------------------


def test_info_says_what_makes_the_noise(capsys):
    code, out, err = on_the_terminal(["info"], capsys)
    assert (code, err) == (0, "")
    told = {line[:16].strip(): line[16:].strip() for line in out.splitlines()}
    module = native.load_library()
    assert told["noisegate"] == ng.__version__
    assert told["scheme"] == "1"
    assert told["engine"] == ("pure" if module is None else "native")
    assert told["instruction set"] == ("none" if module is None else module.instruction_set())
    assert told["threads"] == str(1 if module is None else module.threads())
    assert told["numpy"] == np.__version__
    assert {"python", "torch"} <= told.keys()
    code, out, _ = on_the_terminal(["info", "--json"], capsys)
    given = json.loads(out)
    assert {name: str(value) for name, value in given.items() if value} == {
        name: value for name, value in told.items() if value != "not installed"
    }


def test_info_says_that_the_pure_engine_is_in_use(capsys):
    with pure_engines():
        _, out, _ = on_the_terminal(["info"], capsys)
    assert re.search(r"^engine +pure$", out, re.MULTILINE)
    assert re.search(r"^instruction set +none$", out, re.MULTILINE)


# Study ------------------------------------------------------------------------------------------


def test_a_study_ends_with_the_report_and_the_sentences(capsys):
    code, out, err = on_the_terminal(["study", *SMALL, "--out", "o"], capsys)
    assert (code, err) == (0, "")
    found = run("mlp", "gaussian", seeds=2, epochs=1, jobs=1, progress=False)
    lines = out.splitlines()
    start = lines.index(found.sentence)
    assert Path("o/report.html").is_file()
    assert lines[0] == "Read 1,797 rows of scikit-learn digits; target digit."
    assert lines[start + 1].startswith("On the test split the MLP reaches a cross-entropy of ")
    # No recipe: after an epoch the noise has done no good.
    (advice,) = found.advice
    assert advice.python == ""
    assert lines[start + 2 : -1] == [advice.text, "Report: o/report.html"]
    assert re.match(r"scikit-learn digits, MLP, (Gaussian noise|gaussian): unclear, ", lines[-1])
    assert len(lines[-1]) <= 80


def test_a_terminal_without_the_signs_gets_the_study_all_the_same(monkeypatch):
    without_pictures(monkeypatch)
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert cli.main(["study", *SMALL]) == 0
    output.seek(0)
    text = output.read()
    assert "difference" in text
    assert "% are wrong.\n" in text
    assert "scikit-learn digits, MLP, " in text.splitlines()[-1]


def test_json_for_machines(capsys):
    code, out, err = on_the_terminal(["study", *SMALL, "--out", "o", "--json"], capsys)
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads(Path("o/study.json").read_text("utf-8"))
    again = shlex.split(json.loads(out)["command"])
    assert again[0] == "noisegate"
    call = [*again[1:], "--jobs=1", "--out=again", "--json"]
    assert on_the_terminal(call, capsys)[0] == 0
    assert numbers(Path("again")) == numbers(Path("o"))


# Wrong calls ------------------------------------------------------------------------------------


def test_an_unknown_recipe_names_the_known_ones(capsys):
    assert on_the_terminal(["study", "--recipe", "gausian"], capsys) == (
        2,
        "",
        "noisegate: study: unknown recipe 'gausian'; known are none, hidden, input-hidden, "
        "gaussian, spatial, recurrent, weights. Did you mean `gaussian`? Your own is NAME=RULES, "
        "for example 'mine=hid*:out=0.5'.\n",
    )


def test_a_folder_below_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    assert on_the_terminal(["study", "--out", str(folder)], capsys) == (
        2,
        "",
        f"noisegate: study: cannot write to '{folder}': Not a directory. "
        "Name another folder with --out.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (
            ["study", "--seeds", "x"],
            "\nnoisegate: study: argument --seeds: invalid int value: 'x'\n",
        ),
        (["study", "--task", "ranking"], "(choose from 'classification', 'regression')\n"),
        (["compare", "a.json"], "\nnoisegate: compare: the following arguments are required: B\n"),
        (["sites", "mlp", "--shape", "a"], "as 1,8,8; got 'a'\n"),
        (["compare", "a.json", "b.json", "c"], "\nnoisegate: compare: unrecognized arguments: c\n"),
        ([], "\nnoisegate: the following arguments are required: COMMAND\n"),
    ],
)
def test_calls_that_cannot_be_read(arguments, end, capsys):
    code, out, err = on_the_terminal(arguments, capsys)
    assert (code, out) == (2, "")
    # Python 3.12 writes the choices without quotes.
    assert err.replace("'", "").endswith(end.replace("'", ""))


@pytest.mark.parametrize(
    ("arguments", "usage", "error"),
    [
        (["study", "--epoch", "3"], " study", "unknown option --epoch; did you mean --epochs?"),
        (
            ["tune", "--lerning-rate=1"],
            " tune",
            "unknown option --lerning-rate; did you mean --learning-rate?",
        ),
        (["compare", "--jsn"], " compare", "unknown option --jsn; did you mean --json?"),
        (["show", "0.5", "--shap", "4"], " show", "unknown option --shap; did you mean --shape?"),
        # Two dashes, and letters here and there, are no reason to name another option.
        (["show", "dropout", "--p", "2"], " show", "unknown option --p"),
        (["study", "--device", "cpu"], " study", "unknown option --device"),
        (["study", "--dropout", "0.5"], " study", "unknown option --dropout"),
        (["study", "--trials", "3"], " study", "unknown option --trials"),
        (["study", "--="], " study", "unknown option --"),
        (["study", "--ho"], " study", "unknown option --ho"),
        (["sites", "mlp", "--weights"], " sites", "unknown option --weights"),
        (["info", "--weights=1"], " info", "unknown option --weights"),
        (["--verison"], "", "unknown option --verison; did you mean --version?"),
        (
            ["stdy", "--epoch", "3"],
            "",
            f"unknown command 'stdy'; known are {', '.join(COMMANDS)}; did you mean study?",
        ),
        (["xx"], "", f"unknown command 'xx'; known are {', '.join(COMMANDS)}"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_no_command_knows(arguments, usage, error, capsys):
    code, out, err = on_the_terminal(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: noisegate{usage} ")
    assert err.endswith(f"\nnoisegate{usage.replace(' ', ': ')}: {error}\n")


@pytest.mark.parametrize("word", ["--x y", "-1"])
def test_what_only_looks_like_an_option_is_a_value(word, capsys):
    assert cli.parser().parse_args(["study", "--recipe", word]).recipe == [word]
    assert cli.parser().parse_args(["compare", "--", "--a", "--b"]).a == Path("--a")


WRONG = [
    ["study", "--data", "no.csv", "--target", "y"],
    ["tune", "--data", "no.csv", "--target", "y"],
    ["compare", "no.json", "no.json"],
    ["sites", "nothing_here:make"],
    ["show", "dropout(1.5)", "--shape", "4"],
]


@pytest.mark.parametrize("call", WRONG, ids=[call[0] for call in WRONG])
def test_a_traceback_is_shown_with_debug_alone(call, capsys):
    code, out, err = on_the_terminal(call, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("noisegate: ")
    assert err.count("\n") == 1
    assert cli.main([*call, "--debug"]) == 2
    told = capsys.readouterr().err
    assert "Traceback (most recent call last):" in told
    assert told.endswith(err)


# Work that fails --------------------------------------------------------------------------------


def test_a_missing_package_is_one_sentence(monkeypatch, capsys):
    present = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "rich" else present(name))
    for name in [name for name in sys.modules if name.startswith("noisegate.study")]:
        monkeypatch.delitem(sys.modules, name)
    assert on_the_terminal(["study"], capsys) == (
        1,
        "",
        'noisegate: noisegate.study needs rich. Install it with: pip install "noisegate[study]"\n',
    )


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ng.NoisegateError("it failed."), 1, "it failed."),
        (ng.InvalidType("it was wrong."), 2, "it was wrong."),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (
            OSError(28, "No space left on device", "/full/place"),
            1,
            "[Errno 28] No space left on device: '/full/place'",
        ),
        (
            KeyboardInterrupt(),
            130,
            "interrupted. What has finished is saved: go on with --resume.",
        ),
        (
            ZeroDivisionError("by zero"),
            1,
            "unexpected ZeroDivisionError: by zero. See where with --debug.",
        ),
        (
            RuntimeError("one\n  two\nthree"),
            1,
            "unexpected RuntimeError: one two three. See where with --debug.",
        ),
        (AssertionError(), 1, "unexpected AssertionError. See where with --debug."),
        (MemoryError(), 1, "unexpected MemoryError. See where with --debug."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_work_that_fails(error, code, sentence, monkeypatch, capsys):
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(main, "execute_all", fails)
    found, out, err = on_the_terminal(["study", *SMALL, "--out", "o"], capsys)
    assert (found, out) == (code, "")
    assert err == f"noisegate: {sentence}\n"
    assert cli.main(["study", *SMALL, "--out", "p", "--debug"]) == code
    assert "in fails" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["info"], ["info", "--json"], ["sites", "mlp"]])
def test_who_stops_reading_gets_no_words(command, tmp_path):
    process = started(*command, folder=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    code, _, err = ended(process)
    assert (code, err) == (1, "")


def test_progress_is_quiet_where_nobody_watches(tmp_path):
    process = started("study", *SMALL, "--out", "o", "--json", folder=tmp_path)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert json.loads(out)["execution"]["jobs"] == 1
