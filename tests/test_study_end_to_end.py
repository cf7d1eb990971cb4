"""From a user's file to a decision: every kind of file, task and model; leaks; bad input."""

import json
import pickle
import shlex
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import sklearn.datasets
import torch

from _study_runs import numbers, on_the_terminal, without_pictures, write_csv, write_table
from noisegate.study import Source, main, run
from noisegate.study.data.split import split_rows
from noisegate.study.models import Model
from noisegate.study.train import pool
from noisegate.study.train.run import Setup, make_parts

QUICK = ["--seeds", "2", "--epochs", "3", "--jobs", "1"]
NET = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.hid1 = nn.Sequential(nn.Linear(input_shape[0], 16), nn.Tanh())
        self.out = nn.Linear(16, n_outputs)

    def forward(self, x):
        return self.out(self.hid1(x))
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder, from which modules are imported, and leave out the pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    without_pictures(monkeypatch)


def cancer() -> dict[str, Any]:
    data = sklearn.datasets.load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    outcome = np.array(data.target_names)[data.target]
    return {**dict(zip(names, data.data.T, strict=True)), "outcome": outcome}


def diabetes() -> dict[str, Any]:
    data = sklearn.datasets.load_diabetes(scaled=False)
    return {**dict(zip(data.feature_names, data.data.T, strict=True)), "progress": data.target}


def studied(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run the command on the way that a user takes, and return its numbers."""
    code, out, err = on_the_terminal(["study", *QUICK, *words, "--json"], capsys)
    assert (code, err) == (0, "")
    facts: dict[str, Any] = json.loads(out)
    assert facts == json.loads(Path("noisegate-study/study.json").read_text())
    return facts


def outputs_of(source: Source, recipe: str, seed: int) -> tuple[np.ndarray, Any, Setup]:
    """Work out a finished model's outputs on the test rows, with NumPy and the kept weights."""
    rows = source.read()
    setup = Setup(rows.search, 3, None, 2e-3, source.validation_share)
    encoder = make_parts(setup, seed).encoder
    weights = torch.load(f"noisegate-study/runs/mlp/{recipe}-{seed}.pt", weights_only=True)
    x = encoder.inputs(rows.test).numpy().astype(np.float64)
    for layer in ("hid1", "hid2", "out"):
        w, b = (
            weights[f"{layer}.{part}"].numpy().astype(np.float64) for part in ("weight", "bias")
        )
        x = x @ w.T + b
        x = np.maximum(x, 0) if layer != "out" else x
    return x, rows, setup


# Kinds of files and tasks -----------------------------------------------------------------------


def test_breast_cancer_from_a_csv(capsys):
    write_csv("cancer.csv", cancer())
    facts = studied(
        capsys, "--data", "cancer.csv", "--target", "outcome", "--recipe", "hidden", "gaussian"
    )
    settings = facts["settings"]
    assert settings["data"]["rows"] == 569
    assert settings["data"]["classes"] == ["benign", "malignant"]
    assert settings["test"]["rows"] == 114
    assert facts["notes"][0].startswith("The task is classification: `outcome` has 2 classes")
    (test,) = facts["test"]
    source = Source("cancer.csv", "outcome")
    for recipe in ("none", test["recipe"]):
        for seed in (0, 1):
            found, rows, _ = outputs_of(source, recipe, seed)
            wrong = np.mean(found.argmax(1) != rows.test.target)
            assert test["errors"][recipe][seed] == pytest.approx(wrong)
            log_p = found - np.log(np.exp(found).sum(1, keepdims=True))
            loss = -log_p[np.arange(114), rows.test.target].mean()
            assert test["losses"][recipe][seed] == pytest.approx(loss, rel=1e-4)
            assert wrong < 0.15, "it has learned"


def test_diabetes_is_told_in_the_targets_unit(capsys):
    write_csv("diabetes.csv", diabetes())
    facts = studied(
        capsys, "--data", "diabetes.csv", "--target", "progress", "--recipe", "gaussian",
        "--learning-rate", "0.01",
    )  # fmt: skip
    assert facts["settings"]["data"]["task"] == "regression"
    assert facts["settings"]["data"]["classes"] == []
    (test,) = facts["test"]
    source = Source("diabetes.csv", "progress")
    for recipe in ("none", "gaussian"):
        for seed in (0, 1):
            found, rows, setup = outputs_of(source, recipe, seed)
            train = setup.data.target[_rows_of(setup, seed)]
            predicted = found[:, 0] * train.std() + train.mean()
            miss = predicted - rows.test.target
            assert test["losses"][recipe][seed] == pytest.approx(
                np.sqrt(np.mean(miss**2)), rel=1e-4
            )
            assert test["errors"][recipe][seed] == pytest.approx(np.abs(miss).mean(), rel=1e-4)
            assert 40 < np.abs(miss).mean() < 80, "of 25 to 346"
    assert "RMSE" in facts["sentence"]


def _rows_of(setup: Setup, seed: int) -> np.ndarray:
    return split_rows(setup.data, setup.validation_share, seed, "split")[0]


def test_digits_as_an_npz_with_the_cnn(capsys):
    images, digit = sklearn.datasets.load_digits(return_X_y=True)
    np.savez("digits.npz", images=images.reshape(-1, 1, 8, 8)[:600] / 16, digit=digit[:600])
    facts = studied(
        capsys, "--data", "digits.npz", "--target", "digit", "--model", "cnn", "--recipe", "spatial"
    )
    assert facts["settings"]["data"]["inputs"] == ["images"]
    assert facts["settings"]["data"]["classes"] == list("0123456789")
    assert facts["test"][0]["recipe"] == "spatial"
    assert "conv2:out" in next(r["matched"] for r in facts["runs"] if r["recipe"] == "spatial")


def test_a_parquet_gives_what_its_csv_gives(capsys):
    write_table(Path("d.csv"))
    columns = np.genfromtxt("d.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    arrays = {name: pyarrow.array(columns[name].tolist()) for name in columns.dtype.names}
    pyarrow.parquet.write_table(pyarrow.table(arrays), "d.parquet")
    call = ["--target", "y", "--ignore", "who", "--model", "mlp", "--recipe", "hidden"]
    csv, parquet = (_apart(capsys, name, *call) for name in ("d.csv", "d.parquet"))
    assert csv["settings"]["data"].pop("name") == "d.csv"
    assert parquet["settings"]["data"].pop("name") == "d.parquet"
    for name in ("settings", "runs", "test", "summary", "sentence", "notes"):
        assert csv[name] == parquet[name]


def _apart(capsys: pytest.CaptureFixture[str], name: str, *call: str) -> dict[str, Any]:
    words = ["study", "--data", name, *call, *QUICK, "--out", f"of-{name}"]
    assert on_the_terminal([*words, "--json"], capsys)[0] == 0
    return numbers(Path(f"of-{name}"))


# Models and recipes of a user's own ---------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_model_and_recipes_of_ones_own(jobs, capsys):
    Path(f"nets_of_{jobs}.py").write_text(NET)
    write_table(Path("d.csv"))
    recipes = (
        "wide:\n  'hid*:out': 0.5\n  'in:out': [gaussian(0.1), 0.2]\nthin: {'hid1:out': 0.1}\n"
    )
    Path("recipes.yaml").write_text(recipes)
    more = '[table]\n"hid1:out" = "schedule.linear(0, 0.5, steps=9)"\n'
    Path("more.toml").write_text(more)
    facts = studied(
        capsys, "--data", "d.csv", "--target", "y", "--ignore", "who", "--jobs", jobs,
        "--model", f"nets_of_{jobs}:Net", "--recipe", "recipes.yaml", "more.toml",
        "--recipe", "mine=hid*:out=0.5, in:out=gaussian(0.1)",
    )  # fmt: skip
    assert facts["files"] == {"recipes.yaml": recipes, "more.toml": more}
    model = f"nets_of_{jobs}:Net"
    assert facts["settings"]["models"] == {model: Model(model).source_digest}
    assert list(facts["settings"]["recipes"][model]) == ["none", "wide", "thin", "table", "mine"]
    assert [row["recipe"] for row in facts["summary"]] == ["none", "wide", "thin", "table", "mine"]
    assert len(facts["runs"]) == 10


def test_the_command_of_a_study_makes_it_again(capsys, monkeypatch):
    write_csv("my data.csv", cancer() | {"ward": np.arange(569) // 5})
    first = studied(
        capsys, "--data", "my data.csv", "--target", "outcome", "--split", "ward", "--model", "mlp",
        "--ignore", "mean_area", "mean_radius", "--recipe", "mine=hid*:out=0.5, in:out=gaussian(1)",
        "--test-seed", "3", "--test-share", "0.3", "--batch-size", "40",
    )  # fmt: skip
    words = shlex.split(first["command"])
    assert words[0] == "noisegate"
    code, out, _ = on_the_terminal([*words[1:], "--jobs", "1", "--out", "b", "--json"], capsys)
    assert code == 0
    again = json.loads(out)
    del first["execution"], again["execution"]
    assert again == first


# Splits -------------------------------------------------------------------------------------------


def test_no_group_is_in_two_parts(capsys):
    groups = np.random.default_rng(0).integers(0, 60, 569)
    write_csv("cancer.csv", {**cancer(), "ward": groups, "row": np.arange(569) + 0.5})
    source = Source("cancer.csv", "outcome", split="ward")
    rows = source.read()

    def ids(data: Any) -> np.ndarray:
        return data.inputs["row"].to_numpy().astype(int)

    assert "ward" not in rows.search.inputs
    assert sorted([*ids(rows.search), *ids(rows.test)]) == list(range(569))
    assert not set(groups[ids(rows.search)]) & set(groups[ids(rows.test)])
    setup = Setup(rows.search, 1, None, 1e-3, 0.25)
    at = list(rows.search.inputs).index("row")
    digests = set()
    for seed in range(5):
        parts = make_parts(setup, seed)
        known = dict(
            zip(parts.encoder.inputs(rows.search)[:, at].tolist(), ids(rows.search), strict=True)
        )
        train, validation = (
            np.array([known[value] for value in part[0][:, at].tolist()])
            for part in (parts.train, parts.validation)
        )
        assert sorted([*train, *validation]) == sorted(ids(rows.search))
        assert not set(groups[train]) & set(groups[validation])
        digests.add(parts.digest)
    assert len(digests) == 5
    facts = studied(capsys, "--data", "cancer.csv", "--target", "outcome", "--split", "ward",
                    "--recipe", "hidden")  # fmt: skip
    assert facts["settings"]["data"]["groups"] == "ward"


def halves() -> tuple[dict[str, Any], dict[str, Any]]:
    every = {name: np.asarray(values) for name, values in cancer().items()}
    return tuple({name: values[part::2] for name, values in every.items()} for part in (0, 1))


def study_of(data: dict[str, Any], test: dict[str, Any] | None, target: str = "outcome") -> Any:
    write_csv("data.csv", data)
    if test is not None:
        write_csv("test.csv", test)
    source = Source("data.csv", target, test=None if test is None else "test.csv")
    found = run("mlp", ["hidden", "gaussian"], source=source, seeds=2, epochs=3, jobs=1)
    return numbers(found)


def test_a_file_of_test_rows():
    data, test = halves()
    facts = study_of(data, test)
    assert facts["settings"]["data"]["rows"] == 285
    assert {name: facts["settings"]["test"][name] for name in ("file", "rows", "seed")} == {
        "file": "test.csv",
        "rows": 284,
        "seed": None,
    }
    assert all(run["train_rows"] + run["validation_rows"] == 285 for run in facts["runs"])


# Leaks --------------------------------------------------------------------------------------------


def test_the_target_as_a_column_of_the_test_file_alone_changes_nothing():
    data, test = halves()
    plain = study_of(data, test)
    leaky = study_of(data, {**test, "leak": test["outcome"]})
    assert leaky.pop("notes") == [
        *plain.pop("notes"),
        "Not used of 'test.csv', as the data do not have them as inputs: `leak`.",
    ]
    assert leaky == plain


def test_a_column_that_only_the_test_file_fills_with_the_target_moves_its_score_alone():
    data, test = halves()
    draw = np.random.default_rng(1)
    noise = draw.normal(size=285)
    honest = study_of({**data, "c": noise}, {**test, "c": draw.normal(size=284)})
    leak = np.where(test["outcome"] == "benign", -50.0, 50.0)
    leaky = study_of({**data, "c": noise}, {**test, "c": leak})
    assert leaky.pop("test") != honest.pop("test")
    for facts in (leaky, honest):
        del facts["settings"]["test"]["digest"]
    assert leaky == honest


@pytest.mark.parametrize("of", ["cancer", "diabetes"])
def test_whatever_stands_in_test_rows_moves_their_score_alone(of):
    """The test rows that are drawn of the data: their inputs, and a regression's targets."""
    data, target = (cancer(), "outcome") if of == "cancer" else (diabetes(), "progress")
    data = {name: np.asarray(values) for name, values in data.items()}
    count = len(data[target])
    honest = study_of({**data, "row": np.arange(count) + 0.5}, None, target)
    test = Source("data.csv", target).read().test
    rows = test.inputs["row"].to_numpy().astype(int)
    draw = np.random.default_rng(2)
    changed = {}
    for name, values in data.items():
        if name != target or of == "diabetes":
            values = values.copy()
            values[rows] = 1e3 * draw.normal(size=len(rows))
        changed[name] = values
    assert 0 < len(rows) < count
    leaky = study_of({**changed, "row": np.arange(count) + 0.5}, None, target)
    assert leaky.pop("test") != honest.pop("test")
    for facts in (leaky, honest):
        del facts["settings"]["test"]["digest"]
    assert leaky == honest


def test_no_test_row_reaches_what_trains(monkeypatch):
    """Rows are known by a number of their own, which must not be anywhere in what a worker gets."""
    marks = 1e6 + np.random.default_rng(3).permutation(569) + 0.123
    write_csv("data.csv", {**cancer(), "mark": marks})
    given = []

    def recorded(jobs: Any, setup: Setup, store: Any, **more: Any) -> Any:
        given.append((setup, pickle.dumps(pool.Runs(setup, store)), pickle.dumps(list(jobs))))
        return execute_all(jobs, setup, store, **more)

    execute_all = main.execute_all
    monkeypatch.setattr(main, "execute_all", recorded)
    source = Source("data.csv", "outcome")
    run("mlp", "hidden", source=source, seeds=2, epochs=1, jobs=1, uncertainty=True)
    ((setup, worker, jobs),) = given

    def of(data: Any) -> set[float]:
        return set(data.inputs["mark"].tolist())

    test, search = of(source.read().test), of(setup.data)
    assert len(test) == 114
    assert test | search == set(marks.tolist())
    assert not test & search
    assert all(struct.pack("<d", mark) in worker for mark in search), "this is how a row looks"
    assert not any(struct.pack("<d", mark) in worker + jobs for mark in test)
