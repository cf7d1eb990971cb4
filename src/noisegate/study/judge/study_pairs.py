"""Two studies of the same data: the paired differences of the runs that both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noisegate.core.errors import InvalidValue

from ..data.tasks import Task
from ..recipes import RECIPES
from ..rule_text import rules_text
from .stats import Difference, Estimate, adjust, estimate, estimate_difference
from .study_json import StudyFile, read_study


@dataclass(frozen=True, slots=True)
class ComparedRecipe:
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
    rows: tuple[ComparedRecipe, ...]
    differs: tuple[tuple[str, str, str], ...]

    @property
    def several(self) -> bool:
        """Whether there are rows of more than one model."""
        return len({row.models for row in self.rows}) > 1


def compare(a: str | Path, b: str | Path) -> Comparison:
    """Compare two studies of the same data, seed by seed.

    Each is a study's folder, its ``out``, or the study.json in it. A recipe on a model is paired
    with the same in the other study; where each study has one model, whatever its name, recipe
    with recipe. Holm's correction is for the rows. It raises if the studies have other data or
    splits, fewer than two seeds in common, or no recipe.
    """
    studies = first, second = read_study(a), read_study(b)
    seeds = sorted(first.splits.keys() & second.splits.keys())
    _check_data(first, second, seeds)
    if len(seeds) < 2:
        lists = (", ".join(map(str, sorted(study.splits))) for study in studies)
        raise InvalidValue(
            "study: two studies must share at least 2 seeds to be compared; got "
            f"{len(seeds)}, of the seeds {' and '.join(lists)}. Run both with --seeds 2 or more."
        )
    rows = list(_compare_recipes(first, second, seeds))
    if not rows:
        lists = (", ".join(f"{name} on {model}" for model, name in study.runs) for study in studies)
        raise InvalidValue(
            "study: two studies must share a recipe on a model, or each have one model and share "
            f"a recipe; got {' and '.join(lists)}. Run one of them with a recipe of the other."
        )
    losses = adjust([row.loss_difference for row in rows])
    errors = adjust([row.error_difference for row in rows])
    rows = [
        replace(row, loss_difference=loss, error_difference=error)
        for row, loss, error in zip(rows, losses, errors, strict=True)
    ]
    task, differs = Task(first.settings["data"]["task"]), tuple(_find_differences(first, second))
    return Comparison(first.path, second.path, task, tuple(seeds), tuple(rows), differs)


def _check_data(a: StudyFile, b: StudyFile, seeds: Sequence[int]) -> None:
    def parts(study: StudyFile) -> dict[str, str]:
        data, test = study.settings["data"], study.settings["test"]
        return {
            "the data": f"{data['name']} ({data['digest']})",
            "the task": data["task"],
            "the test split": test["digest"],
            **{f"for seed {seed} the split": study.splits[seed] for seed in seeds},
        }

    theirs = parts(b)
    for what, mine in parts(a).items():
        if mine != theirs[what]:
            raise InvalidValue(
                "study: two studies must have the same data and the same splits to be compared; "
                f"got {what} {mine} in '{a.path}' and {theirs[what]} in '{b.path}'. Run both with "
                "the same data and the same options of its splits."
            )


def _compare_recipes(a: StudyFile, b: StudyFile, seeds: Sequence[int]) -> Iterator[ComparedRecipe]:
    """Yield each recipe that both studies have."""
    for (model, recipe), runs in a.runs.items():
        other = b.models[0] if _has_one_model(a, b) else model
        if (other, recipe) not in b.runs:
            continue
        sides = runs, b.runs[other, recipe]
        losses, errors = ([[side[seed][at] for seed in seeds] for side in sides] for at in (0, 1))
        # A recipe goes by its label if it has the built-in rules in both studies.
        known, rules = RECIPES.get(recipe), {_rules(a, model, recipe), _rules(b, other, recipe)}
        yield ComparedRecipe(
            recipe,
            known.label if known and rules == {rules_text(known.rules)} else recipe,
            (model, other),
            (estimate(losses[0]), estimate(losses[1])),
            (estimate(errors[0]), estimate(errors[1])),
            estimate_difference(losses[1], losses[0], ratio=a.ratio),
            estimate_difference(errors[1], errors[0], ratio=a.ratio),
        )


def _has_one_model(*studies: StudyFile) -> bool:
    return all(len(study.models) == 1 for study in studies)


def _rules(study: StudyFile, model: str, recipe: str) -> str:
    return str(study.settings["recipes"][model][recipe])


def _find_differences(a: StudyFile, b: StudyFile) -> Iterator[tuple[str, str, str]]:
    """Yield (what, in a, in b) of everything but data and splits that is not the same."""
    mine, theirs = (_describe_work(study, alone=_has_one_model(a, b)) for study in (a, b))
    for what, one in mine.items():
        if one != theirs.get(what, one):
            yield what, one, theirs[what]
    mine, theirs = ({**study.settings, **study.versions} for study in (a, b))
    for what in sorted({*mine, *theirs} - {"data", "test", "models", "recipes"}):
        values = (mine.get(what), theirs.get(what))
        one, other = ("not set" if value is None else str(value) for value in values)
        if one != other:
            yield what.replace("_", " "), one, other


def _describe_work(study: StudyFile, *, alone: bool) -> dict[str, str]:
    """Return models, sources and recipes by what they are; an only model is not named."""
    found = {"models": ", ".join(study.models)}
    for model in study.models:
        place = "" if alone else f" on {model}"
        names = [recipe for each, recipe in study.runs if each == model]
        found[f"source of {model}"] = study.settings["models"][model] or "built in"
        found[f"recipes{place}"] = ", ".join(names)
        found |= {f"rules of {name}{place}": _rules(study, model, name) for name in names}
    return found
