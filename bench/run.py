"""Times noise against torch's own dropout, a NumPy mask and a copy, in one run.

Says nothing by its exit status unless `--require` is given: a benchmark measures.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from contenders import FORWARD, FORWARD_TENTH, Group, groups
from machine import facts, load
from report import Ratio, Requirement, Row, ratios, requirements, rows, table
from timing import interleaved

SECONDS, ROUNDS = 1.0, (5, 100)
QUICK_SECONDS, QUICK_ROUNDS = 0.02, (3, 3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return the exit status."""
    options = _options(arguments)
    machine = {**facts(), "load_before": load()}
    print(", ".join(f"{name} {machine[name]}" for name in ("processor", "torch", "numpy")))
    print(
        f"torch's serial path: {machine['torch_serial_path']}: "
        f"{machine['torch_serial_path_because']}"
    )
    measured, found = measure(options.threads, options.quick)
    machine["load_after"] = load()
    asked = requirements(found, (FORWARD, FORWARD_TENTH), machine["torch_serial_path"])
    print(f"\nload of the machine: {machine['load_before']} before, {machine['load_after']} after")
    for requirement in asked:
        print(requirement.sentence())
    if options.json:
        write(options.json, machine, measured, found, asked)
    return int(options.require and not all(requirement.met is not False for requirement in asked))


def measure(threads: Sequence[int], quick: bool) -> tuple[list[Row], list[Ratio]]:
    """Return all times and ratios, and print each table when it is complete."""
    measured: list[Row] = []
    found: list[Ratio] = []
    for group in groups(quick):
        for count in threads:
            torch.set_num_threads(count)
            some, their = _group(group, count, quick)
            print(f"\n{table(some, their)}", flush=True)
            measured += some
            found += their
    return measured, found


def write(
    path: Path,
    machine: dict[str, object],
    measured: Sequence[Row],
    found: Sequence[Ratio],
    asked: Sequence[Requirement],
) -> None:
    """Write every number as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine,
        "times": [asdict(row) for row in measured],
        "ratios": [asdict(ratio) for ratio in found],
        "requirements": [requirement.config() for requirement in asked],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _group(group: Group, threads: int, quick: bool) -> tuple[list[Row], list[Ratio]]:
    measured: list[Row] = []
    found: list[Ratio] = []
    for elements in group.sizes:
        contenders = group.make(elements)
        if threads != 1:  # NumPy computes in one thread whatever it is told
            contenders = {k: v for k, v in contenders.items() if "numpy" not in k.lower()}
        seconds, rounds = (QUICK_SECONDS, QUICK_ROUNDS) if quick else (SECONDS, ROUNDS)
        samples = interleaved(contenders, seconds, rounds)
        measured += rows(group.title, threads, elements, samples)
        found += ratios(group.title, threads, elements, samples, group.peers)
    return measured, found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number here")
    parser.add_argument("--quick", action="store_true", help="small sizes and three rounds")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="numbers of torch threads (default: 1 2); NumPy is timed with 1 only",
    )
    parser.add_argument(
        "--require", action="store_true", help="exit with 1 if a line at the end says NOT MET"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
