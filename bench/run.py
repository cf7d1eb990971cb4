"""Measure every figure of `goals.py` in one run: ours, peers and copies in turns.

The exit status is 0 unless `--require` is given: a benchmark measures, it does not judge.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from contenders import ONE_THREAD
from goals import Goal, Task, goals, tasks
from machine import facts, load
from report import Figure, Row, Verdict, figures, parser, rows, summary, table, verdicts, write

QUICK_SECONDS, QUICK_ROUNDS = 0.02, (3, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    options = _options(arguments)
    machine = facts()
    shown = "processor", "engine", "engine_threads", "huge_pages", "torch", "numpy"
    print(", ".join(f"{name} {machine[name]}" for name in shown))
    serial, why = machine["torch_serial_path"], machine["torch_serial_path_because"]
    print(f"torch's serial path: {serial}: {why}")
    some = [task for task in tasks() if options.only in task.title]
    pairs = [(task, n) for task in some for n in task.threads if n in options.threads]
    made = measure_all(pairs, goals(serial), machine, options)
    return int(options.require and any(verdict.met is False for verdict in made))


def measure_all(
    pairs: Sequence[tuple[Task, int]],
    asked: Sequence[Goal],
    machine: dict[str, Any],
    options: argparse.Namespace,
) -> list[Verdict]:
    """Measure tasks, each with a number of torch threads; print and write all, return verdicts."""
    measured: list[Row] = []
    found: list[Figure] = []
    for task, threads in pairs:
        mine = measure(task, threads, asked, options.quick)
        print(f"\n{table(*mine)}", flush=True)
        measured += mine[0]
        found += mine[1]
    made = verdicts(asked, pairs, found)
    machine["load_after"] = load()
    print(f"\n{summary(made)}")
    print(f"\nload of the machine: {machine['load']} before, {machine['load_after']} after")
    content = {
        "machine": machine,
        "times": [asdict(row) for row in measured],
        "figures": [figure.config() for figure in found],
        "verdicts": [verdict.config() for verdict in made],
    }
    write(options.json, content)
    return made


def measure(
    task: Task, threads: int, asked: Sequence[Goal], quick: bool
) -> tuple[list[Row], list[Figure]]:
    """Return the numbers of a task with a number of torch threads, and the verdicts on them."""
    torch.set_num_threads(threads)
    measured: list[Row] = []
    found: list[Figure] = []
    limits = (QUICK_SECONDS, QUICK_ROUNDS) if quick else (task.seconds, task.rounds)
    for size in task.quick if quick else task.sizes:
        made = task.make(size)
        some = {k: v for k, v in made.items() if threads == 1 or k not in ONE_THREAD}
        samples = task.measure(some, *limits)
        measured += rows(task, threads, size, samples)
        found += figures(asked, task, threads, size, samples)
    return measured, found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__, quick="small sizes and three rounds")
    options.add_argument(
        "--only", default="", metavar="TEXT", help="tasks with this in their title"
    )
    options.add_argument(
        "--threads",
        type=int,
        nargs="+",
        choices=(1, 2),
        default=[1, 2],
        metavar="N",
        help="numbers of threads (default: 1 2); NumPy's own and jax are timed beside 1 only",
    )
    options.add_argument(
        "--require", action="store_true", help="exit with 1 if a line at the end says NOT MET"
    )
    return options.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
