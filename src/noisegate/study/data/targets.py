"""The target: which task it tells of, and its values as classes or numbers."""

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .cells import label, labels
from .rows import Rows, first_text, is_codes, mostly_numbers, whole
from .tasks import Task

__all__ = ["in_numbers", "target_like", "target_of"]

MOST_CLASSES = 1000


def target_of(rows: Rows, task: str | None) -> tuple[Task, np.ndarray, str]:
    """Return the task, the target's values, and the sentence that tells what was decided.

    Parameters
    ----------
    rows : Rows
        The target: finite numbers, booleans, or text.
    task : {"classification", "regression"} or None
        None: text, booleans, and whole numbers of at most 20 values are classes.
    """
    told = task is None
    if told:
        task = "classification" if _tells_classes(rows) else "regression"
    if task == "regression":
        values = _quantity(rows)
        return Task("regression"), values, messages.told_regression(rows.name) if told else ""
    found = Task("classification", _classes(rows))
    note = messages.told_classification(rows.name, found.classes) if told else ""
    return found, _indices(rows, found), note


def target_like(rows: Rows, task: Task) -> np.ndarray:
    """Return the values of another file's target, for a task that is known."""
    if task.is_classification:
        return _indices(rows, task)
    if rows.text:
        raise _no_number(rows)
    return rows.values.astype(np.float64)


def in_numbers(classes: tuple[str, ...]) -> bool:
    """Return whether classes are labels that numbers have, so that CSV is read as numbers."""
    try:
        return all(label(float(name)) == name for name in classes)
    except ValueError:
        return False


def _tells_classes(rows: Rows) -> bool:
    if rows.text:
        if count := mostly_numbers(rows):
            row = first_text(rows) or 0
            place = rows.place(row)
            raise InvalidValue(
                messages.bad_target(rows.name, count, len(rows.values), rows.values[row], place)
            )
        return True
    return rows.values.dtype == bool or is_codes(rows.values)


def _quantity(rows: Rows) -> np.ndarray:
    if rows.text:
        raise _no_number(rows)
    values = rows.values.astype(np.float64)
    if np.all(values == values[0]):
        raise InvalidValue(messages.constant_target(rows.path, rows.name, label(float(values[0]))))
    return values


def _no_number(rows: Rows) -> InvalidValue:
    row = first_text(rows) or 0
    return InvalidValue(messages.text_target(rows.name, rows.values[row], rows.place(row)))


def _classes(rows: Rows) -> tuple[str, ...]:
    values = rows.values
    if values.dtype.kind == "f" and not whole(values).all():
        row = int(np.argmin(whole(values)))
        value = label(float(values[row]))
        raise InvalidValue(messages.no_class(rows.name, value, rows.place(row)))
    # Numbers in their own order, text in that of its code points, which is no locale's.
    classes = tuple(sorted(set(values)) if rows.text else labels(np.unique(values)))
    if len(classes) < 2:
        raise InvalidValue(messages.one_class(rows.path, rows.name, classes[0]))
    if len(classes) > MOST_CLASSES:
        raise InvalidValue(messages.many_classes(rows.name, len(classes), MOST_CLASSES))
    if len(classes) == len(values):
        raise InvalidValue(messages.class_per_row(rows.path, rows.name, len(values)))
    return classes


def _indices(rows: Rows, task: Task) -> np.ndarray:
    index = {name: i for i, name in enumerate(task.classes)}
    found = labels(rows.values)
    for row, name in enumerate(found):
        if name not in index:
            raise InvalidValue(
                messages.unknown_class(rows.name, name, rows.place(row), task.classes)
            )
    return np.array([index[name] for name in found], np.int64)
