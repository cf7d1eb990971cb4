"""What a study found: its settings, its runs, and the numbers and sentences made of them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from sklearn.pipeline import Pipeline

from .data.tasks import Task
from .handover import FittedModel, find_fitted, make_pipeline
from .json_text import FORMAT, format_json, replace_nan
from .judge.choice import summarize
from .judge.scores import SplitScore
from .judge.stats import LEVEL, Row
from .judge.uncertainty import Uncertainty
from .planning import Placed, Settings
from .rule_text import rules_text
from .show import sentences
from .show.advice import Advice, advise
from .show.parts import SearchSection
from .train.run import Run


@dataclass(frozen=True, slots=True)
class Execution:
    """What may differ between two equal studies: processes, seconds, the day, and scorings.

    `scored` says how often the test split of this folder has been scored, for each model.
    """

    jobs: int
    seconds: float
    finished: str
    scored: Mapping[str, int]


class SearchPart(Protocol):
    """How a study shows the search that found its recipe; supplied by the room above."""

    @property
    def tuning(self) -> Any:
        """The record of the search, a dataclass."""

    def conclude(self, sentence: str) -> str:
        """Return the study's opening sentence, completed by what the search adds to it."""

    def section(self, task: Task) -> SearchSection:
        """Return what the report shows of the search."""

    def picture(self, task: Task, format: str) -> bytes:
        """Return the picture of the search, as `png` or `svg`."""


@dataclass(frozen=True, slots=True, repr=False)
class Study:
    """A finished study; a notebook shows its tables and its figure."""

    settings: Settings
    runs: tuple[Run, ...]
    placed: Mapping[tuple[str, str], tuple[Placed, ...]]
    tests: tuple[SplitScore, ...]
    uncertainty: Mapping[str, Uncertainty]
    execution: Execution
    search: SearchPart | None = None
    fitted: tuple[FittedModel, ...] = field(default=(), compare=False)
    render: Callable[["Study"], str] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Study of {self.settings.data}: {self.sentence}"

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows."""
        return None if self.render is None else self.render(self)

    @property
    def tuning(self) -> Any:
        """The record of the search that found the recipe; None if there was none."""
        return None if self.search is None else self.search.tuning

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models, in order."""
        return tuple(self.settings.recipes)

    @property
    def table(self) -> tuple[Row, ...]:
        """One row for each model and recipe, in order."""
        recipes = self.settings.recipes
        return tuple(
            row for model in recipes for row in summarize(model, recipes[model], self.runs)
        )

    @property
    def sentence(self) -> str:
        """Which recipe helped, by how much, how sure."""
        found = sentences.describe_effects(self.table, self.settings.task, self.labels)
        return found if self.search is None else self.search.conclude(found)

    @property
    def labels(self) -> dict[str, str]:
        """What each recipe is called in a sentence."""
        return {r.name: r.label for recipes in self.settings.recipes.values() for r in recipes}

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to try next on one's own model, or that nothing is shown to help."""
        recipes = {(model, r.name): r for model, own in self.settings.recipes.items() for r in own}
        return advise(self.table, self.tests, recipes)

    def find_runs(self, model: str, recipe: str) -> list[Run]:
        """Return the runs of one recipe on one model, in the order of the seeds."""
        return [run for run in self.runs if (run.model, run.recipe) == (model, recipe)]

    def find_test(self, model: str) -> SplitScore | None:
        """Return what a model reached on the test split, if there was a recipe to choose."""
        return next((test for test in self.tests if test.model == model), None)

    def pipeline(
        self, model: str | None = None, recipe: str | None = None, seed: int = 0
    ) -> Pipeline:
        """Return what a run has trained, as a fitted pipeline of scikit-learn.

        It takes rows as the data has them, and predicts the target as the run did that was scored
        on the test samples. Its steps are `preprocessor`, fitted on the training samples of the
        seed, and `estimator`, a `Classifier` or a `Regressor` of `noisegate.estimators`, which
        predicts with noise too. Its `fit` trains anew.

        Parameters
        ----------
        model : str, optional
            The first one if None.
        recipe : str, optional
            The one that validation has chosen if None; or `none`.
        seed : int
            Of the run.
        """
        name = self.models[0] if model is None else model
        chosen = {score.model: score.recipe for score in self.tests}
        wanted = chosen.get(name, "none") if recipe is None else recipe
        return make_pipeline(find_fitted(self.fitted, name, wanted, seed))

    def to_dict(self) -> dict[str, Any]:
        """Return every number, version and seed; all but `execution` repeats exactly."""
        settings = self.settings
        identity = settings.identity()
        found = identity.pop("versions")
        facts = {
            "format": FORMAT,
            "command": settings.command(),
            "settings": {
                **identity,
                "models": {model.name: model.source_digest for model in settings.models},
                "recipes": {
                    model: {recipe.name: rules_text(recipe.rules) for recipe in recipes}
                    for model, recipes in settings.recipes.items()
                },
                "seeds": settings.design.seeds,
                "interval": LEVEL,
            },
            "notes": list(settings.notes),
            "files": dict(settings.files),
            "versions": found,
            "sentence": self.sentence,
            "advice": [asdict(advice) for advice in self.advice],
            "summary": [{**asdict(row), "verdict": row.verdict} for row in self.table],
            "test": [test.facts() for test in self.tests],
            "uncertainty": {name: asdict(value) for name, value in self.uncertainty.items()}
            or None,
            "tuning": None if self.search is None else asdict(self.search.tuning),
            "runs": [_run_facts(run) for run in self.runs],
            "execution": {
                **asdict(self.execution),
                "run_seconds": [round(run.seconds, 3) for run in self.runs],
            },
        }
        whole: dict[str, Any] = replace_nan(facts)
        return whole

    def to_json(self) -> str:
        """Return `to_dict` as JSON; a number that is not finite is null."""
        return format_json(self.to_dict())


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "model": run.model,
        "recipe": run.recipe,
        "seed": run.seed,
        "split": run.split,
        "train_rows": run.train_rows,
        "validation_rows": run.validation_rows,
        "batch_size": run.batch_size,
        "initial_weights": run.initial_weights,
        "initial_outputs": run.initial_outputs,
        "best": asdict(run.history.best),
        "train_loss": [epoch.train_loss for epoch in run.history.epochs],
        "validation_loss": [epoch.validation_loss for epoch in run.history.epochs],
        "validation_error": [epoch.validation_error for epoch in run.history.epochs],
        "matched": run.matched,
    }
