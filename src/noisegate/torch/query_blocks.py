"""Noise on attention probabilities that are computed a block of queries at a time.

All of them at once would take memory that grows with the square of the length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.prepared import Prepared, Works, prepare

from .application import Noise, apply_noise


class Probabilities:
    """Attention probabilities that are not computed yet: their shape, and the noise they will have.

    Where noise is put on a tensor, this stands for one: the noise is noted, and `add_noise` puts it
    on each block later.
    """

    layout, is_nested = None, False

    def __init__(self, shape: Sequence[int], functions: tuple[Any, ...] = ()) -> None:
        self.shape, self.functions = tuple(shape), functions

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, samples: slice) -> "Probabilities":
        """Return the probabilities of some samples, without noise."""
        return Probabilities((len(range(self.shape[0])[samples]), *self.shape[1:]))

    def then(self, function: Callable[[Tensor, int], Tensor]) -> "Probabilities":
        """Return these with one more function of a block and its first query."""
        return Probabilities(self.shape, (*self.functions, function))

    def apply(
        self, kind: Kind, key: Key, rows: Any, sample_axis: Any, live: Mapping[str, Any]
    ) -> "Probabilities":
        """Return these with one more noise."""
        call = prepare(kind, key, self.shape, rows, sample_axis, live)
        return self if call.idle else self.then(partial(_apply_to_block, kind, key, call))

    def apply_steps(
        self, kind: Kind, key: Key, rows: Any, sample_axis: Any, steps: Sequence[int]
    ) -> "Probabilities":
        """Return these with the noise of several steps, each on an equal part of the samples."""
        call = prepare(kind, key, self[: self.shape[0] // len(steps)].shape, rows, sample_axis, {})
        keys = [key._replace(step=step) for step in steps]

        def apply_each(block: Tensor, first: int) -> Tensor:
            parts = zip(keys, block.chunk(len(keys)), strict=True)
            return torch.cat([_apply_to_block(kind, one, call, part, first) for one, part in parts])

        return self if call.idle else self.then(apply_each)

    def add_noise(self, block: Tensor, first: int) -> Tensor:
        """Return a block of probabilities with the noise; `first` is the number of its query 0."""
        for function in self.functions:
            block = function(block, first)
        return block


def _apply_to_block(kind: Kind, key: Key, call: Prepared, block: Tensor, first: int) -> Tensor:
    """Return a block of queries with the noise of a call on all queries."""
    window, queries = call.window, block.shape[-2]
    form = cast(tuple[int, ...], window.form)
    if form[-2] > 1:  # else all queries share one decision
        start, extent = (0, first, 0), (*window.extent[:-2], queries, window.extent[-1])
        window = replace(window, start=start, extent=extent, form=(*form[:-2], queries, form[-1]))
        call = call._replace(window=window, works=None if call.works is None else Works())
    return apply_noise(block, None, Noise(kind, key, call))
