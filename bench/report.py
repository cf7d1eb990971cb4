"""Measured times as rows, tables and sentences."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from timing import quartiles

TORCH_BOUND, NUMPY_BOUND = 1.5, 2.5
LEAST_ELEMENTS = 2**18


@dataclass(frozen=True)
class Row:
    """One contender at one size; times in nanoseconds per element, quartiles below and above."""

    group: str
    threads: int
    elements: int
    contender: str
    rounds: int
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """The median of one of ours over that of a peer, and quartiles of the ratio within a round."""

    group: str
    threads: int
    elements: int
    ours: str
    peer: str
    low: float
    ratio: float
    high: float


@dataclass(frozen=True)
class Requirement:
    """A bound on a ratio of forward passes, and the largest one that was measured."""

    text: str
    applies: bool
    worst: Ratio | None
    bound: float

    @property
    def met(self) -> bool | None:
        """Whether every ratio is within the bound; None if none was measured or it is idle."""
        if self.worst is None or not self.applies:
            return None
        return self.worst.ratio <= self.bound

    def config(self) -> dict[str, object]:
        """Return the requirement as JSON can hold it."""
        return {**asdict(self), "met": self.met}

    def sentence(self) -> str:
        """Return the outcome in words."""
        if self.worst is None:
            return f"{self.text}: no size was large enough to tell"
        seen = (
            f"at most {self.worst.ratio:.2f} times, at {size(self.worst.elements)} elements "
            f"({self.worst.group})"
        )
        verdict = {True: "met", False: "NOT MET", None: "does not apply here"}[self.met]
        return f"{self.text}: {verdict}; {seen}"


def rows(group: str, threads: int, elements: int, samples: Mapping[str, list[float]]) -> list[Row]:
    """Return the rows of one group at one size."""
    return [
        Row(
            group,
            threads,
            elements,
            name,
            len(seconds),
            *(1e9 * value / elements for value in quartiles(seconds)),
        )
        for name, seconds in samples.items()
    ]


def ratios(
    group: str,
    threads: int,
    elements: int,
    samples: Mapping[str, list[float]],
    peers: Mapping[str, Sequence[str]],
) -> list[Ratio]:
    """Return the ratios of one group at one size, of ours that were measured."""
    found = []
    for ours, theirs in peers.items():
        for peer in theirs if ours in samples else ():
            within = [a / b for a, b in zip(samples[ours], samples[peer], strict=True)]
            low, _, high = quartiles(within)
            ratio = quartiles(samples[ours])[1] / quartiles(samples[peer])[1]
            found.append(Ratio(group, threads, elements, ours, peer, low, ratio, high))
    return found


def requirements(
    found: Iterable[Ratio], groups: Collection[str], serial: bool | None
) -> list[Requirement]:
    """Return what is asked of the forward pass at LEAST_ELEMENTS and more, with the outcome.

    Each number of threads has its own line: threads need idle cores, and one does not.
    """
    forward = [r for r in found if r.group in groups]
    asked = []
    for peer, threads in dict.fromkeys((r.peer, r.threads) for r in forward):
        large = [
            r
            for r in forward
            if (r.peer, r.threads) == (peer, threads) and r.elements >= LEAST_ELEMENTS
        ]
        worst = max(large, key=lambda r: r.ratio, default=None)
        where = _threads(threads)
        if peer == "F.dropout":
            text = f"noisegate torch within {TORCH_BOUND} times F.dropout, serial path, {where}"
            asked.append(Requirement(text, serial is not False, worst, TORCH_BOUND))
        else:
            text = f"noisegate numpy within {NUMPY_BOUND} times a {peer}, {where}"
            asked.append(Requirement(text, True, worst, NUMPY_BOUND))
    return sorted(asked, key=lambda requirement: requirement.text, reverse=True)


def table(measured: Sequence[Row], found: Sequence[Ratio]) -> str:
    """Return the rows of one group and number of threads: a line per contender, sizes across."""
    sizes = sorted({row.elements for row in measured})
    names = list(dict.fromkeys(row.contender for row in measured))
    times = {(row.contender, row.elements): row for row in measured}
    pairs = list(dict.fromkeys((r.ours, r.peer) for r in found))
    of_pair = {(r.ours, r.peer, r.elements): r for r in found}
    first = measured[0]
    lines = [["ns per element", *(size(elements) for elements in sizes)]]
    for name in names:
        cells = (times[name, elements] for elements in sizes)
        lines.append([name, *(f"{_digits(r.median)} ±{_spread(r)}%" for r in cells)])
    for ours, peer in pairs:
        ratio = (of_pair[ours, peer, elements] for elements in sizes)
        lines.append([f"{ours} / {peer}", *(_ratio(r) for r in ratio)])
    return f"{first.group}, {_threads(first.threads)}\n{_aligned(lines)}"


def size(elements: int) -> str:
    """Return a number of elements as a power of two."""
    return f"2^{elements.bit_length() - 1}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _spread(row: Row) -> str:
    """Return half the distance of the quartiles, in per cent of the median."""
    return f"{50 * (row.high - row.low) / row.median:.0f}"


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.ratio:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in lines
    )
