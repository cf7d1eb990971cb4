"""What a search adds to the report of a study."""

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
from .sentences import best_is, counted, outcome, shown_value

__all__ = ["search"]

BEST = 10


def search(
    model: str,
    trials: Sequence[Trial],
    best: Trial,
    measure: str,
    pictures: Mapping[str, bytes],
    where: Mapping[str, str],
) -> str:
    """Return the section on a search.

    Parameters
    ----------
    measure : str
        What the values of trials are the means of.
    pictures : mapping
        Titles to figures as SVG.
    where : mapping
        What was searched, and where its trials are: names to texts.
    """
    drawn = (figure(f"{title}.", svg, _alt(title)) for title, svg in pictures.items())
    return section(
        "What the search found",
        paragraph(outcome(model, trials)),
        paragraph(best_is(best, measure)),
        code(rules_source(parse_rules(best.rules)) if best.rules else "{}", wraps=True),
        figures(drawn, "curves"),
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
            shown_value(trial),
            Cell(trial.rules or "no noise", kind="text"),
            str(trial.seeds),
            f"{trial.seconds:,.0f}",
        ]
        for trial in best
    ]
    title = f"The best {len(rows)} of {counted(len(trials))}"
    return section(title, table(names, rows), level=3) if len(rows) > 1 else ""
