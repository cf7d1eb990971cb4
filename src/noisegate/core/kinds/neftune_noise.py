"""NeftuneNoise: uniform numbers added, the smaller the larger the sample."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..errors import InvalidValue
from ..kind import Kind
from ..schedule import Schedule
from ..window import Window


@dataclass(frozen=True, slots=True)
class NeftuneNoise(Kind):
    """Adds uniform noise scaled by a sample's size: ``y = x + alpha / √n · u`` with u in (−1, 1).

    n is the number of a sample's elements: of embeddings (samples, length, width) it is
    length · width. So the noise of a sample has a norm of at most alpha, however long it is.

    Parameters
    ----------
    alpha : float or Schedule
        The bound of the norm, finite and >= 0; the paper's are 5, 10 and 15. 0 returns the input
        itself. An array at the call gives each sample its own.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one number is shared; they do not count in n.

    Raises
    ------
    InvalidType, InvalidValue
        If alpha is not a number, negative or infinite; at the call, if x is complex or integer, or
        holds attention probabilities.

    Notes
    -----
    Tier: u is exact. The sum is close, within one rounding of the product. Of a padded batch n
    counts the padding; of a jagged nested tensor it counts a sample's own elements.

    References
    ----------
    Jain et al. (2023), NEFTune: noisy embeddings improve instruction finetuning.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("embedding:out").at(0)
    >>> y = ng.NeftuneNoise(5)(np.zeros((2, 3, 4)), key)
    >>> bool((abs(y) < 5 / 12**0.5).all())
    True
    """

    alpha: float | Schedule = 5.0
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "alpha"
    BOUNDS = (0.0, float("inf"))

    def check_window(self, window: Window) -> None:
        """Raise for attention probabilities, which may hold any part of a sample."""
        if window.form is not None:
            raise InvalidValue(
                "what an attention holds has no length and width. Use noisegate.UniformNoise there."
            )

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the shift alpha / √n · u."""
        return Field(shift=draws.uniform() * draws.round(rate / self._root(draws)))

    def slope(self, draws: Draws, rate: Array) -> Field:
        """Return u / √n."""
        return Field(shift=draws.uniform() * draws.round(1 / self._root(draws)))

    def _root(self, draws: Draws) -> float:
        """Return the square root of the number of a sample's elements."""
        self.check_window(draws.window)
        root: float = draws.sqrt(float(max(draws.window.count, 1)))
        return root
