"""What else was asked: whether doubt can be trusted, and what a search found."""

from ..recipes import parse_rules, rules_source
from ..results import Study
from ..sentences import measure, number
from ..tuning.results import Trial, Tuning
from ..uncertainty import Uncertainty, headings, words
from ..uncertainty import table as rows_of
from ..wording import called, model_title
from .parts import Cell, code, facts, figure, figures, paragraph, section, table

__all__ = ["search", "uncertainty"]

BEST = 10


def uncertainty(study: Study) -> str:
    """Return what predictions with noise know of their doubt; nothing if nobody asked."""
    parts = (_doubt(model, result) for model, result in study.uncertainty.items())
    return section("Whether its doubt can be trusted", *parts)


def _doubt(model: str, result: Uncertainty) -> str:
    from ..uncertainty.plots import figures as drawn

    name = model_title(model)
    rows = (
        f"{result.rows:,} test rows and {result.ood_rows:,} rows not of the data, "
        f"{result.samples} samples of the noise for each."
    )
    pictures = (
        figure(f"{title}.".capitalize(), picture, f"{name}: {title}")
        for title, picture in drawn(result, "svg").items()
    )
    return section(
        name,
        *map(paragraph, words(result)),
        table(headings(result), rows_of(result)),
        paragraph(rows, "quiet"),
        figures(pictures, "curves"),
        level=3,
    )


def search(study: Study) -> str:
    """Return what a search for the best rules found; nothing if there was none."""
    from .. import plots_of_tuning

    tuning: Tuning | None = study.tuning
    if tuning is None:
        return ""
    drawn = [
        figure(
            "Value of each trial.",
            plots_of_tuning.history(tuning, study.settings.task),
            "value of each trial, and the best so far",
        )
    ]
    if tuning.importance:
        drawn.append(
            figure(
                "Importance of each rule.",
                plots_of_tuning.importance(tuning),
                "importance of each rule",
            )
        )
    best = tuning.best_trial
    rules = rules_source(parse_rules(best.rules)) if best.rules else "{}"
    return section(
        "What the search found",
        *map(paragraph, _told(tuning, measure(study.settings.task))),
        code(rules, wraps=True),
        figures(drawn, "curves"),
        _best_trials(tuning, measure(study.settings.task)),
        paragraph("The best trial again:", "quiet"),
        code(best.command, wraps=True),
        facts([("searched", tuning.space), ("stored in", tuning.storage)]),
    )


def _told(tuning: Tuning, value: str) -> list[str]:
    states = [trial.state for trial in tuning.trials]
    finished, pruned, failed = (states.count(s) for s in ("finished", "pruned", "failed"))
    others = []
    if pruned:
        others.append(f"{pruned} given up early, since worse than the median")
    if failed:
        others.append(f"{failed} failed")
    best = tuning.best_trial
    noise = "with these rules" if best.rules else "with no noise at all"
    told = f"Best is trial {best.number} {noise}"
    return [
        f"{_trials(len(states))} on {called(tuning.model)}: "
        + ", ".join([f"{finished} finished", *others])
        + ". No trial saw a test row; the score on the test split is at the top.",
        f"{told}, whose mean {value} is {_value(best)}:",
    ]


def _best_trials(tuning: Tuning, value: str) -> str:
    finished = [t for t in tuning.trials if t.state == "finished" and t.value is not None]
    best = sorted(finished, key=lambda trial: (trial.value, trial.number))[:BEST]
    names = ("trial", f"mean {value}", Cell("rules", kind="text"), "seeds", "seconds")
    rows: list[list[str | Cell]] = [
        [
            f"trial {trial.number}",
            _value(trial),
            Cell(trial.rules or "no noise", kind="text"),
            str(trial.seeds),
            f"{trial.seconds:,.0f}",
        ]
        for trial in best
    ]
    title = f"The best {len(rows)} of {_trials(len(tuning.trials))}"
    return section(title, table(names, rows), level=3) if len(rows) > 1 else ""


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"


def _value(trial: Trial) -> str:
    return "unknown" if trial.value is None else number(trial.value)
