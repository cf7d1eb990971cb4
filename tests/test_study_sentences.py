"""The sentences of a study, word for word, for differences made by hand."""

import math
import re
from dataclasses import replace
from html import unescape

import pytest

from noisegate.study.data.tasks import Task
from noisegate.study.judge.stats import (
    ALPHA,
    MANY,
    MOST,
    Difference,
    Estimate,
    Row,
    adjust,
    estimate_difference,
)
from noisegate.study.show import sentences
from noisegate.study.show.numbers import PERCENT, chance, count_decimals, interval, number
from noisegate.study.show.page import environment

CLASSES, NUMBERS = Task("classification", ("a", "b")), Task("regression")
LABELS = {"hidden": "hidden dropout", "gaussian": "Gaussian noise", "none": "no noise"}
SAME = Estimate(1.0, 0.1)


def difference(mean: float, half: float, p: float, **changes: object) -> Difference:
    """Make a difference of 5 seeds; its corrected interval is half as long again."""
    wider = 1.5 * half
    ends = (mean - half, mean + half, p, mean - wider, mean + wider)
    return replace(Difference(mean, *ends, p, 5, None), **changes)


def rows(model: str = "mlp", base: float = 0.1, **found: Difference) -> list[Row]:
    def row(recipe: str, one: Difference | None) -> Row:
        loss = Estimate(base + (one.mean if one else 0), 0.01)
        return Row(model, recipe, one.seeds if one else 5, SAME, SAME, loss, SAME, one, one)

    return [row("none", None), *(row(name, one) for name, one in found.items())]


def told(table: list[Row], task: Task = CLASSES) -> str:
    return sentences.describe_effects(table, task, LABELS)


SURE, SURER = difference(-0.02, 0.01, 0.012), difference(-0.03, 0.01, 0.0004)
OPEN = difference(-0.005, 0.015, 0.4, more_seeds=31)
HARM, MORE_HARM = difference(0.02, 0.01, 0.012), difference(0.03, 0.01, 0.004)
LOST = replace(
    OPEN, **dict.fromkeys(("mean", "low", "high", "p", "holm"), math.nan), more_seeds=None
)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            rows(hidden=SURE, gaussian=SURER),
            "On the MLP Gaussian noise helped most: it took the validation loss from 0.100 to "
            "0.070. That is a change of -0.030 (95\u00a0% interval -0.040 to -0.020, 5 seeds; p < "
            "0.001 after Holm's correction for 2 recipes).",
        ),
        (
            rows(hidden=SURE, gaussian=OPEN),
            "On the MLP hidden dropout helped: it took the validation loss from 0.100 to "
            "0.080. That is a change of -0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds; p "
            "= 0.012 after Holm's correction for 2 recipes).",
        ),
        (
            rows(hidden=SURE),
            "On the MLP hidden dropout helped: it took the validation loss from 0.100 to 0.080. "
            "That is a change of -0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds; p = 0.012).",
        ),
        (
            rows(hidden=OPEN, gaussian=HARM),
            "On the MLP no recipe is shown to help. The nearest, hidden dropout, took the "
            "validation loss from 0.100 to 0.095. That is a change of -0.005 (95\u00a0% interval "
            "-0.020 to +0.010, 5 seeds; p = 0.40 after Holm's correction for 2 recipes). The "
            "interval includes 0. About 31 more seeds would settle whether it helps or hurts, if "
            "mean and spread stay as they are. Beyond 10 splits of the same rows, more data tell "
            "you more than more seeds.",
        ),
        (
            rows(hidden=replace(SURE, p=0.03, holm=0.06, more_seeds=1), gaussian=OPEN),
            "On the MLP no recipe is shown to help. The nearest, hidden dropout, took the "
            "validation loss from 0.100 to 0.080. That is a change of -0.020 (95\u00a0% interval "
            "-0.030 to -0.010, 5 seeds; p = 0.060 after Holm's correction for 2 recipes). The "
            "best of 2 recipes can seem this good by chance. About 1 more seed would settle "
            "whether it helps or hurts, if mean and spread stay as they are.",
        ),
        (
            rows(hidden=HARM, gaussian=MORE_HARM),
            "On the MLP no recipe helped. Hidden dropout hurt least: it took the validation "
            "loss from 0.100 to 0.120. That is a change of +0.020 (95\u00a0% interval +0.010 to "
            "+0.030, 5 seeds; p = 0.012 after Holm's correction for 2 recipes).",
        ),
        (
            rows(hidden=HARM),
            "On the MLP no recipe helped. Hidden dropout hurt: it took the validation loss "
            "from 0.100 to 0.120. That is a change of +0.020 (95\u00a0% interval +0.010 to "
            "+0.030, 5 seeds; p = 0.012).",
        ),
        (
            rows(hidden=SURE, gaussian=replace(OPEN, mean=-0.03)),
            "On the MLP hidden dropout helped: it took the validation loss from 0.100 to "
            "0.080. That is a change of -0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds; p "
            "= 0.012 after Holm's correction for 2 recipes).",
        ),
        (
            rows(hidden=HARM, gaussian=difference(0.05, 0.09, 0.4)),
            "On the MLP no recipe has a lower mean than no noise. The nearest, hidden "
            "dropout, hurt: it took the validation loss from 0.100 to 0.120. That is a "
            "change of +0.020 (95\u00a0% interval +0.010 to +0.030, 5 seeds; p = 0.012 after "
            "Holm's correction for 2 recipes).",
        ),
        (
            rows(hidden=replace(OPEN, more_seeds=991)),
            "On the MLP no recipe is shown to help. The nearest, hidden dropout, took the "
            "validation loss from 0.100 to 0.095. That is a change of -0.005 (95\u00a0% interval "
            "-0.020 to +0.010, 5 seeds; p = 0.40). The interval includes 0. The difference is too "
            "small to settle whether it helps or hurts: that would take about 991 more seeds, if "
            "mean and spread stay as they are.",
        ),
        (
            [*rows(), *rows("nets:small", mine=SURE)],
            "On the MLP nothing was compared with no noise. On nets:small mine helped: it "
            "took the validation loss from 0.100 to 0.080. That is a change of -0.020 (95\u00a0% "
            "interval -0.030 to -0.010, 5 seeds; p = 0.012).",
        ),
        (
            rows(hidden=difference(0.0, 0.0, 1.0)),
            "On the MLP no recipe has a lower mean than no noise. The nearest, hidden dropout, "
            "took the validation loss from 0.100 to 0.100. That is a change of +0.000 (95\u00a0% "
            "interval +0.000 to +0.000, 5 seeds; p = 1.00). The interval includes 0.",
        ),
        (
            rows(hidden=LOST, gaussian=SURE),
            "On the MLP Gaussian noise helped: it took the validation loss from 0.100 to "
            "0.080. That is a change of -0.020 (95\u00a0% interval -0.030 to -0.010, 5 seeds; p "
            "= 0.012 after Holm's correction for 2 recipes). Hidden dropout has no verdict: "
            "in some runs its loss is not finite.",
        ),
        (
            rows(hidden=LOST, gaussian=LOST),
            "On the MLP there is nothing to compare: in some runs the loss is not finite.",
        ),
    ],
    ids=[
        "helped most",
        "helped",
        "one recipe",
        "unclear",
        "unclear after Holm",
        "hurt least",
        "hurt",
        "helped, beside a lower mean that is unclear",
        "hurt, beside a higher mean that is unclear",
        "too small to settle",
        "nothing to compare",
        "no change at all",
        "one not finite",
        "none finite",
    ],
)
def test_the_opening(table, sentence):
    assert told(table) == sentence


@pytest.mark.parametrize(
    ("one", "end"),
    [
        (
            difference(-0.02, 0.01, 0.001, seeds=20),
            "With 20 splits of the same rows that interval is optimistic; Nadeau and Bengio's "
            "corrected one is -0.035 to -0.005, which leaves out 0 too.",
        ),
        (
            difference(-0.02, 0.014, 0.001, seeds=20),
            "With 20 splits of the same rows that interval is optimistic; Nadeau and Bengio's "
            "corrected one is -0.041 to +0.001, which includes 0.",
        ),
        (
            difference(-0.02, 0.03, 0.2, seeds=20, more_seeds=9),
            "With 20 splits of the same rows that interval is optimistic; Nadeau and "
            "Bengio's corrected one is -0.065 to +0.025, which includes 0 too. About 9 more "
            "seeds would settle whether it helps or hurts, if mean and spread stay as they "
            "are. Beyond 10 splits of the same rows, more data tell you more than more "
            "seeds.",
        ),
    ],
    ids=["leaves out", "includes", "both include"],
)
def test_the_opening_of_many_splits(one, end):
    assert told(rows(hidden=one)).endswith(end)


@pytest.mark.parametrize("seeds", [10, 11])
def test_only_more_than_ten_splits_are_called_optimistic(seeds):
    text = told(rows(hidden=replace(SURE, seeds=seeds)))
    assert ("optimistic" in text) is (seeds == 11)


def test_the_opening_of_a_regression():
    table = rows(base=123456.7, hidden=difference(-3333.3, 1800, 0.004))
    assert told(table, NUMBERS) == (
        "On the MLP hidden dropout helped: it took the validation RMSE from 123,457 to 120,123. "
        "That is a change of -3,333 in the target's unit (95\u00a0% interval -5,133 to -1,533, 5 "
        "seeds; p = 0.004)."
    )
    assert "from 55.31 to 53.66. That is a change of -1.66 in" in told(
        rows(base=55.31, hidden=difference(-1.655, 0.91, 0.004)), NUMBERS
    )
    assert "from 0.00231 to 0.00179. That is a change of -0.00052 in" in told(
        rows(base=0.00231, hidden=difference(-0.00052, 0.00013, 0.004)), NUMBERS
    )


def test_the_opening_of_numbers_that_are_measured():
    """From the losses to the words, with a family of two."""
    base = [0.31, 0.29, 0.35, 0.30, 0.33]
    better = [0.25, 0.22, 0.30, 0.26, 0.27]
    other = [0.30, 0.31, 0.33, 0.29, 0.34]
    found = adjust([estimate_difference(one, base, ratio=1 / 3) for one in (better, other)])
    table = rows(base=0.316, hidden=found[0], gaussian=found[1])
    assert told(table) == (
        "On the MLP hidden dropout helped: it took the validation loss from 0.316 to 0.260. "
        "That is a change of -0.056 (95\u00a0% interval -0.070 to -0.042, 5 seeds; p < 0.001 "
        "after Holm's correction for 2 recipes)."
    )


def test_open_questions():
    table = [
        *rows(hidden=SURE, gaussian=OPEN, mine=replace(OPEN, more_seeds=3)),
        *rows("cnn", hidden=replace(OPEN, more_seeds=MOST), gaussian=LOST),
    ]
    tail = "settle whether it helps or hurts, if mean and spread stay as they are."
    assert sentences.describe_open_questions(table, LABELS) == (
        f"Gaussian noise on the MLP: about 31 more seeds would {tail} Beyond 10 splits of the same "
        "rows, more data tell you more than more seeds.",
        f"Mine on the MLP: about 3 more seeds would {tail}",
        "Hidden dropout on the CNN: the difference is too small to settle whether it helps "
        "or hurts: that would take at least 1,000 more seeds, if mean and spread stay as they are.",
    )
    assert sentences.describe_open_questions(rows(hidden=SURE), LABELS) == ()


def read_notes(task: Task, seeds: int, compared: int, **test: object) -> list[str]:
    """Return the notes of the report on how to read its numbers."""
    words = {
        "measure": sentences.measure(task),
        "is_classification": task.is_classification,
        "seeds": seeds,
        "compared": compared,
        "test": {"file": None, "rows": 1360, **test},
        "percent": PERCENT,
        "alpha": ALPHA,
        "many": MANY,
        "budget": "The budget.",
    }
    page = environment().get_template("notes.html").render(words)
    return [unescape(note) for note in re.findall("<li>(.*)</li>", page)]


SCORED = (
    "no seed, no epoch and no choice ever saw them. A study scores them once, for no noise and for "
    "the recipe that validation chose: the one with the lowest validation loss of those that "
    "helped, or of all if none did. Their interval is over splits and starts in training, not "
    "over other test rows."
)


def test_notes_of_a_study():
    assert read_notes(CLASSES, seeds=5, compared=4) == [
        "Every recipe of a seed has the same split, initial weights and order of batches.",
        "Each run is judged at the epoch of its best validation loss. That epoch is chosen on the "
        "validation rows themselves, so the figures are slightly optimistic, for every recipe "
        "alike.",
        "± is one standard error over the seeds. The difference is paired, seed by seed, with the "
        "recipe none; in brackets stands its 95\u00a0% t-interval. Below 0 is better.",
        "An interval speaks of splits and starts of this data. Since the seeds split the same rows "
        "again, it can be a little too narrow.",
        "A recipe helped or hurt if the p of the paired t-test is below 0.05 after Holm's "
        "correction for the number of recipes, here 4. If no recipe does anything, the chance "
        "that any is said to is then at most 5\u00a0%. The intervals are not corrected for that "
        "number.",
        "The training loss is what the training steps saw, with the noise on; the validation loss "
        "is without noise. So a noisy recipe's training loss can be the larger of the two.",
        f"The 1,360 test rows were drawn once; {SCORED}",
        "The budget.",
    ]


def test_notes_of_a_regression_with_one_recipe_and_a_file():
    found = read_notes(NUMBERS, seeds=20, compared=1, rows=90, file="held.csv")
    assert found[1].startswith("Each run is judged at the epoch of its best validation RMSE. That")
    assert found[3:6] == [
        "An interval speaks of splits and starts of this data. 20 splits of the same rows have "
        "most of their rows in common, so it is optimistic. Nadeau and Bengio's corrected "
        "interval, beside it, allows for that.",
        "A recipe helped or hurt if the p of the paired t-test is below 0.05.",
        "RMSE and mean absolute error are in the target's unit.",
    ]
    assert found[7] == f"The 90 test rows are those of held.csv; {SCORED}"


def test_notes_without_a_comparison():
    found = read_notes(CLASSES, seeds=2, compared=0)
    assert len(found) == 7
    assert not any("Holm" in note for note in found)


# Numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0001, "0.000100"),
        (0.00012345, "0.000123"),
        (0.012345, "0.0123"),
        (0.99951, "1.000"),
        (1.0, "1.00"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234.5, "1,234"),
        (-98765.4, "-98,765"),
        (1e7, "10,000,000"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.5e-7, "1.5e-07"),
        (2.5e12, "2.5e+12"),
        (math.nan, "not finite"),
        (-math.inf, "not finite"),
    ],
)
def test_a_number_by_itself(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.5, 3, "+0.500"), (-0.0004, 3, "-0.000"), (-12345.678, 1, "-12,345.7"), (0.0, 2, "+0.00")],
)
def test_a_number_among_others(value, digits, text):
    assert number(value, digits, sign=True) == text


@pytest.mark.parametrize("power", range(-4, 8))
def test_an_interval_reads_well_at_every_size(power):
    size = 10.0**power
    one = difference(-1.234 * size, 0.56 * size, 0.01)
    text = interval(one.low, one.high, count_decimals(one))
    ends = [float(end.replace(",", "")) for end in text.split(" to ")]
    assert ends == pytest.approx([one.low, one.high], abs=0.05 * size)
    assert "e" not in text
    assert len(text) <= 28


def test_the_decimals_of_several_are_those_of_the_shortest_interval():
    assert count_decimals(difference(1, 0.5, 0.1), difference(1, 0.02, 0.1), None) == 3
    assert count_decimals(difference(250.0, 0.0, 0.0)) == 0
    assert count_decimals(difference(0.0, 0.0, 1.0), LOST, None) == 3


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0123, "p = 0.012"),
        (0.0496, "p < 0.05"),
        (0.05, "p = 0.050"),
        (0.0504, "p > 0.05"),
        (0.0506, "p = 0.051"),
        (0.31, "p = 0.31"),
        (1.0, "p = 1.00"),
        (math.nan, "p not known"),
    ],
)
def test_a_chance(p, text):
    assert chance(p) == text


def test_the_note_on_the_budget():
    assert sentences.describe_budget([54, 55, 60, 3], 60) == (
        "In 2 of 4 runs the best epoch lies in the last tenth of the budget of 60 epochs: "
        "with a larger budget those might still improve."
    )
