"""What the terminal and the report share: names, cells of tables, and what the test said."""

import math
from collections.abc import Mapping, Sequence

from ..data.tasks import Task
from ..judge.stats import LEVEL, MANY, Difference, Estimate, Row
from ..judge.test_split import TestScore
from ..recipes import BASELINE
from ..results import Study
from .sentences import agreeing, agreeing_rows, called, interval, measure, number

__all__ = [
    "OPTIMISTIC",
    "PERCENT",
    "called",
    "estimates",
    "headings",
    "model_title",
    "scored_sentence",
    "scored_sentences",
    "shared_decimals",
    "shortened",
    "texts",
]

PERCENT = f"{LEVEL * 100:.0f}\u00a0%"
OPTIMISTIC = "optimistic"


def model_title(model: str) -> str:
    """Return a model's name as a heading has it."""
    return called(model).removeprefix("the ")


def shortened(name: str, longest: int) -> str:
    """Return a name of at most so many characters: a long one loses its middle."""
    if len(name) <= longest:
        return name
    start = (longest - 1) // 2
    return f"{name[:start]}…{name[len(name) - (longest - 1 - start) :]}"


def headings(task: Task) -> tuple[str, str, str, str]:
    """Return what training loss, validation loss and error, and the difference are called."""
    training = "training loss" if task.is_classification else f"training {task.loss_name}"
    validation = measure(task)
    return training, validation, f"validation {task.error_name}", f"difference in {validation}"


def shared_decimals(rows: Sequence[Row]) -> int:
    """Return how many decimals the validation losses of a model's rows and their changes need."""
    return agreeing_rows(
        (row.loss_difference, rows[0].validation_loss.mean, row.validation_loss.mean)
        for row in rows
    )


def estimates(task: Task, rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return the training loss, the validation's loss and error of each row: mean ± standard error.

    One column has one number of decimals; the validation loss has those of the differences.
    """
    every = shared_decimals(rows)
    training = texts([row.train_loss for row in rows])
    losses = texts([row.validation_loss for row in rows], every)
    errors = texts([row.validation_error for row in rows], factor=task.error_factor)
    return list(zip(training, losses, errors, strict=True))


def texts(values: Sequence[Estimate], digits: int | None = None, *, factor: float = 1) -> list[str]:
    """Return estimates as mean ± standard error, with as many decimals as all of them need."""
    values = [_scaled(value, factor) for value in values]
    if digits is None:
        digits = _common_digits(values)
    return [
        f"{number(value.mean, digits)} ±{number(value.standard_error, digits)}"
        if math.isfinite(value.mean)
        else number(value.mean)
        for value in values
    ]


def _common_digits(values: Sequence[Estimate]) -> int:
    """Return how many decimals a column needs; what has no spread decides if nothing has."""
    spread = [value for value in values if abs(value.standard_error) > 0]
    return max(map(_digits, spread or values), default=3)


def _digits(value: Estimate) -> int:
    """Return how many decimals show two digits of the standard error, or four of the mean."""
    error, mean = abs(value.standard_error), abs(value.mean)
    if not math.isfinite(mean) or not math.isfinite(error) or not mean:
        return 0
    most = 3 - math.floor(math.log10(mean))
    return max(0, min(most, 1 - math.floor(math.log10(error)) if error else most))


def _scaled(value: Estimate, factor: float) -> Estimate:
    return Estimate(value.mean * factor, value.standard_error * factor)


# The test split -------------------------------------------------------------------------------


def scored_sentences(study: Study) -> list[str]:
    """Return a sentence for each model that has been scored on the test split."""
    scored = study.execution.scored
    helped = {(row.model, row.recipe) for row in study.table if row.verdict == "helped"}
    return [
        scored_sentence(
            tested,
            study.settings.task,
            study.labels,
            scored.get(tested.model, 1),
            helped=(tested.model, tested.recipe) in helped,
        )
        for tested in study.tests
    ]


def scored_sentence(
    tested: TestScore,
    task: Task,
    labels: Mapping[str, str],
    scored: int = 1,
    *,
    helped: bool = False,
) -> str:
    """Return what no noise and the chosen recipe reach on the test split, and how honest that is.

    Parameters
    ----------
    labels : mapping
        What each recipe is called; a recipe without one goes by its name.
    scored : int
        How many times the test split of this folder has been scored for the model.
    helped : bool
        Whether the recipe was chosen as one that helped on the validation rows.
    """
    place = f"On the test split {called(tested.model)}"
    difference = tested.difference
    again = f" {_scored_note(scored)}" if scored > 1 else ""
    if difference is None:
        loss = texts([tested.loss(BASELINE)])[0]
        return (
            f"{place} reaches {_with_article(task.loss_name)} of {loss} with no noise; no recipe "
            f"was compared with it.{again}"
        )
    if not math.isfinite(difference.mean):
        return f"{place} has losses that are not finite, so there is nothing to compare.{again}"
    among = "that helped" if helped else "with noise"
    return f"{place} reaches {_compared(tested, difference, task, labels, among)}.{again}"


def _compared(
    tested: TestScore, difference: Difference, task: Task, labels: Mapping[str, str], among: str
) -> str:
    means = [tested.loss(name).mean for name in (BASELINE, tested.recipe)]
    digits = agreeing(difference, *means)
    before, after = (number(mean, digits) for mean in means)
    label = labels.get(tested.recipe, tested.recipe)
    unit = "" if task.is_classification else " in the target's unit"
    change = f"{number(difference.mean, digits, sign=True)}{unit}"
    ends = interval(difference.low, difference.high, digits)
    told = "which includes 0" if difference.low <= 0 <= difference.high else "which leaves out 0"
    if difference.optimistic:
        told += f"; optimistic, beyond {MANY} splits of the same rows"
    return (
        f"{_with_article(task.loss_name)} of {before} with no noise and of {after} with {label}, "
        f"whose validation loss is the lowest of the recipes {among}: a change of {change} "
        f"({PERCENT} interval {ends}, {told}); "
        f"{_errors(tested, task)}"
    )


def _with_article(name: str) -> str:
    return f"an {name}" if name == "RMSE" else f"a {name}"


def _errors(tested: TestScore, task: Task) -> str:
    values = [_scaled(tested.error(name), task.error_factor) for name in (BASELINE, tested.recipe)]
    digits = _common_digits(values)
    before, after = (number(value.mean, digits) for value in values)
    if task.is_classification:
        return f"{before}\u00a0% and {after}\u00a0% of the test rows are wrong"
    return f"the {task.error_name} is {before} and {after}"


def _scored_note(scored: int) -> str:
    return (
        f"The test split of this folder has been scored {scored} times for this model: each time "
        "that a change is made with such figures in mind, the later ones are less honest."
    )
