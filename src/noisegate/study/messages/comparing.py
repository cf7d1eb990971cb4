"""What is said of two studies that are compared."""

from collections.abc import Iterable

__all__ = [
    "different_data",
    "no_file_to_compare",
    "no_study_file",
    "nothing_in_common",
    "too_few_shared_seeds",
    "unknown_format",
]


def no_file_to_compare(path: object, reason: str) -> str:
    return (
        f"study: a file to compare must be one that can be read; got '{path}': {reason}. Name the "
        "study.json in the folder of a study's --out."
    )


def no_study_file(path: object, reason: str) -> str:
    return (
        f"study: a file to compare must be a study's study.json; got '{path}': {reason}. Name the "
        "study.json in the folder of a study's --out."
    )


def unknown_format(path: object, found: object, known: int) -> str:
    return (
        f"study: a study.json must have format {known} to be compared; got format {found} in "
        f"'{path}'. Make the study again with this version: the file holds its command."
    )


def different_data(what: str, a: object, b: object, paths: tuple[object, object]) -> str:
    return (
        f"study: two studies must have the same data and the same splits to be compared; got {what}"
        f" {a} in '{paths[0]}' and {b} in '{paths[1]}'. Run both with the same data and the same "
        "options of its splits."
    )


def too_few_shared_seeds(shared: int, a: Iterable[int], b: Iterable[int]) -> str:
    lists = (", ".join(map(str, seeds)) for seeds in (a, b))
    return (
        f"study: two studies must share at least 2 seeds to be compared; got {shared}, of the seeds"
        f" {' and '.join(lists)}. Run both with --seeds 2 or more."
    )


def nothing_in_common(a: Iterable[str], b: Iterable[str]) -> str:
    lists = (", ".join(names) for names in (a, b))
    return (
        "study: two studies must share a recipe on a model, or each have one model and share a "
        f"recipe; got {' and '.join(lists)}. Run one of them with a recipe of the other."
    )
