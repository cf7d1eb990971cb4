"""Times of contenders that take turns, so that a slow moment of the machine hits all of them."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from statistics import median, quantiles
from time import perf_counter

Call = Callable[[], object]
Samples = dict[str, list[float]]

# A sample shorter than this is repeated within the sample: a clock call costs some 50 ns.
SHORTEST_SAMPLE = 1e-3
# A call up to this long runs once before its sample is timed, so that the cache holds its own
# arrays, not those of the previous contender.
LONGEST_WARMED = 2e-2


def time_in_turns(
    contenders: Mapping[str, Call], seconds: float, rounds: tuple[int, int]
) -> Samples:
    """Return the seconds per call of every contender, one number per round.

    A round times each contender once, and the next round starts with another one, so that none
    always follows the same neighbour. There are as many rounds as fit into `seconds`, within the
    bounds `rounds`. If the machine becomes slow, the rounds end early, but not below the lower
    bound.
    """
    with _no_collection():
        known = {name: _calibrate(call) for name, call in contenders.items()}
        start = perf_counter()
        for name, call in contenders.items():
            _sample(call, *known[name])
        count = min(max(int(seconds / (perf_counter() - start)), rounds[0]), rounds[1])
        samples: Samples = {name: [] for name in contenders}
        end = perf_counter() + 2 * seconds
        for turn in range(count):
            if turn >= rounds[0] and perf_counter() > end:
                break
            for name in _rotate(list(contenders), turn):
                samples[name].append(_sample(contenders[name], *known[name]))
    return samples


def time_in_loop(
    contenders: Mapping[str, Call], step: Call, seconds: float, rounds: tuple[int, int]
) -> Samples:
    """Return the seconds of single calls, one of each contender after every step of a loop."""
    samples: Samples = {name: [] for name in contenders}
    with _no_collection():
        for call in (step, *contenders.values()):
            call()
        end = perf_counter() + seconds
        for turn in range(rounds[1]):
            if turn >= rounds[0] and perf_counter() > end:
                break
            step()
            for name in _rotate(list(contenders), turn):
                samples[name].append(_sample(contenders[name], 1, False))
    return samples


def collect_numbers(
    contenders: Mapping[str, Call], seconds: float, rounds: tuple[int, int]
) -> Samples:
    """Return the numbers that the contenders return: not times, but for the same tables."""
    # A contender may return anything; those of a counted task return numbers.
    return {name: [float(call())] for name, call in contenders.items()}  # type: ignore[arg-type]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def tail(values: list[float]) -> float:
    """Return the 99th percentile over the median, or 1 where that is 0."""
    middle = median(values)
    last = quantiles(values, n=100, method="inclusive")[-1] if len(values) > 1 else middle
    return last / middle if middle else 1.0


def _rotate(names: list[str], turn: int) -> list[str]:
    first = turn % len(names)
    return names[first:] + names[:first]


def _calibrate(call: Call) -> tuple[int, bool]:
    """Return how often a call is repeated in a sample, and whether it runs once before."""
    call()  # the first call pays for allocations and caches
    once = max(_sample(call, 1, False), 1e-9)
    return max(1, ceil(SHORTEST_SAMPLE / once)), once <= LONGEST_WARMED


def _sample(call: Call, repeats: int, warmed: bool) -> float:
    """Return the mean seconds per call of `repeats` calls."""
    if warmed:
        call()
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


@contextmanager
def _no_collection() -> Iterator[None]:
    """Switch Python's collector of cycles off while times are taken, as `timeit` does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
