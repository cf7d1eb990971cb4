"""Sentences about cells, targets and splits: of errors, and the notes that data give."""

from collections.abc import Mapping, Sequence
from shlex import quote

from ._data_words import _count, _counts, _every, _listed, _names, _short

__all__ = [
    "all_missing",
    "bad_cell",
    "bad_target",
    "class_per_row",
    "constant_target",
    "dropped_rows",
    "further_columns",
    "left_out",
    "many_categories",
    "many_classes",
    "missing_values",
    "mixed_text",
    "no_class",
    "not_finite",
    "number_due",
    "one_class",
    "share_out_of_bounds",
    "text_due",
    "text_per_row",
    "text_target",
    "told_classification",
    "told_regression",
    "too_few_rows",
    "too_few_to_draw",
    "unknown_class",
    "unknown_task",
]

# Cells


def missing_values(path: str, count: int, rows: int, columns: Mapping[str, int], place: str) -> str:
    return (
        f"study: every row must be complete; got {count} of {rows} rows of '{path}' with missing "
        f"values ({_counts(columns)}), the first at {place.partition(' of ')[0]}. Drop these rows "
        "with --drop-missing, leave columns out with --ignore, or fill them in."
    )


def all_missing(path: str, rows: int, columns: Mapping[str, int]) -> str:
    return (
        f"study: some row must be complete; got '{path}', where {_every(rows)} has missing values "
        f"({_counts(columns)}). Leave columns out with --ignore, or fill them in."
    )


def not_finite(name: str, value: float, place: str) -> str:
    return (
        f"study: numbers must be finite, and below 1e100; got {value:g} in `{name}` at {place}. "
        "Mend it, or leave it blank and drop its row with --drop-missing."
    )


def bad_cell(name: str, count: int, rows: int, word: str, place: str) -> str:
    return (
        f"study: `{name}` must hold numbers, as {count} of its {rows} cells do; got "
        f"'{_short(word)}' at {place}. Mend that cell, or leave the column out with "
        f"--ignore {quote(name)}."
    )


def text_per_row(name: str, word: str, place: str) -> str:
    return (
        f"study: a column of text must have values that rows share; got another in every row of "
        f"`{name}`, as '{_short(word)}' at {place}. Leave it out with --ignore {quote(name)}."
    )


def many_categories(name: str, count: int, most: int, word: str, place: str) -> str:
    return (
        f"study: a column of text must have at most {most} different values; got {count} in "
        f"`{name}`, as '{_short(word)}' at {place}. Leave it out with --ignore {quote(name)}."
    )


def number_due(name: str, word: str, place: str) -> str:
    return (
        f"study: `{name}` must hold numbers, as in the data; got '{_short(word)}' at {place}. "
        "Mend that cell."
    )


def text_due(name: str, word: str, place: str) -> str:
    return (
        f"study: `{name}` must hold text, as in the data; got '{word}' at {place}, and numbers "
        "that are no values of the data in all rows. Check that the column is the same one."
    )


# Targets


def unknown_task(task: object) -> str:
    return f"study: the task must be classification or regression; got {task!r}. Name one of them."


def too_few_rows(path: str, rows: int, least: int) -> str:
    return (
        f"study: at least {least} complete rows are needed, to train on, to validate on and to "
        f"test on; got {rows} in '{path}'. Bring more rows: a study needs hundreds to tell much."
    )


def bad_target(name: str, count: int, rows: int, word: str, place: str) -> str:
    return (
        f"study: the target `{name}` must hold numbers, as {count} of its {rows} cells do; got "
        f"'{_short(word)}' at {place}. Mend that cell; if each text is a class, give "
        "--task classification."
    )


def text_target(name: str, word: str, place: str) -> str:
    return (
        f"study: the target of a regression must hold numbers; got '{_short(word)}' in `{name}` "
        f"at {place}. Mend that cell; if each text is a class, give --task classification."
    )


def constant_target(path: str, name: str, value: str) -> str:
    return (
        f"study: the target of a regression must vary; got {value} in every row of `{name}` of "
        f"'{path}'. Name another column with --target."
    )


def one_class(path: str, name: str, value: str) -> str:
    return (
        f"study: a classification must have at least two classes; got '{_short(value)}' in every "
        f"row of `{name}` of '{path}'. Name another column with --target."
    )


def many_classes(name: str, count: int, most: int) -> str:
    return (
        f"study: a classification must have at most {most} classes; got {count} in `{name}`. "
        "Name another column with --target, or give --task regression if it holds numbers."
    )


def class_per_row(path: str, name: str, rows: int) -> str:
    return (
        f"study: some rows must share a class; got {rows} classes in the {rows} rows of `{name}` "
        f"of '{path}'. Name another column with --target, or give --task regression if it holds "
        "numbers."
    )


def no_class(name: str, value: str, place: str) -> str:
    return (
        f"study: classes must be text or whole numbers below 2^53; got {value} in `{name}` at "
        f"{place}. Give --task regression."
    )


def unknown_class(name: str, value: str, place: str, classes: Sequence[str]) -> str:
    return (
        f"study: the classes must be those of the data, {_listed(classes)}; got "
        f"'{_short(value)}' in `{name}` at {place}. Mend that cell, or leave that row out."
    )


# Splits


def share_out_of_bounds(share: float) -> str:
    return f"study: a share of the rows must be in (0, 1); got {share!r}. Write for example 0.2."


def too_few_to_draw(share: float, count: int, what: str) -> str:
    return (
        f"study: a share of {share:g} must leave {what}s on both sides; got "
        f"{_count(count, what)}. Bring more, or change the share."
    )


# Notes


def told_classification(name: str, classes: Sequence[str]) -> str:
    return (
        f"The task is classification: `{name}` has {len(classes)} classes, {_listed(classes)}. If "
        "it is a quantity, give --task regression."
    )


def told_regression(name: str) -> str:
    return (
        f"The task is regression: `{name}` holds numbers. If they are classes, give "
        "--task classification."
    )


def dropped_rows(path: str, count: int, rows: int, columns: Mapping[str, int]) -> str:
    return (
        f"{count} of {rows} rows of '{path}' are left out for missing values ({_counts(columns)})."
    )


def left_out(names: Sequence[str]) -> str:
    return f"Not used: {_names(names)}."


def further_columns(path: str, names: Sequence[str]) -> str:
    return f"Not used of '{path}', as the data do not have them as inputs: {_names(names)}."


def mixed_text(name: str, word: str, place: str) -> str:
    return f"`{name}` is taken as text, numbers and all: it has '{_short(word)}' at {place}."
