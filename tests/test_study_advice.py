"""What a study and a search advise, and what they leave out: no advice, no picture of nothing."""

import random
import re
from dataclasses import replace

import pytest

from _study_shown import lost, moved, one_recipe, shown
from noisegate.study import plots, testing, wording
from noisegate.study.data import Task
from noisegate.study.main import run
from noisegate.study.report import html
from noisegate.study.results import Study
from noisegate.study.sentences import agreeing, overall
from noisegate.study.sources import Source
from noisegate.study.stats import Row, estimate, paired_difference
from noisegate.study.uncertainty import Uncertainty
from noisegate.study.uncertainty.plots import figures
from noisegate.tune import tune

ADVICE = "Next, in Python"
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


def test_a_recipe_of_a_lower_mean_is_advised(small):
    study = moved(small, -0.1)
    assert "'hid*:out': 0.5" in study.snippet
    assert any(line.startswith(ADVICE) for line in shown(study))
    assert "Try it on your own model" in html(study)


@pytest.mark.parametrize("change", [0.0, 0.001, 0.1])
def test_a_recipe_that_is_no_better_is_not(small, change):
    study = moved(small, change)
    assert study.snippet == ""
    assert not any("ng.inject(" in line or line.startswith(ADVICE) for line in shown(study))
    assert "Try it on your own model" not in html(study)


def test_a_recipe_whose_losses_are_not_finite_is_not(small):
    assert lost(small).snippet == ""


@pytest.mark.parametrize("always", [True, False])
def test_a_search_without_a_better_recipe_advises_none(buried, always):
    words = {"trials": 2, "seeds": 2, "epochs": 10, "always": always, "progress": False}
    study = tune("mlp", "in:out=gaussian(50..60)", source=buried, **words)
    assert always or "so there is nothing to recommend" in study.sentence
    assert "ng.inject(" not in " ".join(shown(study))
    assert "Try it on your own model" not in html(study)


# Numbers ----------------------------------------------------------------------------------------


def numbers_of(sentence: str) -> tuple[float, float, float]:
    """Return the numbers before, after, and the change, as a reader sees them."""
    form = r"(?:from|of) ([\d.]+) (?:with no noise and of|to) ([\d.]+).*? change of ([+-][\d.]+)"
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
    difference = paired_difference(other, base, ratio=1 / 3)
    rows = [
        Row("mlp", name, len(v), *[estimate([1.0, 1.0])] * 2, *[estimate(v)] * 2, d, d)
        for name, v, d in (("none", base, None), ("hidden", other, difference))
    ]
    values = {"none": base, "hidden": other}
    tested = testing.Tested("mlp", "hidden", values, values)
    for sentence in (overall(rows, TASK, {}), wording.scored_sentence(tested, TASK, {})):
        before, after, change = numbers_of(sentence)
        assert abs(after - before - change) <= abs(change) / 10 + 1e-9, sentence


def test_decimals_that_never_agree_are_those_of_the_interval():
    difference = paired_difference((0.4, 0.5), (0.5, 0.55), ratio=1 / 3)
    assert agreeing(difference, 7.0, 7.0) == agreeing(difference, 0.525, 0.45) == 2


# Pictures ---------------------------------------------------------------------------------------


def test_a_panel_with_nothing_in_it_is_left_out(small):
    only_none = {"mlp": small.settings.recipes["mlp"][:1]}
    alone = replace(small, settings=replace(small.settings, recipes=only_none))
    assert plots.panels(small, "mlp") == list(plots.PANELS)
    left = [title for title in plots.PANELS if title != plots.DIFFERENCES]
    assert plots.panels(alone, "mlp") == left
    assert plots.DIFFERENCES not in html(alone)
    assert len(plots.overview(alone, "png")) < len(plots.overview(small, "png"))
    assert plots.DIFFERENCES not in plots.panels(lost(small), "mlp")


def test_a_figure_of_uncertainty_with_nothing_in_it_is_left_out(buried):
    words = {"source": buried, "seeds": 2, "epochs": 1, "jobs": 1, "progress": False}
    found = run("mlp", "hidden", uncertainty=True, **words).uncertainty["mlp"]

    def with_rows(count: int) -> Uncertainty:
        predictors = []
        for one in found.predictors:
            counts = (count,) * len(one.reliability.counts)
            predictors += [replace(one, reliability=replace(one.reliability, counts=counts))]
        return replace(found, predictors=tuple(predictors))

    assert "calibration" in figures(with_rows(10))
    assert "calibration" not in figures(with_rows(9))
    assert "coverage of intervals" not in figures(with_rows(10))
