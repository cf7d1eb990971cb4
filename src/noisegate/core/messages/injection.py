"""The sentence for a number of samples that is none."""

from ._words import _got


def no_samples(value: object) -> str:
    return f"predict: `samples` must be a whole number > 0, or a list of steps; {_got(value)}."
