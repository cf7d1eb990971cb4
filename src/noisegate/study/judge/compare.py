"""Two studies of the same data: the paired differences of the runs that both have."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from noisegate.core.errors import InvalidValue

from .. import messages
from ..data.tasks import Task
from ..recipes import RECIPES, rules_text
from ..show.sentences import agreeing_rows, called, chance, interval, listed, measure, named, number
from .stats import LEVEL, MANY, Difference, Estimate, adjusted, estimate, paired_difference
from .study_json import Recorded, read_study, without_nan

__all__ = ["Compared", "Comparison", "compare", "show"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One recipe in study `a` and in study `b`, over the seeds that they share.

    A difference is b - a at each run's best epoch: below 0, b is better.
    """

    recipe: str
    label: str
    models: tuple[str, str]
    losses: tuple[Estimate, Estimate]
    errors: tuple[Estimate, Estimate]
    loss_difference: Difference
    error_difference: Difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two studies; `differs` holds (what, in a, in b) of the settings that are not the same."""

    a: str
    b: str
    task: Task
    seeds: tuple[int, ...]
    rows: tuple[Compared, ...]
    differs: tuple[tuple[str, str, str], ...]

    @property
    def several(self) -> bool:
        """Whether there are rows of more than one model."""
        return len({row.models for row in self.rows}) > 1

    @property
    def sentence(self) -> str:
        """With which recipes b is better or worse, by how much, how sure."""
        digits = agreeing_rows(
            (row.loss_difference, row.losses[0].mean, row.losses[1].mean) for row in self.rows
        )
        clauses = [self._change(row, digits) for row in self.rows if _verdict(row) in WORDS]
        for verdict, words in OTHERS.items():
            names = [self._name(row) for row in self.rows if _verdict(row) == verdict]
            clauses += [words.format(listed(names))] if names else []
        a, b = self.rows[0].models
        text = f"with {called(b)} instead of {called(a)}, " * (a != b) + "; ".join(clauses) + "."
        # `a` and `b` are names.
        return text if text.startswith(("a ", "b ")) else text[0].upper() + text[1:]

    def to_dict(self) -> dict[str, Any]:
        """Return every number; the errors of a classification are shares, as in study.json."""
        facts: dict[str, Any] = without_nan(
            {
                "a": self.a,
                "b": self.b,
                "task": self.task.name,
                "seeds": list(self.seeds),
                "differs": [{"what": what, "a": a, "b": b} for what, a, b in self.differs],
                "rows": [_facts(row) for row in self.rows],
                "sentence": self.sentence,
            }
        )
        return facts

    def to_json(self) -> str:
        """Return `to_dict` as JSON; a number that is not finite is null."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def _change(self, row: Compared, digits: int) -> str:
        one = row.loss_difference
        return (
            f"b is {WORDS[one.verdict]} with {self._name(row)}: {measure(self.task)} "
            f"{number(one.mean, digits, sign=True)} ({LEVEL * 100:.0f}\u00a0% interval "
            f"{interval(one.low, one.high, digits)}, {chance(one.holm)})"
        )

    def _name(self, row: Compared) -> str:
        return f"{row.label} on {called(row.models[0])}" if self.several else row.label


WORDS = {"helped": "better", "hurt": "worse"}
OTHERS = {
    "unclear": "no difference is shown with {}",
    "same": "a and b are the same with {}",
    "lost": "there is no verdict with {}, where some losses are not finite",
}


def compare(a: str | Path, b: str | Path) -> Comparison:
    """Compare two studies of the same data by their study.json, seed by seed.

    A recipe on a model is paired with the same in the other study; where each study has one
    model, whatever its name, recipe with recipe. Holm's correction is for the rows.

    Raises
    ------
    InvalidValue
        If a file is no study.json that is whole, or the studies have other data or splits, fewer
        than two seeds in common, or no recipe.
    """
    first, second = read_study(a), read_study(b)
    _check_data(first, second)
    seeds = sorted(first.splits.keys() & second.splits.keys())
    if len(seeds) < 2:
        both = sorted(first.splits), sorted(second.splits)
        raise InvalidValue(messages.too_few_shared_seeds(len(seeds), *both))
    pairs = list(_pairs(first, second))
    if not pairs:
        raise InvalidValue(messages.nothing_in_common(*(_recipes(one) for one in (first, second))))
    rows = [_compared(first, second, *pair, seeds) for pair in pairs]
    losses = adjusted([row.loss_difference for row in rows])
    errors = adjusted([row.error_difference for row in rows])
    rows = [
        replace(row, loss_difference=loss, error_difference=error)
        for row, loss, error in zip(rows, losses, errors, strict=True)
    ]
    differs = tuple(_differs(first, second))
    return Comparison(str(a), str(b), first.task, tuple(seeds), tuple(rows), differs)


# Two of them ----------------------------------------------------------------------------------


def _check_data(a: Recorded, b: Recorded) -> None:
    seeds = sorted(a.splits.keys() & b.splits.keys())
    parts = chain(
        [("the data", a.data, b.data), ("the task", a.task.name, b.task.name)],
        [("the test split", a.test, b.test)],
        ((f"for seed {seed} the split", a.splits[seed], b.splits[seed]) for seed in seeds),
    )
    for what, mine, theirs in parts:
        if mine != theirs:
            raise InvalidValue(messages.different_data(what, mine, theirs, (a.path, b.path)))


def _pairs(a: Recorded, b: Recorded) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    one_each = _one_each(a, b)
    for model, recipe in a.runs:
        other = next(iter(b.recipes)) if one_each else model
        if (other, recipe) in b.runs:
            yield (model, recipe), (other, recipe)


def _one_each(a: Recorded, b: Recorded) -> bool:
    return len(a.models) == len(b.models) == 1


def _compared(
    a: Recorded,
    b: Recorded,
    mine: tuple[str, str],
    theirs: tuple[str, str],
    seeds: Sequence[int],
) -> Compared:
    (models, recipe) = (mine[0], theirs[0]), mine[1]
    # Losses, then errors; of each the values in a, and in b.
    sides = (a.runs[mine], b.runs[theirs])
    values = [[[side[seed][i] for seed in seeds] for side in sides] for i in (0, 1)]
    (loss_a, loss_b), (error_a, error_b) = ([estimate(one) for one in pair] for pair in values)
    loss, error = (paired_difference(two, one, ratio=a.ratio) for one, two in values)
    label = _label(recipe, a.recipes[mine[0]][recipe], b.recipes[theirs[0]][recipe])
    return Compared(recipe, label, models, (loss_a, loss_b), (error_a, error_b), loss, error)


def _label(recipe: str, *rules: str) -> str:
    """Return what a built-in recipe is called, if both are that; else its name."""
    known = RECIPES.get(recipe)
    return known.label if known and {*rules} == {rules_text(known.rules)} else recipe


def _recipes(study: Recorded) -> list[str]:
    return [f"{recipe} on {called(model)}" for model, recipe in study.runs]


def _differs(a: Recorded, b: Recorded) -> Iterator[tuple[str, str, str]]:
    """Yield (what, in a, in b) of everything but data and splits that is not the same."""
    mine, theirs = (_told(one, _one_each(a, b)) for one in (a, b))
    for what in dict.fromkeys([*mine, *theirs]):
        if what in mine and what in theirs and mine[what] != theirs[what]:
            yield what, mine[what], theirs[what]
    for what in sorted({*a.others, *b.others}):
        one, other = a.others.get(what, "not set"), b.others.get(what, "not set")
        if one != other:
            yield what.replace("_", " "), one, other


def _told(study: Recorded, alone: bool) -> dict[str, str]:
    """Return models, sources and recipes; those of a study with one model are alike in name."""
    told = {"models": ", ".join(study.models)}
    for model, recipes in study.recipes.items():
        place = "" if alone else f" on {called(model)}"
        told[f"source of {model}"] = study.models[model] or "built in"
        told[f"recipes{place}"] = ", ".join(recipes)
        told |= {f"rules of {name}{place}": rules for name, rules in recipes.items()}
    return told


# Shown ----------------------------------------------------------------------------------------


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables, what differs in the settings, and the sentence."""
    console = console or Console()
    task = comparison.task
    titles = {
        measure(task): [(row, row.losses, row.loss_difference, 1) for row in comparison.rows],
        f"validation {task.error_name}": [
            (row, row.errors, row.error_difference, task.error_factor) for row in comparison.rows
        ],
    }
    for title, rows in titles.items():
        console.print(_table(comparison, title, rows))
    family = len(comparison.rows)
    holm = f", p after Holm's correction for {family} rows" if family > 1 else ""
    legend = f"b − a paired by seed, below 0: b is better{holm}."
    if len(comparison.seeds) > MANY:
        legend += (
            f" Over {len(comparison.seeds)} splits of the same rows the interval is optimistic; "
            "corrected as Nadeau and Bengio do."
        )
    console.print(legend, style="dim", highlight=False, markup=False)
    console.print()
    lines = [f"a: {comparison.a}", f"b: {comparison.b}"]
    lines += [f"What differs: {what}: {a} | {b}" for what, a, b in comparison.differs]
    for line in (*lines, comparison.sentence):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(
    comparison: Comparison,
    measured: str,
    rows: Sequence[tuple[Compared, tuple[Estimate, Estimate], Difference, int]],
) -> Table:
    """Return a table of numbers, each times the factor of its row."""
    scaled = [(row, pair, _scaled(one, factor), factor) for row, pair, one, factor in rows]
    digits = agreeing_rows(
        (one, pair[0].mean * factor, pair[1].mean * factor) for _, pair, one, factor in scaled
    )
    optimistic = any(one.optimistic for _, _, one, _ in scaled)
    models = [] if comparison.several else [*dict.fromkeys(map(named, rows[0][0].models))]
    parts = (" → ".join(models), measured, f"seeds: {len(comparison.seeds)}")
    title = escape(" · ".join(filter(None, parts)))
    table = Table(
        title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False, collapse_padding=True
    )
    table.add_column("recipe", overflow="fold")
    headings = ["a", "b", "b − a", f"{LEVEL * 100:.0f} % interval"]
    for heading in [*headings, *["corrected"] * optimistic, "p"]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row, pair, one, factor in scaled:
        cells = [_named(comparison, row), *(number(value.mean * factor, digits) for value in pair)]
        cells += [number(one.mean, digits, sign=True), interval(one.low, one.high, digits)]
        cells += [interval(one.corrected_low, one.corrected_high, digits)] * optimistic
        cells += [chance(one.holm).removeprefix("p ").removeprefix("= ")]
        style = {"helped": "green", "hurt": "red", "unclear": ""}[one.verdict]
        table.add_row(*map(escape, cells), style=style)
    return table


def _named(comparison: Comparison, row: Compared) -> str:
    return f"{row.recipe}, {named(row.models[0])}" if comparison.several else row.recipe


def _scaled(one: Difference, factor: int) -> Difference:
    names = ("mean", "low", "high", "corrected_low", "corrected_high")
    return replace(one, **{name: getattr(one, name) * factor for name in names})


def _verdict(row: Compared) -> str:
    one = row.loss_difference
    if math.isnan(one.mean):
        return "lost"
    return "same" if one.low == one.high == 0 else one.verdict


def _facts(row: Compared) -> dict[str, Any]:
    sides = zip(row.models, row.losses, row.errors, strict=True)
    a, b = (
        {"model": model, "loss": asdict(loss), "error": asdict(error)}
        for model, loss, error in sides
    )
    differences = {
        name: {**asdict(one), "verdict": one.verdict, "optimistic": one.optimistic}
        for name, one in (
            ("loss_difference", row.loss_difference),
            ("error_difference", row.error_difference),
        )
    }
    return {"recipe": row.recipe, "label": row.label, "a": a, "b": b, **differences}
