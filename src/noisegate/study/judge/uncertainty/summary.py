"""Uncertainty over the seeds: means, standard errors, mean curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..stats import Estimate, estimate
from .measures import SHARES
from .outcomes import Coverage, Histogram, OneSeed, Outcome, Reliability

__all__ = ["CoverageSummary", "PredictorSummary", "Uncertainty", "summary"]


@dataclass(frozen=True, slots=True)
class CoverageSummary:
    """What intervals of one source hold, and their mean widths, at each level over the seeds."""

    source: str
    levels: tuple[float, ...]
    held: tuple[Estimate, ...]
    widths: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class PredictorSummary:
    """One way of predicting over the seeds.

    `name` is `none`, trained without noise; `off` or `on`, trained with noise, and which it is
    when predicting. `reliability` is of the rows of all seeds together, `histogram` the mean.
    """

    name: str
    measures: dict[str, Estimate]
    rejection: tuple[Estimate, ...]
    reliability: Reliability | None
    coverage: tuple[CoverageSummary, ...]
    histogram: Histogram | None


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How far doubt can be trusted, without noise and with a recipe, over the seeds.

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


def summary(
    baseline: Sequence[OneSeed], recipe: Sequence[OneSeed] = (), label: str = "noise"
) -> Uncertainty:
    """Return the summary of the models without noise, and of those of one recipe.

    Parameters
    ----------
    baseline : sequence of OneSeed
        The models that were trained without noise, one a seed; at least one.
    recipe : sequence of OneSeed
        Those that were trained with the recipe, for the same seeds.
    label : str
        What the recipe is called in sentences and figures.
    """
    ways = {"none": [one.off for one in baseline]}
    if recipe:
        ways["off"] = [one.off for one in recipe]
        ways["on"] = [one.on for one in recipe if one.on is not None]
    first = baseline[0]
    return Uncertainty(
        first.task,
        label,
        len(baseline),
        max(one.samples for one in (*baseline, *recipe)),
        first.rows,
        first.ood_rows,
        SHARES,
        tuple(_of_predictor(name, outcomes) for name, outcomes in ways.items() if outcomes),
    )


def _of_predictor(name: str, outcomes: Sequence[Outcome]) -> PredictorSummary:
    return PredictorSummary(
        name,
        {key: _over([o.measures[key] for o in outcomes]) for key in outcomes[0].measures},
        _columns([o.rejection for o in outcomes]),
        _pooled([o.reliability for o in outcomes if o.reliability]),
        tuple(map(_coverage, zip(*(o.coverage for o in outcomes), strict=True))),
        _mean_histogram([o.histogram for o in outcomes if o.histogram]),
    )


def _over(values: Sequence[float]) -> Estimate:
    """Return the mean and its standard error, which one value does not have."""
    return estimate(values) if len(values) > 1 else Estimate(values[0], math.nan)


def _columns(rows: Sequence[Sequence[float]]) -> tuple[Estimate, ...]:
    return tuple(_over(values) for values in zip(*rows, strict=True))


def _coverage(lines: Sequence[Coverage]) -> CoverageSummary:
    first = lines[0]
    held, widths = (
        _columns([line.held for line in lines]),
        _columns([line.widths for line in lines]),
    )
    return CoverageSummary(first.source, first.levels, held, widths)


def _pooled(parts: Sequence[Reliability]) -> Reliability | None:
    if not parts:
        return None
    counts = [sum(bin) for bin in zip(*(part.counts for part in parts), strict=True)]

    def mean(name: str) -> tuple[float | None, ...]:
        sums = [
            sum(count * (value or 0.0) for count, value in bin)
            for bin in zip(
                *(zip(p.counts, getattr(p, name), strict=True) for p in parts), strict=True
            )
        ]
        return tuple(s / count if count else None for s, count in zip(sums, counts, strict=True))

    return Reliability(tuple(counts), mean("confidences"), mean("accuracies"))


def _mean_histogram(parts: Sequence[Histogram]) -> Histogram | None:
    if not parts:
        return None
    test, ood = (
        tuple(fmean(bin) for bin in zip(*shares, strict=True))
        for shares in ([part.test for part in parts], [part.ood for part in parts])
    )
    return Histogram(parts[0].edges, test, ood)
