"""Sentences of what a model draws itself: dropouts out of reach, and random numbers."""

from collections.abc import Iterable


def stays(site: str, words: str) -> str:
    return (
        f"'{site}' ({words}) is on in evaluation too, as the model's code calls it; it is taken "
        "over as its module's mode says."
    )


def left_out(draws: Iterable[object]) -> str:
    return (
        f"predict: random numbers are drawn in training alone by {_named(draws)}, so these samples "
        "are without them. Put noise there with rules=."
    )


def unrepeatable(draws: Iterable[object]) -> str:
    return (
        f"predict: random numbers are drawn in evaluation by {_named(draws)}, from generators that "
        "the seed does not reach, so another run gives other samples."
    )


def perhaps_unrepeatable(draws: Iterable[object]) -> str:
    return (
        f"predict: {', '.join(map(str, draws))} moved during a forward: something in the model "
        "draws, which the seed does not reach, or another thread does."
    )


def rate_unknown(site: str, words: str) -> str:
    return (
        f"predict: '{site}' ({words}) was not reached in training, where its rate is looked for; "
        "it is left at 0. Give it one with rules=."
    )


def _named(draws: Iterable[object]) -> str:
    return ", ".join(map(str, draws))
