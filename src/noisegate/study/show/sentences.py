"""What a study found, in words that are as sure as its numbers."""

import math
from collections.abc import Mapping, Sequence

from ..data.tasks import Task
from ..judge.scores import SplitScore
from ..judge.stats import MANY, MOST, Difference, Row, find_leading
from ..recipes import BASELINE
from .numbers import (
    PERCENT,
    chance,
    count_decimals,
    estimates,
    find_decimals,
    interval,
    number,
    plural,
)

# A best epoch in this last part of the budget says that the budget was short.
LAST_PART = 0.1

# Nobody would add more seeds than this for one small difference.
FEASIBLE = 100


# Names ----------------------------------------------------------------------------------------


def title_model(model: str) -> str:
    """Return a model's name as a heading has it: `MLP`, or `module:function` as it is."""
    return model.upper() if model in ("mlp", "cnn") else model


def name_model(model: str) -> str:
    """Return a model's name within a sentence: `the MLP`, or `module:function` as it is."""
    return f"the {title_model(model)}" if title_model(model) != model else model


def join_names(names: Sequence[str]) -> str:
    """Return names as a sentence has them: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def shorten_middle(name: str, longest: int) -> str:
    """Return a name of at most `longest` characters; a long one loses its middle."""
    if len(name) <= longest:
        return name
    start = (longest - 1) // 2
    return f"{name[:start]}…{name[len(name) - (longest - 1 - start) :]}"


def measure(task: Task) -> str:
    """Return the name of the measure that recipes are judged by."""
    return "validation loss" if task.is_classification else f"validation {task.loss_name}"


def headings(task: Task) -> tuple[str, str, str, str]:
    """Return the headings of training loss, validation loss and error, and the difference."""
    training = "training loss" if task.is_classification else f"training {task.loss_name}"
    return (
        training,
        measure(task),
        f"validation {task.error_name}",
        f"difference in {measure(task)}",
    )


# Validation -----------------------------------------------------------------------------------


def describe_effects(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> str:
    """Return for each model which recipe helped, by how much, and how sure that is.

    `none` is the first row of each model; `labels` has the name of each recipe in a sentence.
    """
    return " ".join(
        " ".join((describe_verdict(part, task, labels), *_details(part, task, labels)))
        for part in _split_models(rows)
    )


def describe_verdicts(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> list[str]:
    """Return one plain sentence for each model: which recipe helped, and by how much."""
    return [describe_verdict(part, task, labels) for part in _split_models(rows)]


def describe_verdict(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> str:
    """Return the verdict on the recipes of one model, and how the leading one changed the loss."""
    place, base, compared = f"On {name_model(rows[0].model)}", rows[0], rows[1:]
    if not compared:
        return f"{place} nothing was compared with no noise."
    row = find_leading(compared)
    if row is None:
        return f"{place} there is nothing to compare: in some runs the loss is not finite."
    difference = _difference(row)
    before, after = base.validation_loss.mean, row.validation_loss.mean
    digits = find_decimals(difference, before, after)
    known = [other for other in compared if not math.isnan(_difference(other).mean)]
    return (
        f"{place} {_lead(row, _label(row, labels), known)} the {measure(task)} from "
        f"{number(before, digits)} to {number(after, digits)}."
    )


def _lead(row: Row, label: str, compared: Sequence[Row]) -> str:
    """Return what the leading recipe did, beside the others, up to the word `took`."""
    verdicts = [other.verdict for other in compared]
    several = verdicts.count(row.verdict) > 1
    if row.verdict == "helped":
        return f"{label} helped{' most' * several}: it took"
    if row.verdict == "unclear" and _difference(row).mean < 0:
        return f"no recipe is shown to help. The nearest, {label}, took"
    if row.verdict == "unclear":
        return f"no recipe has a lower mean than no noise. The nearest, {label}, took"
    if "unclear" in verdicts:
        return f"no recipe has a lower mean than no noise. The nearest, {label}, hurt: it took"
    return f"no recipe helped. {_upper(label)} hurt{' least' * several}: it took"


def _details(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> list[str]:
    """Return how sure the verdict on a model is, and what else a reader must know of it."""
    compared = rows[1:]
    row = find_leading(compared)
    if row is None:
        return []
    one, is_open = _difference(row), row.verdict == "unclear"
    digits = find_decimals(one, rows[0].validation_loss.mean, row.validation_loss.mean)
    unit = "" if task.is_classification else " in the target's unit"
    holm = f" after Holm's correction for {len(compared)} recipes" if len(compared) > 1 else ""
    sentences = [
        f"That is a change of {number(one.mean, digits, sign=True)}{unit} ({PERCENT} interval "
        f"{interval(one.low, one.high, digits)}, {plural(one.seeds, 'seed')}; "
        f"{chance(one.holm)}{holm})."
    ]
    if is_open and one.low <= 0 <= one.high:
        sentences.append("The interval includes 0.")
    elif is_open:
        sentences.append(f"The best of {len(compared)} recipes can seem this good by chance.")
    if one.optimistic:
        sentences.append(_correct(one))
    if is_open and (settling := describe_open_question(one)):
        sentences.append(settling)
    return sentences + [
        f"{_upper(_label(lost, labels))} has no verdict: in some runs its loss is not finite."
        for lost in compared
        if math.isnan(_difference(lost).mean)
    ]


def _correct(difference: Difference) -> str:
    digits = count_decimals(difference)
    low, high = difference.corrected_low, difference.corrected_high
    plain_has, has = (a <= 0 <= b for a, b in ((difference.low, difference.high), (low, high)))
    end = ("which includes 0" if has else "which leaves out 0") + " too" * (plain_has == has)
    return (
        f"With {difference.seeds} splits of the same rows that interval is optimistic; Nadeau and "
        f"Bengio's corrected one is {interval(low, high, digits)}, {end}."
    )


# Open questions -------------------------------------------------------------------------------


def describe_open_questions(rows: Sequence[Row], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each recipe that may help or hurt: how many seeds would settle it."""
    return tuple(
        f"{_upper(_label(row, labels))} on {name_model(row.model)}: "
        f"{sentence[0].lower()}{sentence[1:]}"
        for row in rows
        if row.loss_difference is not None
        and (sentence := describe_open_question(row.loss_difference))
    )


def describe_open_question(difference: Difference) -> str:
    """Return how many more seeds would settle an open question; "" if none would."""
    more = difference.more_seeds
    if more is None:
        return ""
    question, stays = "whether it helps or hurts", "if mean and spread stay as they are"
    if more > FEASIBLE:
        seeds = f"at least {MOST:,}" if more == MOST else f"about {more}"
        return (
            f"The difference is too small to settle {question}: that would take {seeds} more "
            f"seeds, {stays}."
        )
    limit = ""
    if difference.seeds + more > MANY:
        limit = f" Beyond {MANY} splits of the same rows, more data tell you more than more seeds."
    return f"About {plural(more, 'more seed')} would settle {question}, {stays}.{limit}"


def describe_budget(best_epochs: Sequence[int], epochs: int) -> str:
    """Return how many runs were still improving when the budget ended."""
    late = sum(best > epochs * (1 - LAST_PART) for best in best_epochs)
    return (
        f"In {late} of {len(best_epochs)} runs the best epoch lies in the last tenth of the budget "
        f"of {epochs} epochs: with a larger budget those might still improve."
    )


# The test split -------------------------------------------------------------------------------


def describe_tests(
    tests: Sequence[SplitScore],
    rows: Sequence[Row],
    task: Task,
    labels: Mapping[str, str],
    scored: Mapping[str, int],
) -> list[str]:
    """Return a sentence for each model that has been scored on the test split.

    `rows` are those of validation; `scored` is how often this folder's test split was scored.
    """
    helped = {(row.model, row.recipe) for row in rows if row.verdict == "helped"}
    return [
        describe_test(
            one, task, labels, scored.get(one.model, 1), helped=(one.model, one.recipe) in helped
        )
        for one in tests
    ]


def describe_test(
    tested: SplitScore,
    task: Task,
    labels: Mapping[str, str],
    scored: int = 1,
    *,
    helped: bool = False,
) -> str:
    """Return what no noise and the chosen recipe reach on the test split, and how honest that is.

    `helped` is whether the recipe was chosen as one that helped on the validation rows.
    """
    place, difference = f"On the test split {name_model(tested.model)}", tested.difference
    if difference is None:
        loss = estimates([tested.loss(BASELINE)])[0]
        found = (
            f"{place} reaches {_loss(task)} of {loss} with no noise; no recipe was compared with "
            "it."
        )
    elif not math.isfinite(difference.mean):
        found = f"{place} has losses that are not finite, so there is nothing to compare."
    else:
        label = labels.get(tested.recipe, tested.recipe)
        chosen = f"the lowest {measure(task)}" + " of those that helped" * helped
        found = _compare(tested, difference, task, f"{place} reaches", label, chosen)
    if scored > 1:
        found += (
            f" The test split of this folder has been scored {scored} times for this model: if "
            "changes were made with such figures in mind, the later ones are less honest."
        )
    return found


def _compare(
    tested: SplitScore, difference: Difference, task: Task, start: str, label: str, chosen: str
) -> str:
    means = [tested.loss(name).mean for name in (BASELINE, tested.recipe)]
    digits = find_decimals(difference, *means)
    before, after = (number(mean, digits) for mean in means)
    unit = "" if task.is_classification else " in the target's unit"
    zero = "which includes 0" if difference.low <= 0 <= difference.high else "which leaves out 0"
    if difference.optimistic:
        zero += f"; optimistic, beyond {MANY} splits of the same rows"
    errors = estimates(
        [tested.error(n) for n in (BASELINE, tested.recipe)], factor=task.error_factor
    )
    first, second = (text.partition(" ±")[0] for text in errors)
    end = (
        f"Of the test rows {first}\u00a0% and {second}\u00a0% are wrong."
        if task.is_classification
        else f"The {task.error_name} is {first} and {second}."
    )
    return (
        f"{start} {_loss(task)} of {before} with no noise and of {after} with {label}, the recipe "
        f"with {chosen}. That is a change of {number(difference.mean, digits, sign=True)}{unit} "
        f"({PERCENT} interval {interval(difference.low, difference.high, digits)}, {zero}). {end}"
    )


def _loss(task: Task) -> str:
    return f"{'an' if task.loss_name == 'RMSE' else 'a'} {task.loss_name}"


# Parts ----------------------------------------------------------------------------------------


def _split_models(rows: Sequence[Row]) -> list[list[Row]]:
    models = dict.fromkeys(row.model for row in rows)
    return [[row for row in rows if row.model == model] for model in models]


def _label(row: Row, labels: Mapping[str, str]) -> str:
    return labels.get(row.recipe, row.recipe)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _difference(row: Row) -> Difference:
    assert row.loss_difference is not None, row.recipe
    return row.loss_difference
