"""Run a recurrent function of torch's layer by layer, with noise on and between its layers.

Its results are those of one call for all layers, bit for bit, if the noise changes nothing.
"""

from collections.abc import Callable, Sequence
from inspect import currentframe
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .recurrence import Acting, StateNoise, may_fold, run_steps
from .states import ADVANCES, Weights


class Between(NamedTuple):
    """What acts in a recurrent function.

    `after` has what is done to the output of each layer but the last, None where nothing is;
    `on_state` and `on_cell` are the functions at the states that are carried on.
    """

    after: Sequence[Callable[[Tensor], Tensor] | None]
    on_state: Sequence[Acting]
    on_cell: Sequence[Acting]


def run_layers(func: Any, given: dict[str, Any], noise: Between) -> tuple[Tensor, ...]:
    """Return a recurrent function's result with noise."""
    layers, directions = given["num_layers"], 2 if given["bidirectional"] else 1
    weights, hx = given["params"], given["hx"]
    states = (hx,) if isinstance(hx, Tensor) else hx
    size, ends = len(weights) // layers, []
    data = "data" if "data" in given else "input"
    layout = Layout(given)
    run = func
    if noise.on_state or noise.on_cell:
        run = _LayerWithNoise(func, layout, noise)
    for layer in range(layers):
        each = [x[layer * directions : (layer + 1) * directions] for x in states]
        y, *last = run(
            **{
                **given,
                "hx": each[0] if isinstance(hx, Tensor) else each,
                "params": weights[layer * size : (layer + 1) * size],
                "num_layers": 1,
                "dropout": 0.0,
            }
        )
        ends.append(last)
        after = noise.after[layer] if layer < layers - 1 else None
        given = {**given, data: y if after is None else layout.apply(after, y)}
    return y, *(torch.cat(parts) for parts in zip(*ends, strict=True))


class _LayerWithNoise:
    """A recurrent function of one layer, with noise on the states that it carries on."""

    def __init__(self, func: Any, layout: "Layout", noise: Between) -> None:
        self.func, self.layout, self.noise = func, layout, noise
        self.folds = may_fold(noise.on_state, noise.on_cell)
        for function, *_ in () if self.folds else (*noise.on_state, *noise.on_cell):
            function.note_loop()

    def __call__(self, **given: Any) -> Any:
        """Return the layer's outputs and its last states."""
        hx, params = given["hx"], given["params"]
        states = (hx,) if isinstance(hx, Tensor) else hx
        directions = 2 if given["bidirectional"] else 1
        size = len(params) // directions
        parts = [params[i * size : (i + 1) * size] for i in range(directions)]
        weights = [Weights.read(part, given["has_biases"]) for part in parts]
        shape = self.layout.count_samples(given), self.layout.count_steps(given)
        noises = [self._draw(states, shape) for _ in weights]
        if self.folds:
            folded = [on.fold(w) for (on, _), w in zip(noises, weights, strict=True)]
            return self.func(**{**given, "params": [p for w in folded for p in w.list()]})
        return self._run_steps(given, states, weights, noises)

    def _draw(self, states: Any, shape: tuple[int, int]) -> tuple[StateNoise, StateNoise]:
        """Return the noise on the state and on the cell of one direction."""
        places = self.noise.on_state, self.noise.on_cell
        drawn = [
            StateNoise.draw(acting, x, (*shape, x.shape[-1])) if acting else StateNoise()
            for acting, x in zip(places, (states[0], states[-1]), strict=True)
        ]
        return drawn[0], drawn[1]

    def _run_steps(self, given: Any, states: Any, weights: Any, noises: Any) -> Any:
        x = self.layout.spread(given)
        name = self.func.__name__
        advance = ADVANCES[name]
        # As autocast does for torch's own functions, but for the GRU and a packed LSTM.
        casts = name != "gru" and not (name == "lstm" and self.layout.sizes is not None)
        if casts and torch.is_autocast_enabled(x.device.type):
            states = [state.to(torch.get_autocast_dtype(x.device.type)) for state in states]
        outputs, ends = [], []
        for direction, own in enumerate(weights):
            h, *c = (self.layout.unsort(state[direction]) for state in states)
            state = h, c[0] if c else None
            last: Any
            y, *last = run_steps(
                advance, x, state, own, noises[direction], self.layout.valid, direction == 1
            )
            outputs.append(y)
            ends.append([self.layout.sort(end) for end in last if end is not None])
        y = self.layout.gather(torch.cat(outputs, -1))
        return y, *(torch.stack(parts) for parts in zip(*ends, strict=True))


class Layout:
    """Where a recurrent function has its samples and time steps.

    Noise sees (samples, time, features): so neither the layout nor padding changes it.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.first = bool(given.get("batch_first", True))
        self.sizes = given.get("batch_sizes")
        # Of packed data: the place of each row, if samples were laid out one after the other; the
        # order in which the samples were sorted; and which samples have which time steps.
        self.places: Tensor | None = None
        self.order: Tensor | None = None
        self.valid: Tensor | None = None
        if self.sizes is not None:
            self.order = _find_order()
            self.places = _place_rows(self.sizes, given["data"], self.order)
            count, device = self._samples * self._steps, self.places.device
            valid = torch.zeros(count, dtype=torch.bool, device=device)
            valid = valid.index_fill(0, self.places, True)
            self.valid = valid.unflatten(0, (self._samples, self._steps)).T[..., None]

    @property
    def _samples(self) -> int:
        return int(self.sizes[0])  # type: ignore[index]

    @property
    def _steps(self) -> int:
        return len(self.sizes)  # type: ignore[arg-type]

    def count_samples(self, given: Any) -> int:
        """Return how many samples a function is given."""
        return self._samples if self.sizes is not None else given["input"].shape[not self.first]

    def count_steps(self, given: Any) -> int:
        """Return how many time steps a function is given."""
        return self._steps if self.sizes is not None else given["input"].shape[self.first]

    def apply(self, noise: Any, x: Tensor) -> Tensor:
        """Return x with noise on it."""
        if self.sizes is None:
            y: Tensor = noise(x if self.first else x.transpose(0, 1))
            return y if self.first else y.transpose(0, 1)
        return self._pack(noise(self._pad(x)))

    def spread(self, given: Any) -> Tensor:
        """Return the input of a function as (time, samples, features)."""
        if self.sizes is not None:
            return self._pad(given["data"]).transpose(0, 1)
        x: Tensor = given["input"]
        return x.transpose(0, 1) if self.first else x

    def gather(self, y: Tensor) -> Tensor:
        """Return outputs, (time, samples, features), in the layout of the function."""
        if self.sizes is not None:
            return self._pack(y.transpose(0, 1))
        return y.transpose(0, 1) if self.first else y

    def unsort(self, state: Tensor) -> Tensor:
        """Return a state of packed samples in the order in which they were before."""
        return state if self.order is None else state.index_select(0, self.order.argsort())

    def sort(self, state: Tensor) -> Tensor:
        """Return a state of samples in the order in which they were packed."""
        return state if self.order is None else state.index_select(0, self.order)

    def _pad(self, x: Tensor) -> Tensor:
        """Return packed data as (samples, time, features)."""
        assert self.places is not None
        samples, steps = self._samples, self._steps
        zeros: Tensor = x.new_zeros(samples * steps, x.shape[-1])
        return zeros.index_copy(0, self.places, x).view(samples, steps, -1)

    def _pack(self, y: Tensor) -> Tensor:
        assert self.places is not None
        return y.flatten(0, 1).index_select(0, self.places)


def _place_rows(sizes: Tensor, data: Tensor, order: Tensor | None) -> Tensor:
    """Return the place of each row of packed data: sample · time steps + time step."""
    time = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    sample = torch.arange(len(data), device=sizes.device)
    sample = sample - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
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
