"""The loop of a search: each trial is a recipe, trained with one seed after the other."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from noisegate.core.errors import InvalidType, InvalidValue, NoisegateError
from noisegate.study.models import Model
from noisegate.study.recipes import Recipe
from noisegate.study.rule_text import rules_text
from noisegate.study.source import argument
from noisegate.study.train.board import Board
from noisegate.study.train.pool import RunFailed, Runs
from noisegate.study.train.run import Job

from .space import Space
from .storages import explain_errors
from .trials import Trials


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Everything that a worker process needs to do trials until there are enough."""

    runs: Runs
    model: Model
    seeds: int
    space: Space
    trials: Trials
    arguments: tuple[str, ...]

    def do(self, board: Board, place: int, *call: Any) -> int:
        """Do trials until there are enough, and return how many this process did."""
        done = 0
        while (trial := self.trials.next(self.space.off())) is not None:
            try:
                with explain_errors(self.trials.storage), suppress(UpdateFinishedTrialError):
                    # Suppressed: another process took this one for dead, and repeats its trial.
                    self._try(trial, board, place)
            except BaseException:
                # Void, so that the trial is done again; the runs of it that finished are reused.
                with suppress(NoisegateError):
                    self.trials.void(trial)
                raise
            board.finish(place)
            done += 1
        return done

    def command(self, recipe: Recipe) -> str:
        """Return the command that trains a recipe as a trial does."""
        text = recipe.name if not recipe.rules else f"{recipe.name}={rules_text(recipe.rules)}"
        return shlex.join(["noisegate", "study", *self.arguments, *argument("--recipe", text)])

    def _try(self, trial: Any, board: Board, place: int) -> None:
        try:
            recipe = self.space.suggest(trial)
        except (InvalidValue, InvalidType) as error:
            trial.set_user_attr("rules", self.space.format_rules(trial.params))
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
                # If the first trial or one without noise fails, the noise is not to blame.
                if not self.trials.list_valid(trial.number) or not recipe.rules:
                    raise
                self._fail(trial, error)
                return
            trial.report(fmean(losses), seed)
            if seed + 1 < self.seeds and self.trials.should_prune(fmean(losses), seed):
                self.trials.tell(trial, "pruned")
                return
        self.trials.tell(trial, "finished", fmean(losses))

    def _loss(self, job: Job, number: int, board: Board, place: int) -> float:
        """Return the validation loss of a job, trained now unless the store has it."""
        before = job.seed * self.runs.setup.epochs
        run = self.runs.store.find_run(job) or self.runs.do(board, place, number, job, before)
        return run.history.best.validation_loss

    def _fail(self, trial: Any, error: NoisegateError) -> None:
        trial.set_user_attr("why", str(error))
        self.trials.tell(trial, "failed")
