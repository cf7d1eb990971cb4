"""What a search found, and what a study shows of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from noisegate.study.data import Task
from noisegate.study.sentences import measure

from .results import Trial
from .sentences import best_of, none_is_best

__all__ = ["Tuning"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search: `space` is what was searched, as the command line takes it; `storage` is where.

    `importance` gives each rule its share of what made trials better or worse, in all 1; empty
    with too few trials to tell. Its methods are those of `noisegate.study.results.SearchPart`.
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
        """Return it for JSON."""
        return asdict(self)

    def conclude(self, sentence: str) -> str:
        """Return a study's sentence with what it means to be the best of so many trials."""
        if not self.best_trial.rules:
            return none_is_best(len(self.trials))
        return f"{sentence} {best_of(len(self.trials))}"

    def section(self, task: Task) -> str:
        """Return its section of the report, in HTML."""
        # matplotlib takes a second to import, and is needed only where something is drawn.
        from . import plots, report

        pictures = {"Value of each trial, and the best so far": plots.history(self.trials, task)}
        if self.importance:
            pictures["Importance of each rule"] = plots.importance(self.importance)
        where = {"searched": self.space, "stored in": self.storage}
        return report.search(
            self.model, self.trials, self.best_trial, measure(task), pictures, where
        )

    def picture(self, task: Task, format: str) -> bytes:
        """Return its figures side by side, as `png` or `svg`."""
        from . import plots

        return plots.overview(self.trials, self.importance, task, format)
