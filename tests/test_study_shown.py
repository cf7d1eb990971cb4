"""The terminal output, the numbers and the pictures of a study."""

import ast
import io
import json
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib.image
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from _study_shown import digits, helped, one_recipe, prices, shown, tuned
from noisegate.study.data.tasks import Task
from noisegate.study.judge import scoring as testing
from noisegate.study.judge.stats import Estimate, Row
from noisegate.study.main import save
from noisegate.study.results import Study
from noisegate.study.show import figures as plots
from noisegate.study.show import numbers, sentences
from noisegate.study.show import terminal as tables
from noisegate.study.show.page import list_tests, render_report
from noisegate.study.train import bars
from noisegate.study.train.board import Board
from noisegate.tune import plots as plots_of_a_search
from noisegate.tune.part import TuningPart


@pytest.fixture(scope="module")
def study() -> Study:
    return digits()


@pytest.fixture(scope="module")
def small() -> Study:
    return one_recipe()


@pytest.fixture(scope="module")
def regression(tmp_path_factory) -> Study:
    return prices(tmp_path_factory.mktemp("prices"))


# A terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "by"), [("study", 0.1), ("regression", 1e5)])
def test_what_a_terminal_shows(name, by, request):
    study = helped(request.getfixturevalue(name), "mlp", by)
    lines = shown(study)
    end = lines.index(study.sentence)
    after = [study.sentence, *(sentence for sentence, _ in list_tests(study))]
    assert lines[end : end + len(after)] == after
    head = next(i for i, line in enumerate(lines) if line.startswith("Next, in Python"))
    assert ast.parse("\n".join(line.strip() for line in lines[head + 1 : -1 - len(study.models)]))
    results = [tables.describe_result(study, model) for model in study.models]
    assert lines[-1 - len(results) :] == ["Report: report.html", *results]
    assert max(map(len, lines[:end])) <= 80
    table = "\n".join(lines[:end])
    for model in study.models:
        for cell in (line for row in tables.cells(study, model) for line in row):
            assert all(part in table for part in cell.splitlines())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_wraps_sentences_between_words(small, width):
    study, text, path = helped(small, "mlp"), io.StringIO(), f"a folder/{'x' * 90}/report.html"
    tables.show(
        study, path, Console(file=text, force_terminal=True, color_system=None, width=width)
    )
    lines, whole = text.getvalue().splitlines(), shown(study, path)
    code = [line for line in whole if line.startswith(("    import", "    noise =", "    print("))]
    assert len(code) == 3
    unbroken = [*code, f"Report: {path}"]
    assert set(unbroken) < set(lines)
    first = next(i for i, line in enumerate(lines) if line.startswith("mean ± standard"))
    assert max(len(line) for line in lines[first:] if line not in unbroken) <= min(width, 80)
    start = whole.index(study.sentence)
    assert " ".join(whole[start:]) in " ".join(lines)


def test_a_terminal_first_tells_what_the_data_made_of(regression):
    told = " ".join(shown(regression)[:5])
    assert told.startswith("Read 60 rows of rows.csv; target price.")
    assert regression.settings.notes[0].split("`")[0] in told
    assert any("its uncertainty:" in line for line in shown(regression))


def test_a_terminal_says_the_verdict_in_words(study):
    rows = [row for row in study.table if row.model == "mlp"]
    assert rows[0].loss_difference is None
    for row, texts in zip(rows[1:], tables.cells(study, "mlp")[1:], strict=True):
        assert texts[-1].splitlines()[0].endswith(f" {row.loss_difference.verdict}")


WHY_UNCLEAR = (
    "Where the interval leaves 0 out and the verdict is unclear, p is not below 0.05 after Holm's "
    "correction for the number of recipes."
)


@pytest.mark.parametrize(
    ("low", "high", "holm", "said"),
    [(-3, -1, 0.06, True), (1, 3, 0.05, True), (-3, 1, 0.2, False), (-3, -1, 0.04, False)],
)
def test_a_terminal_explains_a_verdict_that_its_interval_does_not(
    small, low, high, holm, said, monkeypatch
):
    none, row = (row for row in small.table if row.model == "mlp")
    change = {"mean": (low + high) / 2, "low": low, "high": high, "holm": holm}
    row = replace(row, loss_difference=replace(row.loss_difference, **change))
    monkeypatch.setattr(Study, "table", (none, row))
    text = " ".join(" ".join(shown(small)).split())
    assert text.count(WHY_UNCLEAR) == said


def test_progress_is_quiet_where_nobody_watches():
    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=80)
        board = Board(2)
        board.finish()
        board.tell(0, 1, 3)
        name = "run {}".format
        with bars.show_bars(board, 2, "runs", steps=5, name=name, enabled=True, console=console):
            pass
        assert ("run 1" in text.getvalue()) == terminal
        assert ("1/2" in text.getvalue()) == terminal
        assert terminal or not text.getvalue()


# Numbers ------------------------------------------------------------------------------------


def test_numbers_read_well_whatever_their_size():
    small, large = Estimate(1e-4, 1.23e-6), Estimate(250000.0, 1234.0)
    assert numbers.estimates([small]) == ["0.0001000 ±0.0000012"]
    assert numbers.estimates([large]) == ["250,000 ±1,234"]
    assert numbers.estimates([Estimate(0.031, 0.0042)], factor=100) == ["3.10 ±0.42"]
    assert numbers.estimates([Estimate(math.nan, math.nan), Estimate(0.5, 0.0)]) == [
        "not finite",
        "0.5000 ±0.0000",
    ]
    row = Row("mlp", "none", 2, large, small, large, Estimate(0.25, 0.05), None, None)
    assert numbers.row_estimates(Task("classification", ("a", "b")), [row]) == [
        ("0.0001000 ±0.0000012", "250,000.000 ±1,234.000", "25.0 ±5.0")
    ]


def test_a_long_name_loses_its_middle():
    assert sentences.shorten_middle("a" * 10 + "b" * 10, 9) == "aaaa…bbbb"
    assert sentences.shorten_middle("short", 5) == "short"


def test_headings_of_both_tasks():
    assert sentences.headings(Task("classification", ("a", "b"))) == (
        "training loss",
        "validation loss",
        "validation error, %",
        "difference in validation loss",
    )
    assert sentences.headings(Task("regression")) == (
        "training RMSE",
        "validation RMSE",
        "validation mean absolute error",
        "difference in validation RMSE",
    )


def test_the_sentence_of_the_test():
    losses = {"none": (0.5, 0.6), "hidden": (0.4, 0.52)}
    tested = testing.SplitScore("mlp", "hidden", losses, {"none": (0.1, 0.2), "hidden": (0.1, 0.1)})
    assert sentences.describe_test(
        tested, Task("classification", ("a", "b")), {"hidden": "hidden dropout"}
    ) == (
        "On the test split the MLP reaches a cross-entropy of 0.55 with no noise and of 0.46 with "
        "hidden dropout, the recipe with the lowest validation loss. That is a change of -0.09 "
        "(95\u00a0% interval -0.22 to +0.04, which includes 0). Of the test rows 15.0\u00a0% and "
        "10.0\u00a0% are wrong."
    )
    assert sentences.describe_test(tested, Task("regression"), {}) == (
        "On the test split the MLP reaches an RMSE of 0.55 with no noise and of 0.46 with hidden, "
        "the recipe with the lowest validation RMSE. That is a change of -0.09 in the target's "
        "unit (95\u00a0% interval -0.22 to +0.04, which includes 0). The mean absolute error is "
        "0.150 and 0.100."
    )
    assert (
        "the lowest validation RMSE of those that helped. That is a change of"
        in sentences.describe_test(tested, Task("regression"), {}, helped=True)
    )
    alone = replace(tested, recipe="none")
    assert sentences.describe_test(alone, Task("regression"), {}) == (
        "On the test split the MLP reaches an RMSE of 0.550 ±0.050 with no noise; no recipe was "
        "compared with it."
    )
    lost = replace(tested, losses={**losses, "hidden": (math.nan, 0.5)})
    assert sentences.describe_test(lost, Task("regression"), {}, 2) == (
        "On the test split the MLP has losses that are not finite, so there is nothing to "
        "compare. The test split of this folder has been scored 2 times for this model: if "
        "changes were made with such figures in mind, the later ones are less honest."
    )
    many = replace(tested, losses={name: pair * 6 for name, pair in losses.items()})
    assert "which leaves out 0; optimistic, beyond 10 splits of the same rows)" in (
        sentences.describe_test(many, Task("regression"), {})
    )


# Pictures -----------------------------------------------------------------------------------


def test_the_pictures_open_and_are_not_blank(study, tmp_path):
    save(study, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "study.json",
        "study.png",
        "study.svg",
        "pipeline-cnn.noisegate",
        "pipeline-mlp.noisegate",
    }
    pixels = matplotlib.image.imread(tmp_path / "study.png")
    height, width, _ = pixels.shape
    assert width > 1000
    # Each quarter of the picture has ink, and most of it is paper.
    for rows in (slice(None, height // 2), slice(height // 2, None)):
        for columns in (slice(None, width // 2), slice(width // 2, None)):
            ink = (pixels[rows, columns, :3] < 0.5).any(axis=-1).mean()
            assert 0.005 < ink < 0.3
    assert ElementTree.parse(tmp_path / "study.svg").getroot().tag.endswith("svg")
    assert json.loads((tmp_path / "study.json").read_text("utf-8")) == json.loads(study.to_json())


def test_the_pictures_are_the_same_twice(small, tmp_path):
    for folder in ("a", "b"):
        save(small, tmp_path / folder)
    for name in ("study.png", "study.svg", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_execution_changes_one_line_of_the_report(small):
    other = replace(small.execution, jobs=7, seconds=99.0, finished="2000-01-01T00:00:00+00:00")
    lines, others = (
        render_report(one).splitlines() for one in (small, replace(small, execution=other))
    )
    changed = [line for line, o in zip(lines, others, strict=True) if line != o]
    assert len(changed) == 1
    assert ">time<" in changed[0]


@pytest.mark.parametrize("title", plots.PANELS)
def test_each_panel_has_the_words_of_its_task(study, regression, title):
    def words(one: Study) -> str:
        ax = Figure().subplots()
        plots.PANELS[title](ax, one, "mlp")
        return f"{ax.get_xlabel()} {ax.get_ylabel()}".replace("\n", " ")

    expected = {
        "training loss": ("cross-entropy in nats, noise on", "RMSE in the target's unit, noise on"),
        "validation loss": (
            "cross-entropy in nats, noise off",
            "RMSE in the target's unit, noise off",
        ),
        "validation error": ("wrong rows, %, noise off", "mean absolute error, noise off"),
        plots.DIFFERENCES: ("below 0: better than none",) * 2,
        plots.SEEDS: ("cross-entropy in nats", "RMSE in the target's unit"),
    }[title]
    assert expected[0] in words(study)
    assert expected[1] in words(regression)


def test_recipes_keep_their_colours_and_share_none(study):
    some = study.settings.recipes["mlp"]
    recipes = (*some, *(replace(some[1], name=f"mine{i}", label=f"mine{i}") for i in range(12)))
    many = replace(study, settings=replace(study.settings, recipes={"mlp": recipes}))
    looks = plots.styles(many)
    assert looks["none"]["color"] == "#000000"
    assert looks["gaussian"] == {"color": plots.COLOURS["gaussian"], "linestyle": "-"}
    assert len({repr(look) for look in looks.values()}) == len(recipes)
    assert looks["mine0"]["linestyle"] == "-"
    assert looks["mine11"]["linestyle"] != "-"


def test_pictures_of_a_search_are_the_same_twice(small):
    found = tuned(small).tuning
    task = small.settings.task
    for format, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        assert plots_of_a_search.draw_history(found.trials, task, format).startswith(start)
        assert plots_of_a_search.draw_importance(found.importance, format).startswith(start)
    drawn = [plots_of_a_search.draw_history(found.trials, task) for _ in range(2)]
    assert drawn[0] == drawn[1]
    none = replace(found, importance={}, trials=found.trials[:1], best=0)
    assert plots_of_a_search.draw_history(none.trials, task).startswith(b"<?xml")
    assert "Importance" not in render_report(replace(small, search=TuningPart(none)))
