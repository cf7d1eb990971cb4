"""Inputs: which columns they are, and whether a network can take what they hold."""

from collections.abc import Sequence

import numpy as np

from noisegate.core.errors import InvalidValue
from noisegate.study import messages

from .cells import Table, labels
from .dataset import Column
from .rows import Rows, count_numbers, first_text, mostly_numbers

__all__ = ["check_finite", "input_like", "input_names", "input_of"]

MOST_CATEGORIES = 100
# Beyond this a square, and so a standard deviation, may overflow.
LARGEST = 1e100


def input_names(
    table: Table, target: str, inputs: Sequence[str], ignore: Sequence[str], split: str | None
) -> tuple[str, ...]:
    """Return the names of the inputs, in the file's order: what is asked for, or what is left."""
    roles = [(target, "--target")] if split is None else [(target, "--target"), (split, "--split")]
    roles += [(name, "--inputs") for name in inputs] + [(name, "--ignore") for name in ignore]
    seen: dict[str, str] = {}
    for name, role in roles:
        if name not in table.names:
            raise InvalidValue(messages.no_column(table.path, role, name, table.names))
        before = seen.setdefault(name, role)
        if before != role and {before, role} != {"--split", "--ignore"}:
            raise InvalidValue(messages.two_roles(name, before, role))
    taken = {target, split, *ignore}
    wanted = set(inputs) or set(table.names) - taken
    found = tuple(name for name in table.names if name in wanted)
    if not found:
        raise InvalidValue(messages.no_inputs(table.path, table.names))
    if table.arrays and not inputs and len(found) > 1:
        raise InvalidValue(messages.several_arrays(table.path, found))
    return found


def check_finite(rows: Rows) -> None:
    """Refuse infinity, and what would become it on the way."""
    if rows.values.dtype.kind != "f":
        return
    limit = LARGEST if rows.values.dtype == np.float64 else np.inf
    flat = (np.abs(rows.values) < limit).reshape(len(rows.values), -1).all(axis=1)
    if not flat.all():
        row = int(np.argmin(flat))
        values = rows.values[row].ravel()
        value = float(values[np.argmax(np.abs(values))])
        raise InvalidValue(messages.not_finite(rows.name, value, rows.place(row)))


def input_of(rows: Rows) -> tuple[Column, str]:
    """Return the input of a column, and a note if it is text with numbers among it."""
    if not rows.text:
        return Column(rows.name, _numbers(rows.values), False), ""
    first = first_text(rows)
    word, place = rows.values[first or 0], rows.place(first or 0)
    if first is not None and (count := mostly_numbers(rows)):
        raise InvalidValue(messages.bad_cell(rows.name, count, len(rows.values), word, place))
    categories = len(set(rows.values))
    if 3 <= categories == len(rows.values):
        raise InvalidValue(messages.text_per_row(rows.name, word, place))
    if categories > MOST_CATEGORIES:
        raise InvalidValue(
            messages.many_categories(rows.name, categories, MOST_CATEGORIES, word, place)
        )
    mixed = first is not None and count_numbers(rows)
    note = messages.mixed_text(rows.name, word, place) if mixed else ""
    return Column(rows.name, rows.values, True), note


def input_like(rows: Rows, column: Column) -> Column:
    """Return the input of another file's column, of the kind and shape of the dataset's."""
    if column.text:
        return Column(rows.name, _words_like(rows, column), True)
    if rows.text:
        row = first_text(rows) or 0
        raise InvalidValue(messages.number_due(rows.name, rows.values[row], rows.place(row)))
    if rows.values.shape[1:] != column.values.shape[1:]:
        shapes = rows.values.shape[1:], column.values.shape[1:]
        raise InvalidValue(messages.other_shape(rows.path, rows.name, *shapes))
    return Column(rows.name, _numbers(rows.values), False)


def _words_like(rows: Rows, column: Column) -> np.ndarray:
    """Return text; numbers only if some are categories of the dataset, as codes may be."""
    if rows.values.ndim > 1:
        raise InvalidValue(messages.other_shape(rows.path, rows.name, rows.values.shape[1:], ()))
    words = np.empty(len(rows.values), object)
    words[:] = labels(rows.values)
    found = rows._replace(values=words)
    if first_text(found) is None and not set(words) & set(column.values):
        raise InvalidValue(messages.text_due(rows.name, words[0], rows.place(0)))
    return words


def _numbers(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64) if values.dtype == bool else values
