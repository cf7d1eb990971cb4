"""Time `fit` against a training loop by hand: the same network, data and epochs.

Both train on 1,400 digits, and evaluate 397 others after each epoch. In the run with
`hidden_dropout` the loop has `nn.Dropout` at the same place; in the other run neither has noise.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from machine import facts, load
from report import parser, write
from sklearn.datasets import load_digits
from timing import quartiles, time_in_turns
from torch import nn

from noisegate.estimators import Classifier

BATCHES, RATES, HIDDEN, EPOCHS, TRAINING = (32, 128), (0.0, 0.5), 100, 20, 1400


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    options = parser(__doc__, quick="few rounds and one epoch").parse_args(arguments)
    torch.set_num_threads(1)
    epochs, rounds = (1, (3, 3)) if options.quick else (EPOCHS, (9, 15))
    found: dict[str, Any] = {"machine": facts(), "fits": []}
    for p in RATES:
        for size in BATCHES:
            row = training(p, size, epochs, rounds)
            found["fits"].append(row)
            print(
                f"fit, p = {p:g}, batches of {size}: {row['fit']:.1f} ms an epoch, "
                f"{row['ratio']:.2f} of the loop's {row['loop']:.1f} ms"
            )
    found["machine"]["load_after"] = load()
    write(options.json, found)
    return 0


def training(p: float, size: int, epochs: int, rounds: tuple[int, int]) -> dict[str, Any]:
    """Return the times of an epoch, of `fit` and of the loop, in ms."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    parts = (X[:TRAINING], y[:TRAINING]), (X[TRAINING:], y[TRAINING:])
    model = Classifier((None, HIDDEN, None), batch_size=size, max_epochs=epochs, random_state=0)
    fit = partial(model.fit, *parts[0], validation_data=parts[1], hidden_dropout=p)
    tensors = [tuple(torch.as_tensor(array) for array in part) for part in parts]
    samples = time_in_turns(
        {"fit": fit, "loop": partial(by_hand, *tensors, p, size, epochs)}, 20.0, rounds
    )
    median = {name: 1e3 * quartiles(times)[1] / epochs for name, times in samples.items()}
    ratio = median["fit"] / median["loop"]
    return {"p": p, "batch": size, **median, "ratio": ratio, "rounds": len(samples["fit"])}


def by_hand(training: Any, validation: Any, p: float, size: int, epochs: int) -> None:
    """Train with a loop as users write it without a library."""
    noise = [nn.Dropout(p)] if p else []
    model = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), *noise, nn.Linear(HIDDEN, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(0)
    x, y = training
    for _ in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x), generator=order).split(size):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        model.eval()
        with torch.no_grad():
            nn.functional.cross_entropy(model(validation[0]), validation[1]).item()


if __name__ == "__main__":
    sys.exit(main())
