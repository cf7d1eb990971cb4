"""Time the overhead of noise in a model, and predictions against a loop.

The overhead of a site is the extra time of a forward of 20 modules with noise over one without.
An empty tensor replaces the noise itself, and its time is subtracted: the rest is hooks, checks,
keys and autograd.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from machine import facts, load
from report import parser, write
from timing import quartiles, time_in_turns
from torch import Tensor, nn

import noisegate as ng
from noisegate.core import apply as core

SITES, ELEMENTS = 20, (64, 16)
SAMPLES = 50
# Rows and width of a network with two hidden layers, each followed by dropout.
PREDICTIONS = ((64, 16), (64, 64), (64, 512), (256, 512), (1024, 512), (4096, 128))


class Step(nn.Module):
    """A module that does almost nothing, and returns a new tensor."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view_as(x)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    options = parser(__doc__, quick="few rounds and small networks").parse_args(arguments)
    torch.set_num_threads(1)
    seconds, rounds = (0.02, (3, 3)) if options.quick else (3.0, (9, 300))
    found: dict[str, Any] = {"machine": facts()}
    found["sites"] = [overhead(grad, seconds, rounds) for grad in (False, True)]
    for row in found["sites"]:
        print(
            f"a site {row['way']}: {row['overhead']:.1f} µs beside the noise itself, "
            f"{row['ratio']:.2f} of nn.Dropout's {row['dropout']:.1f} µs"
        )
    sizes = PREDICTIONS[:1] if options.quick else PREDICTIONS
    found["predictions"] = [prediction(*size, seconds, rounds) for size in sizes]
    for row in found["predictions"]:
        print(
            f"predict, {row['rows']} rows, width {row['width']}, {SAMPLES} samples: "
            f"{row['predict']:.1f} ms, {row['ratio']:.2f} of the loop's {row['loop']:.1f} ms"
        )
    found["machine"]["load_after"] = load()
    write(options.json, found)
    return 0


def overhead(grad: bool, seconds: float, rounds: tuple[int, int]) -> dict[str, Any]:
    """Return the overhead of a site in µs, and the time of a whole call of nn.Dropout."""
    x = torch.randn(ELEMENTS).requires_grad_(grad)
    noisy, silent = (nn.Sequential(*(Step() for _ in range(SITES))) for _ in range(2))
    ng.inject(noisy, {f"{i}:out": 0.5 for i in range(SITES)}, seed=1)
    ng.inject(silent, {":in": 0.0}, seed=1)
    dropout = nn.Dropout(0.5)
    with torch.set_grad_enabled(grad), _without_noise():
        samples = time_in_turns(
            {
                "noisy": lambda: noisy(x),
                "silent": lambda: silent(x),
                "empty": lambda: torch.empty_like(x),
                "dropout": lambda: dropout(x),
            },
            seconds,
            rounds,
        )
    median = {name: 1e6 * quartiles(times)[1] for name, times in samples.items()}
    site = (median["noisy"] - median["silent"]) / SITES - median["empty"]
    return {
        "way": "with a gradient" if grad else "without a gradient",
        "overhead": site,
        "dropout": median["dropout"],
        "ratio": site / median["dropout"],
        "rounds": len(samples["noisy"]),
    }


@contextmanager
def _without_noise() -> Iterator[None]:
    """Replace the noise itself by an empty tensor."""
    real = core.apply
    core.apply = lambda engine, kind, x, *rest, **words: torch.empty_like(x)
    try:
        yield
    finally:
        core.apply = real


def prediction(rows: int, width: int, seconds: float, rounds: tuple[int, int]) -> dict[str, Any]:
    """Return the times of a prediction, and of a loop that switches dropouts to training, in ms."""
    layers = (
        nn.Linear(64, width),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(width, 10),
    )
    model = nn.Sequential(*layers)
    x = torch.randn(rows, 64)

    def loop() -> tuple[Tensor, Tensor]:
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        with torch.no_grad():
            samples = torch.stack([model(x).softmax(-1) for _ in range(SAMPLES)])
        model.eval()
        return samples.mean(0), samples.std(0)

    samples = time_in_turns(
        {
            "predict": lambda: ng.predict(model, x, SAMPLES, existing=True, seed=1),
            "loop": loop,
        },
        seconds,
        rounds,
    )
    median = {name: 1e3 * quartiles(times)[1] for name, times in samples.items()}
    ratio = median["predict"] / median["loop"]
    return {"rows": rows, "width": width, **median, "ratio": ratio, "rounds": len(samples["loop"])}


if __name__ == "__main__":
    sys.exit(main())
