"""The kinds of noise: what is done to an element. Rules: `spec/kinds.md`."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from . import checks, messages
from .draws import Draws, Field
from .engine import Array
from .errors import InvalidType, InvalidValue
from .kind import Kind
from .philox import threshold


@dataclass(frozen=True, slots=True, repr=False)
class Dropout(Kind):
    """Removes elements at random and scales the survivors, so that the mean stays.

    ``y = where(u32 < T, 0, x · 2³²/(2³² − T))`` with ``T = round(p · 2³²)``: unbiased for
    every p, up to the rounding of the product. Removal is a select: a removed inf or NaN is 0,
    in the gradient too.

    Parameters
    ----------
    p : float
        Probability of removal, in [0, 1]. 0 returns the input itself; 1 returns zeros, and
        zeros as the gradient. Below 2⁻³³ nothing is removed.
    rescale : bool
        Whether survivors are multiplied; without, integers are accepted and keep their dtype.
    shared_axes : int, sequence of int, or slice
        Axes along which one decision is shared; negative ones count from the end.
        ``slice(2, None)`` shares the spatial axes of channels-first data of any rank.

    Raises
    ------
    InvalidType, InvalidValue
        If p is no number or outside [0, 1]; at the call, if an axis does not exist or the
        input is of integers (with `rescale`), sparse or of an unknown library.

    Notes
    -----
    Tier: exact. Equal bits on every engine; a live p gives the scale within 1 ulp.

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

    p: float = 0.5
    rescale: bool = True
    shared_axes: Any = ()

    RATE = "p"
    removes = True
    REMEDY = (
        "Convert it with x.astype('float32') or x.float(), "
        "or use Dropout(p, rescale=False), which keeps integers."
    )

    def __post_init__(self) -> None:
        self._store(p=self.check(self.p), rescale=checks.flag("Dropout", "rescale", self.rescale))

    @classmethod
    def check(cls, value: object) -> float:
        """Return p in [0, 1], or raise."""
        return checks.probability("Dropout", "p", value)

    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live p within [0, 1]."""
        return draws.engine.clip(rate, 0.0, 1.0)

    def is_identity(self, rate: float) -> bool:
        """Return whether a p is so small that nothing is ever removed."""
        return threshold(rate) == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the survivors and their scale."""
        if self.rescale:
            return Field(keep=draws.keep(rate), gain=draws.survivor_scale(rate))
        # A live p that is NaN must show: 0·p + 1 is 1, or NaN.
        gain = None if checks.is_host(rate) else draws.rounded(0 * rate + 1)
        return Field(keep=draws.keep(rate), gain=gain)


@dataclass(frozen=True, slots=True, repr=False)
class GaussianNoise(Kind):
    """Adds normal noise: ``y = x + sigma · ε`` with ε ~ N(0, 1).

    Parameters
    ----------
    sigma : float
        Standard deviation in the unit of x, finite and >= 0. 0 returns the input itself.
    shared_axes : int, sequence of int, or slice
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If sigma is no number, negative or infinite; at the call, if x is complex or integer.

    Notes
    -----
    Tier: ε is exact, a float32 of |ε| < 6.34 with equal bits on every engine; the sum is close,
    within one rounding of the product, which a compiler may skip.

    References
    ----------
    Bishop (1995), Training with noise is equivalent to Tikhonov regularization.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.GaussianNoise(0.1)(np.zeros(4), key).round(3)
    array([-0.023,  0.052,  0.077,  0.145])
    """

    sigma: float = 0.1
    shared_axes: Any = ()

    RATE = "sigma"

    def __post_init__(self) -> None:
        self._store(sigma=self.check(self.sigma))

    @classmethod
    def check(cls, value: object) -> float:
        """Return a finite sigma >= 0, or raise."""
        return checks.scale("GaussianNoise", "sigma", value)

    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live sigma that is at least 0."""
        return draws.engine.clip(rate, 0.0, float("inf"))

    def is_identity(self, rate: float) -> bool:
        """Return whether sigma is 0."""
        return rate == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the shift sigma · ε."""
        return Field(shift=draws.normal() * draws.rounded(rate))


@dataclass(frozen=True, slots=True, repr=False)
class GaussianDropout(Kind):
    """Multiplies by normal noise of mean 1: ``y = x · (1 + σ·ε)`` with ``σ = √(p/(1−p))``.

    The mean and the variance are those of Dropout(p), but nothing is removed.

    Parameters
    ----------
    p : float
        The rate of the Dropout that it matches, in [0, 1). 0 returns the input itself.
    shared_axes : int, sequence of int, or slice
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If p is no number or outside [0, 1); at 1 the noise would be infinite.

    Notes
    -----
    Tier: ε is exact; the gain is close, within one rounding of σ·ε. A live p that is 1 or more
    is clamped to the largest float64 below 1.

    References
    ----------
    Srivastava et al. (2014), Dropout, section 10.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("hid1:out").at(0)
    >>> ng.GaussianDropout(0.5)(np.ones(4), key).round(3)
    array([0.931, 1.515, 1.893, 0.981])
    """

    p: float = 0.5
    shared_axes: Any = ()

    RATE = "p"

    def __post_init__(self) -> None:
        self._store(p=self.check(self.p))

    @classmethod
    def check(cls, value: object) -> float:
        """Return p in [0, 1), or raise."""
        return checks.probability("GaussianDropout", "p", value, below_one=True)

    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live p within [0, 1)."""
        return draws.engine.clip(rate, 0.0, 1 - 2.0**-53)

    def is_identity(self, rate: float) -> bool:
        """Return whether p is 0."""
        return rate == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the gain 1 + σ · ε."""
        odds = rate / (1 - rate)
        sigma = sqrt(odds) if checks.is_host(odds) else draws.engine.sqrt(odds)
        return Field(gain=draws.normal() * draws.rounded(sigma) + 1.0)


@dataclass(frozen=True, slots=True, repr=False)
class UniformNoise(Kind):
    """Adds uniform noise: ``y = x + width · u`` with u in (−1, 1).

    Parameters
    ----------
    width : float
        Half the length of the interval, in the unit of x, finite and >= 0. 0 returns the
        input itself.
    shared_axes : int, sequence of int, or slice
        Axes along which one number is shared.

    Raises
    ------
    InvalidType, InvalidValue
        If width is no number, negative or infinite; at the call, if x is complex or integer.

    Notes
    -----
    Tier: u is exact, an odd multiple of 2⁻²⁴; the sum is close, within one rounding of the
    product. Its standard deviation is width / √3.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site("in:out").at(0)
    >>> ng.UniformNoise(0.1)(np.zeros(4), key).round(3)
    array([ 0.018, -0.008, -0.074,  0.03 ])
    """

    width: float
    shared_axes: Any = ()

    RATE = "width"

    def __post_init__(self) -> None:
        self._store(width=self.check(self.width))

    @classmethod
    def check(cls, value: object) -> float:
        """Return a finite width >= 0, or raise."""
        return checks.scale("UniformNoise", "width", value)

    def clamp(self, draws: Draws, rate: Array) -> Array:
        """Return a live width that is at least 0."""
        return draws.engine.clip(rate, 0.0, float("inf"))

    def is_identity(self, rate: float) -> bool:
        """Return whether width is 0."""
        return rate == 0

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the shift width · u."""
        return Field(shift=draws.uniform() * draws.rounded(rate))


KINDS: dict[str, type[Kind]] = {
    kind.__name__: kind for kind in (Dropout, GaussianNoise, GaussianDropout, UniformNoise)
}


def from_config(config: Any) -> Kind:
    """Return the kind that a config describes; the inverse of ``kind.config()``.

    Raises
    ------
    InvalidType, InvalidValue
        If it is no dict with an entry 'kind', the kind is unknown, or a number is bad.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.from_config({"kind": "Dropout", "p": 0.2, "shared_axes": {"slice": [2, None, None]}})
    Dropout(p=0.2, shared_axes=slice(2, None))
    """
    values = dict(config) if isinstance(config, Mapping) else {}
    if "kind" not in values:
        raise InvalidType(messages.not_a_config(config))
    name = values.pop("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise InvalidValue(messages.unknown_kind(name, list(KINDS)))
    axes = values.get("shared_axes")
    if isinstance(axes, Mapping):
        checks.keywords("from_config", axes, ["slice"])
        values["shared_axes"] = slice(*axes["slice"])
    return KINDS[name](**values)
