"""Time training steps with noise on weights, and in attention, against plain ones.

A ratio is the step with noise over the step of the same model without.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from machine import facts, load
from report import parser, write
from timing import quartiles, time_in_turns
from torch import Tensor, nn

import noisegate as ng


class Case(NamedTuple):
    """A model, its input, the rules of its noise, and the most of a plain step that it may take."""

    make: Callable[[], nn.Module]
    make_input: Callable[[], Tensor]
    rules: Mapping[str, Any]
    goal: float | None = None


def lstm() -> nn.Module:
    """Return an LSTM layer of the size of a small language model's."""
    return nn.LSTM(400, 400)


def sequences() -> Tensor:
    """Return 20 sequences of 35 vectors, time first."""
    return torch.randn(35, 20, 400)


def wide_lstm() -> nn.Module:
    """Return an LSTM layer of 256 units."""
    return nn.LSTM(256, 256)


def long_sequences() -> Tensor:
    """Return 32 sequences of 50 vectors, time first."""
    return torch.randn(50, 32, 256)


def encoder() -> nn.Module:
    """Return two layers of a transformer."""
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def linears() -> nn.Module:
    """Return a network of two wide layers."""
    return nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))


CASES: dict[str, Case] = {
    "weight drop, LSTM": Case(lstm, sequences, {":weight_hh_l0": 0.5}, 1.15),
    "DropConnect, MLP": Case(linears, lambda: torch.randn(256, 512), {"*:weight": 0.5}),
    "heads, encoder": Case(encoder, lambda: torch.randn(16, 64, 128), {"*:heads": 0.1}),
    "tokens, encoder": Case(encoder, lambda: torch.randn(16, 65, 128), {":tokens": 0.5}, 0.6),
    "scores, encoder": Case(encoder, lambda: torch.randn(16, 64, 128), {"*:scores": 0.1}),
    "variational, LSTM, fused": Case(
        wide_lstm, long_sequences, {":state": ng.Dropout(0.3, shared_axes=(0, 1))}, 1.1
    ),
    "variational, LSTM, loop": Case(wide_lstm, long_sequences, {":state": 0.3}),
    "zoneout, LSTM, loop": Case(
        wide_lstm, long_sequences, {":state": ng.Zoneout(0.1), ":cell": ng.Zoneout(0.1)}
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    accepted = parser(__doc__, quick="few rounds of the first two cases")
    accepted.add_argument(
        "--only", default="", metavar="NAME", help="cases with this in their name"
    )
    options = accepted.parse_args(arguments)
    torch.set_num_threads(1)
    seconds, rounds = (0.02, (3, 3)) if options.quick else (8.0, (7, 100))
    found: dict[str, Any] = {"machine": facts(), "places": []}
    named = [name for name in CASES if options.only in name]
    for name in named[:2] if options.quick else named:
        row = measure(name, seconds, rounds)
        found["places"].append(row)
        print(describe(row), flush=True)
    found["machine"]["load_after"] = load()
    write(options.json, found)
    return 0


def measure(name: str, seconds: float, rounds: tuple[int, int]) -> dict[str, Any]:
    """Return the times of a training step with noise and without, in ms, and their ratio."""
    case = CASES[name]
    torch.manual_seed(1)
    plain, noisy = case.make(), case.make()
    x = case.make_input()
    ng.inject(noisy, case.rules, seed=1)

    def step(model: nn.Module) -> None:
        model.zero_grad(set_to_none=True)
        y = model(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()

    samples = time_in_turns(
        {"noise": lambda: step(noisy), "plain": lambda: step(plain)}, seconds, rounds
    )
    pairs = zip(samples["noise"], samples["plain"], strict=True)
    low, middle, high = quartiles([ours / theirs for ours, theirs in pairs])
    times = {f"{who}, ms": 1e3 * quartiles(found)[1] for who, found in samples.items()}
    ratio = times["noise, ms"] / times["plain, ms"]
    row = {"case": name, "rounds": len(samples["noise"]), **times}
    return {**row, "ratio": ratio, "low": low, "middle": middle, "high": high, "goal": case.goal}


def describe(row: Mapping[str, Any]) -> str:
    """Return the line of a case."""
    goal = row["goal"]
    met = (
        "" if goal is None else f" (goal {goal:.2f}: {'met' if row['ratio'] <= goal else 'MISSED'})"
    )
    return (
        f"{row['case']:<28} {row['noise, ms']:8.1f} ms: {row['ratio']:.2f} of plain, "
        f"{row['low']:.2f} to {row['high']:.2f}{met}; {row['rounds']} rounds"
    )


if __name__ == "__main__":
    sys.exit(main())
