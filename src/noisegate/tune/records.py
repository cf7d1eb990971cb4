"""The records of a trial and of a search."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """A search: `space` as the command line takes it, `storage`, where its trials are, and these.

    `importance` has the share of each rule in the variance of the values, 1 in all; it is empty
    with too few trials.
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
