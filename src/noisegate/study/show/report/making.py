"""How to read the report, how to go on, and how it was made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...results import Study
from ...versions import versions
from .. import wording
from ..sentences import budget_note, notes, number
from .parts import code, facts, listed, paragraph, section, table

__all__ = ["every_run", "how_made", "how_to_read", "recipe_files", "try_it"]

# More names than this are counted, not listed.
MOST_NAMES = 40


def how_to_read(study: Study) -> str:
    """Return what a reader must know of the numbers and of the data."""
    settings = study.settings
    test = settings.facts["test"]
    compared = max(len(recipes) for recipes in settings.recipes.values()) - 1
    found = notes(
        settings.task,
        seeds=settings.design.seeds,
        compared=compared,
        test_rows=test["rows"],
        test_file=test["file"],
    )
    budget = budget_note([run.history.best.number for run in study.runs], settings.design.epochs)
    parts = [listed((*found, budget))]
    if settings.notes:
        parts += [paragraph("About the data:"), listed(settings.notes)]
    return section("How to read this", *parts)


def try_it(study: Study) -> str:
    """Return Python for the reader's own model, or why no recipe is advised; maybe nothing."""
    if not study.advice:
        return ""
    advised = any(advice.python for advice in study.advice)
    parts = [
        part
        for advice in study.advice
        for part in (
            paragraph(advice.text[0].upper() + advice.text[1:]),
            code(advice.python) if advice.python else "",
        )
    ]
    return section("Try it on your own model" if advised else "What to try next", *parts)


def recipe_files(study: Study) -> str:
    """Return the files that recipes came from; nothing if there are none."""
    parts = (section(name, code(text), level=3) for name, text in study.settings.files.items())
    return section("Recipe files", *parts)


def how_made(study: Study) -> str:
    """Return the command that makes the study again, and everything that decides its numbers."""
    words = "The same command on the same files and versions gives the same numbers."
    return section(
        "How this was made",
        code(study.settings.command(), wraps=True),
        paragraph(words),
        facts(_facts(study)),
    )


def _facts(study: Study) -> Iterator[tuple[str, str]]:
    settings, execution = study.settings, study.execution
    run, data = study.runs[0], settings.facts["data"]
    yield "data", f"{data['name']}: {_counted(data['rows'], 'row')}, digest {data['digest']}"
    yield "inputs", _names(data["inputs"])
    yield "target", f"{data['target']}, {data['task']}"
    if data["classes"]:
        yield "classes", _names(data["classes"])
    if data["groups"]:
        yield "groups", f"rows with the same {data['groups']} stay together"
    yield "test split", _test(settings.facts["test"])
    yield (
        "splits of a seed",
        f"{_counted(run.train_rows, 'row')} to train on, {run.validation_rows:,} to validate on "
        f"(a share of {settings.facts['validation_share']:g})",
    )
    for model in settings.models:
        digest = f", source digest {model.source_digest}" if model.source_digest else ""
        yield "model", f"{model.name}{digest}"
    yield "seeds", f"0 to {settings.design.seeds - 1}"
    yield (
        "budget",
        f"{_counted(settings.design.epochs, 'epoch')}, batches of {run.batch_size}, "
        f"{settings.identity()['optimizer']} at {settings.design.learning_rate:g}",
    )
    yield from versions().items()
    processes = "1 process" if execution.jobs == 1 else f"{execution.jobs} processes"
    yield "time", f"{execution.seconds:,.0f} s in {processes}, finished {execution.finished}"


def _test(test: Mapping[str, Any]) -> str:
    rows = _counted(test["rows"], "row")
    if test["file"] is not None:
        return f"{rows} of {test['file']}, digest {test['digest']}"
    return f"{rows}, a share of {test['share']:g}, drawn with seed {test['seed']}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return f"{len(names):,}: {shown}" + (f", and {more:,} more" if more > 0 else "")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + "s" * (count != 1)


def every_run(study: Study) -> str:
    """Return every run at its best epoch."""
    task = study.settings.task
    headings = ("run", "best epoch", *wording.headings(task)[:3])
    rows = []
    for model, recipes in study.settings.recipes.items():
        digits = 1 + wording.shared_decimals([row for row in study.table if row.model == model])
        for run in (run for recipe in recipes for run in study.runs_of(model, recipe.name)):
            best = run.history.best
            error = best.validation_error
            rows.append(
                (
                    f"{model} {run.recipe} seed {run.seed}",
                    str(best.number),
                    number(best.train_loss),
                    number(best.validation_loss, digits),
                    "" if error is None else number(error * task.error_factor),
                )
            )
    return section("Every run, at its best epoch", table(headings, rows))
