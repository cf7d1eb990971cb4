"""What a search says of itself, word for word."""

from noisegate.tune import wording as sentences
from noisegate.tune.records import Trial


def trial(
    number: int, state: str = "finished", rules: str = "", value: float | None = 0.25
) -> Trial:
    return Trial(number, state, value, rules, {}, 3, 1.5, "noisegate study", "")


def test_the_best_trial() -> None:
    assert sentences.describe_best(trial(0), "validation loss") == (
        "The best is trial 0 without noise, whose mean validation loss is 0.250:"
    )
    assert sentences.describe_best(trial(3, rules="in:out=0.5", value=None), "error") == (
        "The best is trial 3 with these rules, whose mean error is unknown:"
    )


def test_no_noise_is_the_best() -> None:
    assert sentences.describe_no_gain(30) == (
        "Of 30 trials, no noise was the best, so there is nothing to recommend."
    )


def test_the_best_of_many_is_optimistic() -> None:
    assert sentences.describe_optimism(1) == (
        "It is the best of 1 trial on these very rows, so these figures are optimistic; those of "
        "the test split are not."
    )


def test_what_came_of_the_trials() -> None:
    trials = [trial(0), trial(1, "pruned"), trial(2, "failed"), trial(3)]
    assert sentences.describe_outcome("mlp", trials) == (
        "4 trials on the MLP: 2 finished, 1 given up early, worse than the median, 1 failed. No "
        "trial saw a test row."
    )
