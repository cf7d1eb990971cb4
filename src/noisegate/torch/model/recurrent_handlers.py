"""Handle torch's functions of recurrent layers, which drop between their layers.

The function is called for one layer at a time, with noise on what a layer passes to the next. Its
results are then those of one call for all layers, bit for bit, if the noise changes nothing.
"""

from collections.abc import Sequence
from inspect import currentframe
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .replacing import Caller, find_replacement

_REST = ("params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
_OF_PADDED = ("input", "hx", *_REST, "batch_first")
_OF_PACKED = ("data", "batch_sizes", "hx", *_REST)


def _make_recurrent_handler(words: str) -> Any:
    """Return the handler of a recurrent function."""

    def handle(caller: Caller, func: Any, args: Any, kwargs: Any) -> Any:
        packed = "batch_sizes" in kwargs or (len(args) > 3 and not isinstance(args[3], bool | int))
        given = dict(zip(_OF_PACKED if packed else _OF_PADDED, args, strict=False)) | kwargs
        p, training = float(given["dropout"]), bool(given["train"])
        # (samples, time, features), whatever the layout.
        found = [
            find_replacement(caller, "dropout", words, p, training, 0, 3)
            for _ in range(given["num_layers"] - 1)
        ]
        if not any(replaced for replaced, _ in found):
            return caller.leave_to_model(lambda: func(*args, **kwargs))
        if all(replaced and noise is None for replaced, noise in found):
            return func(**{**given, "dropout": 0.0})

        def drop(x: Tensor) -> Tensor:
            """Return x with the model's own dropout, where no noise replaces it."""
            y: Tensor = caller.leave_to_model(lambda: F.dropout(x, p, training))
            return y

        noises = [noise if replaced else drop for replaced, noise in found]
        return _run_layers(func, given, noises)

    return handle


def _run_layers(func: Any, given: dict[str, Any], noises: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return a recurrent function's result, computed layer by layer with noise between them."""
    layers, directions = len(noises) + 1, 2 if given["bidirectional"] else 1
    weights, hx = given["params"], given["hx"]
    states = (hx,) if isinstance(hx, Tensor) else hx
    size, ends = len(weights) // layers, []
    data = "data" if "data" in given else "input"
    layout = _Layout(given)
    for layer in range(layers):
        each = [x[layer * directions : (layer + 1) * directions] for x in states]
        y, *last = func(
            **{
                **given,
                "hx": each[0] if isinstance(hx, Tensor) else each,
                "params": weights[layer * size : (layer + 1) * size],
                "num_layers": 1,
                "dropout": 0.0,
            }
        )
        ends.append(last)
        noise = noises[layer] if layer < layers - 1 else None
        given = {**given, data: y if noise is None else layout.apply(noise, y)}
    return y, *(torch.cat(parts) for parts in zip(*ends, strict=True))


class _Layout:
    """Where a recurrent function has its samples and time steps.

    Noise sees (samples, time, features): so neither the layout nor padding changes it.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.first = bool(given.get("batch_first", True))
        self.sizes = given.get("batch_sizes")
        # Of packed data: the place of each row, if samples were laid out one after the other.
        self.places = None if self.sizes is None else _place_rows(self.sizes, given["data"])

    def apply(self, noise: Any, x: Tensor) -> Tensor:
        """Return x with noise on it."""
        if self.sizes is None or self.places is None:
            y: Tensor = noise(x if self.first else x.transpose(0, 1))
            return y if self.first else y.transpose(0, 1)
        samples, steps = int(self.sizes[0]), len(self.sizes)
        padded = x.new_zeros(samples * steps, x.shape[-1]).index_copy(0, self.places, x)
        y = noise(padded.unflatten(0, (samples, steps)))
        return y.flatten(0, 1).index_select(0, self.places)


def _place_rows(sizes: Tensor, data: Tensor) -> Tensor:
    """Return the place of each row of packed data: sample · time steps + time step."""
    time = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    sample = torch.arange(len(data), device=sizes.device)
    sample = sample - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    order = _find_order()
    time, sample = time.to(data.device), sample.to(data.device)
    return (sample if order is None else order[sample]) * len(sizes) + time


_FORWARDS = {kind.forward.__code__ for kind in (nn.LSTM, nn.GRU, nn.RNN)}
_CALL = nn.Module._call_impl.__code__


def _find_order() -> Tensor | None:
    """Return the order in which a recurrent module's call packed its samples; None if unsorted.

    torch's function does not get it: only the module that calls the function has it.
    """
    frame = currentframe()
    while frame is not None and frame.f_code is not _CALL:
        if frame.f_code in _FORWARDS:
            order: Tensor | None = frame.f_locals.get("sorted_indices")
            return order
        frame = frame.f_back
    return None


RECURRENT_HANDLERS: dict[Any, Any] = {
    getattr(torch, name): _make_recurrent_handler(f"torch.{name}")
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")
}
