"""What was found: on the test split, for each model, and what is still open."""

import math

from ...judge.stats import Difference, Row
from ...judge.test_split import TestScore
from ...recipes import BASELINE
from ...results import Study
from .. import figures as plots
from .. import wording
from ..sentences import agreeing, chance, interval, number
from ..sentences import open_questions as questions
from ..wording import PERCENT
from .parts import Cell, figure, figures, listed, paragraph, section, table

__all__ = ["models", "open_questions", "test_split"]

CAPTIONS = {
    "training loss": "What the steps saw, noise on; mean over the seeds.",
    "validation loss": "Without noise; mean over the seeds.",
    "validation error": "Without noise; mean over the seeds.",
    plots.DIFFERENCES: "From none, at the best epochs. Diamond: mean. Thick line: "
    f"{PERCENT} t-interval; thin line: Nadeau and Bengio's corrected one. Dots: seeds.",
    plots.SEEDS: "At the best epochs. A line joins the runs of one seed, which share split, "
    "initial weights and order of batches.",
}


# The test split -------------------------------------------------------------------------------


def test_split(study: Study) -> str:
    """Return what no noise and the chosen recipe reach on the test split."""
    title = "On the test split"
    if not study.tests:
        return section(title, paragraph("No recipe was compared, so the test split is not scored."))
    sentences = wording.scored_sentences(study)
    parts = [
        part
        for sentence, tested in zip(sentences, study.tests, strict=True)
        for part in (paragraph(sentence), _test_table(study, tested))
    ]
    return section(title, *parts)


def _test_table(study: Study, tested: TestScore) -> str:
    task, difference = study.settings.task, tested.difference
    names = (BASELINE,) if difference is None else (BASELINE, tested.recipe)
    losses, digits, changes = [tested.loss(name) for name in names], None, [""]
    if difference is not None:
        digits = agreeing(difference, *(loss.mean for loss in losses))
        changes.append(_difference(difference, digits))
    errors = wording.texts([tested.error(name) for name in names], factor=task.error_factor)
    headings = (
        wording.model_title(tested.model),
        f"test {task.loss_name}",
        f"test {task.error_name}",
        f"difference in test {task.loss_name} [{PERCENT} interval]",
    )
    return table(headings, zip(names, wording.texts(losses, digits), errors, changes, strict=True))


# Models ---------------------------------------------------------------------------------------


def models(study: Study) -> str:
    """Return a section for each model: its table, curves, intervals and seeds."""
    return "\n".join(
        section(
            f"On {wording.called(model)}: validation",
            _model_table(study, model),
            figures(
                (_panel(study, model, title) for title in plots.panels(study, model)), "curves"
            ),
        )
        for model in study.models
    )


def _model_table(study: Study, model: str) -> str:
    task = study.settings.task
    rows = [row for row in study.table if row.model == model]
    *estimated, difference = wording.headings(task)
    headings = (
        "recipe",
        *estimated,
        f"{difference} [{PERCENT} t-interval]",
        "Nadeau and Bengio's corrected interval",
        "p after Holm",
        "verdict",
    )
    digits = wording.shared_decimals(rows)
    texts = wording.estimates(task, rows)
    return table(headings, [_model_row(*pair, digits) for pair in zip(rows, texts, strict=True)])


def _model_row(row: Row, texts: tuple[str, ...], digits: int) -> list[str | Cell]:
    one = row.loss_difference
    if one is None:
        return [row.recipe, *texts, "", "", "", ""]
    if not math.isfinite(one.mean):
        return [row.recipe, *texts, "not finite", "", "", "no verdict"]
    mark = wording.OPTIMISTIC if one.optimistic else ""
    return [
        row.recipe,
        *texts,
        Cell(_difference(one, digits), mark),
        _ends(one.corrected_low, one.corrected_high, digits),
        chance(one.holm).removeprefix("p ").removeprefix("= "),
        Cell(one.verdict, kind=one.verdict),
    ]


def _difference(one: Difference, digits: int) -> str:
    if not math.isfinite(one.mean):
        return "not finite"
    return f"{number(one.mean, digits, sign=True)} {_ends(one.low, one.high, digits)}"


def _ends(low: float, high: float, digits: int) -> str:
    # In one line, below the mean where both do not fit.
    return f"[{interval(low, high, digits)}]".replace(" ", "\u00a0")


def _panel(study: Study, model: str, title: str) -> str:
    alt = f"{wording.model_title(model)}: {title}"
    return figure(f"{title}.".capitalize(), plots.panel(study, model, title), alt, CAPTIONS[title])


def open_questions(study: Study) -> str:
    """Return how many more seeds would settle what is open."""
    return section("Open questions", listed(questions(study.table, study.labels)))
