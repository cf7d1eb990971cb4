"""Sentences on what a search found."""

from collections.abc import Sequence

from noisegate.study.show.sentences import called, number

from .results import Trial

__all__ = [
    "count_trials",
    "describe_best",
    "describe_no_gain",
    "describe_optimism",
    "describe_outcome",
    "format_value",
]


def describe_no_gain(trials: int) -> str:
    """Return the sentence for a search in which no recipe was better than no noise."""
    return f"Of {count_trials(trials)} no noise was the best, so there is nothing to recommend."


def describe_optimism(trials: int) -> str:
    """Return the sentence on what it means to be the best of so many trials."""
    return (
        f"That is the best of {count_trials(trials)} on these very rows, so its figures are "
        "optimistic; those of the test split are not."
    )


def describe_outcome(model: str, trials: Sequence[Trial]) -> str:
    """Return the sentence on how many trials finished, were given up, and failed."""
    states = [trial.state for trial in trials]
    finished, pruned, failed = (states.count(s) for s in ("finished", "pruned", "failed"))
    parts = [f"{finished} finished"]
    if pruned:
        parts.append(f"{pruned} given up early, since worse than the median")
    if failed:
        parts.append(f"{failed} failed")
    return (
        f"{count_trials(len(trials))} on {called(model)}: {', '.join(parts)}. No trial saw a test "
        "row; the score on the test split is at the top."
    )


def describe_best(best: Trial, measure: str) -> str:
    """Return the line above the rules of the best trial."""
    noise = "with these rules" if best.rules else "with no noise at all"
    return f"Best is trial {best.number} {noise}, whose mean {measure} is {format_value(best)}:"


def count_trials(trials: int) -> str:
    """Return a number of trials in words: `1 trial`, `30 trials`."""
    return "1 trial" if trials == 1 else f"{trials:,} trials"


def format_value(trial: Trial) -> str:
    """Return the value of a trial as text."""
    return "unknown" if trial.value is None else number(trial.value)
