"""How a study shows the search that found its recipe: in its sentence, its report, its folder."""

from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.study.data import Task
from noisegate.study.recipes import parse_rules, rules_source
from noisegate.study.show.report.parts import (
    Cell,
    code,
    facts,
    figure,
    figures,
    paragraph,
    section,
    table,
)
from noisegate.study.show.sentences import measure

from .results import Trial, Tuning
from .sentences import (
    count_trials,
    describe_best,
    describe_no_gain,
    describe_optimism,
    describe_outcome,
    format_value,
)

__all__ = ["TuningPart"]

# How many of the best trials the table has.
BEST = 10


@dataclass(frozen=True, slots=True)
class TuningPart:
    """A search as a study shows it: the `SearchPart` of `noisegate.study.results`."""

    tuning: Tuning

    def conclude(self, sentence: str) -> str:
        """Return a study's sentence, with the caution that the best of many trials deserves."""
        count = len(self.tuning.trials)
        if not self.tuning.best_trial.rules:
            return describe_no_gain(count)
        return f"{sentence} {describe_optimism(count)}"

    def section(self, task: Task) -> str:
        """Return the section on the search for the report, in HTML."""
        # matplotlib takes a second to import, and not every search is drawn.
        from . import plots

        tuning, best = self.tuning, self.tuning.best_trial
        history = plots.draw_history(tuning.trials, task)
        pictures = {"Value of each trial, and the best so far": history}
        if tuning.importance:
            pictures["Importance of each rule"] = plots.draw_importance(tuning.importance)
        images = (figure(f"{title}.", svg, _alt(title)) for title, svg in pictures.items())
        where = {"searched": tuning.space, "stored in": tuning.storage}
        return section(
            "What the search found",
            paragraph(describe_outcome(tuning.model, tuning.trials)),
            paragraph(describe_best(best, measure(task))),
            code(rules_source(parse_rules(best.rules)) if best.rules else "{}", wraps=True),
            figures(images, "curves"),
            _best_trials(tuning.trials, measure(task)),
            paragraph("The best trial again:", "quiet"),
            code(best.command, wraps=True),
            facts(where.items()),
        )

    def picture(self, task: Task, format: str) -> bytes:
        """Return the figures of the search side by side, as `png` or `svg`."""
        from . import plots

        return plots.draw_overview(self.tuning.trials, self.tuning.importance, task, format)


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
