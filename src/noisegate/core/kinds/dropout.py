"""Dropout: elements removed at random."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import checks
from ..draws import Draws, Field
from ..kind import Check, Kind
from ..philox import threshold
from ..schedule import Schedule


@dataclass(frozen=True, slots=True)
class Dropout(Kind):
    """Removes elements at random and scales the survivors, which preserves the mean.

    ``y = where(u32 < T, 0, x · 2³²/(2³² − T))`` with ``T = round(p · 2³²)``: unbiased for
    every p, up to the rounding of the product. Removal is a select, so a removed inf or NaN
    becomes 0, in the gradient too.

    Parameters
    ----------
    p : float or Schedule
        Probability of removal, in [0, 1]. 0 returns the input itself; 1 returns zeros, and
        zeros as the gradient. Below 2⁻³³ nothing is removed.
    rescale : bool
        Whether survivors are scaled; if False, integers are accepted and keep their dtype.
    shared_axes : int, sequence of int, slice, or "all_but_samples"
        Axes along which one decision is shared; negative ones count from the end.
        ``slice(2, None)`` shares the spatial axes of channels-first data of any rank;
        "all_but_samples" decides once for each whole sample, wherever `sample_axis` is.

    Raises
    ------
    InvalidType, InvalidValue
        If p is not a number or outside [0, 1]; at the call, if an axis does not exist, or the
        input holds integers (with `rescale`), is sparse, or is of an unknown library.

    Notes
    -----
    Tier: exact, with equal bits on every engine. A live p gives the scale within 1 ulp.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), Dropout: a simple way to
    prevent neural networks from overfitting.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.Dropout(0.5)(np.ones((2, 4), np.float32), key)
    array([[0., 0., 2., 2.],
           [2., 0., 2., 2.]], dtype=float32)
    """

    p: float | Schedule = 0.5
    rescale: bool = True
    _: KW_ONLY
    shared_axes: Any = ()

    RATE = "p"
    elementwise = True
    CHECKS: ClassVar[Mapping[str, Check]] = {"rescale": checks.check_flag}
    removes = True
    REMEDY = (
        "Convert it with x.astype('float32') or x.float(), "
        "or use Dropout(p, rescale=False), which keeps integers."
    )

    @property
    def integers(self) -> tuple[float, ...] | None:
        """The values that may replace an integer: 0, without rescaling."""
        return None if self.rescale else (0.0,)

    def is_identity(self, rate: float) -> bool:
        """Return whether p is so small that no element is ever removed."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the survivors and their scale."""
        gain = draws.survivor_scale(rate) if self.rescale else draws.unit_gain(rate)
        return Field(keep=draws.keep(rate), gain=gain)
