"""The last application of a noise, from which its mask can be computed again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.window import ATTENTION, SampleAxis
from noisegate.numpy import mask


@dataclass(frozen=True, slots=True)
class Last:
    """The last application of a noise; its mask can be computed from it."""

    kind: Kind
    key: Key
    shape: tuple[int, ...]
    rows: Any
    sample_axis: SampleAxis
    live: Mapping[str, Any]
    # How often the noise acted in this forward, up to here; and when it was.
    calls: int
    time: int
    # The rows of an embedding's weight that stay without noise.
    spared: tuple[int, ...] = ()

    def mask(self, key: Key | None = None, rows: Any = None) -> np.ndarray:
        """Return which elements are kept; by default under its own key and for its own rows."""
        shape, seen = tuple(self.shape), self.rows
        # Attention with merged heads has samples · heads on the first of three axes: split it, so
        # that rows select samples.
        if self.sample_axis == ATTENTION and len(shape) == 3 and seen is not None:
            shape = (len(seen), shape[0] // len(seen), *shape[1:])
        if rows is None:
            rows = seen
        elif isinstance(rows, slice) and seen is not None:
            rows = seen[rows]
        live = {name: np.asarray(value.tolist()) for name, value in self.live.items()}
        kept = mask(self.kind, shape, key or self.key, rows, self.sample_axis, **live)
        if self.spared:
            kept[..., list(self.spared), :] = True
        return kept
