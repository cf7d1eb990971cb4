"""Checks of a search's arguments; they need neither torch nor Optuna."""

from noisegate.study.design import check_count

from .space import parse_space


def check_search(text: str | None, *, always: bool, trials: int, tune_seed: int) -> None:
    """Raise if the arguments of a search are wrong; no rows are read."""
    check_count("trials", 1, trials, "30 is the default.")
    check_count("tune_seed", 0, tune_seed, "0 is the default.")
    if text is not None:
        parse_space(text, always=always)
