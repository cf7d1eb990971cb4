"""Distributions that random functions must have, and statistics that tell what has another one."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from _backends import Backend
from _distributions import draw

# The chance of a true sample to be refused, at each end: the keys are fixed, so it is refused
# always or never.
LOW, HIGH = 1e-4, 1 - 1e-4


class Law(NamedTuple):
    """A random function with parameters, and the distribution that it must have."""

    name: str
    given: dict[str, Any]
    law: Any

    def __str__(self) -> str:
        numbers = ",".join(f"{key}={value}" for key, value in self.given.items())
        return f"{self.name}({numbers})"


CONTINUOUS = [
    Law("uniform", {}, stats.uniform()),
    Law("uniform", {"low": -2.0, "high": 3.0}, stats.uniform(-2, 5)),
    Law("normal", {"mean": 1.0, "std": 0.3}, stats.norm(1, 0.3)),
    Law("exponential", {"rate": 2.5}, stats.expon(scale=0.4)),
    Law("cauchy", {"median": 1.0, "sigma": 3.0}, stats.cauchy(1, 3)),
    Law("log_normal", {"mean": 0.5, "std": 1.5}, stats.lognorm(1.5, scale=np.exp(0.5))),
    *(Law("gamma", {"concentration": a}, stats.gamma(a)) for a in (0.1, 0.9, 1.0, 2.5, 50.0)),
    # Of so large a concentration, a gamma number is a normal one.
    Law("gamma", {"concentration": 1e14}, stats.norm(1e14, 1e7)),
]
BERNOULLI = [Law("bernoulli", {"p": p}, stats.bernoulli(p)) for p in (0.01, 0.3, 0.999)]
DISCRETE = [
    *BERNOULLI,
    Law("randint", {"low": -5, "high": 12}, stats.randint(-5, 12)),
    *(Law("geometric", {"p": p}, stats.geom(p)) for p in (0.1, 0.9)),
    *(
        Law("poisson", {"rate": rate}, stats.poisson(rate))
        for rate in (0.1, 3.0, 9.99, 10.0, 11.0, 80.0, 1000.0)
    ),
    *(
        Law("binomial", {"count": n, "p": p}, stats.binom(n, p))
        for n, p in ((10, 0.3), (20, 0.5), (25, 0.3), (1000, 0.02), (1000, 0.97), (10000, 0.5))
    ),
]
# So large that cells are ranges of numbers.
LARGE = [
    Law("poisson", {"rate": 1e9}, stats.norm(1e9, 1e9**0.5)),
    Law("poisson", {"rate": 4e15}, stats.norm(4e15, 4e15**0.5)),
    Law("binomial", {"count": 4 * 10**15, "p": 0.25}, stats.norm(1e15, 7.5e14**0.5)),
    Law("geometric", {"p": 1e-13}, stats.expon(scale=1e13)),
]


def sample_law(backend: Backend, law: Law, size: int, dtype: str = "float64") -> np.ndarray:
    """Return a sample of a random function."""
    return draw(backend, law.name, dtype, (size,), **law.given)


def assert_continuous(sample: np.ndarray, law: Any) -> None:
    """A sample has the distribution of a law, by Kolmogorov and Smirnov."""
    assert_likely(stats.kstest(sample.astype(np.float64).ravel(), law.cdf).pvalue)


def assert_discrete(sample: np.ndarray, law: Any) -> None:
    """Whole numbers have the distribution of a law, by chi squared over cells of 25 and more."""
    values, size = sample.astype(np.int64).ravel(), sample.size
    first, last = int(min(values.min(), law.ppf(1e-9))), int(max(values.max(), law.isf(1e-9)))
    numbers = np.arange(first, last + 1)
    assert_cells(np.bincount(values - first, minlength=len(numbers)), law.pmf(numbers) * size)


def assert_cells(counts: np.ndarray, expected: np.ndarray) -> None:
    """Counts are as expected, by chi squared; neighbours are merged to cells of 25 and more."""
    seen, awaited, ends = [], [], []
    total = 0.0
    for place, more in enumerate(expected):
        total += more
        if total >= 25:
            ends.append(place + 1)
            total = 0.0
    ends[-1] = len(expected)
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        seen.append(counts[start:stop].sum())
        awaited.append(expected[start:stop].sum())
    cells, formula = np.array(seen), np.array(awaited)
    statistic = ((cells - formula) ** 2 / formula).sum()
    assert_likely(stats.chi2.sf(statistic, len(cells) - 1))


def assert_likely(chance: float) -> None:
    if not LOW < chance < HIGH:
        raise AssertionError(f"what was seen has a chance of {chance:.2g}")
