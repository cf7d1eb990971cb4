"""Roots and exponentials with the same bits on every machine, unlike those of C libraries.

Each is computed to 50 decimal digits and then rounded once: in effect, correctly rounded.
"""

from decimal import Context, Decimal, localcontext
from functools import lru_cache
from math import isinf

from .philox import round_ratio

_CONTEXT = Context(prec=50)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")


def exponential(x: float) -> float:
    """Return e to the power x."""
    with localcontext(_CONTEXT):
        return float(Decimal(x).exp())


def raised_cosine(t: float) -> float:
    """Return (1 − cos πt) / 2 for t in [0, 1], from 0 to 1."""
    with localcontext(_CONTEXT):
        # The cosine's Taylor series without its 1, so that small t keep their digits.
        square = (_PI * Decimal(t)) ** 2
        term, total, order = square / 4, Decimal(0), 2
        while abs(term) > Decimal("1e-50"):
            total += term
            term *= -square / ((order + 1) * (order + 2))
            order += 2
        return float(total)


@lru_cache(maxsize=4096)
def any_of(p: float, count: int) -> int:
    """Return γ · 2³², rounded half to even, for ``1 − (1 − γ)^count = p``.

    So p is the probability of at least one of `count` events that have probability γ each.
    """
    with localcontext(_CONTEXT):
        if p == 1:
            return 2**32
        survives = (1 - Decimal(p)) ** (Decimal(1) / count)
        return int(((1 - survives) * 2**32).to_integral_value())


@lru_cache(maxsize=4096)
def inverse_power(t: int, count: int, digits: int) -> float:
    """Return (1 − t/2³²) to the power −count, for t < 2³², rounded once to `digits` binary digits.

    24 digits give a float32 and 53 a float64; a number too large for float64 gives inf.
    """
    with localcontext(_CONTEXT):
        power = (1 - Decimal(t) / 2**32) ** -count
    # The exact ratio, since a float64 in between would round a float32 twice.
    return float("inf") if isinf(float(power)) else round_ratio(*power.as_integer_ratio(), digits)
