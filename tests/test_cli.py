"""The command line: its help, its exit codes, its sentences, and what it leaves behind."""

import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy
import pytest

import noisegate as ng
from _backends import pure_engines
from noisegate import cli
from noisegate.engines import native
from noisegate.study import RECIPES, extra, main, run

SMALL = ["--model", "mlp", "--recipe", "gaussian", "--seeds", "2", "--epochs", "1", "--jobs", "1"]


def called(arguments, capsys) -> tuple[int, str, str]:
    """Return exit code, output and errors of the command."""
    try:
        code = cli.main(arguments)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_version(capsys):
    assert called(["--version"], capsys) == (0, f"noisegate {ng.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["study", "--help"], ["show", "--help"], ["info", "--help"]]
)
def test_the_examples_of_the_help_can_be_pasted(arguments, capsys):
    code, out, err = called(arguments, capsys)
    assert (code, err) == (0, "")
    examples = re.findall(r"^  noisegate ((?:study|show|info).*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        assert cli.parser().parse_args(shlex.split(example)).execute


def test_info_says_what_makes_the_noise(capsys):
    code, out, err = called(["info"], capsys)
    assert (code, err) == (0, "")
    told = {line[:16].strip(): line[16:].strip() for line in out.splitlines()}
    module = native.library()
    assert told["noisegate"] == ng.__version__
    assert told["scheme"] == "1"
    assert told["engine"] == ("pure" if module is None else "native")
    assert told["instruction set"] == ("none" if module is None else module.instruction_set())
    assert told["threads"] == str(1 if module is None else module.threads())
    assert told["numpy"] == numpy.__version__
    assert {"python", "torch"} <= told.keys()
    code, out, _ = called(["info", "--json"], capsys)
    given = json.loads(out)
    assert {name: str(value) for name, value in given.items() if value} == {
        name: value for name, value in told.items() if value != "not installed"
    }


def test_info_says_that_the_pure_engine_is_in_use(capsys):
    with pure_engines():
        _, out, _ = called(["info"], capsys)
    assert re.search(r"^engine +pure$", out, re.MULTILINE)
    assert re.search(r"^instruction set +none$", out, re.MULTILINE)


def test_the_help_names_every_recipe(capsys):
    _, out, _ = called(["study", "--help"], capsys)
    for name in RECIPES:
        assert re.search(rf"\b{name}\b", out)


def test_help_does_not_wait_for_torch():
    code = (
        "import sys; from noisegate import cli\n"
        "try: cli.main(['study', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'matplotlib', 'sklearn', 'rich'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_study_ends_with_the_report_the_sentence_and_what_next(tmp_path, capsys):
    code, out, err = called(["study", *SMALL, "--out", str(tmp_path)], capsys)
    assert (code, err) == (0, "")
    found = run("mlp", "gaussian", seeds=2, epochs=1, jobs=1, progress=False)
    *_, report, sentence, lead, first, inject, last = out.splitlines()
    assert report == f"Report: {tmp_path / 'report.html'}"
    assert (tmp_path / "report.html").is_file()
    assert sentence == found.sentence
    assert lead == (
        "Next, in Python, with your own torch model as `model` "
        "(name your layers in place of these):"
    )
    assert "\n".join(line.strip() for line in (first, inject, last)) == found.snippet


def test_a_terminal_without_the_signs_gets_the_study_all_the_same(tmp_path, monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    assert cli.main(["study", *SMALL, "--out", str(tmp_path)]) == 0
    output.seek(0)
    text = output.read()
    assert "difference" in text
    assert "print(noise.report())" in text


def test_json_for_machines(tmp_path, capsys):
    code, out, err = called(["study", *SMALL, "--out", str(tmp_path), "--json"], capsys)
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "study.json").read_text("utf-8"))
    again = shlex.split(json.loads(out)["command"])
    _, out_again, _ = called([*again[1:], "--jobs=1", f"--out={tmp_path}", "--json"], capsys)
    first, second = json.loads(out), json.loads(out_again)
    del first["execution"], second["execution"]
    assert first == second


def test_an_unknown_recipe_names_the_known_ones(capsys):
    assert called(["study", "--recipe", "gausian"], capsys) == (
        2,
        "",
        "noisegate: study: unknown recipe 'gausian' for mlp and cnn; known are none, hidden, "
        "input-hidden, gaussian, spatial. Did you mean gaussian?\n",
    )


def test_a_folder_below_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    assert called(["study", "--out", str(folder)], capsys) == (
        2,
        "",
        f"noisegate: study: cannot write to '{folder}': Not a directory. "
        "Name another folder with out.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["study", "--seeds", "x"], "error: argument --seeds: invalid int value: 'x'\n"),
        (["study", "--model", "rnn"], "(choose from 'mlp', 'cnn', 'both')\n"),
        ([], "error: the following arguments are required: COMMAND\n"),
    ],
)
def test_calls_that_cannot_be_read(arguments, end, capsys):
    code, out, err = called(arguments, capsys)
    assert (code, out) == (2, "")
    # Python 3.12 writes the choices without quotes.
    assert err.replace("'", "").endswith(end.replace("'", ""))


def test_a_missing_package_is_one_sentence(monkeypatch, capsys):
    present = extra.find_spec
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "rich" else present(name))
    for name in [name for name in sys.modules if name.startswith("noisegate.study")]:
        if name != "noisegate.study.extra":
            monkeypatch.delitem(sys.modules, name)
    assert called(["study"], capsys) == (
        1,
        "",
        'noisegate: noisegate.study needs rich. Install it with: pip install "noisegate[study]"\n',
    )


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ng.NoisegateError("it failed"), 1, "it failed"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_work_that_fails(error, code, sentence, monkeypatch, tmp_path, capsys):
    def fails(*_):
        raise error

    monkeypatch.setattr(main, "execute_all", fails)
    found = called(["study", *SMALL, "--out", str(tmp_path)], capsys)
    assert found == (code, "", f"noisegate: {sentence}\n")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3, 4, 5, 7])
def test_an_interrupted_study_ends_with_its_processes(seconds, tmp_path):
    # A shell's background jobs ignore Ctrl-C, and would hand that down to the study.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}\nimport sys; from noisegate import cli; sys.exit(cli.main())"
    study = subprocess.Popen(
        [sys.executable, "-c", program, "study", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    study.send_signal(signal.SIGINT)
    # Workers hold these pipes too: that they end here shows that the workers have ended.
    assert study.communicate(timeout=30) == ("", "noisegate: interrupted\n")
    assert study.returncode == 130
