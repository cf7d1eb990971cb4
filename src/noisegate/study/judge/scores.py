"""The scores of no noise and the chosen recipe on the test split."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..recipes import BASELINE
from .stats import Difference, Estimate, estimate, estimate_difference


@dataclass(frozen=True, slots=True)
class SplitScore:
    """What no noise and a chosen recipe reach on the test split, seed by seed."""

    model: str
    recipe: str
    losses: Mapping[str, tuple[float, ...]]
    errors: Mapping[str, tuple[float, ...]]

    def loss(self, recipe: str) -> Estimate:
        """Return the mean loss of `none` or of the recipe."""
        return estimate(self.losses[recipe])

    def error(self, recipe: str) -> Estimate:
        """Return the mean error of `none` or of the recipe."""
        return estimate(self.errors[recipe])

    @property
    def difference(self) -> Difference | None:
        """The recipe's loss beyond that of no noise, over the seeds; None if that is the recipe."""
        if self.recipe == BASELINE:
            return None
        return estimate_difference(self.losses[self.recipe], self.losses[BASELINE], ratio=0)

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        difference = self.difference
        return {**asdict(self), "loss_difference": difference and asdict(difference)}
