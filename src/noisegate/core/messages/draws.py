"""Sentences of what a model draws itself: dropouts out of reach, and random numbers."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..survey import Draw


def unreached(found: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"'{site}' ({words})" for site, words in found)
    it, rule = ("it", "a rule") if len(found) == 1 else ("them", "rules")
    return (
        f"inject: existing=True cannot reach {named}. Turn {it} off in the model and put noise in "
        f"by {rule}, or pass unreached='keep' to leave {it} to the model."
    )


def left_to_model(site: str, words: str) -> str:
    return f"'{site}' ({words}) is left to the model."


def own_random(draw: "Draw") -> str:
    who = f"'{draw.path}'" if draw.path else "The model's forward"
    return f"{who} draws random numbers: {draw.words}, for no known dropout."


def perhaps_drawn(draw: "Draw") -> str:
    return (
        f"{draw.words} moved during a forward: something in the model draws, or another thread "
        "does."
    )


def coin(draw: "Draw") -> str:
    rate = "" if draw.rate is None else f", at rate {draw.rate:g}"
    who = f"'{draw.path}'" if draw.path else "The model's forward"
    return (
        f"{who} decides at random what runs: {draw.words}{rate}, which existing=True does not take "
        "over."
    )


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


def nothing_existing(draws: "Sequence[Draw]" = ()) -> str:
    if not draws:
        return (
            "inject: existing=True found no dropout of the model's own. "
            "Write a rule, for example {'hid*:out': 0.5}."
        )
    return (
        "inject: existing=True found nothing that it can take over; random numbers are drawn by "
        f"{_named(draws)}. Write a rule, for example {{'hid*:out': 0.5}}."
    )
