"""The report: its order and its text; it needs no other file."""

from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import noisegate as ng
from _study_shown import (
    FILE,
    LONG,
    NASTY,
    digits,
    helped,
    lost,
    one_recipe,
    prices,
    shown,
    tuned,
    with_seeds,
)
from noisegate.study.planning import Placed
from noisegate.study.results import Study
from noisegate.study.show import figures as plots
from noisegate.study.show import numbers
from noisegate.study.show.page import list_tests, render_report


@pytest.fixture(scope="module")
def study() -> Study:
    return helped(digits(), "mlp")


@pytest.fixture(scope="module")
def small() -> Study:
    return one_recipe()


@pytest.fixture(scope="module")
def regression(tmp_path_factory) -> Study:
    return prices(tmp_path_factory.mktemp("prices"))


@pytest.fixture(scope="module")
def page(study) -> str:
    return render_report(study)


# The report ---------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a page asks for and says, and checks that its tags are closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


# Of a page that is cut off before its first section.
END = "</body></html>"

SECTIONS = [
    "Validation",
    "On the test split",
    "What was read",
    "Curves on the MLP",
    "Curves on the CNN",
    "Open questions",
    "What each recipe does",
    "How to read this",
    "Try it on your own model",
    "How this was made",
    "Every run, at its best epoch",
]


def test_the_report_needs_nothing_else(page):
    found = Page(page)
    # The icon, the differences, four panels for each model; each mask once: input, hidden,
    # Gaussian, two spatial.
    assert len(found.links) == 1 + 1 + 2 * 4 + 2 + 1 + 1 + 1 + 2
    assert all(link.startswith("data:") for link in found.links)
    for reference in ("http://", "https://", "@import", "url("):
        assert reference not in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


def test_the_report_has_its_sections_in_order(study, regression, page):
    assert Page(page).headings == SECTIONS
    opening = " ".join(Page(page[: page.index("<h2>")] + END).text.split())
    assert " ".join(study.sentence.split()) in opening
    assert Page(render_report(tuned(regression))).headings == [
        *SECTIONS[:4],
        *SECTIONS[5:7],
        "Whether its uncertainty can be trusted",
        "What the search found",
        SECTIONS[7],
        "What to try next",
        "Recipe files",
        *SECTIONS[9:],
    ]


def test_the_report_says_what_was_done(study, page):
    said = Page(page).text
    assert study.settings.command() in said
    for advice in study.advice:
        assert advice.python in said
        assert advice.text[1:] in said
    assert "conv2:out" in said
    assert "chosen on the validation rows themselves" in said
    for sentence, _ in list_tests(study):
        assert sentence in said
    for one in study.runs:
        assert f"{one.model} {one.recipe} seed {one.seed}" in said
        if one.seed == 0:
            assert one.matched.rstrip() in said or one.recipe == "none"
    for text in (torch.__version__, np.__version__, ng.__version__):
        assert f"<td>{text}</td>" in page


def test_the_report_has_every_number_of_the_tables(study, page):
    text = Page(page).text.replace("\u00a0", " ")
    for model in study.models:
        rows = [row for row in study.table if row.model == model]
        for cells in numbers.row_estimates(study.settings.task, rows):
            assert all(cell in text for cell in cells)
        for row in rows[1:]:
            assert f'class="{row.loss_difference.verdict}"' in page
            assert f"<span>{row.loss_difference.verdict}</span>" in page


def test_names_of_users_are_escaped(regression):
    notes = (*regression.settings.notes, f"column {NASTY} is ignored")
    nasty = replace(
        tuned(regression),
        settings=replace(regression.settings, notes=notes, facts=_with_name(regression)),
    )
    text = render_report(nasty)
    assert "<b>&" not in text
    said = Page(text).text
    assert said.count(NASTY) >= 4  # the title, a heading, an input, a note
    assert "<mine>.yaml" in said
    assert FILE in said


def _with_name(study: Study) -> dict:
    return {**study.settings.facts, "data": {**study.settings.facts["data"], "name": NASTY}}


def test_the_report_of_a_regression_has_its_units(regression):
    text = render_report(regression)
    assert "validation RMSE" in text
    assert "validation mean absolute error" in text
    assert "error, %" not in Page(text).text
    assert "cross-entropy" not in Page(text).text
    assert LONG in text


@pytest.mark.parametrize(("seeds", "marked"), [(10, False), (11, True)])
def test_many_splits_are_marked_as_optimistic(small, seeds, marked):
    text = render_report(with_seeds(small, seeds))
    assert ("<small>optimistic</small>" in text) == marked
    assert "Nadeau and Bengio&#39;s corrected interval" in text


def test_a_test_split_scored_again_is_told(small):
    twice = replace(small, execution=replace(small.execution, scored={"mlp": 2}))
    told = "The test split of this folder has been scored 2 times for this model"
    assert told in render_report(twice)
    assert any(told in line for line in shown(twice))
    assert render_report(twice).count("has been scored") == 1
    assert "has been scored" not in render_report(small)


def test_losses_that_are_not_finite_are_told(small):
    text = render_report(lost(small))
    assert "not finite" in text
    assert "no verdict" in text
    assert plots.draw_overview(lost(small), "png")[1:4] == b"PNG"
    assert any("not finite" in line for line in shown(lost(small)))


def test_no_more_masks_than_can_be_read(small):
    kind = ng.Dropout(0.5)
    many = tuple(Placed(f"layer{i}:out", kind, (8, 3, 64, 64)) for i in range(8))
    wide = replace(small, placed={**small.placed, ("mlp", "hidden"): (*many, many[0])})
    text = render_report(wide)
    pictures = Page(text).links[1:]
    assert len(pictures) == 5 + 6
    assert "And 2 more sites." in text
    assert "drawn on (2, 3, 16, 16)" in text
    assert max(map(len, pictures)) < 4 / 3 * 200_000


def test_what_a_search_found(small):
    said = unescape(Page(render_report(tuned(small))).text)
    assert "16 trials on the MLP: 14 finished, 1 given up early, worse than the median" in said
    assert "{'hid*:out': 0.6, 'in:out': ng.GaussianNoise(sigma=0.25)}" in said
    assert "The best 10 of 16 trials" in said
    assert said.index("trial 5") < said.index("trial 4") < said.index("trial 0")
    assert "trial 10" not in said
    assert "noisegate study --5" in said
