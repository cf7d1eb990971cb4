"""What was read is shown before the work and in the report; a study in a notebook."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

import noisegate as ng
from _study_shown import (
    NASTY,
    digits,
    helped,
    moved,
    one_recipe,
    shown,
    tuned,
    with_columns,
    with_seeds,
)
from noisegate.study.planning import Placed
from noisegate.study.results import Study
from noisegate.study.show import figures, masks, terminal
from noisegate.study.show.column_lines import describe_columns
from noisegate.study.show.page import render_notebook, render_report, split_opening


def column(name: str, role: str = "number", why: str = "", **more: Any) -> dict[str, Any]:
    used = role in ("number", "category", "date", "text", "array")
    return {"name": name, "role": role, "used": used, "why": why, "missing": {}, **more}


def facts(*columns: dict[str, Any], rows: int = 90) -> dict[str, Any]:
    data = {"name": "d.csv", "rows": rows, "target": "k", "columns": columns}
    return {"data": data}


@pytest.fixture(scope="module")
def small() -> Study:
    return one_recipe()


def test_what_was_read_in_a_few_lines():
    lines = describe_columns(
        facts(
            column("a"),
            column("b", missing={"": 3, "NA": 1200}),
            column("direction", "category", "3 values"),
            column("day", "date", "YYYY-MM-DD"),
            column("id", "identifier", "counts the rows"),
            column("who", "groups"),
            column("k", "target"),
        )
    )
    assert lines == [
        "Read 90 rows of d.csv; target k.",
        "  2 numbers    a, b",
        "  1 category   direction (3 values)",
        "  1 date       day (YYYY-MM-DD)",
        "  left out     id (counts the rows)",
        '  missing      b (3 empty, 1,200 "NA")',
    ]


def test_what_was_read_of_many_columns_stays_short():
    many = [column(f"number {i}") for i in range(1000)]
    many += [column("x" * 200), column("y" * 90, "category", "z" * 90)]
    lines = describe_columns(facts(*many))
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    assert lines[1] == "  1,001 numbers number 0, number 1, number 2, number 3, number 4, number 5,"
    assert (
        lines[2] == "               number 6, number 7, number 8, number 9, number 10, … 990 more"
    )


def test_the_report_has_a_row_for_each_column(small, blank_pictures):
    study = with_columns(
        small,
        column(NASTY, "category", "3 values", missing={"": 2, "<i>": 1}),
        column("id", "identifier", "counts the rows"),
    )
    page = render_report(study)
    assert NASTY not in page
    said = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "&lt;b&gt;&amp;&#34;x&#34; category yes 3 values 2 empty, 1 &#34;&lt;i&gt;&#34;" in said
    assert "id identifier no counts the rows" in said
    assert "2 columns, 1 input" in said
    assert "<details open>" in page
    many = with_columns(small, *(column(f"c{i}") for i in range(21)))
    assert "<details><summary>21 columns, 21 inputs</summary>" in render_report(many)


def test_a_terminal_shows_what_was_read_unless_it_was_shown_before(small, monkeypatch):
    study = with_columns(small, column("direction", "category", "3 values"))
    assert shown(study)[1] == "  1 category   direction (3 values)"
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True)
    assert not any("direction" in line for line in shown(study))


def named(study: Study, name: str) -> Study:
    facts = study.settings.facts
    facts = {**facts, "data": {**facts["data"], "name": name}}
    return replace(study, settings=replace(study.settings, facts=facts))


def test_the_last_line_can_be_understood_alone(small):
    assert re.fullmatch(
        r"d\.csv, MLP, hidden dropout: helped, validation loss [\d.]+ to [\d.]+, p < 0\.001",
        shown(named(helped(small, "mlp"), "d.csv"))[-1],
    )
    none = {"mlp": small.settings.recipes["mlp"][:1]}
    alone = replace(small, settings=replace(small.settings, recipes=none))
    assert shown(alone)[-1] == "scikit-learn digits, MLP: nothing to compare"


def test_the_last_line_fits_80_columns(small):
    study = moved(small, -0.1)
    for name, words in (
        ("p.csv", "hidden dropout: unclear, validation loss "),
        ("many tumours.csv", "hidden: unclear, validation loss "),
        ("house prices in town.csv", "hidden: unclear, loss "),
    ):
        line = shown(named(study, name))[-1]
        assert line.startswith(f"{name}, MLP, {words}")
        assert len(line) <= 80


def test_a_line_of_result_for_each_model():
    ends = shown(digits())[-2:]
    assert [line.split(", ")[1] for line in ends] == ["MLP", "CNN"]


def test_what_was_left_out_is_shown_once(small, blank_pictures):
    study = with_columns(small, column("id", "identifier", "counts the rows"))
    notes = ("Not used: `id` (counts the rows).", "Not used of 'test.csv', as ...: `leak`.")
    study = replace(study, settings=replace(study.settings, notes=notes))
    text = "\n".join(shown(study))
    assert "  left out     id (counts the rows)" in text
    assert notes[0] not in text
    assert notes[1] in text
    assert notes[0] in study.to_dict()["notes"]
    assert notes[0] in unescape(render_report(study))


def test_the_report_begins_with_the_verdict_and_one_chart(small, blank_pictures):
    page = render_report(helped(small, "mlp"))
    card = page[page.index('<header class="card">') : page.index("</header>")]
    (verdict,) = re.findall('<p class="verdict">(.*)</p>', card)
    assert re.fullmatch(
        r"On the MLP hidden dropout helped: it took the validation loss from [\d.]+ to [\d.]+\.",
        verdict,
    )
    assert card.count("<img") == 1
    only = {"mlp": small.settings.recipes["mlp"][:1]}
    alone = render_report(replace(small, settings=replace(small.settings, recipes=only)))
    assert "<img" not in alone[: alone.index("</header>")]
    assert "verdict</th>" not in alone


def test_a_search_without_gain_is_the_verdict(small):
    study = tuned(small)
    best = replace(study.search, tuning=replace(study.search.tuning, best=0))
    (part,) = split_opening(replace(study, search=best))
    assert part == ("Of 16 trials, no noise was the best, so there is nothing to recommend.", True)


def test_no_number_is_parted_from_its_standard_error(small, blank_pictures):
    page = render_report(small)
    cells = re.findall("<span>([^<]*±[^<]*)</span>", page)
    assert cells
    assert not any(" ±" in cell for cell in cells)


def test_a_figure_of_the_report_turns_light_on_a_dark_page(small):
    page = render_report(small)
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page


CAPTIONS = [
    "Each recipe less no noise. At the best epochs. Diamond: mean. Thick line: 95 % t-interval; "
    "thin line: Nadeau and Bengio's corrected one. Dots: seeds.",
    "Training loss. What the steps saw, noise on; mean over the seeds.",
    "Validation loss. Without noise; mean over the seeds.",
    "Validation error. Without noise; mean over the seeds.",
    "Loss of each seed. At the best epochs. A line joins the runs of one seed, which share split, "
    "initial weights and order of batches.",
]


def test_the_captions_of_the_report(small):
    page = render_report(small)
    found = [
        unescape(re.sub("<[^>]+>", "", caption)).replace("\u00a0", " ")
        for caption in re.findall("<figcaption>(.*?)</figcaption>", page)
    ]
    assert found[:5] == CAPTIONS
    assert figures.SEEDS == "loss of each seed"
    assert 'alt="difference of each recipe from no noise"' in page
    assert "difference in test cross-entropy [95\u00a0% interval]" in page
    assert "[95\u00a0% t-interval]" in page


def test_the_captions_of_masks_and_of_a_search(small, blank_pictures, monkeypatch):
    placed = {("mlp", "hidden"): (Placed(":in", ng.Dropout(0.5), (8, 64)),)}
    study = tuned(replace(small, placed=placed))
    page = render_report(study)
    assert "<b>The model's input (:in).</b> 8 rows have shape (8, 64)." in unescape(page)
    monkeypatch.setattr(masks, "LARGEST", 10)
    assert (
        "The model's input (:in): Dropout(p=0.5); 8 rows have shape (8, 64); there is no picture "
        "of it."
    ) in unescape(render_report(study))
    assert "<b>Value of each trial, and the best so far.</b>" in page
    assert 'alt="value of each trial"' in page
    assert "<b>Importance of each rule.</b>" in page
    assert 'alt="importance of each rule"' in page


def test_the_words_of_a_terminal(small):
    text = " ".join(" ".join(shown(with_seeds(small, 11))).split()).replace("\u00a0", " ")
    assert (
        "mean ± standard error over the seeds; difference from none, paired by seed, below 0 is "
        "better, [95 % t-interval] (optimistic: see the report); training with the noise on."
    ) in text
    assert "MLP, hidden: unclear, " in shown(moved(small, -0.1))[-1]


# A notebook -------------------------------------------------------------------------------------


def test_a_study_in_a_notebook_is_tables_and_a_picture():
    study = helped(digits(), "mlp")
    text = render_notebook(study)
    assert text.count("<table>") == 2
    assert text.count("<svg") == 1
    assert "<?xml" not in text
    assert "&amp;" not in text
    for row in study.table:
        assert f'<th scope="row">{row.recipe}</th>' in text
    for part, _ in split_opening(study):
        assert part in text.replace("&#39;", "'").replace("&lt;", "<")


def test_names_of_users_are_escaped_once_in_a_notebook(small):
    name = f"{NASTY}:make"
    recipes = {name: small.settings.recipes["mlp"]}
    runs = tuple(replace(run, model=name) for run in small.runs)
    settings = replace(small.settings, recipes=recipes)
    text = render_notebook(replace(small, runs=runs, tests=(), settings=settings))
    assert NASTY not in text
    assert "<p><b>&lt;b&gt;&amp;&#34;x&#34;:make</b></p>" in text


def test_thousands_of_columns_are_counted():
    many = [column(f"gene_{i}", "number", "numbers") for i in range(3000)]
    facts = {"data": {"rows": 9, "name": "d.csv", "target": "y", "columns": many}}
    assert describe_columns(facts)[1:] == [
        "  3,000 numbers gene_0, gene_1, gene_2, gene_3, gene_4, gene_5, gene_6, gene_7,",
        "               gene_8, gene_9, gene_10, gene_11, gene_12, gene_13, … 2,986 more",
    ]
