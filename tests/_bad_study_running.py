"""Wrong calls of a study, work that fails, damaged files, and the sentence for each.

Files are written into the working directory.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import noisegate as ng
from _bad_numbers import Case, Value
from noisegate import MissingExtra, NoisegateError
from noisegate.core import extras
from noisegate.estimators import Epoch, History
from noisegate.study import RECIPES, Source, files, planning, run
from noisegate.study.models import Model
from noisegate.study.train import pool
from noisegate.study.train.board import Board
from noisegate.study.train.run import Job, Run, Setup, Trained
from noisegate.study.train.store import Store

BELOW = "study: cannot write to 'file/below': Not a directory. Name another folder with --out."
CORRUPT = (
    "study: 'runs/%s' is not what was written there, and is left as it is. "
    "Move it away, and go on with --resume: what was in it is made anew."
)
JOB = Job(Model("mlp"), RECIPES["hidden"], 0)
TRAINED = Trained(
    Run("mlp", "hidden", 0, History((Epoch(1, 0.5, 0.5, 0.5),)), "", "", "", "", 3, 1, 16, 1.0),
    {"weights": torch.zeros(2)},
)


def below_a_file() -> Any:
    Path("file").touch()
    return run(out="file/below")


def without_space() -> None:
    with mock.patch.object(os, "fsync", side_effect=OSError(errno.ENOSPC, os.strerror(28))):
        files.write_file(Path("study.json"), "{}")


def begun(*, resume: bool, **changes: Any) -> None:
    """Begin in a folder that has runs of the settings {"epochs": 60}."""
    store = Store(Path("out/runs"), {"epochs": 60})
    store.begin(resume=False)
    store.save_run(JOB, TRAINED)
    Store(Path("out/runs"), {"epochs": 60, **changes}).begin(resume=resume)


def damaged(name: str, call: Callable[[Store], Any]) -> Any:
    store = Store(Path("runs"), {"epochs": 60})
    store.begin(resume=False)
    store.save_run(JOB, TRAINED)
    path = store.folder / name
    path.write_bytes(path.read_bytes()[:-7] + b"another")
    return call(store)


def failing() -> Any:
    """Execute a run whose epochs nobody can be told of."""
    Path("d.csv").write_text("x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)))
    setup = Setup(Source("d.csv", "y").read().search, 2, None, 1e-3, 0.25)
    board = mock.Mock(tell=mock.Mock(side_effect=[None, ng.NoisegateError("it is so."), None]))
    return pool.Runs(setup, Store(Path("runs"), {})).do(board, 0, 0, JOB)


def process_that_ends(*, started: bool) -> None:
    board = Board(1)
    if started:
        board.join()
    with pool._open_pool(2, Path("none"), board):
        raise BrokenProcessPool


def without(package: str) -> None:
    real = extras.find_spec
    with mock.patch.object(
        extras, "find_spec", lambda name: None if name == package else real(name)
    ):
        extras.require_extra("noisegate.study", "study")


def fitting_nothing() -> Any:
    with mock.patch.object(planning, "find_fitting", return_value=(RECIPES["none"],)):
        return run("mlp", jobs=1)


RUNS = (
    "study: 'out' has runs already. Go on with them by --resume, or name another folder with --out."
)
OTHER = (
    "study: `epochs` must be what it was for the runs in 'out', to go on with them; "
    "it was 60, and is 7. Give the same --epochs as then, or name another folder with --out."
)
RULES = (
    "study: `rules` must be what it was for the runs in 'runs/mlp/hidden-0.json', to go on with "
    "them; it was 'hid*:out=0.5', and is 'hid*:out=0.25'. Name another folder with --out."
)


def other_rules() -> Any:
    store = Store(Path("runs"), {})
    store.begin(resume=False)
    store.save_run(JOB, TRAINED)
    recipe = replace(JOB.recipe, rules={"hid*:out": 0.25})
    return store.find_run(replace(JOB, recipe=recipe))


STATEFUL = """\
import datetime
from torch import nn
class Stateful(nn.Linear):
    def get_extra_state(self):
        return datetime.date(2020, 1, 1)
    def set_extra_state(self, state):
        pass
def make(shape, outputs):
    return Stateful(shape[0], outputs)
"""


def stateful() -> Any:
    Path("d.csv").write_text("x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)))
    Path("stateful_net.py").write_text(STATEFUL)
    return run("stateful_net:make", "a=in:out=0.1", source=Source("d.csv", "y"), jobs=1)


def started_otherwise() -> Any:
    Path("d.csv").write_text("x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)))
    setup = Setup(Source("d.csv", "y").read().search, 1, None, 1e-3, 0.25)
    store = Store(Path("runs"), {})
    board = Board(1)
    every = {"processes": 1, "board": board}
    pool.execute_all([JOB], setup, store, **every)
    with mock.patch.object(pool, "digest_start", return_value=("another", "start")):
        pool.execute_all([JOB], setup, store, **every)


CASES: list[Case] = [
    # Calls
    (
        lambda: run(seeds=10**23),
        Value,
        f"study: `seeds` must be at most 10,000; got {10**23}.",
    ),
    (
        lambda: run(jobs=10**20),
        Value,
        f"study: `jobs` must be at most 1,024; got {10**20}.",
    ),
    (
        lambda: run(source=Source(target="diagnosis")),
        Value,
        "study: `data` must say where the target 'diagnosis' is; it is missing, and the digits "
        "have one of their own. Name the file with --data.",
    ),
    (
        stateful,
        Value,
        "study: the `state_dict` of a model must hold tensors, numbers and text only, so that it "
        "is read again without running code; that of stateful_net:make does not. Leave the rest "
        "out of it.",
    ),
    (
        started_otherwise,
        Value,
        "study: the model must be what it was for the runs in 'runs', to go on with them; "
        f"{JOB} starts otherwise now. Name another folder with --out.",
    ),
    (
        lambda: run("mlp", "gausian"),
        Value,
        "study: unknown recipe 'gausian'; known are none, hidden, input-hidden, gaussian, "
        "spatial, recurrent, weights. "
        "Did you mean `gaussian`? Your own is NAME=RULES, for example 'mine=hid*:out=0.5'.",
    ),
    (
        lambda: run([]),
        Value,
        "study: `models` must name at least one model; known are mlp, cnn, module:function.",
    ),
    (
        fitting_nothing,
        Value,
        "study: `recipes` must name at least one recipe for mlp, since no built-in one fits its "
        "sites. See them with `noisegate sites mlp`, and give rules: "
        "--recipe 'mine=hid*:out=0.5'.",
    ),
    (
        lambda: run(source=Source("d.csv")),
        Value,
        "study: `target` must say which column of 'd.csv' is to be predicted; it is missing. "
        "Name it with --target.",
    ),
    *(
        (
            lambda value=value: run(seeds=value),
            Value,
            f"study: `seeds` must be a whole number >= 2; got {value!r}. "
            "An interval needs at least two runs of each recipe.",
        )
        for value in (1, 2.0, True, "3", None)
    ),
    (
        lambda: run(epochs=0),
        Value,
        "study: `epochs` must be a whole number >= 1; got 0. 60 is the default.",
    ),
    (
        lambda: run(jobs=1.5),
        Value,
        "study: `jobs` must be a whole number >= 1; got 1.5. 1 is this process.",
    ),
    (
        lambda: run(batch_size=0),
        Value,
        "study: `batch_size` must be a whole number >= 1; got 0. "
        "Left out, it is chosen by the rows.",
    ),
    *(
        (
            lambda value=value: run(learning_rate=value),
            Value,
            f"study: `learning_rate` must be a number in (0, inf); got {value!r}.",
        )
        for value in (0, -1.0, float("inf"), float("nan"), "0.1")
    ),
    *(
        (
            lambda name=name, value=value: run(source=Source(**{name: value})),
            Value,
            f"study: `{name}` must be a number in (0, 1); got {value!r}.",
        )
        for name in ("test_share", "validation_share")
        for value in (0, 1.0, float("nan"), "0.2")
    ),
    # Folders and files
    (below_a_file, Value, BELOW),
    (
        without_space,
        NoisegateError,
        "study: cannot write 'study.json': No space left on device. Every run that had finished "
        "before is saved; mend that, and go on with --resume.",
    ),
    (lambda: begun(resume=False), Value, RUNS),
    (lambda: begun(resume=False, epochs=7), Value, RUNS),
    (lambda: begun(resume=True, epochs=7), Value, OTHER),
    (other_rules, Value, RULES),
    (
        lambda: damaged("settings.json", lambda store: store.begin(resume=True)),
        NoisegateError,
        CORRUPT % "settings.json",
    ),
    (
        lambda: damaged("mlp/hidden-0.json", lambda store: store.find_run(JOB)),
        NoisegateError,
        CORRUPT % "mlp/hidden-0.json",
    ),
    (
        lambda: damaged("mlp/hidden-0.pt", lambda store: store.read_weights(JOB)),
        NoisegateError,
        CORRUPT % "mlp/hidden-0.pt",
    ),
    # Work
    (failing, pool.RunFailed, "study: mlp hidden seed 0 failed: it is so."),
    (
        lambda: process_that_ends(started=True),
        NoisegateError,
        "study: a process was ended from outside, perhaps for want of memory. Every run that had "
        "finished is saved: go on with --resume, and fewer --jobs.",
    ),
    (
        lambda: process_that_ends(started=False),
        NoisegateError,
        "study: a worker process ended before its work did. In a script, call "
        'noisegate.study.run below `if __name__ == "__main__":`, or pass jobs=1.',
    ),
    (
        lambda: without("sklearn"),
        MissingExtra,
        'noisegate.study needs scikit-learn. Install it with: pip install "noisegate[study]"',
    ),
]
