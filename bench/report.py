"""Measured numbers as rows, figures, tables and verdicts."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contenders import MISSING, Size, elements
from goals import Goal, Task
from timing import Samples, quartiles, tail

TAIL = "99th percentile / median"


@dataclass(frozen=True)
class Row:
    """One contender at one size: the quartiles and the tail of its numbers, in a unit."""

    task: str
    threads: int
    size: str
    contender: str
    unit: str
    rounds: int
    low: float
    median: float
    high: float
    tail: float


@dataclass(frozen=True)
class Figure:
    """The number that a goal is about, at one size.

    A ratio is that of the medians, or of the tails. `low` and `high` are quartiles of the ratio
    within a round; for a tail, which has none, they equal the value. A figure `counts` if the goal
    is about its size.
    """

    goal: Goal
    task: str
    threads: int
    size: str
    ours: str
    value: float
    low: float
    high: float
    unit: str
    counts: bool

    def config(self) -> dict[str, object]:
        """Return the figure, ready for JSON."""
        return {**asdict(self), "goal": self.goal.text, "peer": self.goal.peer}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a goal, for one task, number of threads, and one of ours."""

    goal: Goal
    task: str
    threads: int
    ours: str
    figures: tuple[Figure, ...]
    missing: str | None

    @property
    def worst(self) -> Figure | None:
        """The figure that is farthest from the goal; without a bound, the least favourable one."""
        fewer = self.goal.least is not None
        order = sorted(self.figures, key=lambda figure: figure.value, reverse=not fewer)
        return order[0] if order else None

    @property
    def met(self) -> bool | None:
        """Whether all figures meet the goal; None if none was measured, or there is no bound."""
        worst, goal = self.worst, self.goal
        if worst is None or (goal.most is None and goal.least is None):
            return None
        return worst.value >= goal.least if goal.most is None else worst.value <= goal.most

    def config(self) -> dict[str, object]:
        """Return the verdict, ready for JSON."""
        figures = [figure.config() for figure in self.figures]
        met = {"verdict": self.verdict, "met": self.met, "missing": self.missing}
        return {**asdict(self), "figures": figures, **met}

    @property
    def verdict(self) -> str:
        """MET, NOT MET, or why neither."""
        if self.missing:
            return "not measured"
        if not self.figures:
            return "no such size"
        return {True: "MET", False: "NOT MET", None: "compare"}[self.met]

    def line(self) -> list[str]:
        """Return the cells of the verdict in the table of all."""
        goal, worst = self.goal, self.worst
        who = f"{self.ours} / {goal.peer}" if goal.peer else self.ours
        if goal.least is not None and goal.peer:
            who = f"{goal.peer} / {self.ours}"
        asked = f"≤ {goal.most:g}" if goal.most is not None else "-"
        asked = f"≥ {goal.least:g}" if goal.least is not None else asked
        number = self.missing or "-"
        if worst is not None:
            unit = "times" if goal.peer else worst.unit
            each = ", ".join(f"{f.size} {_digits(f.value)}" for f in self.figures)
            number = f"{_digits(worst.value)} {unit} ({each})"
        where = f"{self.task}, {_threads(self.threads)}"
        return [self.verdict, goal.text, where, who, asked, number]


def rows(task: Task, threads: int, size: Size, samples: Samples) -> list[Row]:
    """Return the rows of a task at one size."""
    unit, factor = task.unit, _factor(task, size)
    return [
        Row(
            task.title,
            threads,
            label(size),
            name,
            unit.name,
            len(values),
            *(factor * value for value in quartiles(values)),
            tail(values),
        )
        for name, values in samples.items()
    ]


def figures(
    asked: Iterable[Goal], task: Task, threads: int, size: Size, samples: Samples
) -> list[Figure]:
    """Return the figures of a task at one size."""
    found = []
    for goal in asked:
        counts = size in (goal.sizes or task.sizes)
        for ours in goal.ours if _is_about(goal, task, threads) else ():
            if ours not in samples or (goal.peer is not None and goal.peer not in samples):
                continue
            given = samples[ours], samples[goal.peer] if goal.peer else None
            value, low, high = _values(goal, *given, _factor(task, size))
            where = task.title, threads, label(size), ours
            unit = "times" if goal.peer else task.unit.name
            found.append(Figure(goal, *where, value, low, high, unit, counts))
    return found


def verdicts(
    asked: Sequence[Goal], done: Sequence[tuple[Task, int]], found: Sequence[Figure]
) -> list[Verdict]:
    """Return the outcome of all goals about the tasks that ran."""
    made = []
    for goal in asked:
        about = [(task, n) for task, n in done if _is_about(goal, task, n)]
        for ours, (task, threads) in ((ours, one) for ours in goal.ours for one in about):
            where = task.title, threads, ours
            mine = [f for f in found if f.goal is goal and (f.task, f.threads, f.ours) == where]
            counting = tuple(f for f in mine if f.counts)
            missing = None if mine else _missing(ours) or _missing(goal.peer) or "not measured"
            made.append(Verdict(goal, *where, counting, missing))
    return made


def table(measured: Sequence[Row], found: Sequence[Figure]) -> str:
    """Return the rows of one task and number of threads, and their ratios; sizes across."""
    first = measured[0]
    sizes = list(dict.fromkeys(row.size for row in measured))
    lines = [[first.unit, *sizes]]
    of = {(row.contender, row.size): row for row in measured}
    for name in dict.fromkeys(row.contender for row in measured):
        cells = (of.get((name, size)) for size in sizes)
        lines.append([name, *(f"{_digits(r.median)} ±{_spread(r)}%" if r else "" for r in cells)])
    if any(figure.goal.tail for figure in found):
        for name in dict.fromkeys(row.contender for row in measured):
            lines.append([f"{name}, {TAIL}", *(_digits(of[name, size].tail) for size in sizes)])
    ratios: dict[str, dict[str, str]] = {}
    for figure in found:
        if figure.goal.peer:
            ratios.setdefault(_name(figure), {})[figure.size] = _ratio(figure)
    lines += [[name, *(cells.get(size, "") for size in sizes)] for name, cells in ratios.items()]
    return f"{first.task}, {_threads(first.threads)}\n{_align(lines)}"


def summary(made: Sequence[Verdict]) -> str:
    """Return the table of all verdicts: goals with bounds first, then comparisons."""
    order = sorted(made, key=lambda verdict: verdict.verdict == "compare")
    head = ["", "figure", "task", "of", "goal", "worst (each)"]
    return _align([head, *(verdict.line() for verdict in order)], left=True)


def parser(description: str | None, quick: str) -> ArgumentParser:
    """Return a parser of the options that every benchmark has; `quick` says what is left out."""
    options = ArgumentParser(description=description)
    options.add_argument("--json", type=Path, metavar="FILE", help="write every number here")
    options.add_argument("--quick", action="store_true", help=quick)
    return options


def write(path: Path | None, content: Mapping[str, object]) -> None:
    """Write every number as JSON, if a path is given."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def label(size: Size) -> str:
    """Return a number of elements as a power of two; a shape stays as it is."""
    return size if isinstance(size, str) else f"2^{size.bit_length() - 1}"


def _is_about(goal: Goal, task: Task, threads: int) -> bool:
    return task.title in goal.tasks and goal.threads in (None, threads)


def _factor(task: Task, size: Size) -> float:
    return task.unit.factor / (elements(size) if task.unit.each else 1)


def _values(
    goal: Goal, ours: list[float], peer: list[float] | None, factor: float
) -> tuple[float, float, float]:
    """Return the value of a figure, and its quartiles."""
    if peer is None:
        low, median, high = (factor * value for value in quartiles(ours))
        return median, low, high
    over, under = (peer, ours) if goal.least is not None else (ours, peer)
    if goal.tail:
        return (tail(over) / tail(under),) * 3
    low, _, high = quartiles([a / b for a, b in zip(over, under, strict=True)])
    return quartiles(over)[1] / quartiles(under)[1], low, high


def _name(figure: Figure) -> str:
    goal = figure.goal
    assert goal.peer is not None
    over = (goal.peer, figure.ours) if goal.least is not None else (figure.ours, goal.peer)
    return " / ".join(over) + (f", {TAIL}" if goal.tail else "")


def _ratio(figure: Figure) -> str:
    low, high = _digits(figure.low), _digits(figure.high)
    return _digits(figure.value) + ("" if figure.goal.tail else f" ({low}-{high})")


def _missing(name: str | None) -> str | None:
    return next((why for start, why in MISSING.items() if name and name.startswith(start)), None)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _spread(row: Row) -> str:
    """Return half the distance of the quartiles, in per cent of the median."""
    return f"{50 * (row.high - row.low) / row.median:.0f}" if row.median else "0"


def _align(lines: list[list[str]], left: bool = False) -> str:
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    sides = [str.ljust, *([str.ljust if left else str.rjust] * (len(widths) - 1))]
    return "\n".join(
        "  ".join(put(c, w) for put, c, w in zip(sides, line, widths, strict=True)).rstrip()
        for line in lines
    )
