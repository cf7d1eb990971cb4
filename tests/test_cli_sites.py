"""`noisegate sites`: the list, and the sentences for wrong calls."""

import json
import re
import shlex
import subprocess
import sys

import pytest
import torch

import noisegate as ng
from noisegate.cli import sites
from noisegate.cli.parsing import Parser
from noisegate.study.listing import list_sites
from noisegate.study.models import Model

NET = """\
import torch
from torch import nn
from torch.nn import functional

class Net(nn.Module):
    def __init__(self, shape, n):
        super().__init__()
        self.hid = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
        self.drop = nn.Dropout(0.3)
        self.unused = nn.Linear(3, 3)
        self.out = nn.Linear(4, n)

    def forward(self, x):
        x = functional.dropout(self.drop(self.hid(x)), 0.2, self.training)
        return self.out(x)

class Refuses(Net):
    def forward(self, x):
        if self.training:
            raise OSError("no disk")
        return super().forward(x)
"""
MLP = """\
site         module      shape of two rows
:in          Mlp         (2, 1, 8, 8)
:out         Mlp         (2, 10)
hid1:in      ReluLinear  (2, 64)
hid1:out     ReluLinear  (2, 256)
hid2:in      ReluLinear  (2, 256)
hid2:out     ReluLinear  (2, 256)
out:in       Linear      (2, 256)
out:out      Linear      (2, 10)
hid1:weight  ReluLinear  (256, 64)
hid1:bias    ReluLinear  (256,)
hid2:weight  ReluLinear  (256, 256)
hid2:bias    ReluLinear  (256,)
out:weight   Linear      (10, 256)
out:bias     Linear      (10,)
"""


def parser():
    command = Parser(prog="noisegate")
    sites.add(command.add_subparsers())
    return command


def called(*arguments):
    parsed = parser().parse_args(["sites", *arguments])
    parsed.execute(parsed)


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "listed_net.py").write_text(NET)
    yield "listed_net"
    sys.modules.pop("listed_net", None)


def test_the_sites_of_a_built_in_model(capsys):
    called("mlp")
    assert capsys.readouterr() == (MLP, "")


def test_every_example_of_the_help_works(capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["sites", "--help"])
    assert ended.value.code == 0
    examples = re.findall(r"^  noisegate sites (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        called(*shlex.split(example))
        assert "hid1:out" in capsys.readouterr().out


def test_help_does_not_wait_for_torch():
    code = (
        "import argparse, sys; from noisegate.cli import sites\n"
        "sites.add(argparse.ArgumentParser().add_subparsers())\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_rules_match(capsys):
    called("mlp", "hid*:out=0.5, in:out=gaussian(0.1)", "--shape", "30", "--outputs", "1")
    before, _, matched = capsys.readouterr().out.partition("\n\n")
    assert before.splitlines()[1:3] == [
        ":in          Mlp         (2, 30)",
        ":out         Mlp         (2, 1)",
    ]
    lines = [line.split() for line in matched.splitlines()]
    assert [line[:4] for line in lines[1:4]] == [
        ["hid1:out", "Dropout(p=0.5)", "0", "hid*:out"],
        ["hid2:out", "Dropout(p=0.5)", "0", "hid*:out"],
        [":in", "GaussianNoise(sigma=0.1)", "0", "in:out"],
    ]
    assert matched.endswith("\nnote: 'in:out' means ':in', the model's own input.\n")


def test_a_model_of_ones_own(net):
    found = list_sites(Model(f"{net}:Net"), (8,), 3, {"hid*:out": 0.5, "unused:in": 0.1})
    assert [(site.name, site.module, site.shape, site.noise) for site in found.sites] == [
        (":in", "Net", (2, 8), ""),
        (":out", "Net", (2, 3), ""),
        ("hid:in", "Sequential", (2, 8), ""),
        ("hid:out", "Sequential", (2, 4), ""),
        ("hid:pre", "Sequential", (2, 4), ""),
        ("hid.0:in", "Linear", (2, 8), ""),
        ("hid.0:out", "Linear", (2, 4), ""),
        ("hid.1:in", "ReLU", (2, 4), ""),
        ("hid.1:out", "ReLU", (2, 4), ""),
        ("drop:in", "Dropout", (2, 4), ""),
        ("drop:out", "Dropout", (2, 4), ""),
        ("unused:in", "Linear", None, ""),
        ("unused:out", "Linear", None, ""),
        ("out:in", "Linear", (2, 4), ""),
        ("out:out", "Linear", (2, 3), ""),
        ("drop:dropout", "Dropout", (2, 4), "Dropout(p=0.3)"),
        (":dropout", "Net", None, "Dropout(p=0.2)"),
        ("hid.0:weight", "Linear", (4, 8), ""),
        ("hid.0:bias", "Linear", (4,), ""),
        ("unused:weight", "Linear", (3, 3), ""),
        ("unused:bias", "Linear", (3,), ""),
        ("out:weight", "Linear", (3, 4), ""),
        ("out:bias", "Linear", (3,), ""),
    ]
    calls = {row[0]: row[5] for row in found.report.rows}
    assert calls == {"hid:out": "0", "hid.0:out": "1", "hid.1:out": "1", "unused:in": "0"}
    assert "'hid:out' passes on the tensor of 'hid.1:out'" in found.report.notes[0]


def test_the_sites_that_functions_make_can_be_named(net):
    found = list_sites(Model(f"{net}:Net"), (8,), 3, {"*:dropout": 0.1})
    assert [row[0] for row in found.report.rows] == ["drop:dropout", ":dropout"]


@pytest.mark.parametrize(
    ("function", "shape", "said"),
    [
        ("Net", (5,), r"must take inputs of shape \(2, 5\); it raised RuntimeError: mat1"),
        ("Refuses", (8,), r"it raised OSError: no disk \(listed_net.py:20\)\."),
    ],
)
def test_a_model_that_cannot_be_run_is_listed_all_the_same(function, shape, said, net):
    found = list_sites(Model(f"{net}:{function}"), shape, 3, {"hid:out": 0.5})
    assert re.search(said, found.notes[0])
    assert {site.name.partition(":")[2] for site in found.sites if site.shape} == {"weight", "bias"}
    assert found.report.rows == (("hid:out", "Dropout(p=0.5)", "0", "hid:out"),)


def test_the_noise_of_a_models_own_has_a_column(capsys, net):
    called(f"{net}:Net", "--shape", "8")
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "site           module      shape of two rows  noise of the model's own"
    assert "drop:dropout   Dropout     (2, 4)             Dropout(p=0.3)" in rows


def test_json_for_machines(capsys, net):
    called(f"{net}:Net", "in:out=0.5", "--shape", "8", "--outputs", "2", "--json")
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["input_shape"], found["outputs"]) == ("listed_net:Net", [8], 2)
    assert found["sites"][0] == {"name": ":in", "module": "Net", "shape": [2, 8], "noise": ""}
    (matched,) = found["matched"]
    assert {
        name: matched[name] for name in ("site", "noise", "slot", "rule", "shape", "calls")
    } == {
        "site": ":in",
        "noise": "Dropout(p=0.5)",
        "slot": "0",
        "rule": "in:out",
        "shape": "(2, 8)",
        "calls": "1",
    }
    assert found["notes"] == ["'in:out' means ':in', the model's own input."]
    called("mlp", "--json")
    assert json.loads(capsys.readouterr().out)["matched"] is None


def test_torchs_generator_is_left():
    state = torch.get_rng_state()
    list_sites(Model("cnn"), (1, 8, 8), 10, {"conv*:out": 0.5})
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("mlp", "hod1:out=0.5"),
            "inject: the rule 'hod1:out' matches no site. "
            "The nearest sites are 'hid1:out', 'hid2:out', 'out:out'.",
        ),
        (
            ("mlp", "hid1:out=1.5"),
            "study: rule 'hid1:out': Dropout: `p` must be in [0, 1]; got 1.5. Did you mean 0.15?",
        ),
        (
            ("mpl",),
            "study: a model must be mlp, cnn, or module:function for your own; got 'mpl'. "
            "Did you mean `mlp`?",
        ),
    ],
)
def test_wrong_calls(arguments, sentence):
    with pytest.raises(ng.InvalidValue) as caught:
        called(*arguments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("shape", ["", "8,x", "0", "-1,8", "1.5"])
def test_a_shape_that_is_none(shape, capsys):
    with pytest.raises(SystemExit) as ended:
        called("mlp", f"--shape={shape}")
    assert ended.value.code == 2
    wrong = next(part for part in shape.split(",") if part in ("", "x", "0", "-1", "1.5"))
    sentence = f"whole numbers of at least 1 are needed, as 1,8,8; got '{wrong}'"
    assert capsys.readouterr().err.rstrip().endswith(sentence)
