"""Noise as a regularizer: dropout and normal noise at named outputs."""

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from noisegate.core import checks
from noisegate.core.errors import prefix_errors
from noisegate.core.keys import Stream
from noisegate.core.kind import Kind
from noisegate.core.kinds import Dropout
from noisegate.core.kinds import GaussianNoise as Normal
from noisegate.torch.functional import draw_seed

from .regularizer import Pattern, Regularizer, matches_any

# Counts the regularizers of each seed.
_OF_SEED: dict[int, Iterator[int]] = {}


class NoiseRegularizer(Regularizer):
    """Noise at outputs: a rule of `inject`, with a seed of its own."""

    DEFAULT = "*:out"
    KIND: ClassVar[type[Kind]]
    SUFFIX: ClassVar[str]

    def __init__(self, pattern: Pattern | None = None, weight: float = 0.0, rng: Any = 13) -> None:
        super().__init__(pattern, weight)
        self.rng = rng

    @property
    def rng(self) -> Any:
        """The source of the seed; setting it starts another noise at step 0."""
        return self._rng

    @rng.setter
    def rng(self, value: Any) -> None:
        with prefix_errors(type(self).__name__):
            self.seed = _draw_seed(value)
        self._rng, self._step = value, 0
        # Two regularizers of one seed must differ, so that each has a slot of its own.
        self._slot = next(_OF_SEED.setdefault(self.seed, count()))

    @property
    def modifies(self) -> bool:
        """Whether a user overrode `modify_graph`; the noise itself is a rule of `inject`."""
        return type(self).modify_graph is not NoiseRegularizer.modify_graph

    @property
    def kind(self) -> Kind:
        """The noise."""
        return type(self).KIND(self.weight)

    def modify_graph(self, outputs: dict[str, Tensor]) -> None:
        """Put noise on the outputs; keep clean ones as ``name-predrop``, ``name-prenoise``.

        Within a training it is `inject` that does this, at the keys of the same seed.
        """
        named = [name for name in outputs if name.endswith((":out", ":pre"))]
        for name in matches_any(self.patterns, named):
            key = Stream(self.seed).site(name, self._slot).at(self._step)
            outputs[name + self.SUFFIX] = outputs[name]
            outputs[name] = self.kind(outputs[name], key, sample_axis=0)
        self._step += 1


class BernoulliDropout(NoiseRegularizer):
    """Sets outputs to 0 with probability `weight`, and scales the others by 1/(1 − weight).

    Parameters
    ----------
    pattern : str or sequence of str
        Which outputs.
    weight : float
        Probability of removal, in [0, 1].
    rng : int, numpy Generator or RandomState, torch Generator, or None
        A seed in [0, 2⁶⁴), what one is drawn from, or None for a fresh one. It decides the noise
        in `fit`, `feed_forward` and predictions alike, whatever their own seeds are.
    """

    KIND, SUFFIX = Dropout, "-predrop"
    BOUNDS = (0.0, 1.0)

    def _line(self) -> str:
        places = ", ".join(self.matched or self.patterns)
        return f"regularizer: BernoulliDropout({places}) ~ B({self.weight:g})"


class GaussianNoise(NoiseRegularizer):
    """Adds normal noise of standard deviation `weight` to outputs.

    Parameters
    ----------
    pattern : str or sequence of str
        Which outputs.
    weight : float
        Standard deviation, at least 0.
    rng : int, numpy Generator or RandomState, torch Generator, or None
        As of `BernoulliDropout`.
    """

    KIND, SUFFIX = Normal, "-prenoise"


def _draw_seed(rng: Any) -> int:
    """Return a seed: the number given, or one drawn from a generator."""
    if rng is None:
        return draw_seed()
    if isinstance(rng, torch.Generator):
        how: Any = {"generator": rng, "dtype": torch.int64, "device": rng.device}
        words = torch.randint(0, 2**32, (2,), **how).tolist()
        return int(words[0]) << 32 | int(words[1])
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, np.random.RandomState):
        return int(rng.randint(0, 2**64, dtype=np.uint64))
    return checks.check_whole("rng", rng, 64)
