"""Uncertainty over the seeds: means, standard errors, mean curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from ..stats import Estimate, estimate
from .outcomes import SHARES, Coverage, Histogram, Outcome, Reliability

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
    task: str,
    recipe: str,
    outcomes: Sequence[Sequence[Sequence[Outcome[float]]]],
    *,
    samples: int,
    rows: tuple[int, int],
) -> Uncertainty:
    """Return the summary of the models without noise and, if there are any, of a recipe's.

    `outcomes` has, of both, those of each seed: noise off and, of a recipe, on. `rows` are the
    numbers of test samples and of out-of-distribution inputs.
    """
    predictors = [
        _average(name, each)
        for names, seeds in zip((("none",), ("off", "on")), outcomes, strict=False)
        for name, each in zip(names, zip(*seeds, strict=True), strict=False)
    ]
    return Uncertainty(task, recipe, len(outcomes[0]), samples, *rows, SHARES, tuple(predictors))


def _average(name: str, outcomes: Sequence[Outcome[float]]) -> PredictorSummary:
    """Return what one way of predicting came to over the seeds."""
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
