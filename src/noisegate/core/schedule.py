"""Schedules: rates that change with the step or by depth. Rules: `spec/schedules.md`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import checks
from .decimals import exponential, raised_cosine
from .depth import by_depth
from .errors import InvalidType, InvalidValue, prefix_errors
from .keys import STEP_BITS
from .words import list_names, suggest

__all__ = ["Schedule", "by_depth", "constant", "cosine", "curriculum", "early", "late", "linear"]

# How fast a curriculum nears its end: at `steps`, e⁻¹⁰ of the way is left, as in the paper.
STEEPNESS = 10.0

# The share of the way from start to end that is done at t = step/steps, in [0, 1] …
RISES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 0.0,
    "linear": lambda t: t,
    "cosine": raised_cosine,
    "curriculum": lambda t: 1 - exponential(-STEEPNESS * t),
    "early": lambda t: 0.0,
    "late": lambda t: 0.0,
}
# … and the arguments of each function; where one is `value`, the other end is 0.
WORDS = {
    "constant": ("value",),
    "linear": ("start", "end", "steps"),
    "cosine": ("start", "end", "steps"),
    "curriculum": ("value", "steps"),
    "early": ("value", "steps"),
    "late": ("value", "steps"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Schedule:
    """A rate that changes with the step; every kind takes one as its rate.

    The rate of a call is ``schedule.at(key.step)`` and depends on nothing else, so a resumed run
    continues where it stopped. Made by `linear`, `cosine` and the other functions of this module.

    Attributes
    ----------
    shape : str
        Name of the function that makes the schedule.
    start, end : float
        The rate at step 0, and the rate from `steps` on (a curriculum only approaches it).
    steps : int
        Steps from start to end, at least 1.

    Examples
    --------
    >>> import noisegate as ng
    >>> ng.Dropout(ng.schedule.linear(0, 0.5, steps=1000))
    Dropout(p=schedule.linear(0.0, 0.5, steps=1000))
    """

    shape: str
    start: float
    end: float
    steps: int

    def at(self, step: int) -> float:
        """Return the rate at a step in [0, 2³²).

        Examples
        --------
        >>> import noisegate as ng
        >>> [ng.schedule.linear(0, 0.5, steps=4).at(step) for step in (0, 1, 4, 100)]
        [0.0, 0.125, 0.5, 0.5]
        """
        with prefix_errors("Schedule.at"):
            return _rate_at(self, checks.check_whole("step", step, STEP_BITS))

    def config(self) -> dict[str, Any]:
        """Return the schedule as a dict that JSON can hold."""
        return {"schedule": self.shape, **self._words()}

    def __repr__(self) -> str:
        """Return the call that makes the schedule."""
        words = self._words()
        steps = f", steps={words.pop('steps')}" if "steps" in words else ""
        return f"schedule.{self.shape}({', '.join(map(repr, words.values()))}{steps})"

    def _words(self) -> dict[str, Any]:
        value = self.start if self.shape in ("constant", "early") else self.end
        own = {"value": value, "start": self.start, "end": self.end, "steps": self.steps}
        return {word: own[word] for word in WORDS[self.shape]}


@lru_cache(maxsize=4096)
def _rate_at(schedule: Schedule, step: int) -> float:
    # A curriculum only approaches its end, so it goes on after `steps`.
    if step >= schedule.steps and schedule.shape not in ("constant", "curriculum"):
        return schedule.end
    done = RISES[schedule.shape](step / schedule.steps)
    # A weighted mean, and then bounds, so that rounding cannot leave the range.
    rate = schedule.start * (1 - done) + schedule.end * done
    return min(max(rate, min(schedule.start, schedule.end)), max(schedule.start, schedule.end))


@checks.check_call("schedule.constant")
def constant(value: float) -> Schedule:
    """Return the schedule of a rate that never changes."""
    return _schedule("constant", value, value, 1)


@checks.check_call("schedule.linear")
def linear(start: float, end: float, steps: int) -> Schedule:
    """Return a straight line from `start` at step 0 to `end` at `steps`, then `end`.

    Parameters
    ----------
    start, end : float
        Rates, within the bounds of the kind that takes the schedule.
    steps : int
        In [1, 2³²).
    """
    return _schedule("linear", start, end, steps)


@checks.check_call("schedule.cosine")
def cosine(start: float, end: float, steps: int) -> Schedule:
    """Return half a cosine wave from `start` at step 0 to `end` at `steps`, then `end`.

    ``start + (end − start) · (1 − cos(π · step/steps)) / 2``, flat at both ends. It takes the same
    parameters as `linear`.
    """
    return _schedule("cosine", start, end, steps)


@checks.check_call("schedule.curriculum")
def curriculum(value: float, steps: int) -> Schedule:
    """Return a rate that rises from 0 towards `value`, fast at first.

    ``value · (1 − exp(−10 · step/steps))``; `steps` is the length of the training.

    References
    ----------
    Morerio, Cavazza, Volpi, Vidal, Murino (2017), Curriculum dropout.

    Examples
    --------
    >>> import noisegate as ng
    >>> rate = ng.schedule.curriculum(0.5, steps=1000)
    >>> [round(rate.at(step), 3) for step in (0, 50, 100, 500, 1000)]
    [0.0, 0.197, 0.316, 0.497, 0.5]
    """
    return _schedule("curriculum", 0.0, value, steps)


@checks.check_call("schedule.early")
def early(value: float, steps: int) -> Schedule:
    """Return `value` for the first `steps` steps, then 0: against underfitting.

    For a linear decrease write ``linear(value, 0, steps)``.

    References
    ----------
    Liu, Xu, Jin, Shen, Darrell (2023), Dropout reduces underfitting.
    """
    return _schedule("early", value, 0.0, steps)


@checks.check_call("schedule.late")
def late(value: float, steps: int) -> Schedule:
    """Return 0 for the first `steps` steps, then `value`: against overfitting.

    References
    ----------
    Liu, Xu, Jin, Shen, Darrell (2023), Dropout reduces underfitting.
    """
    return _schedule("late", 0.0, value, steps)


def from_config(config: Mapping[str, Any]) -> Schedule:
    """Return the schedule that a config describes; the inverse of ``schedule.config()``."""
    words = dict(config)
    shape = words.pop("schedule", None)
    if shape not in WORDS:
        near = suggest(shape, list(WORDS)) if isinstance(shape, str) else ""
        raise InvalidValue(
            f"from_config: unknown schedule {shape!r}; known are {list_names(WORDS)}.{near}"
        )
    with prefix_errors(f"schedule.{shape}"):
        checks.check_keywords(words, WORDS[shape])
        missing = [word for word in WORDS[shape] if word not in words]
        if missing:
            raise InvalidType(f"`{missing[0]}` is missing.")
    made: Schedule = globals()[shape](**words)
    return made


def _schedule(shape: str, start: object, end: object, steps: object) -> Schedule:
    first, last = WORDS[shape][0], "end" if "end" in WORDS[shape] else "value"
    with prefix_errors(f"schedule.{shape}"):
        rates = checks.check_finite(first, start), checks.check_finite(last, end)
        length = checks.check_whole("steps", steps, STEP_BITS)
        if length < 1:
            raise InvalidValue("`steps` must be at least 1; got 0.")
    return Schedule(shape, *rates, length)
