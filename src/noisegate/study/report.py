"""The HTML report: one file that needs nothing else, on a phone, a screen and paper."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from . import plots, tables
from .data import TRAIN_ROWS
from .experiment import BATCH_SIZE, LEARNING_RATE
from .recipes import RECIPES, rules_source
from .results import Study
from .sentences import NOTES, budget_note, model_name
from .versions import versions

__all__ = ["html"]

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
.sentence { font-size: 1.2rem; line-height: 1.45; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
td.helped { color: #0b6b2e; } td.hurt { color: #a11212; }
td.helped::after { content: " helped"; } td.hurt::after { content: " hurt"; }
td.unclear::after { content: " unclear"; color: #666; }
.figures { display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; height: auto; }
figcaption { font-weight: 600; font-size: .9rem; }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: .85rem; }
pre.command { white-space: pre-wrap; }
@media (max-width: 45rem) {
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { padding: .5rem 0; border-bottom: 1px solid #bbb; }
  td { border: 0; padding: .1rem 0; text-align: right; } td:empty { display: none; }
  td:first-child { font-weight: 600; }
  td:not(:first-child)::before { content: attr(data-heading); float: left; color: #555; }
  td[class]::before { float: none !important; display: block; text-align: left; }
}
@media print { pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  body { max-width: none; padding: 0; font-size: 10pt; } tr { break-inside: avoid; } }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>noisegate study</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>What noise did: {subject}</h1>
<p class="sentence">{sentence}</p>
{results}
<h2>How to read this</h2>
<ul>
{notes}
</ul>
<h2>Try it on your own model</h2>
<p>With your torch model as <code>model</code>, and the names of your layers in the rules:</p>
<pre>{snippet}</pre>
<h2>What each recipe reached</h2>
{reached}
<h2>How this was made</h2>
<pre class="command">{command}</pre>
<table>{facts}</table>
<h2>Every run, at its best epoch</h2>
{runs}
</body>
</html>
"""


def html(study: Study) -> str:
    """Return the report of a study as one self-contained page."""
    settings = study.settings
    best_epochs = [run.history.best.number for run in study.runs]
    notes = (*NOTES, budget_note(best_epochs, settings.epochs))
    return PAGE.format(
        style=STYLE,
        subject=escape(settings.data),
        sentence=escape(study.sentence),
        results="\n".join(_model_section(study, model) for model in study.models),
        notes="\n".join(f"<li>{escape(note)}</li>" for note in notes),
        snippet=escape(study.snippet),
        reached="\n".join(_reached(study)),
        runs=_every_run(study),
        command=escape(settings.command()),
        facts="".join(
            f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>"
            for name, value in _facts(study).items()
        ),
    )


def _model_section(study: Study, model: str) -> str:
    rows = []
    for row in study.table:
        if row.model == model:
            verdict = row.loss_difference.verdict if row.loss_difference else ""
            rows.append((tables.cells(row), verdict))
    figures = "\n".join(
        f'<figure><figcaption>{escape(title)}</figcaption><img alt="{model_name(model)}: '
        f'{escape(title)}" src="{_inline(plots.panel(study, model, title))}"></figure>'
        for title in plots.PANELS
    )
    return (
        f"<h2>{model_name(model)}</h2>\n{_table(tables.HEADINGS, rows)}\n"
        f'<div class="figures">\n{figures}\n</div>'
    )


def _reached(study: Study) -> Iterable[str]:
    for model, recipes in study.settings.recipes.items():
        for recipe in recipes:
            if rules := RECIPES[recipe].rules:
                matched = study.runs_of(model, recipe)[0].matched
                yield (
                    f"<h3>{model_name(model)}, {escape(recipe)}: "
                    f"{escape(RECIPES[recipe].label)}</h3>\n"
                    f"<pre>{escape(rules_source(rules))}\n\n{escape(matched.rstrip())}</pre>"
                )


def _every_run(study: Study) -> str:
    headings = ("run", "best epoch", "training loss", "validation loss", "validation error, %")
    rows = []
    for model, recipes in study.settings.recipes.items():
        for run in (run for recipe in recipes for run in study.runs_of(model, recipe)):
            best = run.history.best
            numbers = (
                str(best.number),
                f"{best.train_loss:.4f}",
                f"{best.validation_loss:.4f}",
                f"{100 * (best.validation_error or 0):.2f}",
            )
            rows.append(((f"{model} {run.job.recipe} seed {run.job.seed}", *numbers), ""))
    return _table(headings, rows)


def _facts(study: Study) -> dict[str, str]:
    settings, execution = study.settings, study.execution
    return {
        "data": f"{settings.data}: {TRAIN_ROWS} rows to train on, "
        f"{settings.rows - TRAIN_ROWS} to validate on",
        "seeds": ", ".join(map(str, range(settings.seeds))),
        "budget": f"{settings.epochs} epochs, batches of {BATCH_SIZE}, Adam at {LEARNING_RATE}",
        **versions(),
        "time": f"{execution.seconds:.0f} s in {execution.jobs} processes, "
        f"finished {execution.finished}",
    }


def _table(headings: Sequence[str], rows: Iterable[tuple[Sequence[str], str]]) -> str:
    """Return a table; the second part of a row is the class of its last cell."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{_cells(headings, cells, last)}</tr>" for cells, last in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _cells(headings: Sequence[str], cells: Sequence[str], last: str) -> str:
    classes = [""] * (len(cells) - 1) + [f' class="{last}"' if last else ""]
    return "".join(
        f'<td{kind} data-heading="{escape(heading)}">{escape(cell)}</td>'
        for heading, cell, kind in zip(headings, cells, classes, strict=True)
    )


def _inline(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
