"""Studies to show: of digits, of prices, with many seeds, with lost runs, after a search."""

import csv
import io
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from noisegate.estimators import History
from noisegate.study.judge.scores import SplitScore
from noisegate.study.main import run
from noisegate.study.results import Study
from noisegate.study.show import terminal as tables
from noisegate.study.source import Source
from noisegate.tune import Trial, Tuning
from noisegate.tune.part import TuningPart

# A name that would be markup, were it not escaped.
NASTY = '<b>&"x"'
LONG = "a-recipe-" + "x" * 55
FILE = 'soft:\n  "hid*:out": 0.2\n'


def digits() -> Study:
    """Return a study of both models and every recipe."""
    return run(seeds=2, epochs=2, jobs=1, progress=False)


def one_recipe() -> Study:
    """Return a study of one model and one recipe."""
    return run("mlp", ["hidden"], seeds=2, epochs=2, jobs=1, progress=False)


def prices(folder: Path) -> Study:
    """Return a study of a target near 25 million, names nasty, long, and of a file."""
    draw = random.Random(0)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["a", NASTY, "price"])
        for _ in range(60):
            a, b = draw.gauss(0, 1), draw.gauss(0, 1)
            rows.writerow([a, b, 2.5e7 + 1e6 * (a + b + draw.gauss(0, 1))])
    (folder / "<mine>.yaml").write_text(FILE, encoding="utf-8")
    recipes = [f"{LONG}=in:out=gaussian(0.1)", str(folder / "<mine>.yaml")]
    source = Source(folder / "rows.csv", "price")
    return run(
        "mlp", recipes, source=source, seeds=3, epochs=2, jobs=1, uncertainty=True, progress=False
    )


def with_seeds(study: Study, seeds: int) -> Study:
    """Return a study of so many seeds: its runs again, each a little worse than the one before."""
    runs = []
    for one in study.runs:
        for seed in range(one.seed, seeds, study.settings.design.seeds):
            epochs = tuple(
                replace(epoch, validation_loss=epoch.validation_loss * (1 + seed / 100))
                for epoch in one.history.epochs
            )
            runs.append(replace(one, seed=seed, history=History(epochs)))
    runs.sort(key=lambda one: one.seed)
    design = replace(study.settings.design, seeds=seeds)
    return replace(study, runs=tuple(runs), settings=replace(study.settings, design=design))


def lost(study: Study) -> Study:
    """Return a study in which one recipe's losses are not finite."""
    runs = [
        replace(
            one,
            history=History(
                tuple(
                    replace(epoch, train_loss=math.nan, validation_loss=math.nan)
                    for epoch in one.history.epochs
                )
            ),
        )
        if one.recipe == "hidden"
        else one
        for one in study.runs
    ]
    return replace(study, runs=tuple(runs))


def moved(study: Study, change: float) -> Study:
    """Return a study in which every recipe's loss is no noise's times 1 + change, 1 + 2 change …"""
    base = {
        (one.model, one.seed): one.history.best.validation_loss
        for one in study.runs
        if one.recipe == "none"
    }
    runs = []
    for one in study.runs:
        if one.recipe != "none":
            loss = base[(one.model, one.seed)] * (1 + change * (1 + one.seed))
            epochs = [replace(epoch, validation_loss=loss) for epoch in one.history.epochs]
            one = replace(one, history=History(tuple(epochs)))
        runs.append(one)
    return replace(study, runs=tuple(runs))


def helped(study: Study, model: str, by: float = 0.1) -> Study:
    """Return a study in which every recipe lowers each loss of a model by as much, tests too."""
    base = {
        one.seed: one.history.best.validation_loss
        for one in study.runs
        if (one.model, one.recipe) == (model, "none")
    }
    runs = []
    for one in study.runs:
        if one.model == model and one.recipe != "none":
            epochs = [
                replace(epoch, validation_loss=base[one.seed] - by) for epoch in one.history.epochs
            ]
            one = replace(one, history=History(tuple(epochs)))
        runs.append(one)
    tests = [scored(one, by) if one.model == model else one for one in study.tests]
    return replace(study, runs=tuple(runs), tests=tuple(tests))


def scored(tested: SplitScore, by: float) -> SplitScore:
    """Return a score in which the chosen recipe has each loss of no noise less so much."""
    better = tuple(loss - by for loss in tested.losses["none"])
    return replace(tested, losses={**tested.losses, tested.recipe: better})


def tuned(study: Study) -> Study:
    """Return a study after a search: 14 finished trials, one given up, one failed."""

    def trial(number: int, state: str, value: float | None) -> Trial:
        rules = f"hid*:out=0.{number + 1}, in:out=GaussianNoise(sigma=0.25)" if number else ""
        return Trial(number, state, value, rules, {}, 2, 3.0, f"noisegate study --{number}", "")

    trials = [trial(number, "finished", 1 + abs(number - 5) / 8) for number in range(14)]
    trials += [trial(14, "pruned", 2.0), trial(15, "failed", None)]
    space = f"hid*:out=0..0.8, in:out={NASTY}"
    importance = {"hid*:out": 0.75, "in:out": 0.25}
    tuning = Tuning(space, "sqlite:///a.db", tuple(trials), importance, "mlp", 5)
    return replace(study, search=TuningPart(tuning))


def shown(study: Study, report: str = "report.html") -> list[str]:
    """Return the lines that a terminal of 80 columns shows."""
    text = io.StringIO()
    tables.show(study, report, Console(file=text, width=80))
    return text.getvalue().splitlines()


def with_columns(study: Study, *columns: dict[str, Any]) -> Study:
    """Return a study whose data have these columns."""
    facts = study.settings.facts
    facts = {**facts, "data": {**facts["data"], "columns": columns}}
    return replace(study, settings=replace(study.settings, facts=facts))
