"""Sentences about keywords, kinds, sites and keys."""

from ._words import _got


def dict_of_arguments(who: str, value: object) -> str:
    return (
        f"{who}: arguments are given by name, not in a dict; {_got(value)}. Write "
        f"{who}(x, p=0.5, training=True, rng=seed), where p is the probability to remove: 1 - p "
        "of a dict of CS231n's."
    )
