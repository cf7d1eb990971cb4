"""The rows of a model's table, and the recipe that its test split is scored with."""

from collections.abc import Sequence
from typing import Any

from ..recipes import BASELINE, Recipe
from ..train.run import Run
from .stats import Difference, Row, adjust, estimate, estimate_difference, find_leading


def summarize(model: str, recipes: Sequence[Recipe], runs: Sequence[Run]) -> tuple[Row, ...]:
    """Return a row for each recipe on a model, no noise first; the differences are one family.

    The runs are at least those of the model, the seeds of each recipe in the same order.
    """
    names = [recipe.name for recipe in recipes]
    mine = [run for run in runs if run.model == model]
    own = {name: [run for run in mine if run.recipe == name] for name in names}
    base = own[BASELINE]
    ratio = base[0].validation_rows / base[0].train_rows

    def values(name: str, what: str) -> list[Any]:
        return [getattr(run.history.best, what) for run in own[name]]

    def difference(name: str, what: str) -> Difference | None:
        if name == BASELINE:
            return None
        return estimate_difference(values(name, what), values(BASELINE, what), ratio=ratio)

    losses = adjust([difference(name, "validation_loss") for name in names])
    errors = adjust([difference(name, "validation_error") for name in names])
    return tuple(
        Row(
            model,
            name,
            len(own[name]),
            estimate(values(name, "number")),
            estimate(values(name, "train_loss")),
            estimate(values(name, "validation_loss")),
            estimate(values(name, "validation_error")),
            loss,
            error,
        )
        for name, loss, error in zip(names, losses, errors, strict=True)
    )


def choose(model: str, recipes: Sequence[Recipe], runs: Sequence[Run]) -> tuple[Recipe, ...]:
    """Return no noise and the leading recipe, which the test split is scored with.

    Without a finite loss it is the first recipe with noise; without any, no noise is alone.
    """
    baseline, *others = recipes
    leading = find_leading(summarize(model, recipes, runs))
    chosen = [recipe for recipe in others if leading and recipe.name == leading.recipe]
    return (baseline, *(chosen or others)[:1])
