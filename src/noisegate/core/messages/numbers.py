"""Sentences about numbers: rates, sizes, schedules."""

from collections.abc import Sequence
from difflib import get_close_matches

from ._words import _got, _guess, _names, _near


def not_a_number(who: str, name: str, value: object) -> str:
    remedy = ""
    if isinstance(value, str):
        remedy = f" Write {name}={value} without quotes." if _is_number(value) else ""
    elif value is None:
        remedy = f" To switch the noise off, write {name}=0."
    return f"{who}: `{name}` must be a number; {_got(value)}.{remedy}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def out_of_bounds(who: str, name: str, bounds: tuple[float, float], value: float) -> str:
    low, high = bounds
    if high == float("inf"):
        remedy = f" Did you mean {-value:g}?" if low <= -value < high and value < 0 else ""
        return f"{who}: `{name}` must be a finite number >= {low:g}; {_got(value)}.{remedy}"
    below_one = 1 - 2.0**-53
    interval = f"[{low:g}, 1)" if high == below_one else f"[{low:g}, {high:g}]"
    remedy = _guess(value) if low == 0 and high in (1, below_one) else ""
    if value == 1 and high == below_one:
        remedy = f" {name}=1 would need infinite noise; take a number below 1."
    return f"{who}: `{name}` must be in {interval}; {_got(value)}.{remedy}"


def not_finite(who: str, name: str, value: float) -> str:
    return f"{who}: `{name}` must be a finite number; {_got(value)}."


def not_positive(who: str, name: str, value: float) -> str:
    return f"{who}: `{name}` must be a finite number > 0; {_got(value)}."


def not_a_choice(who: str, name: str, value: object, choices: Sequence[str]) -> str:
    listed = " or ".join(map(repr, choices))
    near = get_close_matches(value, choices, n=1, cutoff=0.5) if isinstance(value, str) else []
    remedy = f" Did you mean {near[0]!r}?" if near else ""
    return f"{who}: `{name}` must be {listed}; {_got(value)}.{remedy}"


def not_whole(who: str, name: str, value: object) -> str:
    remedy = ""
    if isinstance(value, float) and value == value // 1:
        remedy = f" Write {int(value)}."
    return f"{who}: `{name}` must be a whole number; {_got(value)}.{remedy}"


def out_of_range(who: str, name: str, bits: int, value: int) -> str:
    return f"{who}: `{name}` must be in [0, 2**{bits}); {_got(value)}."


def not_a_flag(who: str, name: str, value: object) -> str:
    return f"{who}: `{name}` must be True or False; {_got(value)}."


def live_rate_shape(who: str, name: str, rate_shape: object, shape: object) -> str:
    return (
        f"{who}: `{name}` of shape {rate_shape} does not broadcast to the input's shape {shape}. "
        "Give a 0-d array or one with extents of 1 where the rate is shared."
    )


def rate_needs_grad(who: str, name: str) -> str:
    return (
        f"{who}: `{name}` requires grad, but the decision to remove has no gradient. "
        f"ConcreteDropout has one; or pass {name}.detach()."
    )


def host_rate(who: str, name: str) -> str:
    return (
        f"{who}: `{name}` must be a number or a schedule, not an array: block sizes turn it into "
        f"other rates on the host. Write float({name})."
    )


def schedule_without_step(who: str, name: str) -> str:
    return (
        f"{who}: `{name}` is a schedule, and without a seed there is no step to read it at. "
        "Give `seed=` and `site=`, a `key=`, or put the noise in with noisegate.inject."
    )


def unknown_schedule(value: object, known: Sequence[str]) -> str:
    near = _near(value, known) if isinstance(value, str) else ""
    return f"from_config: unknown schedule {value!r}; known are {_names(known)}.{near}"


def missing_word(who: str, word: str) -> str:
    return f"{who}: `{word}` is missing."


def no_steps(who: str) -> str:
    return f"{who}: `steps` must be at least 1; got 0."
