"""What a study found, in words that are as sure as its numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from ..data.tasks import Task
from ..judge.stats import ALPHA, LEVEL, MANY, MOST, Difference, Row, find_leading

__all__ = [
    "FEASIBLE",
    "agreeing",
    "agreeing_rows",
    "budget_note",
    "called",
    "chance",
    "decimals",
    "interval",
    "listed",
    "measure",
    "named",
    "notes",
    "number",
    "open_questions",
    "overall",
    "settling",
]

# A best epoch in this last part of the budget says that the budget was short.
LAST_PART = 0.1

# More seeds than this are not what anybody would add for one small difference.
FEASIBLE = 100

# Beyond these a number is written with a power of ten.
MOST_DECIMALS = 7
LARGEST = 1e10


def number(value: float, decimals: int | None = None, sign: bool = False) -> str:
    """Return a number to read: 0.000123, 0.123, 12.3, 1,234, 12,345,678.

    Parameters
    ----------
    value : float
        What is not finite is written in these words.
    decimals : int, optional
        As many digits after the point; three significant digits, and all before it, if None.
    sign : bool
        Write + before what is not negative.
    """
    if not math.isfinite(value):
        return "not finite"
    plus = "+" if sign else ""
    if decimals is None:
        if value == 0:
            return "0"
        decimals = _decimals(value, 3)
    if decimals > MOST_DECIMALS or abs(value) >= LARGEST:
        return format(value, f"{plus}z.3g")
    return format(value, f"{plus}z,.{decimals}f")


def decimals(*differences: Difference | None) -> int:
    """Return how many decimals show every one: two digits of the half of its interval."""
    known = [one for one in differences if one is not None and math.isfinite(one.mean)]
    halves = [_decimals((one.high - one.low) / 2, 2) for one in known if one.high > one.low]
    means = [_decimals(one.mean, 3) for one in known if one.high == one.low and one.mean]
    return max(halves + means, default=3)


def agreeing(difference: Difference, before: float, after: float) -> int:
    """Return how many decimals show a change as what lies between the numbers before and after.

    They are two digits of the half of its interval; more where rounding would tear them apart by
    over a tenth of the change, as in 0.09 and 0.10, a change of +0.00.
    """
    least = decimals(difference)
    for digits in range(least, MOST_DECIMALS + 1):
        first, second, change = (
            Decimal(f"{value:.{digits}f}") for value in (before, after, difference.mean)
        )
        if abs(second - first - change) <= abs(change) / 10:
            return digits
    return least


def agreeing_rows(rows: Iterable[tuple[Difference | None, float, float]]) -> int:
    """Return how many decimals a table's rows need, so that `agreeing` holds in each of them.

    Parameters
    ----------
    rows : iterable of (Difference or None, float, float)
        A change, and the numbers before and after it; None for a row without a change, which
        does not count, nor does one that is not finite.
    """
    found = (
        agreeing(one, before, after)
        for one, before, after in rows
        if one is not None and math.isfinite(one.mean)
    )
    return max(found, default=3)


def interval(low: float, high: float, decimals: int) -> str:
    """Return both ends of an interval of differences."""
    return f"{number(low, decimals, sign=True)} to {number(high, decimals, sign=True)}"


def chance(p: float) -> str:
    """Return a p as text: `p = 0.012`, or `p < 0.001`; near `ALPHA` it shows on which side."""
    if math.isnan(p):
        return "p not known"
    if p < 0.001:
        return "p < 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    side = "<" if p < ALPHA else ">"
    return f"p {side} {ALPHA}" if float(text) == ALPHA != p else f"p = {text}"


def measure(task: Task) -> str:
    """Return what the recipes are judged by."""
    return "validation loss" if task.is_classification else f"validation {task.loss_name}"


def called(model: str) -> str:
    """Return a model's name within a sentence: `the MLP`, or `module:function` as it is."""
    return f"the {named(model)}" if named(model) != model else model


def named(model: str) -> str:
    """Return a model's name as a heading has it: `MLP`, or `module:function` as it is."""
    return model.upper() if model in ("mlp", "cnn") else model


def overall(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> str:
    """Return the opening: for each model which recipe helped, by how much, how sure.

    Parameters
    ----------
    rows : sequence of Row
        `none` first of each model; their differences adjusted, each model a family.
    labels : mapping
        What each recipe is called; a recipe without one goes by its name.
    """
    models = dict.fromkeys(row.model for row in rows)
    parts = ([row for row in rows if row.model == model] for model in models)
    return " ".join(_of_model(part, task, labels) for part in parts)


def open_questions(rows: Sequence[Row], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each recipe of which it is not known if it helps or hurts."""
    return tuple(
        f"{_upper(_label(row, labels))} on {called(row.model)}: {sentence[0].lower()}{sentence[1:]}"
        for row in rows
        if row.loss_difference is not None and (sentence := settling(row.loss_difference))
    )


def settling(difference: Difference) -> str:
    """Return a sentence on how many more seeds would settle an open question; empty if none is."""
    more = difference.more_seeds
    if more is None:
        return ""
    open_, stays = "whether it helps or hurts", "if mean and spread stay as they are"
    if more > FEASIBLE:
        seeds = f"{MOST:,} more seeds or more" if more == MOST else f"about {more} more seeds"
        return f"The difference is too small to settle {open_}: that would take {seeds}, {stays}."
    seeds = "1 more seed" if more == 1 else f"{more} more seeds"
    limit = ""
    if difference.seeds + more > MANY:
        limit = (
            f"; beyond {MANY} splits of the same rows, more data would tell you more than more "
            "seeds"
        )
    return f"It would take about {seeds} to settle {open_}, {stays}{limit}."


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def notes(
    task: Task, *, seeds: int, compared: int, test_rows: int = 0, test_file: str | None = None
) -> tuple[str, ...]:
    """Return what a reader must know to read the numbers.

    Parameters
    ----------
    compared : int
        The largest number of recipes that are compared with none on one model.
    test_rows : int
        Rows of the test split; 0 if there is none.
    test_file : str, optional
        The name of the file that the test rows come from.
    """
    found = [
        "Every recipe of a seed has the same split, initial weights and order of batches.",
        f"Each run is judged at the epoch of its best {measure(task)}. That epoch is chosen on the "
        "validation rows themselves, so the figures are slightly optimistic, for every recipe "
        "alike.",
        "± is one standard error over the seeds. The difference is paired, seed by seed, with the "
        f"recipe none; in brackets its {LEVEL * 100:.0f}\u00a0% t-interval. Below 0 is better.",
        _splits_note(seeds),
    ]
    if compared:
        found.append(_verdict_note(compared))
    if not task.is_classification:
        found.append("RMSE and mean absolute error are in the target's unit.")
    found.append(
        "The training loss is what the training steps saw, with the noise on; the validation loss "
        "is without noise. So a noisy recipe's training loss can be the larger of the two."
    )
    if test_rows:
        found.append(_test_note(test_rows, test_file))
    return tuple(found)


def budget_note(best_epochs: Sequence[int], epochs: int) -> str:
    """Return a sentence on how many runs were still improving when the budget ended."""
    late = sum(best > epochs * (1 - LAST_PART) for best in best_epochs)
    return (
        f"In {late} of {len(best_epochs)} runs the best epoch lies in the last tenth of the budget "
        f"of {epochs} epochs: with a larger budget those might still improve."
    )


def _of_model(rows: Sequence[Row], task: Task, labels: Mapping[str, str]) -> str:
    place, base, compared = f"On {called(rows[0].model)}", rows[0], rows[1:]
    if not compared:
        return f"{place} only no noise was trained, so there is nothing to compare."
    row = find_leading(compared)
    if row is None:
        return f"{place} there is nothing to compare: in some runs the loss is not finite."
    known = [row for row in compared if not math.isnan(_difference(row).mean)]
    difference, open_ = _difference(row), row.verdict == "unclear"
    words = _words(row, _label(row, labels), known)
    sentences = [f"{place} {words}, {_change(row, base, task, len(compared))}"]
    if open_:
        sentences[0] += _reason(difference, len(compared))
    sentences[0] += "."
    if difference.optimistic:
        sentences.append(_corrected(difference))
    if open_:
        sentences.append(settling(difference))
    sentences += [
        f"{_upper(_label(lost, labels))} has no verdict: in some runs the loss is not finite."
        for lost in compared
        if math.isnan(_difference(lost).mean)
    ]
    return " ".join(filter(None, sentences))


def _words(row: Row, label: str, compared: Sequence[Row]) -> str:
    """Return what the leading recipe did, beside the others."""
    verdicts = [other.verdict for other in compared]
    several = verdicts.count(row.verdict) > 1
    if row.verdict == "helped":
        return f"{label} helped{' most' * several}"
    if row.verdict == "unclear" and _difference(row).mean < 0:
        return f"no recipe is shown to help: {label} came nearest"
    if row.verdict == "unclear":
        return f"no recipe has a lower mean than no noise: {label} came nearest"
    if "unclear" in verdicts:
        return f"no recipe has a lower mean than no noise: {label} came nearest, and hurt"
    return f"no recipe helped, and {label} hurt{' least' * several}"


def _change(row: Row, base: Row, task: Task, family: int) -> str:
    one = _difference(row)
    before, after = base.validation_loss.mean, row.validation_loss.mean
    digits = agreeing(one, before, after)
    unit = "" if task.is_classification else " in the target's unit"
    holm = f" after Holm's correction for {family} recipes" if family > 1 else ""
    return (
        f"taking the {measure(task)} from {number(before, digits)} to "
        f"{number(after, digits)}, a change of "
        f"{number(one.mean, digits, sign=True)}{unit} ({LEVEL * 100:.0f}\u00a0% interval "
        f"{interval(one.low, one.high, digits)}, {one.seeds} seeds; {chance(one.holm)}{holm})"
    )


def _reason(difference: Difference, family: int) -> str:
    if difference.low <= 0 <= difference.high:
        return ", and that interval includes 0"
    return f", and the best of {family} recipes can seem so by chance"


def _corrected(difference: Difference) -> str:
    digits = decimals(difference)
    low, high = difference.corrected_low, difference.corrected_high
    plain_has, has = (a <= 0 <= b for a, b in ((difference.low, difference.high), (low, high)))
    end = (", which includes 0" if has else ", which leaves out 0") + " too" * (plain_has == has)
    return (
        f"With {difference.seeds} splits of the same rows that interval is optimistic; Nadeau and "
        f"Bengio's corrected one is {interval(low, high, digits)}{end}."
    )


def _splits_note(seeds: int) -> str:
    text = "An interval speaks of splits and starts of this data. "
    if seeds > MANY:
        return text + (
            f"{seeds} splits of the same rows have most of their rows in common, so it is "
            "optimistic; Nadeau and Bengio's corrected interval, which allows for that, stands "
            "beside it."
        )
    return text + "Since the seeds split the same rows again, it can be a little too narrow."


def _verdict_note(compared: int) -> str:
    if compared == 1:
        return f"A recipe is said to help or hurt if the p of the paired t-test is below {ALPHA}."
    return (
        "A recipe is said to help or hurt if the p of the paired t-test is below "
        f"{ALPHA} after Holm's correction for the number of recipes, here {compared}: of all "
        f"recipes that do nothing, the chance to say so of any is then at most "
        f"{ALPHA * 100:.0f}\u00a0%. The intervals are not corrected for that number."
    )


def _test_note(rows: int, file: str | None) -> str:
    start = (
        f"The {rows:,} test rows were drawn once"
        if file is None
        else (f"The {rows:,} test rows are those of {file}")
    )
    return (
        f"{start}; no seed, no epoch and no choice ever saw them. They are scored once, for no "
        "noise and for the recipe that validation chose: of those that helped, or of all if none "
        "did, the one with the lowest validation loss. Their interval is over splits and starts in "
        "training, not over other test rows."
    )


def _decimals(value: float, significant: int) -> int:
    if math.isinf(value):
        return 0
    return max(0, significant - 1 - math.floor(math.log10(abs(value))))


def _label(row: Row, labels: Mapping[str, str]) -> str:
    return labels.get(row.recipe, row.recipe)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _difference(row: Row) -> Difference:
    if row.loss_difference is None:
        raise AssertionError(f"{row.recipe} is what the others are compared with")
    return row.loss_difference
