"""A search: repeatable, interrupted and resumed, shared, judged on rows that it has not seen."""

import errno
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from unittest import mock

import optuna
import pytest

import noisegate.study.main
import noisegate.tune.tuning
from _bad_tune import SPACE, rows, search
from noisegate import cli
from noisegate.core.errors import InvalidValue, NoisegateError
from noisegate.study import Source, run
from noisegate.study.train import pool
from noisegate.study.train.store import Store
from noisegate.tune import space as space_module
from noisegate.tune.trials import Trials

TUNE = [
    *("tune", "--data", "d.csv", "--target", "y", "--rules", SPACE, "--trials", "12"),
    *("--seeds", "3", "--epochs", "2", "--json", "--out", "out"),
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    """Each test has a folder of its own with the same rows, and draws no pictures."""
    monkeypatch.chdir(tmp_path)
    rows()

    def save(study, folder):
        (Path(folder) / "study.json").write_text(study.to_json())

    for module in (noisegate.study.main, noisegate.tune.tuning):
        monkeypatch.setattr(module, "save", save)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One search that nothing interrupted."""
    folder = tmp_path_factory.mktemp("found")
    return search(source=rows(folder / "d.csv"), out=folder / "out"), folder


def numbers(study) -> dict:
    """Everything but times, scorings, and where the rows are."""
    facts = json.loads(study if isinstance(study, str) else study.to_json())
    del facts["execution"], facts["command"]
    for trial in facts["tuning"]["trials"]:
        del trial["seconds"]
        trial["command"] = trial["command"].partition(" --target ")[2]
    return facts


def called(arguments, capsys) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def resumed() -> dict:
    return numbers(search(source=Source(data="d.csv", target="y"), out="out", resume=True))


# The trials -----------------------------------------------------------------------------------


def test_the_first_trial_is_no_noise_by_the_studys_own_objective(found):
    first = found[0].tuning.trials[0]
    alone = run("mlp", "none", source=Source("d.csv", "y"), seeds=3, epochs=2, jobs=1)
    assert (first.number, first.rules, first.state, first.seeds) == (0, "", "finished", 3)
    assert first.value == alone.table[0].validation_loss.mean


def test_every_trial_is_told(found):
    tuning = found[0].tuning
    assert [trial.number for trial in tuning.trials] == list(range(12))
    assert {trial.state for trial in tuning.trials} == {"finished", "pruned"}
    values = [trial.value for trial in tuning.trials if trial.state == "finished"]
    assert tuning.best_trial.value == min(values)
    assert tuning.space == SPACE
    assert tuning.storage == "runs/trials.db"
    assert sum(tuning.importance.values()) == pytest.approx(1)
    (model,) = found[0].settings.recipes.values()
    assert [recipe.name for recipe in model] == ["none", model[1].name]
    assert f"{model[1].name}=" in tuning.best_trial.command


def test_who_is_worse_than_the_median_of_the_finished_is_given_up(found):
    url = f"sqlite:///{found[1] / 'out/runs/trials.db'}"
    kept = optuna.load_study(study_name="noisegate", storage=url).trials
    pruned = 0
    for trial, told in zip(kept, found[0].tuning.trials, strict=True):
        finished = [one for one in kept[: trial.number] if one.state.name == "COMPLETE"]
        for seed, value in trial.intermediate_values.items():
            others = [one.intermediate_values[seed] for one in finished]
            bad = 1 <= seed < 2 and len(others) >= 10 and value > median(others)
            assert bad == (told.state == "pruned" and seed + 1 == told.seeds)
            pruned += bad
    assert pruned == Counter(one.state for one in found[0].tuning.trials)["pruned"] > 0


@pytest.mark.parametrize("state", ["none", "finished", "pruned"])
def test_a_trial_can_be_had_again_by_its_command(found, state, capsys):
    told = next(
        t
        for t in found[0].tuning.trials
        if state in (t.state, "none") and t.number >= (state != "none")
    )
    words = shlex.split(told.command.replace(str(found[1] / "d.csv"), "d.csv"))
    assert words[0] == "noisegate"
    code, out, _ = called([*words[1:], "--json", "--out", "again", "--jobs", "1"], capsys)
    assert code == 0
    again = [
        one for one in json.loads(out)["runs"] if (one["recipe"] == "none") == (not told.rules)
    ]
    assert len(again) == 3
    assert fmean(one["best"]["validation_loss"] for one in again[: told.seeds]) == told.value


def test_the_default_space_on_the_digits():
    study = search(None, source=Source(), trials=2, seeds=2, epochs=1)
    assert study.tuning.space == "hid*:out=0..0.8, in:out=0..0.5, in:out=gaussian(0..0.5)"
    assert study.tuning.importance == {}
    assert len(study.tuning.trials) == 2


# Again, and resumed ---------------------------------------------------------------------------


def test_the_same_search_again_is_the_same_and_another_seed_another(found):
    assert numbers(search()) == numbers(found[0])
    other = search(tune_seed=1)
    first, *others = other.tuning.trials
    assert first.value == found[0].tuning.trials[0].value
    known = {json.dumps(dict(trial.parameters)) for trial in found[0].tuning.trials}
    assert not known & {json.dumps(dict(trial.parameters)) for trial in others}


def test_more_trials_go_on_where_fewer_ended(found):
    search(out="out", trials=5)
    trained = []
    with mock.patch.object(pool, "execute", wraps=pool.execute) as execute:
        assert resumed() == numbers(found[0])
        trained = [(job.recipe.name, job.seed) for (job, *_), _ in execute.call_args_list]
    assert ("none", 0) not in trained
    assert len(set(trained)) == len(trained)
    with mock.patch.object(pool, "execute") as execute:
        assert resumed() == numbers(found[0])
    execute.assert_not_called()


class Killed(BaseException):
    """What ends a process at once: nothing answers it."""


def killed(owner, name, at, *, after):
    """Return the patch of a function in which the process ends, before or after its work."""
    function, count = getattr(owner, name), iter(range(10**6))

    def ending(*words, **named):
        if next(count) != at:
            return function(*words, **named)
        if after:
            function(*words, **named)
        raise Killed

    return mock.patch.object(owner, name, ending)


PLACES = [(optuna.Study, "ask", 4), (optuna.Trial, "report", 11), (Store, "save_run", 11)]
ENDS = [
    *(
        pytest.param(*place, after, marks=() if after == (i % 2 == 0) else pytest.mark.slow)
        for i, place in enumerate(PLACES)
        for after in (False, True)
    ),
    *(
        pytest.param(*place, at, after, marks=pytest.mark.slow)
        for after in (False, True)
        for at in (0, 9)
        for place in (
            (optuna.Study, "enqueue_trial"),
            (optuna.Study, "ask"),
            (optuna.Study, "tell"),
            (optuna.Trial, "report"),
            (optuna.Trial, "set_user_attr"),
            (Store, "save_run"),
        )
    ),
]


@pytest.mark.parametrize(("owner", "name", "at", "after"), ENDS)
def test_a_search_that_ends_anywhere_goes_on_as_if_it_had_not(found, owner, name, at, after):
    with (
        killed(owner, name, at, after=after),
        mock.patch.object(Trials, "void"),
        pytest.raises(Killed),
    ):
        search(out="out")
    assert resumed() == numbers(found[0])


def kill_and_resume(moments: random.Random) -> dict:
    """Kill a search at a random moment of its trials, and go on with it here."""
    source = "import sys; from noisegate.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, *TUNE],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    while process.poll() is None and not Path("out/runs/trials.db").exists():
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 2.5))
    process.kill()
    assert process.communicate()[1] == b""
    return resumed()


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_as_if_it_had_not_been(found, number):
    assert kill_and_resume(random.Random(number)) == numbers(found[0])


def test_an_interrupted_search_says_how_to_go_on(found, capsys):
    with mock.patch.object(pool, "execute", side_effect=KeyboardInterrupt):
        code, out, err = called(TUNE, capsys)
    assert (code, out) == (130, "")
    assert err == "noisegate: interrupted. What has finished is saved: go on with --resume.\n"
    code, out, err = called(TUNE, capsys)
    assert code == 2
    assert "'out' has runs already" in err
    code, out, err = called([*TUNE, "--resume"], capsys)
    assert (code, numbers(out)) == (0, numbers(found[0]))
    assert numbers(Path("out/study.json").read_text()) == numbers(found[0])


def test_a_full_disk_ends_it_and_loses_nothing(found, capsys):
    written = iter(range(10**6))

    def fsync(descriptor, real=os.fsync):
        if next(written) >= 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with mock.patch.object(os, "fsync", fsync):
        code, out, err = called(TUNE, capsys)
    assert (code, out) == (1, "")
    assert "No space left on device. Every run that had finished before is saved" in err
    assert resumed() == numbers(found[0])


# What goes wrong ------------------------------------------------------------------------------

MODEL = """
from torch import nn

class Weak(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.out = nn.Linear(*shape, outputs)

    def forward(self, x):
        trained = self.training and len(x) > 8  # else it is only looked at
        if trained and (x == 0).double().mean() > {limit}:
            raise RuntimeError("too many zeros")
        return self.out(x)
"""


def weak(name, limit, monkeypatch):
    Path(f"{name}.py").write_text(MODEL.format(limit=limit))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return f"{name}:Weak"


def test_a_recipe_that_fails_is_told_and_the_search_goes_on(monkeypatch):
    model = weak("weak_with_noise", 0.4, monkeypatch)
    tuning = search("in:out=0..0.9", model=model, trials=8, seeds=2).tuning
    assert {trial.state for trial in tuning.trials} == {"failed", "finished"}
    for trial in tuning.trials:
        rate = trial.parameters["in:out"] if trial.parameters["in:out on"] else 0
        assert (trial.state == "failed") == ("too many zeros" in trial.why)
        assert (trial.state == "failed") == (trial.value is None)
        if not 0.2 < rate < 0.6:  # between, it hangs on the batches
            assert (trial.state == "failed") == (rate > 0.4), trial


def test_a_first_trial_that_fails_ends_it(monkeypatch):
    model = weak("weak_without_noise", -1, monkeypatch)
    with pytest.raises(
        NoisegateError, match=r"weak_without_noise:Weak none seed 0 failed: .*too many"
    ):
        search("in:out=0..0.9", model=model, out="out")


def test_numbers_that_a_kind_refuses_fail_alone(monkeypatch):
    def refusing(text, real=space_module.parse_rules):
        if 0.2 < real(text)["in:out"] < 0.6:
            raise InvalidValue("not these")
        return real(text)

    monkeypatch.setattr(space_module, "parse_rules", refusing)
    tuning = search("in:out=0..0.8", trials=8, seeds=2, epochs=1, always=True).tuning
    states = Counter(trial.state for trial in tuning.trials)
    assert states["failed"] > 0 < states["finished"]
    for trial in tuning.trials:
        rate = trial.parameters["in:out"]
        assert (trial.state == "failed") == (0.2 < rate < 0.6) == (trial.why == "not these")
        assert trial.rules == f"in:out={rate!r}"


# The test rows --------------------------------------------------------------------------------


def test_no_trial_sees_a_test_row():
    rows("t.csv", seed=1)
    lines = Path("t.csv").read_text().splitlines()
    Path("planted.csv").write_text("\n".join([lines[0], *(f"{line[:-1]}n" for line in lines[1:])]))
    source = replace(rows(), test="t.csv")
    honest, planted = (
        search(source=one, trials=8) for one in (source, replace(source, test="planted.csv"))
    )
    assert numbers(honest)["tuning"]["trials"] != []
    for one, other in zip(honest.tuning.trials, planted.tuning.trials, strict=True):
        assert replace(one, seconds=0, command="") == replace(other, seconds=0, command="")
    (one,), (other,) = honest.tests, planted.tests
    assert one.recipe == other.recipe
    assert set(one.losses) == {"none", one.recipe}
    for recipe, losses in one.losses.items():
        assert len(losses) == 3
        assert not set(losses) & set(other.losses[recipe])


def test_where_no_noise_is_best_it_alone_is_scored():
    study = search("hid*:out=0.98..0.99, in:out=0.98..0.99", trials=6)
    assert study.tuning.best_trial.rules == ""
    (tested,) = study.tests
    assert tested.recipe == "none"
    assert len(tested.losses["none"]) == 3
    assert json.loads(study.to_json())["test"][0]["loss_difference"] is None
    assert study.sentence
