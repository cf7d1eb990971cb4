"""What a study found: its settings, its runs, and the numbers and sentences made of them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import sentences
from .data import TRAIN_ROWS
from .experiment import BATCH_SIZE, LEARNING_RATE, Run
from .recipes import BASELINE, RECIPES, rules_source
from .stats import LEVEL, Difference, Row, estimate, paired_difference
from .versions import versions

__all__ = ["Execution", "Settings", "Study"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides the numbers; `recipes` are those of each model, `none` included."""

    data: str
    rows: int
    recipes: dict[str, tuple[str, ...]]
    seeds: int
    epochs: int

    def command(self) -> str:
        """Return the command that makes the study again."""
        model = "both" if len(self.recipes) > 1 else next(iter(self.recipes))
        named = {name: None for recipes in self.recipes.values() for name in recipes}
        return (
            f"noisegate study --model {model} --recipe {' '.join(named)} "
            f"--seeds {self.seeds} --epochs {self.epochs}"
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """What may differ between two equal studies: processes, seconds, the day."""

    jobs: int
    seconds: float
    finished: str


@dataclass(frozen=True, slots=True)
class Study:
    """A finished study."""

    settings: Settings
    runs: tuple[Run, ...]
    execution: Execution

    @property
    def models(self) -> tuple[str, ...]:
        """The models, in order."""
        return tuple(self.settings.recipes)

    @property
    def table(self) -> tuple[Row, ...]:
        """One row for each model and recipe, in order."""
        return tuple(
            self._row(model, recipe)
            for model, recipes in self.settings.recipes.items()
            for recipe in recipes
        )

    @property
    def sentence(self) -> str:
        """Which recipe helped, by how much, how sure."""
        return sentences.overall(self.table)

    @property
    def snippet(self) -> str:
        """Python that puts the recipe to try first into the reader's own torch model."""
        row = sentences.first_to_try(self.table)
        recipe = RECIPES["hidden"] if row is None else RECIPES[row.recipe]
        return sentences.snippet(rules_source(recipe.rules))

    def runs_of(self, model: str, recipe: str) -> list[Run]:
        """Return the runs of one recipe on one model, in the order of the seeds."""
        return [run for run in self.runs if (run.job.model, run.job.recipe) == (model, recipe)]

    def _row(self, model: str, recipe: str) -> Row:
        runs, base = self.runs_of(model, recipe), self.runs_of(model, BASELINE)

        def difference(values: Callable[[Sequence[Run]], list[float]]) -> Difference | None:
            return None if recipe == BASELINE else paired_difference(values(runs), values(base))

        return Row(
            model,
            recipe,
            len(runs),
            estimate([float(run.history.best.number) for run in runs]),
            estimate([run.history.best.train_loss for run in runs]),
            estimate(_losses(runs)),
            estimate(_errors(runs)),
            difference(_losses),
            difference(_errors),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every number, version and seed; all but `execution` repeats exactly."""
        facts = {
            "format": 1,
            "command": self.settings.command(),
            "settings": {
                **asdict(self.settings),
                "train_rows": TRAIN_ROWS,
                "batch_size": BATCH_SIZE,
                "optimizer": "Adam",
                "learning_rate": LEARNING_RATE,
                "interval": LEVEL,
                "rules": {name: rules_source(recipe.rules) for name, recipe in RECIPES.items()},
            },
            "versions": versions(),
            "sentence": self.sentence,
            "summary": [asdict(row) for row in self.table],
            "runs": [_run_facts(run) for run in self.runs],
            "execution": {
                **asdict(self.execution),
                "run_seconds": [round(run.seconds, 3) for run in self.runs],
            },
        }
        return _without_nan(facts)  # type: ignore[no-any-return]

    def to_json(self) -> str:
        """Return `to_dict` as JSON; a number that is not finite is null."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def _losses(runs: Sequence[Run]) -> list[float]:
    return [run.history.best.validation_loss for run in runs]


def _errors(runs: Sequence[Run]) -> list[float]:
    errors = [run.history.best.validation_error for run in runs]
    return [error for error in errors if error is not None]


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "model": run.job.model,
        "recipe": run.job.recipe,
        "seed": run.job.seed,
        "split": run.split,
        "initial_weights": run.initial_weights,
        "best": asdict(run.history.best),
        "train_loss": [epoch.train_loss for epoch in run.history.epochs],
        "validation_loss": [epoch.validation_loss for epoch in run.history.epochs],
        "validation_error": [epoch.validation_error for epoch in run.history.epochs],
        "matched": run.matched,
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
