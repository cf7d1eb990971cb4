"""ShotNoise: numbers of events in place of their expected number."""

from dataclasses import dataclass, replace
from typing import Any

from ..draws import Draws, Field
from ..engine import Array
from ..errors import InvalidValue
from ..kind import Kind
from ..number_source import NumberSource
from ..rejection import draw_poisson
from ..schedule import Schedule

# Greater numbers of events are not counted one by one in float64.
MOST = 2.0**53


@dataclass(frozen=True, slots=True)
class ShotNoise(Kind):
    """Counts random events, such as photons: ``y = scale · n`` with n ~ Poisson(x / scale).

    The mean of y is x, and its variance scale · x. The gradient is passed on as it is: it is that
    of the mean.

    Parameters
    ----------
    scale : float or Schedule
        What one event adds to y, in the unit of x, finite and >= 0: 1/100 for an image in [0, 1]
        whose white is 100 photons. 0 returns the input itself.

    Raises
    ------
    InvalidType, InvalidValue
        If scale is not a number, negative or infinite; at the call, if an element of x is
        negative, or x is complex or integer.

    Notes
    -----
    Tier: close. n comes from the element's own random numbers, by exact rules; a logarithm or an
    exponential whose last bit differs may, very rarely, decide another number. An element of which
    2⁵³ events or more are expected stays as it is, and so does NaN.

    References
    ----------
    Schottky (1918), Über spontane Stromschwankungen. Foi, Trimeche, Katkovnik, Egiazarian (2008),
    Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data.

    Examples
    --------
    >>> import noisegate as ng, numpy as np
    >>> key = ng.Stream(13).site(":in").at(0)
    >>> ng.ShotNoise(0.25)(np.array([0.0, 0.5, 1.0, 8.0]), key)
    array([ 0.  ,  0.25,  0.5 , 10.25])
    """

    scale: float | Schedule

    RATE = "scale"
    BOUNDS = (0.0, float("inf"))
    reads_input = True

    def field(self, draws: Draws, rate: Any) -> Field:
        """Return the events in place of all elements, but for those that are too many to count."""
        engine, x = draws.engine, draws.x
        if bool((x < 0).any()):
            raise InvalidValue(
                "the input must hold no negative numbers, since each is an expected number of "
                f"events; got {float(x[x < 0].reshape(-1)[0])}. Clamp it, or apply the noise "
                "before the input is normalised."
            )
        mean = engine.cast(x, "float64") / rate
        many = ~(mean < MOST)
        events = _count(draws, engine.select(~many, mean, 0.0, own=False))
        return Field(keep=many, fill=engine.cast(events * rate, draws.dtype))

    def backward_field(self, draws: Draws, rate: Any) -> Field:
        """Return the field that changes nothing, since the mean of y is x."""
        return Field()


def _count(draws: Draws, mean: Array) -> Array:
    """Return Poisson numbers of means, as float64."""
    window, shape = draws.window, mean.shape
    if window.extent == ():  # arithmetic on rank 0 would give scalars, which have other rules
        window = replace(window, shape=(1,), start=(0,), extent=(1,))
    given = draws.engine, draws.kind, draws.key, window, draws.dtype, "float64"
    return draw_poisson(NumberSource(*given), mean.reshape(shape or (1,))).reshape(shape)
