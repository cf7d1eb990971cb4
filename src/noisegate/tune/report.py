"""The section on a search in the report of a study."""

from collections.abc import Mapping, Sequence

from noisegate.study.recipes import parse_rules, rules_source
from noisegate.study.report.parts import (
    Cell,
    code,
    facts,
    figure,
    figures,
    paragraph,
    section,
    table,
)

from .results import Trial
from .sentences import count_trials, describe_best, describe_outcome, format_value

__all__ = ["render_search"]

# How many of the best trials the table has.
BEST = 10


def render_search(
    model: str,
    trials: Sequence[Trial],
    best: Trial,
    measure: str,
    pictures: Mapping[str, bytes],
    where: Mapping[str, str],
) -> str:
    """Return the section on a search, in HTML.

    Parameters
    ----------
    measure : str
        The name of what a trial's value is the mean of.
    pictures : mapping
        Titles to figures as SVG.
    where : mapping
        What was searched and where its trials are stored: names to texts.
    """
    images = (figure(f"{title}.", svg, _alt(title)) for title, svg in pictures.items())
    return section(
        "What the search found",
        paragraph(describe_outcome(model, trials)),
        paragraph(describe_best(best, measure)),
        code(rules_source(parse_rules(best.rules)) if best.rules else "{}", wraps=True),
        figures(images, "curves"),
        _best_trials(trials, measure),
        paragraph("The best trial again:", "quiet"),
        code(best.command, wraps=True),
        facts(where.items()),
    )


def _alt(title: str) -> str:
    return title[0].lower() + title[1:]


def _best_trials(trials: Sequence[Trial], measure: str) -> str:
    finished = [t for t in trials if t.state == "finished" and t.value is not None]
    best = sorted(finished, key=lambda trial: (trial.value, trial.number))[:BEST]
    names = ("trial", f"mean {measure}", Cell("rules", kind="text"), "seeds", "seconds")
    rows: list[list[str | Cell]] = [
        [
            f"trial {trial.number}",
            format_value(trial),
            Cell(trial.rules or "no noise", kind="text"),
            str(trial.seeds),
            f"{trial.seconds:,.0f}",
        ]
        for trial in best
    ]
    title = f"The best {len(rows)} of {count_trials(len(trials))}"
    return section(title, table(names, rows), level=3) if len(rows) > 1 else ""
