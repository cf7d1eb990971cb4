"""What to try next: a recipe that is shown to help, or the reason why none is advised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..judge.scores import SplitScore
from ..judge.stats import Row, find_leading
from ..recipes import BASELINE, Recipe
from ..rule_text import rules_source
from .sentences import FEASIBLE, join_names, name_model


@dataclass(frozen=True, slots=True)
class Advice:
    """A recipe that helped, with Python that tries it; or why there is none, without.

    `models` are those that it is of; `recipe` and `python` are empty where nothing is advised.
    """

    models: tuple[str, ...]
    recipe: str
    text: str
    python: str


def advise(
    rows: Sequence[Row], tests: Sequence[SplitScore], recipes: Mapping[tuple[str, str], Recipe]
) -> tuple[Advice, ...]:
    """Return the reasons against any advice, each with all its models, then the advice.

    A recipe is advised if it helped, and on the test samples its mean loss is not above that of no
    noise. A model without a finite comparison has no advice. `recipes` go by model and name.
    """
    advised, refused = list[Advice](), dict[str, list[str]]()
    for model in dict.fromkeys(row.model for row in rows):
        row = find_leading([row for row in rows if row.model == model])
        if row is None:
            continue
        recipe = recipes[model, row.recipe]
        if reason := _find_reason_against(row, recipe, tests):
            refused.setdefault(reason, []).append(model)
            continue
        text = (
            f"{recipe.label}, which helped on {name_model(model)}, in your own torch model "
            "`model` (name your layers in place of these):"
        )
        inject = f"noise = ng.inject(model, {rules_source(recipe.rules)}, seed=13)"
        python = f"import noisegate as ng\n{inject}\nprint(noise.report())"
        advised.append(Advice((model,), recipe.name, text, python))
    against = [
        Advice(tuple(models), "", f"On {join_names([name_model(m) for m in models])} {reason}.", "")
        for reason, models in refused.items()
    ]
    return (*against, *advised)


def _find_reason_against(row: Row, recipe: Recipe, tests: Sequence[SplitScore]) -> str:
    """Return why a leading recipe is not advised; empty if it is."""
    if row.verdict == "helped":
        scores = [test for test in tests if (test.model, test.recipe) == (row.model, row.recipe)]
        if any(test.loss(row.recipe).mean > test.loss(BASELINE).mean for test in scores):
            return f"{recipe.label} helped on the validation rows alone, so it is not advised"
        return ""
    reason = "no recipe is shown to help, so none is advised"
    more = row.loss_difference.more_seeds if row.loss_difference else None
    if row.verdict == "hurt" or more is None:
        return reason
    if more > FEASIBLE:
        return f"{reason}; the difference is too small for more seeds to settle"
    return f"{reason}; more seeds or more data would settle whether it helps or hurts"
