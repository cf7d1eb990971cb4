"""Processes that share a search: the owner of a trial, its end, and its suggestions."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from unittest import mock

import optuna
import pytest

import noisegate.tune.tuning
from _bad_tune import SPACE, search
from noisegate.study.train import pool
from noisegate.tune import trials, workers
from noisegate.tune.space import parse_space
from noisegate.tune.trials import Trials


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    """Each test has a folder of its own, and draws no pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noisegate.tune.tuning, "save", lambda *_: None)


def at_once(trials_of, space, total):
    """Take turns: each process asks before the one before it has suggested anything."""
    begun = []
    for number, one in enumerate(trials_of):
        with mock.patch.object(trials, "name_process", return_value=f"elsewhere - {number} 1"):
            begun.append(one.next(space.off()))
    return begun


def test_processes_side_by_side_have_samplers_of_their_own():
    space = parse_space(SPACE)
    several = [Trials("sqlite:///t.db", "a", 0, 5) for _ in range(7)]
    several[0].create({})
    begun = at_once(several, space, 5)
    assert begun[5:] == [None, None]
    recipes = [space.suggest(trial) for trial in begun[:5]]
    assert [recipe.name for recipe in recipes].count("none") >= 1
    assert recipes[0].name == "none"
    known = {json.dumps(trial.params) for trial in begun[:5]}
    assert len(known) == 5
    assert several[0].list_ended() == ()
    several[0].tell(begun[0], "finished", 1.0)
    several[0].void(begun[1])
    assert [trial.number for trial in several[0].list_ended()] == [0]
    (more,) = at_once(several[:1], space, 5)
    assert more.number == 5
    several[0].close()


def test_a_process_that_ends_leaves_no_sampler_to_two_others():
    space = parse_space(SPACE)
    one = Trials("sqlite:///t.db", "a", 0, 9)
    one.create({})
    begun = at_once([one] * 6, space, 9)
    one.void(begun[2])
    begun += at_once([one] * 2, space, 9)
    for trial in begun[:2] + begun[3:]:
        space.suggest(trial)
    valid = one.list_valid()
    assert [trial.user_attrs["ordinal"] for trial in valid] == [0, 1, 3, 4, 5, 6, 7]
    assert len({json.dumps(trial.params) for trial in valid}) == 7
    one.close()


def test_no_noise_is_tried_even_if_its_process_ends():
    space = parse_space(SPACE)
    one = Trials("sqlite:///t.db", "a", 0, 5)
    one.create({})
    first, second = at_once([one, one], space, 5)
    assert space.suggest(first).name == "none"
    assert space.suggest(second).name != "none"
    one.void(first)
    (third,) = at_once([one], space, 5)
    assert space.suggest(third).name == "none"
    one.close()


def test_which_processes_have_ended():
    me = workers.name_process()
    assert not workers.has_ended(me)
    machine, pid, began = me.rsplit(" ", 2)
    assert workers.has_ended(f"{machine} {pid} {began}1")
    assert not workers.has_ended(f"{machine}1 {pid} {began}1")
    parent = os.getppid()
    assert not workers.has_ended(f"{machine} {parent} {workers._start_time(parent)}")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{machine} {other.pid} {workers._start_time(other.pid)}"
    assert not workers.has_ended(name)
    other.kill()
    while not workers.has_ended(name):  # a zombie, whose end nobody has asked for
        time.sleep(0.01)
    other.communicate()
    assert workers.has_ended(name)


def test_a_search_whose_folder_was_removed_begins_anew():
    for _ in range(2):
        assert len(search(out="out", trials=1, seeds=2, epochs=1).tuning.trials) == 1
        shutil.rmtree("out")


def test_two_searches_share_a_storage_by_name():
    words = {"storage": "sqlite:///t.db", "seeds": 2, "epochs": 1}
    for name in ("a", "b"):
        assert len(search(name=name, trials=2, **words).tuning.trials) == 2
    joined = search(name="a", trials=3, **words).tuning
    assert (len(joined.trials), joined.storage) == (3, "sqlite:///t.db")


def test_a_trial_that_another_process_took_for_ended_is_done_anew():
    def executed(job, *words, real=pool.execute):
        if job.seed == 1 and len(seen) < 2:
            seen.append(job)
            study = optuna.load_study(study_name="noisegate", storage="sqlite:///t.db")
            (running,) = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
            study.tell(running.number, state=optuna.trial.TrialState.FAIL)
        return real(job, *words)

    seen = []
    words = {"trials": 5, "seeds": 2, "epochs": 1}
    with mock.patch.object(pool, "execute", executed):
        disturbed = search(storage="sqlite:///t.db", **words).tuning.trials
    alone = search(**words).tuning.trials
    assert len(seen) == 2
    assert [replace(t, seconds=0) for t in disturbed] == [replace(t, seconds=0) for t in alone]
