"""The target: which task it is of, and its values as classes or numbers."""

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.core.words import shorten

from .cells import Cells, Notation, as_labels, is_codes, label, whole
from .columns import check_notation
from .header import list_some
from .tasks import Task

MOST_CLASSES = 1000


def make_target(
    cells: Cells, task: str | None, notation: Notation, source: str
) -> tuple[Task, np.ndarray, str]:
    """Return the task, the target's values, and a note on what was inferred.

    Where no task is given, text, and whole numbers of at most 20 values, are classes. The cells are
    those of complete rows; `source` is how sentences quote the data.
    """
    name, inferred = cells.name, task is None
    if cells.is_text and task != "classification":
        check_notation(cells, notation, "give --task classification if each text is a class")
    if task is None:
        few = cells.values.dtype.kind != "f" or is_codes(cells.values)
        task = "classification" if few else "regression"
    if task == "regression":
        values = _as_numbers(cells)
        if np.all(values == values[0]):
            raise InvalidValue(
                f"study: the target of a regression must vary; got {label(values[0])} in every row "
                f"of `{name}` of {source}. Name another column with --target."
            )
        note = (
            f"The task is regression: `{name}` holds numbers. If they are classes, give --task "
            "classification."
        )
        return Task(task), values, note if inferred else ""
    classes = _find_classes(cells, source)
    note = (
        f"The task is classification: `{name}` has {len(classes)} classes, "
        f"{list_some(classes, quote='')}. If it is a quantity, give --task regression."
    )
    found = Task(task, classes)
    return found, read_target(cells, found), note if inferred else ""


def read_target(cells: Cells, task: Task) -> np.ndarray:
    """Return the values of a target for a task that is known."""
    if not task.is_classification:
        return _as_numbers(cells)
    index = {name: i for i, name in enumerate(task.classes)}
    texts = as_labels(cells)
    word, place = texts.find(lambda name: name not in index)
    if place:
        raise InvalidValue(
            f"study: the classes must be those of the data, {list_some(task.classes, quote='')}; "
            f"got {word} in `{cells.name}` at {place}. Fix that cell, or leave that row out."
        )
    return np.array([index[name] for name in texts.values], np.int64)


def are_numbers(classes: tuple[str, ...]) -> bool:
    """Return whether classes are labels that numbers have, so that text is read as numbers."""
    try:
        return all(label(float(name)) == name for name in classes)
    except ValueError:
        return False


def _as_numbers(cells: Cells) -> np.ndarray:
    if cells.values.dtype.kind == "f":
        return cells.values.astype(np.float64)
    word, place = as_labels(cells).find(lambda word: Notation().parse(word) is None)
    raise InvalidValue(
        f"study: the target of a regression must hold numbers; got {word} in `{cells.name}` at "
        f"{place}. Fix that cell; if each text is a class, give --task classification."
    )


def _find_classes(cells: Cells, source: str) -> tuple[str, ...]:
    """Return the classes: numbers in their order, text in that of its code points."""
    name, values = cells.name, cells.values
    if values.dtype.kind == "f" and not whole(values).all():
        row = int(np.argmin(whole(values)))
        raise InvalidValue(
            f"study: classes must be text or whole numbers below 2^53; got {label(values[row])} in "
            f"`{name}` at {cells.place(row)}. Give --task regression."
        )
    if values.dtype.kind == "f":
        classes = tuple(label(value) for value in np.unique(values))
    else:
        classes = tuple(sorted(set(as_labels(cells).values)))
    count, other = len(classes), "Name another column with --target"
    if count < 2:
        raise InvalidValue(
            "study: a classification must have at least two classes; got "
            f"{shorten(classes[0], 42)} in every row of `{name}` of {source}. {other}."
        )
    if count > MOST_CLASSES:
        raise InvalidValue(
            f"study: a classification must have at most {MOST_CLASSES} classes; got {count} in "
            f"`{name}`. {other}, or give --task regression if it holds numbers."
        )
    if count == len(values):
        raise InvalidValue(
            f"study: some rows must share a class; got {count} classes in the {count} rows of "
            f"`{name}` of {source}. {other}, or give --task regression if it holds numbers."
        )
    return classes
