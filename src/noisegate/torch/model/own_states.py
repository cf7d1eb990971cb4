"""The noise that a recurrent layer has on its states by itself, where no rule takes its place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.local import Local
from noisegate.core.recurrent_manner import read_manner
from noisegate.core.survey import Call

from ..functional import apply_eagerly, draw_seed
from ..tracing import refuse_tracing


class OwnStateNoise:
    """The noise of one forward of a layer at one of its ports, fresh like torch's own."""

    every = silent = False

    def __init__(self, port: str, kind: Kind, words: str) -> None:
        self.call = Call(kind, words, sample_axis=0)
        self.former, self.factor, self.over_samples, self.over_time = read_manner(kind)
        self.port, self.number = port, 0
        self.seed: int | None = None

    def reach(self) -> None:
        """Do nothing."""

    note_loop = reach

    def acts(self, training: bool, call: Any = None) -> bool:
        """Return whether it would change anything; in evaluation it has an expectation."""
        return training or self.former

    def read_share(self, training: bool) -> float | None:
        """Return the share of the new state that is taken in evaluation; None in training."""
        rate: Any = self.call.kind.rate
        return None if training else 1.0 - rate

    def draw(self, xs: Sequence[Tensor], alone: bool = False) -> list[Tensor]:
        """Return tensors with the noise of one call on each."""
        parts = [x[:1] if self.over_samples else x for x in xs]
        parts = [x[:, :1] if self.over_time else x for x in parts]
        return self._apply(parts)

    def __call__(self, x: Tensor, call: Any = None) -> Tensor:
        """Return x with noise on it."""
        return self._apply([x])[0]

    def _apply(self, xs: Sequence[Tensor]) -> list[Tensor]:
        refuse_tracing(xs[0])
        if self.seed is None:  # only where no rule has taken its place
            self.seed = draw_seed()
        key = Key(self.seed, self.port, 0, self.number, 0)
        self.number += 1
        return [apply_eagerly(self.call.kind, x, key, None, 0) for x in xs]


_NONE: Mapping[str, OwnStateNoise] = {}
_running: Local[Mapping[str, OwnStateNoise]] = Local(_NONE)


def find_own_noise(port: str) -> OwnStateNoise | None:
    """Return the noise that the layer whose forward runs here has at a port by itself."""
    return _running.get().get(port)


@contextmanager
def use_own_noise(kinds: Mapping[str, Kind], words: str) -> Iterator[None]:
    """Let a recurrent layer have its own noise, for a block."""
    before = _running.get()
    _running.set({port: OwnStateNoise(port, kind, words) for port, kind in kinds.items()})
    try:
        yield
    finally:
        _running.set(before)
