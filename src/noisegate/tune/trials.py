"""Trials in Optuna's storage: which is next, whose it is, what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from noisegate.core.errors import InvalidValue
from noisegate.study.data import derived_seed

from . import messages
from .importances import importance
from .processes import has_ended, this_process
from .results import Trial
from .space import Space
from .storages import close, opened, said, shown

__all__ = ["Trials"]

# So many trials are trained with all seeds before any is given up; and none is after one seed.
STARTUP, WARMUP = 10, 1
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of one search in a storage that several processes and machines may share.

    With one process the trials are a function of `seed`, interrupted or not: the sampler of
    each is made anew, from the seed and the number of trials before it. A trial whose process
    was ended, or that was one too many, fails without a reason, and counts for nothing.
    """

    storage: str
    name: str
    seed: int
    total: int

    @property
    def shown(self) -> str:
        """The storage as it may be shown: without a password."""
        return shown(self.storage)

    def create(self, facts: Mapping[str, Any]) -> None:
        """Begin the search, or join it.

        Raises
        ------
        InvalidValue
            If the storage has a search of this name that is another one.
        """
        with said(self.storage):
            study = optuna.create_study(
                storage=opened(self.storage),
                study_name=self.name,
                direction="minimize",
                load_if_exists=True,
            )
            for name, value in facts.items():
                before = study.user_attrs.get(name, value)
                if before != value:
                    where = f"{self.shown}, {self.name}"
                    raise InvalidValue(messages.other_search(where, name, before, value))
                study.set_user_attr(name, value)
            # What this process was at is of a search that was broken off.
            self._void_all(study, lambda worker: worker == this_process() or has_ended(worker))

    def close(self) -> None:
        """Let go of the storage."""
        close(self.storage)

    def next(self, off: Mapping[str, Any]) -> optuna.Trial | None:
        """Return a new trial, or None where there are enough.

        Parameters
        ----------
        off : mapping
            The parameters of no noise, which are tried first; none are if it is empty.
        """
        with said(self.storage):
            study = self._study()
            study.sampler = sampler = _Sampler(self, off)
            self._void_all(study, has_ended)
            while len(self.counted()) < self.total:
                # In the queue first, so that there is no trial of which nobody knows whose it is.
                study.enqueue_trial({}, user_attrs={"worker": this_process()})
                trial = study.ask()
                try:
                    trial.set_user_attr("worker", this_process())
                    trial.set_user_attr("ordinal", sampler.ordinal)
                except UpdateFinishedTrialError:
                    continue  # queued by a process that has ended, and void already
                if len(self.counted(trial.number)) < self.total:
                    return trial
                _void(study, trial.number)  # another process was faster
            return None

    def should_prune(self, value: float, seed: int) -> bool:
        """Return whether a mean over the seeds so far is worse than the median of finished trials.

        All have the same seeds, so they are compared at the same one.
        """
        with said(self.storage):
            finished = self._study().get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [trial.intermediate_values[seed] for trial in finished]
        return seed >= WARMUP and len(values) >= STARTUP and value > median(values)

    def tell(self, trial: optuna.Trial, state: str, value: float | None = None) -> None:
        """Say how a trial ended: `finished` with a value, `pruned` or `failed`."""
        states = {name: state for state, name in STATES.items()}
        # If another process has taken this one for ended, it counts for nothing.
        self._study().tell(trial, value, states[state], skip_if_finished=True)

    def void(self, trial: optuna.Trial) -> None:
        """Let a trial count for nothing."""
        with said(self.storage):
            _void(self._study(), trial.number)

    def counted(self, below: int | None = None) -> list[FrozenTrial]:
        """Return the trials that count, or those of them of a lower number."""
        with said(self.storage):
            return [
                trial
                for trial in self._study().get_trials(deepcopy=False)
                if _counts(trial) and (below is None or trial.number < below)
            ]

    def found(self) -> tuple[Trial, ...]:
        """Return the trials that have ended, numbered from 0 in the order of their beginning."""
        numbered = enumerate(self.counted())
        return tuple(
            _trial(number, trial) for number, trial in numbered if trial.state.is_finished()
        )

    def importance(self, space: Space) -> dict[str, float]:
        """Return the share of each rule in what made values differ; {} if none can be told."""
        return importance(space, self.counted(), self.seed)

    def _study(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=opened(self.storage))

    @staticmethod
    def _void_all(study: optuna.Study, ended: Callable[[str], bool]) -> None:
        """Let the trials of processes that have ended count for nothing."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if ended(trial.user_attrs["worker"]):
                _void(study, trial.number)


class _Sampler(BaseSampler):
    """No noise first; then a tree-structured Parzen estimator, made anew for each trial.

    So a trial depends on those before it, and not on what this process has done.
    """

    def __init__(self, trials: Trials, off: Mapping[str, Any]) -> None:
        self._trials, self._off = trials, dict(off)
        self._fixed: Mapping[str, Any] = {}

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        before = self._trials.counted(trial.number)
        # The number of trials before it, and above all of theirs where one of them became void.
        known = [one.user_attrs.get("ordinal", one.number) for one in before]
        self.ordinal = max(known, default=-1) + 1
        seed = derived_seed(self._trials.seed, f"trial {self.ordinal}")
        self._tpe = TPESampler(seed=seed % 2**32)
        self._tpe.before_trial(study, trial)
        # One that has just begun may be it.
        tried = any(len(t.params) < len(self._off) or t.params == self._off for t in before)
        self._fixed = {} if tried else self._off

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {} if self._fixed else self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if param_name in self._fixed:
            return self._fixed[param_name]
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def _void(study: optuna.Study, number: int) -> None:
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _counts(trial: FrozenTrial) -> bool:
    void = trial.state == TrialState.FAIL and "why" not in trial.user_attrs
    return trial.state != TrialState.WAITING and not void


def _trial(number: int, trial: FrozenTrial) -> Trial:
    attributes = trial.user_attrs
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return Trial(
        number,
        STATES[trial.state],
        trial.value if ended else None,
        attributes.get("rules", ""),
        dict(trial.params),
        len(trial.intermediate_values),
        round(seconds, 1),
        attributes.get("command", ""),
        attributes.get("why", ""),
    )
