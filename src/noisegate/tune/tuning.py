"""The record of a search, and how a study shows it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from noisegate.study.data import Task
from noisegate.study.sentences import measure

from .results import Trial
from .sentences import describe_no_gain, describe_optimism

__all__ = ["Tuning"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search: `space` as the command line takes it, `storage`, where its trials are, and these.

    `importance` has the share of each rule in the variance of the values, 1 in all; it is empty
    with too few trials. The methods are those of `noisegate.study.results.SearchPart`.
    """

    space: str
    storage: str
    trials: tuple[Trial, ...]
    importance: Mapping[str, float]
    model: str
    best: int

    @property
    def best_trial(self) -> Trial:
        """The trial of the lowest value over all seeds."""
        return next(trial for trial in self.trials if trial.number == self.best)

    def facts(self) -> dict[str, Any]:
        """Return the search as values for JSON."""
        return asdict(self)

    def conclude(self, sentence: str) -> str:
        """Return a study's sentence, with the caution that the best of many trials deserves."""
        if not self.best_trial.rules:
            return describe_no_gain(len(self.trials))
        return f"{sentence} {describe_optimism(len(self.trials))}"

    def section(self, task: Task) -> str:
        """Return the section on the search for the report, in HTML."""
        # matplotlib takes a second to import, and not every search is drawn.
        from . import plots, report

        pictures = {
            "Value of each trial, and the best so far": plots.draw_history(self.trials, task)
        }
        if self.importance:
            pictures["Importance of each rule"] = plots.draw_importance(self.importance)
        where = {"searched": self.space, "stored in": self.storage}
        return report.render_search(
            self.model, self.trials, self.best_trial, measure(task), pictures, where
        )

    def picture(self, task: Task, format: str) -> bytes:
        """Return the figures of the search side by side, as `png` or `svg`."""
        from . import plots

        return plots.draw_overview(self.trials, self.importance, task, format)
