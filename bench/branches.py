"""Time training steps of a deep model whose blocks are dropped, against the share that is dropped.

Run it by ``python bench/branches.py``; it takes about 20 s. For each way of dropping it prints the
share of the blocks' time that is saved, which is to be at least 0.9 of the share that is dropped.
"""

from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

import noisegate as ng

RATES, REPEATS = (0.25, 0.5), 9


def time_step(model: nn.Module, x: torch.Tensor) -> float:
    """Return the seconds of a forward and a backward pass."""
    start = perf_counter()
    model(x).square().mean().backward()
    return perf_counter() - start


def compare(kind: Any, model: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """Return the share of time that is saved, and the share that is dropped."""
    noise = ng.inject(model, {"layers.*:branch": kind}, seed=13)
    saved, dropped = [], []
    for _ in range(REPEATS):
        seconds = time_step(model, x)
        masks = [noise.mask(site).reshape(len(x), -1)[:, 0].mean() for site in noise.sites]
        dropped.append(1 - sum(masks) / len(masks))
        with noise.off():
            saved.append(1 - seconds / time_step(model, x))
    noise.remove()
    return median(s / d for s, d in zip(saved, dropped, strict=True)), sum(dropped) / REPEATS


def main() -> None:
    """Print a line for each way of dropping and each rate."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).train()
    x = torch.randn(32, 64, 256)
    time_step(model, x)
    for rate in RATES:
        for name, shared in (("by sample", "all_but_samples"), ("by batch", slice(None))):
            ratio, share = compare(ng.Dropout(rate, shared_axes=shared), model, x)
            print(f"{name}, p={rate}: {share:.2f} dropped, {ratio:.2f} of it saved")


if __name__ == "__main__":
    main()
