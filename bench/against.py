"""Time this checkout against another one in turns: calls, sites, steps, `fit`, `predict`.

Each checkout runs in a process of its own, the other one with the Python of its `.venv`. They take
turns, so that a slow moment of the machine hits both. Below 1, this checkout is the faster one.

    python bench/against.py ../old/src
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

from timing import Call, quartiles, time_in_turns

HERE = Path(__file__).resolve()
# Seconds and bounds of rounds of one turn; a turn's time is the median of its rounds.
TURN = (0.2, (3, 200))
TASKS = (
    "call, NumPy",
    "call, torch",
    "call + grad",
    "layer",
    "layer + grad",
    "site",
    "site + grad",
    "step",
    "fit",
    "predict",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; with `--serve`, answer the tasks on the standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, nargs="?", help="the other checkout, or its src")
    parser.add_argument("--turns", type=int, default=15, help="of each task; default: 15")
    parser.add_argument("--only", default="", metavar="TEXT", help="tasks with this in their name")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve()
    elif options.other is None:
        parser.error("name the other checkout")
    else:
        compare(options.other.resolve(), options.turns, options.only)
    return 0


def compare(other: Path, turns: int, only: str) -> None:
    """Print the times of both checkouts for each task, and the ratio of their medians."""
    root = other.parent if other.name == "src" else other
    servers = {"this": start(sys.executable), "other": start(root / ".venv" / "bin" / "python")}
    print(f"{'task':<12} {'this, µs':>10} {'other, µs':>10} {'ratio':>6}  of turns: quartiles")
    for task in (one for one in TASKS if only in one):
        times: dict[str, list[float]] = {name: [] for name in servers}
        for turn in range(turns):
            # Each checkout goes first in every second turn.
            for name in sorted(servers, reverse=turn % 2 == 0):
                times[name].append(ask(servers[name], task))
        this, that = (1e6 * median(times[name]) for name in servers)
        ratios = [a / b for a, b in zip(times["this"], times["other"], strict=True)]
        low, _, high = quartiles(ratios)
        print(
            f"{task:<12} {this:10.1f} {that:10.1f} {this / that:6.3f}  {low:.3f} to {high:.3f}",
            flush=True,
        )
    for server in servers.values():
        server.communicate()


def start(python: str | Path) -> "Popen[str]":
    """Start a process that measures the checkout that a Python has installed."""
    return Popen([python, HERE, "--serve"], stdin=PIPE, stdout=PIPE, text=True)


def ask(server: "Popen[str]", task: str) -> float:
    """Return the seconds of one call of a task, measured now by a process."""
    assert server.stdin is not None
    assert server.stdout is not None
    print(task, file=server.stdin, flush=True)
    return float(server.stdout.readline())


def serve() -> None:
    """Answer each task named on the standard input with the seconds of one call of it."""
    import torch

    torch.set_num_threads(1)
    calls = make_calls()
    for line in sys.stdin:
        task = line.strip()
        print(median(time_in_turns({task: calls[task]}, *TURN)[task]), flush=True)


def make_calls() -> dict[str, Call]:
    """Return the call of each task; names that differ between checkouts are tried in turn."""
    import numpy as np
    import steps
    import torch
    from torch import nn

    import noisegate as ng

    kind, key = ng.Dropout(0.5), ng.Stream(13).site("hid1:out").at(5)
    array = np.random.default_rng(0).normal(size=1024).astype(np.float32)
    tensor = torch.from_numpy(array)

    injected, predicted = (
        nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
        for _ in range(2)
    )
    rules: Any = {"1:out": 0.5, "3:out": 0.5}
    ng.inject(injected, rules, seed=1)
    quiet = torch.no_grad()
    x = torch.randn(64, 16)
    layer = ng.torch.Dropout(0.5, seed=1, site="hid1").train()
    upstream, wanted = torch.ones(1024), torch.randn(1024, requires_grad=True)
    step, plan = steps.network(steps.mlp(64, 512)), steps.mlp(64, 512)
    ng.inject(step, steps.sites(plan), seed=1)
    many = torch.randn(64, 512)
    word = "rules" if "rules" in signature(ng.predict).parameters else "dropout"

    images = np.random.default_rng(1).normal(size=(256, 64)).astype(np.float32)
    labels = np.arange(256) % 10
    model = classifier()((None, 64, None), batch_size=32, max_epochs=1, random_state=0)
    return {
        "call, NumPy": lambda: kind(array, key),
        "call, torch": lambda: kind(tensor, key),
        "call + grad": lambda: torch.autograd.grad(kind(wanted, key), wanted, upstream),
        "layer": lambda: layer(tensor),
        "layer + grad": lambda: torch.autograd.grad(layer(wanted), wanted, upstream),
        "site": quiet(lambda: injected(x)),
        "site + grad": lambda: injected(x).sum().backward(),
        "step": lambda: step(many).sum().backward(),
        "fit": lambda: model.fit(images, labels, hidden_dropout=0.5),
        "predict": lambda: ng.predict(predicted, x, 20, seed=1, **{word: rules}),
    }


def classifier() -> Any:
    """Return the class `Classifier`; older checkouts have it in another module."""
    for room in ("noisegate.estimators", "noisegate.nets"):
        with suppress(ImportError, AttributeError):
            return import_module(room).Classifier
    raise ImportError("neither noisegate.estimators nor noisegate.nets has a Classifier")


if __name__ == "__main__":
    sys.exit(main())
