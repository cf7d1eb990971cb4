"""Two studies of the same data: the paired differences of the runs that both have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noisegate.core.errors import InvalidValue

from ..data.tasks import Task
from ..recipes import RECIPES, rules_text
from .stats import Difference, Estimate, adjust, estimate, estimate_difference
from .study_json import StudyFile, read_study

__all__ = ["ComparedRecipe", "Comparison", "compare"]


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
    """Compare two studies of the same data by their study.json, seed by seed.

    A recipe on a model is paired with the same in the other study; where each study has one
    model, whatever its name, recipe with recipe. Holm's correction is for the rows.

    Parameters
    ----------
    a, b : path
        The folder of a study, its ``out``, or the study.json in it.

    Raises
    ------
    InvalidValue
        If a file is no study.json that is whole, or the studies have other data or splits, fewer
        than two seeds in common, or no recipe.
    """
    first, second = read_study(a), read_study(b)
    seeds = sorted(first.splits.keys() & second.splits.keys())
    _check_data(first, second, seeds)
    if len(seeds) < 2:
        lists = (", ".join(map(str, sorted(study.splits))) for study in (first, second))
        raise InvalidValue(
            "study: two studies must share at least 2 seeds to be compared; got "
            f"{len(seeds)}, of the seeds {' and '.join(lists)}. Run both with --seeds 2 or more."
        )
    pairs = list(_pair_recipes(first, second))
    if not pairs:
        lists = (
            ", ".join(f"{name} on {model}" for model, name in study.runs)
            for study in (first, second)
        )
        raise InvalidValue(
            "study: two studies must share a recipe on a model, or each have one model and share "
            f"a recipe; got {' and '.join(lists)}. Run one of them with a recipe of the other."
        )
    rows = [_compare_recipe(first, second, *pair, seeds) for pair in pairs]
    losses = adjust([row.loss_difference for row in rows])
    errors = adjust([row.error_difference for row in rows])
    rows = [
        replace(row, loss_difference=loss, error_difference=error)
        for row, loss, error in zip(rows, losses, errors, strict=True)
    ]
    differs = tuple(_find_differences(first, second))
    return Comparison(first.path, second.path, first.task, tuple(seeds), tuple(rows), differs)


def _check_data(a: StudyFile, b: StudyFile, seeds: Sequence[int]) -> None:
    parts = [
        ("the data", a.data, b.data),
        ("the task", a.task.name, b.task.name),
        ("the test split", a.test, b.test),
        *((f"for seed {seed} the split", a.splits[seed], b.splits[seed]) for seed in seeds),
    ]
    for what, mine, theirs in parts:
        if mine != theirs:
            raise InvalidValue(
                "study: two studies must have the same data and the same splits to be compared; "
                f"got {what} {mine} in '{a.path}' and {theirs} in '{b.path}'. Run both with the "
                "same data and the same options of its splits."
            )


def _pair_recipes(a: StudyFile, b: StudyFile) -> Iterator[tuple[str, str, str]]:
    """Yield (recipe, its model in a, its model in b)."""
    for model, recipe in a.runs:
        other = next(iter(b.models)) if _has_one_model(a, b) else model
        if (other, recipe) in b.runs:
            yield recipe, model, other


def _has_one_model(*studies: StudyFile) -> bool:
    return all(len(study.models) == 1 for study in studies)


def _compare_recipe(
    a: StudyFile, b: StudyFile, recipe: str, mine: str, theirs: str, seeds: Sequence[int]
) -> ComparedRecipe:
    sides = a.runs[mine, recipe], b.runs[theirs, recipe]
    losses, errors = ([[side[seed][part] for seed in seeds] for side in sides] for part in (0, 1))
    # A recipe goes by its label if it has the built-in rules in both studies.
    known, rules = RECIPES.get(recipe), {a.recipes[mine][recipe], b.recipes[theirs][recipe]}
    return ComparedRecipe(
        recipe,
        known.label if known and rules == {rules_text(known.rules)} else recipe,
        (mine, theirs),
        (estimate(losses[0]), estimate(losses[1])),
        (estimate(errors[0]), estimate(errors[1])),
        estimate_difference(losses[1], losses[0], ratio=a.ratio),
        estimate_difference(errors[1], errors[0], ratio=a.ratio),
    )


def _find_differences(a: StudyFile, b: StudyFile) -> Iterator[tuple[str, str, str]]:
    """Yield (what, in a, in b) of everything but data and splits that is not the same."""
    mine, theirs = (_describe_work(study, alone=_has_one_model(a, b)) for study in (a, b))
    for what, one in mine.items():
        if one != theirs.get(what, one):
            yield what, one, theirs[what]
    for what in sorted({*a.others, *b.others}):
        one, other = (study.others.get(what, "not set") for study in (a, b))
        if one != other:
            yield what.replace("_", " "), one, other


def _describe_work(study: StudyFile, *, alone: bool) -> dict[str, str]:
    """Return models, sources and recipes by what they are; an only model is not named."""
    found = {"models": ", ".join(study.models)}
    for model, recipes in study.recipes.items():
        place = "" if alone else f" on {model}"
        found[f"source of {model}"] = study.models[model] or "built in"
        found[f"recipes{place}"] = ", ".join(recipes)
        found |= {f"rules of {name}{place}": rules for name, rules in recipes.items()}
    return found
