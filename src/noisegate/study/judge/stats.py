"""Means and paired differences over seeds, and how sure they are."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TypeVar

LEVEL = 0.95
ALPHA = 0.05

# More splits of the same rows than this, and an interval over them is called optimistic.
MANY = 10

# More seeds than this are not counted out.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and its standard error."""

    mean: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of the differences seed by seed, and how sure it is; below 0 is better.

    Where a difference is not finite, every number but `seeds` is NaN and the verdict is unclear.

    `low` and `high` are the ends of the t-interval at `LEVEL`, `p` is of the two-sided paired
    t-test; without spread `p` is 0, or 1 if every difference is 0. The corrected interval has
    Nadeau and Bengio's variance, (1/n + validation samples / training samples) times that of the
    differences: splits of the same samples are not independent. `holm` is `p` adjusted by `adjust`
    for the family of comparisons; `p` itself until then. `more_seeds` more would make `holm` less
    than `ALPHA` if mean and spread stay as they are; `MOST` stands for `MOST` or more, None for
    none to wait for: `holm` is less already, the mean is exactly 0, or not finite.

    Reference: Nadeau and Bengio, "Inference for the generalization error", Machine Learning, 2003.
    """

    mean: float
    low: float
    high: float
    p: float
    corrected_low: float
    corrected_high: float
    holm: float
    seeds: int
    more_seeds: int | None

    @property
    def verdict(self) -> str:
        """`helped` or `hurt` if the adjusted p is less than `ALPHA`, else `unclear`."""
        if not self.holm < ALPHA:
            return "unclear"
        return "helped" if self.mean < 0 else "hurt"

    @property
    def optimistic(self) -> bool:
        """Whether there are so many splits of the same rows that `low` and `high` are too near."""
        return self.seeds > MANY


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe on one model over the seeds, at each run's best epoch.

    The differences are paired with the recipe `none`, which has none itself.
    """

    model: str
    recipe: str
    seeds: int
    best_epoch: Estimate
    train_loss: Estimate
    validation_loss: Estimate
    validation_error: Estimate
    loss_difference: Difference | None
    error_difference: Difference | None

    @property
    def verdict(self) -> str | None:
        """That of the difference in loss; None for `none` itself."""
        return self.loss_difference.verdict if self.loss_difference else None


# A row without a difference is `none`'s own.
D = TypeVar("D", Difference, Difference | None)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean and its standard error, stdev / sqrt(n), which is NaN for one value.

    Both are NaN if a value is not finite.
    """
    if not all(map(math.isfinite, values)):
        return Estimate(math.nan, math.nan)
    if len(values) == 1:
        return Estimate(values[0], math.nan)
    return Estimate(fmean(values), stdev(values) / math.sqrt(len(values)))


def find_leading(rows: Sequence[Row]) -> Row | None:
    """Return the row that speaks for its model: the lowest mean of the recipes that helped.

    If none helped, it is the lowest mean of all recipes with noise; None if no loss is finite.
    """
    known = [row for row in rows if row.loss_difference and math.isfinite(row.loss_difference.mean)]
    helped = [row for row in known if row.verdict == "helped"]
    return min(helped or known, key=lambda row: row.validation_loss.mean, default=None)


def estimate_difference(
    values: Sequence[float], baseline: Sequence[float], *, ratio: float
) -> Difference:
    """Return the mean of ``values - baseline``, paired by position, as a family of its own.

    Pairing takes out what a seed does to both: an easy split is easy with and without noise. There
    are at least two values; `ratio` is validation samples / training samples, 0 where the seeds
    split nothing.

    Reference: Student, "The probable error of a mean", Biometrika, 1908.
    """
    found = estimate([value - base for value, base in zip(values, baseline, strict=True)])
    mean, error, n = found.mean, found.standard_error, len(values)
    half = _find_quantile(n - 1, (1 + LEVEL) / 2) * error
    wider = half * math.sqrt(1 + n * ratio)
    p = _find_p(mean, error, n)
    alone = Difference(mean, mean - half, mean + half, p, mean - wider, mean + wider, p, n, None)
    return adjust([alone])[0]


def adjust_p_values(ps: Sequence[float]) -> list[float]:
    """Return the p adjusted for their number: each less than `ALPHA` is sure with all the others.

    The i-th smallest of k, from 0, is multiplied by k - i, and is no less than the one before.
    A NaN stays NaN, and counts in k: what was tried decides, not what came of it.

    Reference: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics, 1979.
    """
    found, largest = [math.nan] * len(ps), 0.0
    for factor, at in _order_steps(ps):
        if not math.isnan(ps[at]):
            largest = max(largest, min(1.0, factor * ps[at]))
            found[at] = largest
    return found


def adjust(differences: Sequence[D]) -> list[D]:
    """Return the differences of one family with `holm` and `more_seeds` of all of them together.

    A family is what one sentence chooses from: the recipes compared with `none` on one model.
    None stands for `none` itself: it stays where it is, and does not count.
    """
    found: list[D] = list(differences)
    family = [(at, one) for at, one in enumerate(differences) if one is not None]
    ps, more = [one.p for _, one in family], 0
    after = adjust_p_values(ps)
    for factor, place in _order_steps(ps):
        at, one = family[place]
        if math.isnan(one.p):
            found[at] = replace(one, holm=math.nan, more_seeds=None)
            continue
        # A step is reached once those before it are passed; their order stays as seeds are added.
        more = max(more, _count_more_seeds(one.p, one.seeds, ALPHA / factor))
        is_open = after[place] >= ALPHA and one.mean != 0
        found[at] = replace(one, holm=after[place], more_seeds=max(1, more) if is_open else None)
    return found


def _find_p(mean: float, error: float, n: int) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return 2 * float(stdtr(n - 1, -abs(mean) / error))


def _find_quantile(freedom: int, level: float) -> float:
    """Return what Student's t of that many degrees of freedom is below with a probability."""
    # Here, since what is wrong with a call is told before SciPy is imported.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))


def _order_steps(ps: Sequence[float]) -> list[tuple[int, int]]:
    """Return (what Holm multiplies p by, the place of p), the smallest p first, NaN last."""
    order = sorted(range(len(ps)), key=lambda i: (math.isnan(ps[i]), ps[i]))
    return [(len(ps) - step, at) for step, at in enumerate(order)]


def _count_more_seeds(p: float, seeds: int, level: float) -> int:
    """Return the least number of more seeds, of 0 to `MOST`, that makes p less than `level`."""
    if p < level:
        return 0
    t = -_find_quantile(seeds - 1, p / 2)

    def enough(more: int) -> bool:
        n = seeds + more
        return -_find_quantile(n - 1, level / 2) < t * math.sqrt(n / seeds)

    return bisect_left(range(MOST), True, key=enough)
