"""Times of contenders that take turns, so that a slow moment of the machine hits all of them."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from statistics import median, quantiles
from time import perf_counter

Call = Callable[[], object]

# A sample shorter than this is repeated within the sample: a clock call costs some 50 ns.
SHORTEST_SAMPLE = 1e-3


def interleaved(
    contenders: Mapping[str, Call], seconds: float, rounds: tuple[int, int]
) -> dict[str, list[float]]:
    """Return the seconds per call of every contender, one number per round.

    A round times each contender once, and the next round starts with another one, so that none
    always follows the same neighbour. There are as many rounds as fit into `seconds`, within
    the bounds `rounds`; where the machine turns slow, rounds end early, but not below the lower.
    """
    with _no_collection():
        repeats = {name: _repeats(call) for name, call in contenders.items()}
        once = sum(
            _sample(call, repeats[name]) * repeats[name] for name, call in contenders.items()
        )
        count = min(max(int(seconds / once), rounds[0]), rounds[1])
        samples: dict[str, list[float]] = {name: [] for name in contenders}
        names = list(contenders)
        end = perf_counter() + 2 * seconds
        for turn in range(count):
            if turn >= rounds[0] and perf_counter() > end:
                break
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                samples[name].append(_sample(contenders[name], repeats[name]))
    return samples


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def _repeats(call: Call) -> int:
    call()  # the first call pays for allocations and caches
    return max(1, ceil(SHORTEST_SAMPLE / max(_sample(call, 1), 1e-9)))


def _sample(call: Call, repeats: int) -> float:
    """Return the mean seconds per call of `repeats` calls."""
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's collector of cycles out of the times, as `timeit` does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
