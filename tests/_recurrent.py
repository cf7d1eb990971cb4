"""Recurrent nets with noise in NumPy, from the papers' formulas; and nets to compare with them.

Hochreiter and Schmidhuber (1997) with Gers, Schmidhuber and Cummins (2000) for LSTM; Cho et al.
(2014) for GRU, with the reset gate after the product; Elman (1990); Sak et al. (2014) for
projections; Gal and Ghahramani (2016) for the mask on the state; Krueger et al. (2016) for zoneout.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import noisegate as ng

SEED = 11
SAMPLES, TIME, WIDTH, UNITS = 3, 5, 4, 6


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class Masks(NamedTuple):
    """The noise of one direction: each (time, samples, features).

    Factors of the state that enters the product, which elements of state and cell are new, or
    their share.
    """

    factor: Any = None
    new_h: Any = None
    new_c: Any = None


def advance(
    mode: str, x: Any, h: Any, c: Any, w: dict[str, Any], masks: Masks, t: int
) -> tuple[Any, Any]:
    """Return the state and the cell after one time step."""
    seen = h if masks.factor is None else h * masks.factor[t]
    entering = x @ w["weight_ih"].T + w.get("bias_ih", 0)
    product = seen @ w["weight_hh"].T + w.get("bias_hh", 0)
    new_c = c
    if mode == "LSTM":
        i, f, g, o = np.split(entering + product, 4, 1)
        new_c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        new_h = _sigmoid(o) * np.tanh(new_c)
        if "weight_hr" in w:
            new_h = new_h @ w["weight_hr"].T
    elif mode == "GRU":
        (xr, xz, xn), (hr, hz, hn) = np.split(entering, 3, 1), np.split(product, 3, 1)
        z, n = _sigmoid(xz + hz), np.tanh(xn + _sigmoid(xr + hr) * hn)
        new_h = (1 - z) * n + z * h
    elif mode == "RNN_RELU":
        new_h = np.maximum(entering + product, 0)
    else:
        new_h = np.tanh(entering + product)
    if masks.new_h is not None:
        new_h = _zone_out(masks.new_h[t], new_h, h)
    if masks.new_c is not None:
        new_c = _zone_out(masks.new_c[t], new_c, c)
    return new_h, new_c


def _zone_out(keep: Any, new: Any, former: Any) -> Any:
    return keep * new + (1 - keep) * former


def read_weights(module: nn.Module, layer: int, direction: int) -> dict[str, Any]:
    """Return the weights of one direction, by their names without the layer."""
    end = f"_l{layer}" + ("_reverse" if direction else "")
    named = {n: p.detach().numpy() for n, p in module.named_parameters()}
    return {n.removesuffix(end): p for n, p in named.items() if n.endswith(end)}


def run_layers(
    module: Any, x: Tensor, find_masks: Callable[[int], Masks], between: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs, (time, samples, features), and last states of a module on time-first x.

    `find_masks` gets the number of the call: layer · directions + direction. `between` changes the
    output of a layer, given its number.
    """
    y, ends = x.numpy(), []
    directions = 2 if module.bidirectional else 1
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            w = read_weights(module, layer, direction)
            masks = find_masks(layer * directions + direction)
            size = (x.shape[1], module.proj_size or module.hidden_size)
            h, c = np.zeros(size), np.zeros((x.shape[1], module.hidden_size))
            row = [h] * len(y)
            for t in reversed(range(len(y))) if direction else range(len(y)):
                h, c = advance(module.mode, y[t], h, c, w, masks, t)
                row[t] = h
            outputs.append(np.stack(row))
            ends.append(h)
        y = np.concatenate(outputs, 2)
        if between is not None and layer < module.num_layers - 1:
            y = between(layer, y)
    return y, np.stack(ends)


def draw_factor(site: str, p: float, call: int, step: int = 0) -> np.ndarray:
    """Return the factors of a dropout with one mask for all time steps: (1, samples, units)."""
    key = ng.Stream(SEED).site(site).at(step, call)
    one = ng.Dropout(p)(np.ones((SAMPLES, UNITS)), key)
    return np.broadcast_to(one, (TIME, SAMPLES, UNITS))


def draw_keep(site: str, p: float, call: int, step: int = 0) -> np.ndarray:
    """Return which elements are new under a zoneout: (time, samples, units)."""
    key = ng.Stream(SEED).site(site).at(step, call)
    keep = ng.mask(ng.Zoneout(p), (SAMPLES, TIME, UNITS), key)
    return np.asarray(keep).transpose(1, 0, 2).astype(float)


NETS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: nn.LSTM(WIDTH, UNITS),
    "LSTM, two layers, both ways": lambda: nn.LSTM(WIDTH, UNITS, 2, bidirectional=True),
    "LSTM, no bias": lambda: nn.LSTM(WIDTH, UNITS, bias=False),
    "GRU": lambda: nn.GRU(WIDTH, UNITS),
    "GRU, two layers, both ways": lambda: nn.GRU(WIDTH, UNITS, 2, bidirectional=True),
    "GRU, no bias": lambda: nn.GRU(WIDTH, UNITS, bias=False),
    "RNN": lambda: nn.RNN(WIDTH, UNITS, 2),
    "RNN of ReLU": lambda: nn.RNN(WIDTH, UNITS, nonlinearity="relu", bidirectional=True),
}


def make_net(name: str) -> Any:
    """Return a net in float64, the same for the same name."""
    torch.manual_seed(3)
    return NETS[name]().double()


def make_input(time: int = TIME) -> Tensor:
    """Return sequences, time first."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(time, SAMPLES, WIDTH, dtype=torch.float64, generator=generator)


def list_tensors(output: Any) -> Iterator[Tensor]:
    """Return all tensors of an output."""
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output:
            yield from list_tensors(part) if part is not None else ()


def has_loop(noise: Any) -> bool:
    """Return whether a report says that time steps are computed in a loop."""
    return any("in a loop" in note for note in noise.report().notes)
