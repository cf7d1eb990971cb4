"""A study as HTML: a report in one file, on a phone, a screen and paper; a notebook's cell."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..judge.scores import SplitScore
from ..judge.stats import ALPHA, MANY, Row
from ..recipes import BASELINE
from ..results import Study
from ..versions import versions
from . import figures, numbers, sentences
from .column_lines import count_missing, describe_columns
from .masks import describe_recipes
from .numbers import PERCENT, chance, estimates, number
from .parts import Cell, Picture, Table
from .sentences import headings, title_model
from .uncertainty import describe_uncertainty, table_headings, tabulate_uncertainty
from .uncertainty_figures import draw_uncertainty

CAPTIONS = {
    "training loss": "What the steps saw, noise on; mean over the seeds.",
    "validation loss": "Without noise; mean over the seeds.",
    "validation error": "Without noise; mean over the seeds.",
    figures.SEEDS: "At the best epochs. A line joins the runs of one seed, which share split, "
    "initial weights and order of batches.",
}
EFFECTS = (
    "Each recipe less no noise.",
    "difference of each recipe from no noise",
    f"At the best epochs. Diamond: mean. Thick line: {PERCENT} t-interval; thin line: Nadeau and "
    "Bengio's corrected one. Dots: seeds.",
)

# More names than this are counted, not listed; a table of more columns is folded.
MOST_NAMES, MOST_COLUMNS = 40, 20


def render_report(study: Study) -> str:
    """Return the report of a study as one self-contained page."""
    settings, effects = study.settings, figures.draw_effects(study)
    best, compared = [run.history.best.number for run in study.runs], settings.recipes.values()
    words = {
        "study": study,
        "opening": split_opening(study),
        "effects": effects and Picture(EFFECTS[0], effects, *EFFECTS[1:]),
        "tables": {model: model_table(study, model) for model in study.models},
        "tests": list_tests(study),
        "curves": {model: _draw_curves(study, model) for model in study.models},
        "questions": sentences.describe_open_questions(study.table, study.labels),
        "recipes": describe_recipes(study),
        "uncertainty": {model: _uncertainty(study, model) for model in study.uncertainty},
        "search": study.search and study.search.section(settings.task),
        "runs": _every_run(study),
        "measure": sentences.measure(settings.task),
        "compared": max(map(len, compared)) - 1,
        "budget": sentences.describe_budget(best, settings.design.epochs),
        "versions": versions(),
    }
    return environment().get_template("report.html").render(words)


def render_notebook(study: Study) -> str:
    """Return a study as a notebook's cell: the verdict, the tables, the overview as a picture."""
    picture = figures.draw_overview(study, "svg").decode()
    words = {
        "opening": split_opening(study),
        "tests": [sentence for sentence, _ in list_tests(study)],
        "columns": describe_columns(study.settings.facts),
        "tables": {model: model_table(study, model) for model in study.models},
        # Without its first lines, which are for a file of its own.
        "picture": picture[picture.index("<svg") :],
    }
    return environment().get_template("notebook.html").render(words)


def environment() -> Environment:
    """Return the environment of the templates; whatever they are given is escaped."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals.update(percent=PERCENT, alpha=ALPHA, many=MANY, most_columns=MOST_COLUMNS)
    found.filters.update(
        cell=lambda given: given if isinstance(given, Cell) else Cell(given),
        data=lambda svg: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}",
        missing=count_missing,
        name=sentences.name_model,
        names=_join_some,
        number=number,
        plural=numbers.plural,
        title=title_model,
        # A number is never parted from its standard error.
        together=lambda text: text.replace(" ±", "\u00a0±"),
    )
    return found


def split_opening(study: Study) -> list[tuple[str, bool]]:
    """Return the parts of the study's sentence in order, and whether each is a verdict."""
    parts, rest = list[tuple[str, bool]](), study.sentence
    for verdict in sentences.describe_verdicts(study.table, study.settings.task, study.labels):
        before, found, after = rest.partition(verdict)
        if found:
            parts += [(before.strip(), False), (found, True)]
            rest = after
    # Without a verdict in it, the whole is one.
    parts.append((rest.strip(), not parts))
    return [part for part in parts if part[0]]


def list_tests(study: Study) -> list[tuple[str, Table]]:
    """Return the sentence and the table of each model that was scored on the test split."""
    found = sentences.describe_tests(
        study.tests, study.table, study.settings.task, study.labels, study.execution.scored
    )
    tables = (_test_table(study, tested) for tested in study.tests)
    return list(zip(found, tables, strict=True))


def _test_table(study: Study, tested: SplitScore) -> Table:
    task, difference = study.settings.task, tested.difference
    names = (BASELINE,) if difference is None else (BASELINE, tested.recipe)
    losses, decimals, changes = [tested.loss(name) for name in names], None, [""]
    if difference is not None:
        decimals = numbers.find_decimals(difference, *(loss.mean for loss in losses))
        changes.append(numbers.difference_cell(difference, decimals))
    errors = estimates([tested.error(name) for name in names], factor=task.error_factor)
    columns = (
        title_model(tested.model),
        f"test {task.loss_name}",
        f"test {task.error_name}",
        f"difference in test {task.loss_name} [{PERCENT} interval]",
    )
    rows = list(zip(names, estimates(losses, decimals), errors, changes, strict=True))
    return Table(columns, rows) if difference else Table(columns[:3], [rows[0][:3]])


def model_table(study: Study, model: str) -> Table:
    """Return the table of a model's recipes on the validation rows."""
    rows = [row for row in study.table if row.model == model]
    *estimated, difference = headings(study.settings.task)
    columns = (
        "recipe",
        *estimated,
        f"{difference} [{PERCENT} t-interval]",
        "Nadeau and Bengio's corrected interval",
        "p after Holm",
        "verdict",
    )
    texts = numbers.row_estimates(study.settings.task, rows)
    decimals = numbers.row_decimals(rows)
    cells = [_model_row(*pair, decimals) for pair in zip(rows, texts, strict=True)]
    # Without a comparison the last columns would be empty.
    shown = len(columns) if len(rows) > 1 else 1 + len(estimated)
    return Table(columns[:shown], [row[:shown] for row in cells])


def _model_row(row: Row, texts: tuple[str, ...], decimals: int) -> list[str | Cell]:
    one = row.loss_difference
    if one is None:
        return [row.recipe, *texts, "", "", "", ""]
    change = Cell(numbers.difference_cell(one, decimals), "optimistic" if one.optimistic else "")
    if change.text == "not finite":
        return [row.recipe, *texts, change.text, "", "", "no verdict"]
    return [
        row.recipe,
        *texts,
        change,
        numbers.ends(one.corrected_low, one.corrected_high, decimals),
        chance(one.holm).removeprefix("p ").removeprefix("= ").replace(" ", "\u00a0"),
        Cell(one.verdict, kind=one.verdict),
    ]


def _draw_curves(study: Study, model: str) -> list[Picture]:
    return [
        Picture(
            f"{title}.".capitalize(),
            figures.draw_panel(study, model, title),
            f"{title_model(model)}: {title}",
            CAPTIONS[title],
        )
        for title in figures.list_panels(study, model)
        if title in CAPTIONS
    ]


def _uncertainty(study: Study, model: str) -> dict[str, Any]:
    result = study.uncertainty[model]
    return {
        "sentences": describe_uncertainty(result),
        "table": Table(table_headings(result), tabulate_uncertainty(result)),
        "pictures": [
            Picture(f"{title}.".capitalize(), svg, f"{title_model(model)}: {title}")
            for title, svg in draw_uncertainty(result, clear=True).items()
        ],
    }


def _every_run(study: Study) -> Table:
    """Return every run at its best epoch."""
    task, rows = study.settings.task, list[list[str]]()
    for model, recipes in study.settings.recipes.items():
        decimals = 1 + numbers.row_decimals([row for row in study.table if row.model == model])
        for run in (run for recipe in recipes for run in study.find_runs(model, recipe.name)):
            best = run.history.best
            error = best.validation_error
            rows.append(
                [
                    f"{model} {run.recipe} seed {run.seed}",
                    str(best.number),
                    number(best.train_loss),
                    number(best.validation_loss, decimals),
                    "" if error is None else number(error * task.error_factor),
                ]
            )
    return Table(("run", "best epoch", *headings(task)[:3]), rows)


def _join_some(names: Sequence[str]) -> str:
    """Return how many names there are, and the first of them."""
    shown, more = ", ".join(names[:MOST_NAMES]), len(names) - MOST_NAMES
    return f"{len(names):,}: {shown}" + (f", and {more:,} more" if more > 0 else "")
