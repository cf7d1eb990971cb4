"""What is wrong with a search, as far as its arguments tell; without torch and without Optuna."""

from noisegate.study.checks import check_count

from .space import parse_space

__all__ = ["check_search"]


def check_search(text: str | None, *, always: bool, trials: int, tune_seed: int) -> None:
    """Raise what can be told before the rows are read.

    Raises
    ------
    InvalidValue, InvalidType
        If a number is out of bounds, or the text says no rules to search.
    """
    check_count("trials", 1, trials, "30 is the default.")
    check_count("tune_seed", 0, tune_seed, "0 is the default.")
    if text is not None:
        parse_space(text, always=always)
