"""A search, trial by trial: each is a recipe, trained with one seed after the other."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError
from noisegate.study.experiment import Job
from noisegate.study.models import Model
from noisegate.study.pool import Board, RunFailed, Runs
from noisegate.study.recipes import Recipe
from noisegate.study.rules import rules_text
from noisegate.study.sources import argument

from .space import Space
from .storages import said
from .trials import Trials

__all__ = ["Search"]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What a process needs to do trials until there are enough."""

    runs: Runs
    model: Model
    seeds: int
    space: Space
    trials: Trials
    arguments: tuple[str, ...]

    def do(self, board: Board, place: int, *call: Any) -> int:
        """Do trials until there are enough, and return how many were done here."""
        done = 0
        while (trial := self.trials.next(self.space.off())) is not None:
            try:
                with said(self.trials.storage), suppress(UpdateFinishedTrialError):
                    # Suppressed: another process took this one for ended, and does it anew.
                    self._try(trial, board, place)
            except BaseException:
                # Nothing is known of it: what has finished of it is kept, and it is tried again.
                with suppress(NoisegateError):
                    self.trials.void(trial)
                raise
            board.finish(place)
            done += 1
        return done

    def command(self, recipe: Recipe) -> str:
        """Return the command that trains a recipe as a trial does."""
        named = recipe.name if not recipe.rules else f"{recipe.name}={rules_text(recipe.rules)}"
        return shlex.join(["noisegate", "study", *self.arguments, *argument("--recipe", named)])

    def _try(self, trial: Any, board: Board, place: int) -> None:
        try:
            recipe = self.space.suggest(trial)
        except (InvalidValue, InvalidType) as error:
            trial.set_user_attr("rules", self.space.written(trial.params))
            self._fail(trial, error)
            return
        trial.set_user_attr("rules", rules_text(recipe.rules))
        trial.set_user_attr("command", self.command(recipe))
        losses: list[float] = []
        for seed in range(self.seeds):
            job = Job(self.model, recipe, seed)
            try:
                losses.append(self._loss(job, trial.number, board, place))
            except RunFailed as error:
                if not self.trials.counted(trial.number) or not recipe.rules:
                    raise  # not even the first trial: it is not the noise that fails
                self._fail(trial, error)
                return
            trial.report(fmean(losses), seed)
            if seed + 1 < self.seeds and self.trials.should_prune(fmean(losses), seed):
                self.trials.tell(trial, "pruned")
                return
        self.trials.tell(trial, "finished", fmean(losses))

    def _loss(self, job: Job, number: int, board: Board, place: int) -> float:
        """Return the validation loss of a job, which is trained unless it has been."""
        before = job.seed * self.runs.setup.epochs
        run = self.runs.store.finished(job) or self.runs.do(board, place, number, job, before)
        return run.history.best.validation_loss

    def _fail(self, trial: Any, error: NoisegateError) -> None:
        trial.set_user_attr("why", str(error))
        self.trials.tell(trial, "failed")
