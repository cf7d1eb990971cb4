"""The trials of a search in Optuna's storage: the next one, its owner, its outcome."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from noisegate.core.errors import InvalidValue
from noisegate.study.data.split import derived_seed

from .importances import compute_importance
from .records import Trial
from .space import Space
from .storages import close_storage, explain_errors, hide_passwords, open_storage
from .workers import has_ended, name_process

# Trials that train with all seeds before any is given up; and seeds before one may be.
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

    With one process the trials are a function of `seed`, interrupted or not: each has a sampler
    of its own, made from the seed and the number of trials before it. A trial whose process
    died, or that was one too many, is void: it fails without a reason, and does not count.
    """

    storage: str
    name: str
    seed: int
    total: int

    @property
    def public_url(self) -> str:
        """The URL of the storage, without a password."""
        return hide_passwords(self.storage)

    def create(self, facts: Mapping[str, Any]) -> None:
        """Begin the search, or join it; raise if the storage has another one of this name."""
        with explain_errors(self.storage):
            study = optuna.create_study(
                storage=open_storage(self.storage),
                study_name=self.name,
                direction="minimize",
                load_if_exists=True,
            )
            for name, value in facts.items():
                before = study.user_attrs.get(name, value)
                if before != value:
                    where = f"{self.public_url}, {self.name}"
                    raise InvalidValue(
                        f"tune: `{name}` must be what it was for the trials in '{where}', to go "
                        f"on with them; it was {before!r}, and is {value!r}. Give this search "
                        "another --name."
                    )
                study.set_user_attr(name, value)
            # An interrupted search of this very process leaves running trials too.
            self._void_all(study, lambda worker: worker == name_process() or has_ended(worker))

    def close(self) -> None:
        """Close the storage."""
        close_storage(self.storage)

    def next(self, off: Mapping[str, Any]) -> optuna.Trial | None:
        """Return a new trial, or None if there are enough.

        `off` are the parameters of no noise, which are tried first unless there are none.
        """
        with explain_errors(self.storage):
            study = self._study()
            self._void_all(study, has_ended)
            while len(self.list_valid()) < self.total:
                # Enqueue with an owner first, so that no trial is ever ownerless.
                study.enqueue_trial({}, user_attrs={"worker": name_process()})
                trial = study.ask()
                try:
                    trial.set_user_attr("worker", name_process())
                    ordinal, study.sampler = self._make_sampler(trial.number, off)
                    trial.set_user_attr("ordinal", ordinal)
                except UpdateFinishedTrialError:
                    continue  # another process found its owner dead, and made it void
                # Counted again, since other processes ask at the same time.
                if len(self.list_valid(trial.number)) < self.total:
                    return trial
                _void(study, trial.number)
            return None

    def should_prune(self, value: float, seed: int) -> bool:
        """Return whether a mean over the seeds so far is worse than the median of finished trials.

        All have the same seeds, so they are compared at the same one.
        """
        with explain_errors(self.storage):
            finished = self._study().get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [trial.intermediate_values[seed] for trial in finished]
        # The median is of finished trials: those that were pruned have no value at later seeds.
        return seed >= WARMUP and len(values) >= STARTUP and value > median(values)

    def tell(self, trial: optuna.Trial, state: str, value: float | None = None) -> None:
        """Store how a trial ended: `finished` with a value, `pruned` or `failed`."""
        states = {name: state for state, name in STATES.items()}
        # Another process may have taken this one for dead, and made the trial void.
        self._study().tell(trial, value, states[state], skip_if_finished=True)

    def void(self, trial: optuna.Trial) -> None:
        """Make a trial void, so that it does not count."""
        with explain_errors(self.storage):
            _void(self._study(), trial.number)

    def list_valid(self, below: int | None = None) -> list[FrozenTrial]:
        """Return the trials that count, or only those below a number."""
        with explain_errors(self.storage):
            return [
                trial
                for trial in self._study().get_trials(deepcopy=False)
                if _is_valid(trial) and (below is None or trial.number < below)
            ]

    def list_ended(self) -> tuple[Trial, ...]:
        """Return the trials that have ended, numbered from 0 in the order in which they began."""
        numbered = enumerate(self.list_valid())
        return tuple(
            _read_trial(number, trial) for number, trial in numbered if trial.state.is_finished()
        )

    def importance(self, space: Space) -> dict[str, float]:
        """Return the importance of each rule; {} if there are too few trials."""
        return compute_importance(space, self.list_valid(), self.seed)

    def _make_sampler(self, number: int, off: Mapping[str, Any]) -> tuple[int, BaseSampler]:
        """Return the ordinal of a trial, and its sampler: no noise if that has not been tried.

        The sampler is made anew for each trial, which so depends on the trials before it alone,
        and not on what this process has done.
        """
        before = self.list_valid(number)
        # The number of trials before it; larger than all of theirs if one of them became void.
        known = [one.user_attrs.get("ordinal", one.number) for one in before]
        ordinal = max(known, default=-1) + 1
        sampler = TPESampler(seed=derived_seed(self.seed, f"trial {ordinal}") % 2**32)
        # A trial that has just begun has few parameters, and may be the one without noise.
        tried = any(len(t.params) < len(off) or t.params == off for t in before)
        if tried:
            return ordinal, sampler
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            return ordinal, PartialFixedSampler(dict(off), sampler)

    def _study(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=open_storage(self.storage))

    @staticmethod
    def _void_all(study: optuna.Study, ended: Callable[[str], bool]) -> None:
        """Make the running trials void whose processes have ended."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if ended(trial.user_attrs["worker"]):
                _void(study, trial.number)


def _void(study: optuna.Study, number: int) -> None:
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _is_valid(trial: FrozenTrial) -> bool:
    void = trial.state == TrialState.FAIL and "why" not in trial.user_attrs
    return trial.state != TrialState.WAITING and not void


def _read_trial(number: int, trial: FrozenTrial) -> Trial:
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
