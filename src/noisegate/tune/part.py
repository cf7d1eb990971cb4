"""How a study shows the search that found its recipe: in its sentence, its report, its folder."""

from dataclasses import dataclass

from noisegate.study.data.tasks import Task
from noisegate.study.rule_text import parse_rules, rules_source
from noisegate.study.show.parts import Picture, SearchSection
from noisegate.study.show.sentences import measure

from .records import Tuning
from .wording import describe_best, describe_no_gain, describe_optimism, describe_outcome

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

    def section(self, task: Task) -> SearchSection:
        """Return what the report shows of the search."""
        # matplotlib takes a second to import, and not every search is drawn.
        from . import plots

        tuning, best = self.tuning, self.tuning.best_trial
        history, value = plots.draw_history(tuning.trials, task), "value of each trial"
        pictures = [Picture("Value of each trial, and the best so far.", history, value)]
        if tuning.importance:
            bars = plots.draw_importance(tuning.importance)
            pictures.append(Picture("Importance of each rule.", bars, "importance of each rule"))
        finished = [t for t in tuning.trials if t.state == "finished" and t.value is not None]
        return SearchSection(
            (describe_outcome(tuning.model, tuning.trials), describe_best(best, measure(task))),
            rules_source(parse_rules(best.rules)) if best.rules else "{}",
            pictures,
            sorted(finished, key=lambda trial: (trial.value, trial.number))[:BEST],
        )

    def picture(self, task: Task, format: str) -> bytes:
        """Return the figures of the search side by side, as `png` or `svg`."""
        from . import plots

        return plots.draw_search(self.tuning.trials, self.tuning.importance, task, format)
