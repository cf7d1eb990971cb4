"""Sentences on what a search found."""

from collections.abc import Sequence

from noisegate.study.show.numbers import number, plural
from noisegate.study.show.sentences import name_model

from .records import Trial


def describe_no_gain(trials: int) -> str:
    """Return the sentence for a search in which no recipe was better than no noise."""
    return f"Of {plural(trials, 'trial')}, no noise was the best, so there is nothing to recommend."


def describe_optimism(trials: int) -> str:
    """Return the sentence on what it means to be the best of so many trials."""
    return (
        f"It is the best of {plural(trials, 'trial')} on these very rows, so these figures are "
        "optimistic; those of the test split are not."
    )


def describe_outcome(model: str, trials: Sequence[Trial]) -> str:
    """Return the sentence on how many trials finished, were given up, and failed."""
    states = [trial.state for trial in trials]
    finished, pruned, failed = (states.count(s) for s in ("finished", "pruned", "failed"))
    parts = [f"{finished} finished"]
    if pruned:
        parts.append(f"{pruned} given up early, worse than the median")
    if failed:
        parts.append(f"{failed} failed")
    return (
        f"{plural(len(trials), 'trial')} on {name_model(model)}: {', '.join(parts)}. No trial saw "
        "a test row."
    )


def describe_best(best: Trial, measure: str) -> str:
    """Return the line above the rules of the best trial."""
    noise = "with these rules" if best.rules else "without noise"
    return f"The best is trial {best.number} {noise}, whose mean {measure} is {format_value(best)}:"


def format_value(trial: Trial) -> str:
    """Return the value of a trial as text."""
    return "unknown" if trial.value is None else number(trial.value)
