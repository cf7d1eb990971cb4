"""Sentences about files of data and their columns."""

from collections.abc import Mapping, Sequence
from shlex import quote

from noisegate.core.extras import missing_extra

from ._data_words import _count, _names, _near

__all__ = [
    "cannot_read",
    "damaged",
    "empty_file",
    "empty_name",
    "high_rank",
    "lacking_column",
    "missing_pyarrow",
    "no_column",
    "no_csv",
    "no_file",
    "no_inputs",
    "no_npz",
    "no_parquet",
    "no_rows",
    "no_rows_axis",
    "no_vector",
    "not_utf8",
    "other_shape",
    "ragged_row",
    "same_name",
    "several_arrays",
    "two_roles",
    "unequal_rows",
    "unfit_array",
    "unfit_column",
    "unknown_suffix",
]

# Files


def no_file(what: str, path: str) -> str:
    return f"study: {what} must exist; got '{path}', which does not. Check its path."


def cannot_read(what: str, path: str, reason: str | None) -> str:
    return f"study: {what} must be readable; got '{path}': {reason}. Name a file that you can read."


def unknown_suffix(what: str, path: str) -> str:
    return (
        f"study: {what} must be .csv, .npz or .parquet; got '{path}'. Save it as one of these, "
        "with that ending."
    )


def missing_pyarrow() -> str:
    return str(missing_extra("A parquet file", "pyarrow", "parquet"))


def empty_file(path: str) -> str:
    return (
        f"study: the first line of a CSV file must name its columns; got '{path}', which is empty. "
        "Check that it was saved."
    )


def no_rows(path: str) -> str:
    return (
        f"study: a file of data must have rows; got '{path}' with no rows. Check that it was saved."
    )


def not_utf8(path: str, line: int) -> str:
    return (
        f"study: a CSV file must be UTF-8; got other bytes at line {line} of '{path}'. Save it "
        "as UTF-8."
    )


def no_csv(path: str, line: int, reason: str) -> str:
    return (
        f"study: a CSV file must have a row to a line and its quotes closed; got a row that "
        f"begins at line {line} of '{path}' and cannot be read: {reason}. Mend that row."
    )


def empty_name(path: str, place: int) -> str:
    return (
        f"study: every column must have a name; got none for column {place} of '{path}'. Name it "
        "in the first line; or, if it numbers the rows, save the file without it."
    )


def same_name(path: str, name: str, first: int, second: int) -> str:
    return (
        f"study: the columns' names must differ; got `{name}` for columns {first} and {second} "
        f"of '{path}'. Rename one."
    )


def ragged_row(path: str, line: int, cells: int, expected: int) -> str:
    return (
        f"study: every row must have a cell for each of the {_count(expected, 'column')}; got "
        f"{_count(cells, 'cell')} at line {line} of '{path}'. Mend that row; a cell that holds the "
        'delimiter stands in "quotes".'
    )


def no_npz(path: str) -> str:
    return (
        f"study: an .npz file must be NumPy's; got '{path}', which is not. Save it with "
        "numpy.savez."
    )


def damaged(path: str, name: str, reason: str) -> str:
    return (
        f"study: every array of an .npz file must be readable; got `{name}` of '{path}': "
        f"{reason.rstrip('.')}. Save it anew with numpy.savez."
    )


def no_parquet(path: str) -> str:
    return f"study: a .parquet file must be Parquet's; got '{path}', which is not. Save it anew."


# Columns


def no_column(path: str, role: str, name: str, names: Sequence[str]) -> str:
    return (
        f"study: {role} must name a column of '{path}'; got `{name}`. It has {_names(names)}."
        f"{_near(name, names)}"
    )


def lacking_column(what: str, path: str, name: str, names: Sequence[str]) -> str:
    return (
        f"study: {what} must have every column that the data have; got '{path}' without `{name}`. "
        f"It has {_names(names)}.{_near(name, names)}"
    )


def two_roles(name: str, first: str, second: str) -> str:
    return (
        f"study: a column has one role; got `{name}` for {first} and for {second}. Leave it out "
        "of one."
    )


def no_inputs(path: str, names: Sequence[str]) -> str:
    return (
        f"study: there must be a column to learn from; got none of '{path}', which has "
        f"{_names(names)}. Ignore fewer, or add inputs to the file."
    )


def several_arrays(path: str, names: Sequence[str]) -> str:
    return (
        f"study: which array is the input must be told where there are several; got '{path}' "
        f"with {_names(names)}. Name one or more, as --inputs {quote(names[0])}."
    )


def high_rank(path: str, name: str) -> str:
    return (
        f"study: an array of a rank above 2 must be the only input; got `{name}` of '{path}' and "
        f"others. Give it alone, as --inputs {quote(name)}."
    )


def unequal_rows(path: str, counts: Mapping[str, int]) -> str:
    told = ", ".join(f"`{name}`: {count}" for name, count in counts.items())
    return (
        f"study: all arrays must have the same number of rows, along axis 0; got '{path}' with "
        f"{told}. Check how it was saved."
    )


def no_rows_axis(path: str, name: str, shape: Sequence[int]) -> str:
    return (
        f"study: an array must have a row along axis 0 for each sample, and something in it; got "
        f"`{name}` of '{path}' of shape {tuple(shape)}. Leave it out with --ignore {quote(name)}."
    )


def no_vector(path: str, name: str, shape: Sequence[int]) -> str:
    return (
        f"study: a target and groups must be one value a row, (rows,) or (rows, 1); got `{name}` "
        f"of '{path}' of shape {tuple(shape)}. Name another, or save one value a row."
    )


def unfit_array(path: str, name: str, held: str) -> str:
    return (
        f"study: an array must hold real numbers, booleans, or text of rank 1; got `{name}` of "
        f"'{path}', which holds {held}. Leave it out with --ignore {quote(name)}, or save it as "
        "numbers."
    )


def unfit_column(path: str, name: str, kind: str) -> str:
    return (
        f"study: a column must hold a number or a text a row; got `{name}` of '{path}', which "
        f"holds {kind}. Leave it out with --ignore {quote(name)}."
    )


def other_shape(path: str, name: str, shape: Sequence[int], expected: Sequence[int]) -> str:
    return (
        f"study: a row of `{name}` must have the shape {tuple(expected)}, as in the data; got "
        f"{tuple(shape)} in '{path}'. Save it in that shape."
    )
