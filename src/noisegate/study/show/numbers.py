"""Numbers as text: alone, in a column, and beside the change between them."""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ..data.tasks import Task
from ..judge.stats import ALPHA, LEVEL, Difference, Estimate, Row

# Beyond these a number is written with a power of ten.
MOST_DECIMALS = 7
LARGEST = 1e10

PERCENT = f"{LEVEL * 100:.0f}\u00a0%"


def number(value: float, decimals: int | None = None, sign: bool = False) -> str:
    """Return a number to read: 0.000123, 0.123, 12.3, 1,234, 12,345,678.

    Without a number of decimals it has three significant digits, and all of its whole part.
    """
    if not math.isfinite(value):
        return "not finite"
    # A change below 0 stays one when it is rounded to 0: its interval leaves out 0.
    plus, positive = ("+", "" if value else "z") if sign else ("", "z")
    if decimals is None:
        if value == 0:
            return "0"
        decimals = _decimals(value, 3)
    if decimals > MOST_DECIMALS or abs(value) >= LARGEST:
        return format(value, f"{plus}{positive}.3g")
    return format(value, f"{plus}{positive},.{decimals}f")


def plural(count: int, noun: str) -> str:
    """Return a count and its noun: `1 row`, `1,360 rows`, `2 processes`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" + ending * (count != 1)


def chance(p: float) -> str:
    """Return a p as text: `p = 0.012`, or `p < 0.001`; near `ALPHA` it shows on which side."""
    if math.isnan(p):
        return "p not known"
    if p < 0.001:
        return "p < 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    side = "<" if p < ALPHA else ">"
    return f"p {side} {ALPHA}" if float(text) == ALPHA != p else f"p = {text}"


# Differences ----------------------------------------------------------------------------------


def interval(low: float, high: float, decimals: int) -> str:
    """Return both ends of an interval of differences."""
    return f"{number(low, decimals, sign=True)} to {number(high, decimals, sign=True)}"


def ends(low: float, high: float, decimals: int) -> str:
    """Return an interval in brackets, which never wraps."""
    return f"[{interval(low, high, decimals)}]".replace(" ", "\u00a0")


def difference_cell(one: Difference, decimals: int) -> str:
    """Return a mean difference and its interval, which may wrap between the two."""
    if not math.isfinite(one.mean):
        return "not finite"
    return f"{number(one.mean, decimals, sign=True)} {ends(one.low, one.high, decimals)}"


def count_decimals(*differences: Difference | None) -> int:
    """Return the decimals that show two digits of every interval's half width."""
    known = [one for one in differences if one is not None and math.isfinite(one.mean)]
    halves = [_decimals((one.high - one.low) / 2, 2) for one in known if one.high > one.low]
    means = [_decimals(one.mean, 3) for one in known if one.high == one.low and one.mean]
    return max(halves + means, default=3)


def find_decimals(difference: Difference, before: float, after: float) -> int:
    """Return the decimals with which a change is what lies between the numbers around it.

    They show two digits of the half of its interval; more where rounding would tear the three
    apart by over a tenth of the change, as in 0.09 and 0.10, a change of +0.00.
    """
    least = count_decimals(difference)
    for digits in range(least, MOST_DECIMALS + 1):
        first, second, change = (
            Decimal(f"{value:.{digits}f}") for value in (before, after, difference.mean)
        )
        if abs(second - first - change) <= abs(change) / 10:
            return digits
    return least


def find_shared_decimals(rows: Iterable[tuple[Difference | None, float, float]]) -> int:
    """Return the most that `find_decimals` returns for any row of a table that has a change."""
    found = (
        find_decimals(one, before, after)
        for one, before, after in rows
        if one is not None and math.isfinite(one.mean)
    )
    return max(found, default=3)


def row_decimals(rows: Sequence[Row]) -> int:
    """Return the decimals of a model's validation losses and their differences."""
    return find_shared_decimals(
        (row.loss_difference, rows[0].validation_loss.mean, row.validation_loss.mean)
        for row in rows
    )


# Estimates ------------------------------------------------------------------------------------


def row_estimates(task: Task, rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return training loss, validation loss and error of each row: mean ± standard error.

    A column has one number of decimals; the validation loss has those of the differences.
    """
    training = estimates([row.train_loss for row in rows])
    losses = estimates([row.validation_loss for row in rows], row_decimals(rows))
    errors = estimates([row.validation_error for row in rows], factor=task.error_factor)
    return list(zip(training, losses, errors, strict=True))


def estimates(
    values: Sequence[Estimate], decimals: int | None = None, *, factor: float = 1
) -> list[str]:
    """Return estimates as mean ± standard error, with as many decimals as all of them need."""
    values = [scale(value, factor) for value in values]
    if decimals is None:
        # A value without spread decides only if none has any.
        spread = [value for value in values if value.standard_error > 0]
        decimals = max(map(_digits, spread or values), default=3)
    return [
        number(one.mean, decimals)
        + (f" ±{number(one.standard_error, decimals)}" if math.isfinite(one.standard_error) else "")
        for one in values
    ]


def scale(value: Estimate, factor: float) -> Estimate:
    """Return an estimate times a factor."""
    return Estimate(value.mean * factor, value.standard_error * factor)


def _digits(value: Estimate) -> int:
    """Return the decimals that show two digits of the standard error, or four of the mean."""
    error, mean = value.standard_error, abs(value.mean)
    if not math.isfinite(mean) or not mean:
        return 0
    most = 3 - math.floor(math.log10(mean))
    return max(0, min(most, 1 - math.floor(math.log10(error)) if error > 0 else most))


def _decimals(value: float, significant: int) -> int:
    if math.isinf(value):
        return 0
    return max(0, significant - 1 - math.floor(math.log10(abs(value))))
