"""Files of studies that cannot be compared, and the sentence for each.

`results` makes a study.json by hand. Files are written into the working directory.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bad_numbers import Case, Value
from noisegate.study.judge.study_pairs import Comparison, compare

LOSSES = {"none": [0.31, 0.29, 0.35], "hidden": [0.25, 0.22, 0.30]}
RULES = {
    "none": "",
    "hidden": "hid*:out=0.5",
    "gaussian": "in:out=GaussianNoise(sigma=0.2)",
    "mine": "hid1:out=0.1",
}


def results(
    losses: dict[str, list[float | None]] | None = None,
    models: tuple[str, ...] = ("mlp",),
    task: str = "classification",
) -> dict[str, Any]:
    """Return a study.json of these validation losses, the same for each model; errors: a tenth."""
    losses = LOSSES if losses is None else losses
    return {
        "format": 2,
        "command": "noisegate study",
        "settings": {
            "data": {"name": "wine.csv", "digest": "d1", "rows": 1000, "task": task},
            "test": {"rows": 200, "seed": 0, "file": None, "digest": "t1"},
            "models": dict.fromkeys(models, ""),
            "recipes": {model: {name: RULES[name] for name in losses} for model in models},
            "seeds": len(next(iter(losses.values()), [])),
            "epochs": 60,
            "batch_size": None,
            "optimizer": "Adam",
            "learning_rate": 0.002,
            "validation_share": 0.25,
            "interval": 0.95,
        },
        "versions": {"torch": "2.10"},
        "runs": [
            run(model, recipe, seed, loss)
            for model in models
            for recipe, of in losses.items()
            for seed, loss in enumerate(of)
        ],
    }


def run(model: str, recipe: str, seed: int, loss: float | None) -> dict[str, Any]:
    error = None if loss is None else loss / 10
    return {
        "model": model,
        "recipe": recipe,
        "seed": seed,
        "split": f"s{seed}",
        "train_rows": 600,
        "validation_rows": 200,
        "best": {"number": 7, "validation_loss": loss, "validation_error": error},
    }


def changed(facts: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Return a copy with another value at a place: `settings/data/digest`, or `runs/0/seed`."""
    found = copy.deepcopy(facts)
    *path, last = (int(part) if part.isdigit() else part for part in place.split("/"))
    inner = found
    for part in path:
        inner = inner[part]
    inner[last] = value
    return found


def without(facts: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a copy that lacks what is at a place."""
    found = changed(facts, place, None)
    *path, last = (int(part) if part.isdigit() else part for part in place.split("/"))
    inner = found
    for part in path:
        inner = inner[part]
    del inner[last]
    return found


def compared(a: Any, b: Any) -> Comparison:
    """Write two files, JSON or text as it is, and compare them."""
    for name, facts in (("a.json", a), ("b.json", b)):
        text = facts if isinstance(facts, str) else json.dumps(facts)
        Path(name).write_text(text, "utf-8")
    return compare("a.json", "b.json")


def bad(place: str, value: Any) -> Callable[[], Any]:
    return lambda: compared(results(), changed(results(), place, value))


def folder() -> Any:
    Path("out").mkdir()
    return compare("out", "b.json")


OUT = "Name the folder of a study's --out, or the study.json in it."
NO_STUDY = "study: a file to compare must be a study's study.json; got 'b.json': "
READ = "study: a file to compare must be one that can be read; got "
SAME = "study: two studies must have the same data and the same splits to be compared; got "
RUN = "Run both with the same data and the same options of its splits."
FORMAT = "study: a study.json must have format 2 to be compared; got format "
AGAIN = "Make the study again with this version: the file holds its command."
ONE_SEED = {"none": [0.3], "hidden": [0.2]}

FILES: list[Case] = [
    (
        lambda: compare("a.json", "b.json"),
        Value,
        f"{READ}'a.json': No such file or directory. {OUT}",
    ),
    (
        folder,
        Value,
        "study: a folder to compare must have a study.json; got 'out'. Name the folder of a study "
        "that has finished, its --out.",
    ),
    (lambda: compared(results(), "{"), Value, f"{NO_STUDY}it is not JSON. {OUT}"),
    (lambda: compared(results(), ""), Value, f"{NO_STUDY}it is not JSON. {OUT}"),
    (lambda: compared(results(), "[" * 99_999), Value, f"{NO_STUDY}it is not JSON. {OUT}"),
    (lambda: compared(results(), []), Value, f"{NO_STUDY}`the file` is of another type. {OUT}"),
    (lambda: compared(results(), {"a": 1}), Value, f"{NO_STUDY}`format` is missing. {OUT}"),
    (bad("format", 1), Value, f"{FORMAT}1 in 'b.json'. {AGAIN}"),
    (
        bad("format", "x" * 99),
        Value,
        f"{FORMAT}'{'x' * 77} … in 'b.json'. {AGAIN}",
    ),
    (bad("settings", []), Value, f"{NO_STUDY}`settings` is of another type. {OUT}"),
    (
        lambda: compared(results(), without(results(), "settings/data/digest")),
        Value,
        f"{NO_STUDY}`digest` is missing. {OUT}",
    ),
    (bad("settings/data/task", "ranking"), Value, f"{NO_STUDY}`task` is unknown. {OUT}"),
    (bad("settings/recipes", {}), Value, f"{NO_STUDY}`mlp` is missing. {OUT}"),
    (bad("runs", []), Value, f"{NO_STUDY}`runs` are empty. {OUT}"),
    (bad("runs/0", 5), Value, f"{NO_STUDY}`runs/0` is of another type. {OUT}"),
    (bad("runs/0/seed", True), Value, f"{NO_STUDY}`seed` is of another type. {OUT}"),
    (bad("runs/0/seed", 1), Value, f"{NO_STUDY}a recipe has seed 1 twice. {OUT}"),
    (bad("runs/0/split", "x"), Value, f"{NO_STUDY}seed 0 has two splits. {OUT}"),
    (
        bad("runs/0/best/validation_loss", "low"),
        Value,
        f"{NO_STUDY}`validation_loss` is of another type. {OUT}",
    ),
    (
        bad("runs/0/train_rows", 0),
        Value,
        f"{NO_STUDY}`validation_rows` and `train_rows` must be at least 1. {OUT}",
    ),
    (
        lambda: compared(results(), without(results(), "runs/5")),
        Value,
        f"{NO_STUDY}a recipe lacks a seed that another has. {OUT}",
    ),
]

STUDIES: list[Case] = [
    (
        bad("settings/data/digest", "d2"),
        Value,
        f"{SAME}the data wine.csv (d1) in 'a.json' and wine.csv (d2) in 'b.json'. {RUN}",
    ),
    (
        bad("settings/data/task", "regression"),
        Value,
        f"{SAME}the task classification in 'a.json' and regression in 'b.json'. {RUN}",
    ),
    (
        bad("settings/test/digest", "t2"),
        Value,
        f"{SAME}the test split t1 in 'a.json' and t2 in 'b.json'. {RUN}",
    ),
    (
        lambda: compared(
            results(), changed(changed(results(), "runs/1/split", "x"), "runs/4/split", "x")
        ),
        Value,
        f"{SAME}for seed 1 the split s1 in 'a.json' and x in 'b.json'. {RUN}",
    ),
    (
        lambda: compared(results(), results(ONE_SEED)),
        Value,
        "study: two studies must share at least 2 seeds to be compared; got 1, of the seeds 0, 1, 2"
        " and 0. Run both with --seeds 2 or more.",
    ),
    (
        lambda: compared(
            results(models=("mlp", "cnn")), results({"none": [0.1, 0.2]}, ("nets:mine",))
        ),
        Value,
        "study: two studies must share a recipe on a model, or each have one model and share a "
        "recipe; got none on mlp, hidden on mlp, none on cnn, hidden on cnn and "
        "none on nets:mine. Run one of them with a recipe of the other.",
    ),
]

CASES: list[Case] = [*FILES, *STUDIES]
