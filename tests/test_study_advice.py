"""The advice of a study and a search, and its absence; no picture without data."""

import json
import random
import re
from dataclasses import replace

import pytest

from _study_shown import helped, lost, moved, one_recipe, scored, shown
from noisegate.estimators import Epoch, History
from noisegate.study.data.tasks import Task
from noisegate.study.judge import scoring as testing
from noisegate.study.judge.choice import choose
from noisegate.study.judge.stats import Row, estimate, estimate_difference
from noisegate.study.judge.uncertainty import Uncertainty
from noisegate.study.main import run
from noisegate.study.results import Study
from noisegate.study.show import figures as plots
from noisegate.study.show.advice import advise
from noisegate.study.show.numbers import find_decimals, find_shared_decimals
from noisegate.study.show.page import render_report
from noisegate.study.show.sentences import describe_effects, describe_test
from noisegate.study.show.uncertainty_figures import draw_uncertainty
from noisegate.study.source import Source
from noisegate.tune import tune

TASK = Task("classification", ("a", "b"))


@pytest.fixture(scope="module")
def small() -> Study:
    return one_recipe()


@pytest.fixture(scope="module")
def buried(tmp_path_factory) -> Source:
    """Return rows whose class one input decides, which noise of sigma 50 buries."""
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("rows") / "d.csv"
    inputs = [draw.gauss(0, 1) for _ in range(80)]
    rows = "".join(f"{x:.3f},{draw.gauss(0, 1):.3f},{'ab'[x > 0]}\n" for x in inputs)
    path.write_text("x,z,k\n" + rows)
    return Source(path, "k")


# Advice -----------------------------------------------------------------------------------------


def test_a_recipe_that_helped_is_advised_with_its_model(small, blank_pictures):
    study = helped(small, "mlp")
    (advice,) = study.advice
    assert (advice.models, advice.recipe) == (("mlp",), "hidden")
    assert advice.text == (
        "hidden dropout, which helped on the MLP, in your own torch model `model` (name your "
        "layers in place of these):"
    )
    assert "'hid*:out': 0.5" in advice.python
    assert shown(study)[-6:-2] == [
        f"Next, in Python: {advice.text}",
        *(f"    {line}" for line in advice.python.splitlines()),
    ]
    assert "Try it on your own model" in render_report(study)
    assert json.loads(study.to_json())["advice"] == [
        {"models": ["mlp"], "recipe": "hidden", "text": advice.text, "python": advice.python}
    ]


NONE = "On the MLP no recipe is shown to help, so none is advised"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (-0.1, f"{NONE}; more seeds or more data would settle whether it helps or hurts."),
        (-1e-9, None),
        (0.0, f"{NONE}."),
        (0.001, None),
        (0.1, None),
    ],
)
def test_a_recipe_that_is_not_shown_to_help_is_not(small, change, words, blank_pictures):
    study = moved(small, change)
    (advice,) = study.advice
    assert (advice.recipe, advice.python) == ("", "")
    assert advice.text == words or (words is None and advice.text.startswith(NONE))
    assert shown(study)[-3] == advice.text
    assert not any("ng.inject(" in line for line in shown(study))
    page = render_report(study)
    assert "Try it on your own model" not in page
    assert advice.text in page
    assert json.loads(study.to_json())["advice"][0]["text"] == advice.text


def test_a_difference_that_is_too_small_is_not_advised(small):
    one = estimate_difference((0.0, 1.0, 0.01), (0.0, 0.0, 1.1), ratio=1 / 3)
    rows = [replace(row, loss_difference=row.loss_difference and one) for row in small.table]
    (advice,) = advise(rows, (), {("mlp", r.name): r for r in small.settings.recipes["mlp"]})
    assert advice.text == f"{NONE}; the difference is too small for more seeds to settle."


def test_a_recipe_that_helped_on_the_validation_rows_alone_is_not(small):
    study = helped(small, "mlp")
    study = replace(study, tests=tuple(scored(one, -0.01) for one in study.tests))
    (advice,) = study.advice
    assert advice.python == ""
    assert advice.text == (
        "On the MLP hidden dropout helped on the validation rows alone, so it is not advised."
    )


def test_models_of_which_none_is_advised_share_a_sentence(small):
    (own,) = small.settings.recipes.values()
    both = [*small.table, *(replace(row, model="cnn") for row in small.table)]
    recipes = {(model, recipe.name): recipe for model in ("mlp", "cnn") for recipe in own}
    rows = [
        replace(row, loss_difference=row.loss_difference and replace(row.loss_difference, holm=1.0))
        for row in both
    ]
    (advice,) = advise(rows, (), recipes)
    assert advice.models == ("mlp", "cnn")
    assert advice.text.startswith("On the MLP and the CNN no recipe is shown to help, so none is")


def test_a_study_chooses_the_recipe_that_helped_before_a_lower_mean(small):
    (own,) = small.settings.recipes.values()
    losses = {"none": (0.5, 0.6), "hidden": (0.4, 0.5), "wild": (0.1, 0.6)}
    first = small.runs[0]
    runs = [
        replace(first, recipe=name, seed=seed, history=History((Epoch(1, loss, loss, 0.0),)))
        for name, each in losses.items()
        for seed, loss in enumerate(each)
    ]
    recipes = (*own, replace(own[-1], name="wild"))
    assert [recipe.name for recipe in choose("mlp", recipes, runs)] == ["none", "hidden"]
    worse = [run for run in runs if run.recipe != "hidden"]
    assert [one.name for one in choose("mlp", (own[0], recipes[-1]), worse)] == ["none", "wild"]
    assert [one.name for one in choose("mlp", own[:1], runs)] == ["none"]


def test_a_recipe_whose_losses_are_not_finite_is_not(small):
    assert lost(small).advice == ()


@pytest.mark.parametrize("always", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_search_without_a_better_recipe_advises_none(buried, always, blank_pictures):
    words = {"trials": 2, "seeds": 2, "epochs": 10, "always": always, "progress": False}
    study = tune("mlp", "in:out=gaussian(50..60)", source=buried, **words)
    assert always or "so there is nothing to recommend" in study.sentence
    assert "ng.inject(" not in " ".join(shown(study))
    assert "Try it on your own model" not in render_report(study)


# Numbers ----------------------------------------------------------------------------------------


def numbers_of(sentence: str) -> tuple[float, float, float]:
    """Return the numbers before, after, and the change, as a reader sees them."""
    form = (
        r"(?:from|of) (\d+\.\d+) (?:with no noise and of|to) (\d+\.\d+).*? change of ([+-][\d.]+)"
    )
    before, after, change = re.search(form, sentence).groups()
    assert len({len(part.partition(".")[2]) for part in (before, after, change)}) == 1
    return float(before), float(after), float(change)


# Each would be 0.09 and 0.10, a change of +0.00, or the like.
PAIRS = [
    ((0.09, 0.10, 0.094), (0.096, 0.098, 0.096)),
    ((0.0944, 0.1), (0.0956, 0.09)),
    ((0.55, 0.65), (0.46, 0.58)),
    ((0.5049, 0.3), (0.5051, 0.32)),
    ((0.0898, 0.0898, 0.0898), (0.1049, 0.095, 0.1148)),
]


@pytest.mark.parametrize(("base", "other"), PAIRS)
def test_a_change_is_what_lies_between_its_numbers(base, other):
    difference = estimate_difference(other, base, ratio=1 / 3)
    rows = [
        Row("mlp", name, len(v), *[estimate([1.0, 1.0])] * 2, *[estimate(v)] * 2, d, d)
        for name, v, d in (("none", base, None), ("hidden", other, difference))
    ]
    values = {"none": base, "hidden": other}
    tested = testing.SplitScore("mlp", "hidden", values, values)
    for sentence in (describe_effects(rows, TASK, {}), describe_test(tested, TASK, {})):
        before, after, change = numbers_of(sentence)
        assert abs(after - before - change) <= abs(change) / 10 + 1e-9, sentence


def test_a_table_has_the_decimals_that_each_of_its_rows_needs():
    base, near, far = (0.55, 0.65), (0.46, 0.58), (0.0898, 0.0902)
    changes = [estimate_difference(other, base, ratio=1 / 3) for other in (near, far)]
    pairs = [(0.6, 0.52), (0.6, 0.09)]
    rows = [(None, 0.6, 0.6), *((c, *pair) for c, pair in zip(changes, pairs, strict=True))]
    assert find_shared_decimals(rows) == max(find_decimals(*row) for row in rows[1:])
    assert find_shared_decimals(rows[:1]) == 3


def test_decimals_that_never_agree_are_those_of_the_interval():
    difference = estimate_difference((0.4, 0.5), (0.5, 0.55), ratio=1 / 3)
    assert find_decimals(difference, 7.0, 7.0) == find_decimals(difference, 0.525, 0.45) == 2


# Pictures ---------------------------------------------------------------------------------------


def test_a_panel_with_nothing_in_it_is_left_out(small):
    only_none = {"mlp": small.settings.recipes["mlp"][:1]}
    alone = replace(small, settings=replace(small.settings, recipes=only_none))
    assert plots.list_panels(small, "mlp") == list(plots.PANELS)
    left = [title for title in plots.PANELS if title != plots.DIFFERENCES]
    assert plots.list_panels(alone, "mlp") == left
    assert plots.DIFFERENCES not in render_report(alone)
    assert len(plots.draw_overview(alone, "png")) < len(plots.draw_overview(small, "png"))
    assert plots.DIFFERENCES not in plots.list_panels(lost(small), "mlp")


def test_a_figure_of_uncertainty_with_nothing_in_it_is_left_out(buried):
    words = {"source": buried, "seeds": 2, "epochs": 1, "jobs": 1, "progress": False}
    found = run("mlp", "hidden", uncertainty=True, **words).uncertainty["mlp"]

    def with_rows(count: int) -> Uncertainty:
        predictors = []
        for one in found.predictors:
            counts = (count,) * len(one.reliability.counts)
            predictors += [replace(one, reliability=replace(one.reliability, counts=counts))]
        return replace(found, predictors=tuple(predictors))

    assert "calibration" in draw_uncertainty(with_rows(10))
    assert "calibration" not in draw_uncertainty(with_rows(9))
    assert "coverage of intervals" not in draw_uncertainty(with_rows(10))
