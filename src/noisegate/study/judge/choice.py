"""The rows of a model's table, and the recipe that its test split is scored with."""

from collections.abc import Callable, Sequence

from ..recipes import BASELINE, Recipe
from ..train.run import Run
from .stats import Difference, Row, adjust, estimate, estimate_difference, find_leading

__all__ = ["choose", "summarize"]


def summarize(model: str, recipes: Sequence[Recipe], runs: Sequence[Run]) -> tuple[Row, ...]:
    """Return a row for each recipe on a model, in order; the differences are one family.

    Parameters
    ----------
    recipes : sequence of Recipe
        No noise first.
    runs : sequence of Run
        At least those of the model, the seeds of each recipe in the same order.
    """
    own = {
        recipe.name: [run for run in runs if (run.model, run.recipe) == (model, recipe.name)]
        for recipe in recipes
    }
    losses, errors = (
        adjust([_difference(name, own, values) for name in own]) for values in (_losses, _errors)
    )
    return tuple(
        _row(model, name, own[name], loss, error)
        for name, loss, error in zip(own, losses, errors, strict=True)
    )


def choose(model: str, recipes: Sequence[Recipe], runs: Sequence[Run]) -> tuple[Recipe, ...]:
    """Return no noise and the leading recipe, which the test split is scored with.

    Without a finite loss it is the first recipe with noise; without any, no noise is alone.
    """
    baseline, *others = recipes
    leading = find_leading(summarize(model, recipes, runs))
    if leading is None:
        return (baseline, *others[:1])
    return baseline, next(recipe for recipe in others if recipe.name == leading.recipe)


def _difference(
    recipe: str, own: dict[str, list[Run]], values: Callable[[Sequence[Run]], list[float]]
) -> Difference | None:
    if recipe == BASELINE:
        return None
    base = own[BASELINE]
    ratio = base[0].validation_rows / base[0].train_rows
    return estimate_difference(values(own[recipe]), values(base), ratio=ratio)


def _row(
    model: str,
    recipe: str,
    runs: Sequence[Run],
    loss: Difference | None,
    error: Difference | None,
) -> Row:
    return Row(
        model,
        recipe,
        len(runs),
        estimate([float(run.history.best.number) for run in runs]),
        estimate([run.history.best.train_loss for run in runs]),
        estimate(_losses(runs)),
        estimate(_errors(runs)),
        loss,
        error,
    )


def _losses(runs: Sequence[Run]) -> list[float]:
    return [run.history.best.validation_loss for run in runs]


def _errors(runs: Sequence[Run]) -> list[float]:
    errors = [run.history.best.validation_error for run in runs]
    return [error for error in errors if error is not None]
