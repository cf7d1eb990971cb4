"""What a search found, in words."""

from collections.abc import Sequence

from noisegate.study.sentences import called, number

from .results import Trial

__all__ = ["best_is", "best_of", "counted", "none_is_best", "outcome", "shown_value"]


def none_is_best(trials: int) -> str:
    """Return a sentence on a search in which no recipe was better than no noise."""
    return f"Of {counted(trials)} no noise was the best, so there is nothing to recommend."


def best_of(trials: int) -> str:
    """Return a sentence on what it means to be the best of so many trials."""
    return (
        f"That is the best of {counted(trials)} on these very rows, so its figures are "
        "optimistic; those of the test split are not."
    )


def outcome(model: str, trials: Sequence[Trial]) -> str:
    """Return a sentence on how many trials finished, were given up, and failed."""
    states = [trial.state for trial in trials]
    finished, pruned, failed = (states.count(s) for s in ("finished", "pruned", "failed"))
    parts = [f"{finished} finished"]
    if pruned:
        parts.append(f"{pruned} given up early, since worse than the median")
    if failed:
        parts.append(f"{failed} failed")
    return (
        f"{counted(len(trials))} on {called(model)}: {', '.join(parts)}. No trial saw a test row; "
        "the score on the test split is at the top."
    )


def best_is(best: Trial, measure: str) -> str:
    """Return what stands above the rules of the best trial."""
    noise = "with these rules" if best.rules else "with no noise at all"
    return f"Best is trial {best.number} {noise}, whose mean {measure} is {shown_value(best)}:"


def counted(trials: int) -> str:
    """Return how many trials there are, in words: `1 trial`, `30 trials`."""
    return "1 trial" if trials == 1 else f"{trials:,} trials"


def shown_value(trial: Trial) -> str:
    """Return the value of a trial to read."""
    return "unknown" if trial.value is None else number(trial.value)
