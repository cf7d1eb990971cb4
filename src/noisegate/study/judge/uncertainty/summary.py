"""Uncertainty over the seeds: means, standard errors, mean curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..stats import Estimate, estimate
from .measures import SHARES
from .outcomes import Coverage, Histogram, Outcome, Reliability, SeedOutcomes

__all__ = ["PredictorSummary", "Uncertainty", "summarize_uncertainty"]

# `reliability` is that of the samples of all seeds together, `histogram` the mean.
PredictorSummary = Outcome[Estimate]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How far uncertainty can be trusted, without noise and with a recipe, over the seeds.

    `recipe` is the recipe's name in words; `shares` are the rejected shares of the curves.
    """

    task: str
    recipe: str
    seeds: int
    samples: int
    rows: int
    ood_rows: int
    shares: tuple[float, ...]
    predictors: tuple[PredictorSummary, ...]


def summarize_uncertainty(
    baseline: Sequence[SeedOutcomes], recipe: Sequence[SeedOutcomes] = (), label: str = "noise"
) -> Uncertainty:
    """Return the summary of the models without noise, and of those of one recipe.

    Parameters
    ----------
    baseline : sequence of SeedOutcomes
        The models that were trained without noise, one a seed; at least one.
    recipe : sequence of SeedOutcomes
        Those that were trained with the recipe, for the same seeds.
    label : str
        What the recipe is called in sentences and figures.
    """
    ways = {
        "none": [one.off for one in baseline],
        "off": [one.off for one in recipe],
        "on": [one.on for one in recipe if one.on is not None],
    }
    first = baseline[0]
    return Uncertainty(
        first.task,
        label,
        len(baseline),
        max(one.samples for one in (*baseline, *recipe)),
        first.rows,
        first.ood_rows,
        SHARES,
        tuple(_average(name, outcomes) for name, outcomes in ways.items() if outcomes),
    )


def _average(name: str, outcomes: Sequence[Outcome[float]]) -> PredictorSummary:
    lines = zip(*(one.coverage for one in outcomes), strict=True)
    return Outcome(
        name,
        {key: estimate([one.measures[key] for one in outcomes]) for key in outcomes[0].measures},
        _estimate_each([one.rejection for one in outcomes]),
        _pool([one.reliability for one in outcomes if one.reliability]),
        tuple(
            Coverage(
                line[0].source,
                line[0].levels,
                _estimate_each([one.held for one in line]),
                _estimate_each([one.widths for one in line]),
            )
            for line in lines
        ),
        _average_histogram([one.histogram for one in outcomes if one.histogram]),
    )


def _estimate_each(rows: Sequence[Sequence[float]]) -> tuple[Estimate, ...]:
    return tuple(estimate(values) for values in zip(*rows, strict=True))


def _pool(parts: Sequence[Reliability]) -> Reliability | None:
    if not parts:
        return None
    counts = np.array([part.counts for part in parts])
    total = counts.sum(0)

    def mean(name: str) -> tuple[float | None, ...]:
        values = np.array([getattr(part, name) for part in parts], float)  # None becomes NaN
        sums = (counts * np.nan_to_num(values)).sum(0).tolist()
        return tuple(each / n if n else None for each, n in zip(sums, total.tolist(), strict=True))

    return Reliability(tuple(total.tolist()), mean("confidences"), mean("accuracies"))


def _average_histogram(parts: Sequence[Histogram]) -> Histogram | None:
    if not parts:
        return None
    test, ood = (
        tuple(map(fmean, zip(*shares, strict=True)))
        for shares in ([part.test for part in parts], [part.ood for part in parts])
    )
    return Histogram(parts[0].edges, test, ood)
