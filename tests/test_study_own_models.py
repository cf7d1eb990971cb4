"""Models with side effects: they draw by themselves, end the process, print, change."""

import json
import sys
from pathlib import Path

import pytest
import torch

from _study_runs import numbers
from noisegate import cli
from noisegate.core.errors import InvalidValue, NoisegateError
from noisegate.study import Source, run

ROWS = "x,z,y\n" + "".join(f"{i % 7},{i % 5},{'ab'[(i % 7) > 3]}\n" for i in range(80))

DRAWS = """\
import random
import numpy
import torch
from torch import nn
class Noisy(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.hid1, self.drop = nn.Linear(shape[0], 8), nn.Dropout(0.4)
        self.out = nn.Linear(8, outputs)
    def forward(self, x):
        h = self.drop(torch.relu(self.hid1(x)))
        if self.training:
            h = h * (1 + 0.1 * random.random() + 0.1 * numpy.random.rand())
        return self.out(h)
make = Noisy
"""

PLAIN = """\
from torch import nn
def make(shape, outputs):
    {first}
    return nn.Sequential(nn.Linear(shape[0], 8), nn.{activation}(), nn.Linear(8, outputs){last})
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("d.csv").write_text(ROWS)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_net_")]:
        del sys.modules[name]


def small(name, recipe="m=in:out=0.2", **words):
    given = {"seeds": 2, "epochs": 3, "jobs": 1, "progress": False, **words}
    return run(f"{name}:make", recipe, source=Source("d.csv", "y"), **given)


def plain(name, first="pass", activation="ReLU", last=""):
    Path(f"{name}.py").write_text(PLAIN.format(first=first, activation=activation, last=last))
    return name


def test_a_model_that_draws_by_itself_repeats_whatever_the_processes():
    Path("own_net_draws.py").write_text(DRAWS)
    torch.manual_seed(1)
    first = small("own_net_draws", out="one")
    torch.manual_seed(2)
    torch.rand(5)
    before = torch.get_rng_state()
    assert numbers(small("own_net_draws", out="two", jobs=2)) == numbers(first)
    assert torch.equal(torch.get_rng_state(), before)
    more = small("own_net_draws", ["m=in:out=0.2", "n=hid1:out=0.1"], out="two", resume=True)
    again = small("own_net_draws", ["n=hid1:out=0.1", "m=in:out=0.2"], out="three")
    assert {(r.recipe, r.seed): r.history for r in more.runs} == {
        (r.recipe, r.seed): r.history for r in again.runs
    }


def test_its_own_dropouts_are_told():
    Path("own_net_told.py").write_text(DRAWS)
    notes = small("own_net_told").settings.notes
    assert (
        "own_net_told:make has a dropout layer of its own, which every recipe trains with, "
        "`none` too." in notes
    )


def test_a_softmax_and_a_seed_of_its_own_are_told():
    name = plain("own_net_soft", "import torch; torch.manual_seed(3)", last=", nn.Softmax(1)")
    notes = small(name).settings.notes
    assert (
        "own_net_soft:make seems to end in a softmax; the loss takes logits, so leave it out."
        in notes
    )
    assert (
        "own_net_soft:make starts with the same weights whatever the seed: the intervals are over "
        "splits and orders alone." in notes
    )
    task, few_rows = small(plain("own_net_plain")).settings.notes  # and no more
    assert task.startswith("The task is ")
    assert few_rows.startswith("There are few rows")


@pytest.mark.parametrize("ending", ["SystemExit(0)", "Boom", "KeyError('a\\nb')"])
def test_a_model_that_ends_the_process_is_a_failed_run(ending):
    Path("own_net_ends.py").write_text(
        DRAWS.replace("import random\n", "import random\nclass Boom(BaseException): pass\n")
        .replace("        if self.training:\n", "        if self.training and len(x) > 9:\n"
                 f"            raise {ending}\n        if self.training:\n")
    )  # fmt: skip
    with pytest.raises(NoisegateError, match=r"^study: own_net_ends:make none seed 0 failed: "):
        small("own_net_ends")
    assert cli.main(
        ["study", "--data", "d.csv", "--target", "y", "--model", "own_net_ends:make",
         "--recipe", "m=in:out=0.2", "--jobs", "1"]
    ) == 1  # fmt: skip


@pytest.mark.parametrize("change", ["an activation", "a start"])
def test_runs_of_a_model_that_has_changed_elsewhere_are_not_gone_on_with(change):
    Path("own_net_parts.py").write_text("from torch import nn\nMiddle, gain = nn.ReLU, 1\n")
    Path("own_net_whole.py").write_text(
        "from torch import nn\nimport own_net_parts as parts\n"
        "def make(shape, outputs):\n"
        "    out = nn.Linear(8, outputs)\n"
        "    out.weight.data *= parts.gain\n"
        "    return nn.Sequential(nn.Linear(shape[0], 8), parts.Middle(), out)\n"
    )
    small("own_net_whole", out="kept")
    import own_net_parts

    if change == "an activation":
        own_net_parts.Middle = torch.nn.Tanh
    else:
        own_net_parts.gain = 2
    with pytest.raises(InvalidValue, match="own_net_whole:make none seed 0 starts otherwise now"):
        small("own_net_whole", out="kept", resume=True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_only_json_is_printed_where_a_model_prints(jobs, capfd):
    name = plain("own_net_talks", "print('hello')")
    code = cli.main(
        ["study", "--data", "d.csv", "--target", "y", "--model", f"{name}:make", "--recipe",
         "m=in:out=0.2", "--seeds", "2", "--epochs", "1", "--jobs", jobs, "--json"]
    )  # fmt: skip
    out, err = capfd.readouterr()
    assert code == 0
    assert json.loads(out)["format"] == 2
    assert "hello" in err


def test_the_command_is_right_for_names_that_look_like_flags(capsys):
    Path("flags.csv").write_text(ROWS.replace("x,z,y", "-a,z,-y"))
    found = run("mlp", "-m=in:out=0.2", source=Source("flags.csv", "-y", ignore=("-a",)),
                seeds=2, epochs=1, jobs=1)  # fmt: skip
    command = found.settings.command()
    assert "--target=-y --ignore=-a" in command
    assert "--recipe=-m=in:out=0.2" in command
    import shlex

    assert cli.main([*shlex.split(command)[1:], "--jobs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == found.to_dict()["runs"]


def test_another_look_at_the_test_rows_is_counted():
    given = {"source": Source("d.csv", "y"), "seeds": 2, "epochs": 1, "jobs": 1, "out": "out"}
    scored = [
        run("mlp", "hidden", resume=True, uncertainty=doubt, **given).execution.scored["mlp"]
        for doubt in (False, True, True)
    ]
    assert scored == [1, 2, 2]
