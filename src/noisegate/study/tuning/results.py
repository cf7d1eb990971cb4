"""What a search found: its trials, which rules mattered, and the best of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Trial", "Tuning"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe that was tried.

    `state` is `finished`, `pruned` (given up after some of the seeds, since it was worse than the
    median) or `failed`. `value` is the mean validation loss over the seeds that were trained, None
    if it failed; `rules` is the recipe as the command line takes it, empty for no noise; `command`
    trains it again; `why` says why it failed.
    """

    number: int
    state: str
    value: float | None
    rules: str
    parameters: Mapping[str, Any]
    seeds: int
    seconds: float
    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """A search: `space` is what was searched, as the command line takes it; `storage` is where.

    `importance` gives each rule its share of what made trials better or worse, in all 1; empty
    with too few trials to tell.
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
