"""Rows with missing values: refused, left out, or kept for their gaps to be filled."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from noisegate.core.errors import InvalidValue

from .cells import Cells
from .header import SHOWN, no_rows

# Beyond this a square, and so a standard deviation, may overflow.
LARGEST = 1e100


def check_counts(label: str, columns: Iterable[Cells]) -> None:
    """Raise if there are no rows, or arrays have not the same number."""
    counts = {cells.name: len(cells.values) for cells in columns}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"`{name}`: {count}" for name, count in counts.items())
        raise InvalidValue(
            "study: all arrays must have the same number of rows, along axis 0; got "
            f"{label} with {listed}. Check how it was saved."
        )
    if not min(counts.values()):
        raise no_rows(label)


def find_complete(
    label: str, inputs: Sequence[Cells], needed: Sequence[Cells], missing: str
) -> tuple[dict[str, Cells], str]:
    """Return the cells of the rows that can be used, and a note on the others.

    Missing values of `inputs` may be filled in; those that are `needed`, a target and groups, must
    be there. `missing` is "error", "drop" or "impute".
    """
    every = [*inputs, *needed]
    images = [cells for cells in inputs if cells.values.ndim > 2]  # which nothing fills in
    must = [*needed, *images] if missing == "impute" else every
    gaps = np.zeros(len(every[0].values), bool)
    for cells in must:
        gaps |= cells.missing
    count, rows, notes = int(gaps.sum()), len(gaps), []
    if count == rows:
        number = "its one row" if rows == 1 else f"every one of its {rows} rows"
        raise InvalidValue(
            f"study: some row must be complete; got {label}, where {number} has missing values "
            f"({_list_missing(must)}). Leave columns out with --ignore, or fill them in."
        )
    if count and missing == "error":
        place = every[0].place(int(np.argmax(gaps))).partition(" of ")[0]
        raise InvalidValue(
            f"study: every row must be complete; got {count} of {rows} rows of {label} with "
            f"missing values ({_list_missing(must)}), the first at {place}. Leave these rows out "
            "with --missing drop, fill the gaps with --missing impute, leave columns out with "
            "--ignore, or say with --na which words are missing values."
        )
    if count:
        notes.append(
            f"{count} of {rows} rows of {label} are left out for missing values "
            f"({_list_missing(must)}); --na sets which words are missing."
        )
    if missing == "impute" and (words := _list_missing(inputs)):
        notes.append(
            f"Missing values of {label} are imputed ({words}); --na sets which words are missing."
        )
    kept = np.flatnonzero(~gaps)
    complete = {cells.name: cells.take(kept) if count else cells for cells in every}
    for cells in complete.values():
        _check_range(cells)
    for cells in needed:
        complete[cells.name] = _as_vector(complete[cells.name], label)
    return complete, " ".join(notes)


def _check_range(cells: Cells) -> None:
    """Refuse infinity, and what would become it on the way."""
    if cells.values.dtype.kind != "f":
        return
    limit = LARGEST if cells.values.dtype == np.float64 else np.inf
    beyond = (np.abs(cells.values) >= limit).reshape(len(cells.values), -1).any(axis=1)
    if beyond.any():
        row = int(np.argmax(beyond))
        values = cells.values[row].ravel()
        value = float(values[np.nanargmax(np.abs(values))])
        raise InvalidValue(
            f"study: numbers must be finite, and below 1e100; got {value:g} in `{cells.name}` at "
            f"{cells.place(row)}. Fix it, or leave it blank and drop its row with --missing drop."
        )


def _as_vector(cells: Cells, label: str) -> Cells:
    """Return a target or groups of shape (rows, 1) as (rows,)."""
    shape = cells.values.shape
    if len(shape) > 2 or shape[1:] not in ((), (1,)):
        raise InvalidValue(
            "study: a target and groups must be one value a row, (rows,) or (rows, 1); got "
            f"`{cells.name}` of {label} of shape {shape}. Name another, or save one value a row."
        )
    return replace(cells, values=cells.values.reshape(-1))


def _list_missing(columns: Sequence[Cells]) -> str:
    """Return which words are missing in which columns, and how often."""
    found = []
    for column in columns:
        if column.words:
            counts = sorted(column.words.items(), key=lambda item: -item[1])
            each = (f'{count} "{word}"' if word else f"{count} empty" for word, count in counts)
            found.append((sum(column.words.values()), f"`{column.name}`: {', '.join(each)}"))
    found.sort(key=lambda each: -each[0])
    shown = "; ".join(text for _, text in found[:SHOWN])
    return shown + (f"; and {len(found) - SHOWN} more columns" if len(found) > SHOWN else "")
