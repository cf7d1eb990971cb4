"""Bad files and columns of a study, and the sentence for each."""

from pathlib import Path

import numpy as np
import pyarrow

from _bad_numbers import Case, Value
from _study_files import (
    column,
    csv,
    damaged,
    folder,
    npz,
    parquet,
    raw,
    refused,
    table,
    without_pyarrow,
)
from noisegate import MissingExtra
from noisegate.study.data.read import read_data

HINT = "with numpy.savez."
KEEP = "Leave it out with --ignore"
REAL = "study: an array must hold real numbers, booleans, or text of rank 1; got"
VECTOR = "study: a target and groups must be one value a row, (rows,) or (rows, 1); got"
ROWS = (
    "study: an array must have a row along axis 0 for each sample, and something in it; got `x` "
    "of 'd.npz' of shape"
)

FILES: list[Case] = [
    (
        lambda: read_data("no.csv", "y"),
        Value,
        "study: the data file must exist; got 'no.csv', which does not. Check its path.",
    ),
    (
        lambda: read_data(Path("data.json"), "y"),
        Value,
        "study: the data file must be .csv, .tsv, .npz, .parquet, .feather, .arrow, .xlsx, .xls or "
        ".ods, or a .csv or .tsv with .gz, .bz2, .xz, .zip behind; got 'data.json'. Save it as one "
        "of these, with that ending.",
    ),
    (
        lambda: folder("a.csv"),
        Value,
        "study: the data file must be readable; got 'a.csv': it is a folder. Name a file that you "
        "can read.",
    ),
    *(
        (
            lambda name=name: refused(name),
            Value,
            f"study: the data file must be readable; got '{name}': Permission denied. Name a file "
            "that you can read.",
        )
        for name in ("a.csv", "a.npz", "a.parquet")
    ),
    (
        without_pyarrow,
        MissingExtra,
        'A parquet file needs pyarrow. Install it with: pip install "noisegate[parquet]"',
    ),
    *(
        (
            lambda text=text: csv(text),
            Value,
            "study: the first line of a CSV file must name its columns; got 'd.csv', which is "
            "empty. Check that it was saved.",
        )
        for text in ("", "\n \n", b"\xef\xbb\xbf")
    ),
    (
        lambda: csv("x,y\n\n"),
        Value,
        "study: a file of data must have rows; got 'd.csv' with no rows. Check that it was saved.",
    ),
    (
        lambda: npz(x=np.zeros(0), y=np.zeros(0)),
        Value,
        "study: a file of data must have rows; got 'd.npz' with no rows. Check that it was saved.",
    ),
    (
        lambda: parquet({"x": pyarrow.array([], "double"), "y": pyarrow.array([], "int8")}),
        Value,
        "study: a file of data must have rows; got 'd.parquet' with no rows. Check that it was "
        "saved.",
    ),
    (
        lambda: csv(b"x,y\n1,no\n2,\xe9t\xe9\n"),
        Value,
        "study: a CSV file must be UTF-8; got other bytes at line 3 of 'd.csv'. Save it as UTF-8.",
    ),
    (
        lambda: csv('x,y\n1,no\n\n2,"yes\n3,no\n'),
        Value,
        "study: a CSV file must have a row to a line and its quotes closed; got a row that begins "
        "at line 4 of 'd.csv' and cannot be read: unexpected end of data. Fix that row.",
    ),
    *(
        (
            lambda data=data: raw("a.npz", data),
            Value,
            f"study: an .npz file must be NumPy's; got 'a.npz', which is not. Save it {HINT}",
        )
        for data in (b"", b"text", b"PK\x03\x04text", b"\x93NUMPY")
    ),
    (
        damaged,
        Value,
        "study: every array of an .npz file must be readable; got `x` of 'd.npz': Bad CRC-32 for "
        f"file 'x.npy'. Save it anew {HINT}",
    ),
    *(
        (
            lambda data=data: raw("a.parquet", data),
            Value,
            "study: a .parquet file must be Parquet's; got 'a.parquet', which is not. Save it "
            "anew.",
        )
        for data in (b"", b"PAR1 and text PAR1")
    ),
]

COLUMNS: list[Case] = [
    (
        lambda: csv("x,,y\n0,1,2\n"),
        Value,
        "study: every column must have a name; got none for column 2 of 'd.csv'. Name it in the "
        "first line; or, if it numbers the rows, save the file without it.",
    ),
    (
        lambda: csv("x, y,x ,y\n"),
        Value,
        "study: the columns' names must differ; got `x` for columns 1 and 3 of 'd.csv'. Rename "
        "one.",
    ),
    (
        lambda: csv("x,y\n1,0\n\n1,0,5\n"),
        Value,
        "study: every row must have a cell for each of the 2 columns; got 3 cells at line 4 of "
        "'d.csv'. Fix that row; a cell that holds the delimiter stands in \"quotes\".",
    ),
    (
        lambda: csv('x;y\n"1\n2";0\n1\n'),
        Value,
        "study: every row must have a cell for each of the 2 columns; got 1 cell at line 4 of "
        "'d.csv'. Fix that row; a cell that holds the delimiter stands in \"quotes\".",
    ),
    (
        lambda: csv(column([1, 2, 3], "x,Target"), "target"),
        Value,
        "study: --target must name a column of 'd.csv'; got `target`. It has `x`, `Target`. Did "
        "you mean `Target`?",
    ),
    (
        lambda: csv(table("x,y,a,b,c,d,e,f,g,h", "1,2,3,4,5,6,7,8,9,0"), "zzz"),
        Value,
        "study: --target must name a column of 'd.csv'; got `zzz`. It has `x`, `y`, `a`, `b`, `c`, "
        "`d`, `e`, `f` and 2 more.",
    ),
    *(
        (
            lambda option=option: csv(column([1, 2, 3]), **option),
            Value,
            f"study: --{role} must name a column of 'd.csv'; got `zz`. It has `x`, `y`.",
        )
        for role, option in (
            ("inputs", {"inputs": ["x", "zz"]}),
            ("ignore", {"ignore": ["zz"]}),
            ("split", {"split": "zz"}),
        )
    ),
    *(
        (
            lambda option=option: csv(column([1, 2, 3]), **option),
            Value,
            f"study: a column has one role; got `{name}` for {first} and for {second}. Leave it "
            "out of one.",
        )
        for name, first, second, option in (
            ("y", "--target", "--inputs", {"inputs": ["x", "y"]}),
            ("y", "--target", "--ignore", {"ignore": ["y"]}),
            ("y", "--target", "--split", {"split": "y"}),
            ("x", "--split", "--inputs", {"inputs": ["x"], "split": "x"}),
            ("x", "--inputs", "--ignore", {"inputs": ["x"], "ignore": ["x"]}),
        )
    ),
    (
        lambda: csv(column([1, 2, 3]), ignore=["x"]),
        Value,
        "study: there must be a column to learn from; got none of 'd.csv', which has `x`, `y`. "
        "Ignore fewer, or add inputs to the file.",
    ),
    (
        lambda: npz(x=np.ones(4), z=np.ones(4), y=np.ones(4)),
        Value,
        "study: which array is the input must be said where there are several; got 'd.npz' with "
        "`x`, `z`. Name one or more, as --inputs x.",
    ),
    (
        lambda: npz(x=np.ones((4, 2, 2)), z=np.ones(4), y=[1] * 4, options={"inputs": ["x", "z"]}),
        Value,
        "study: an array of a rank above 2 must be the only input; got `x` of 'd.npz' and others. "
        "Give it alone, as --inputs x.",
    ),
    (
        lambda: npz(x=np.ones((4, 2)), y=np.ones(5)),
        Value,
        "study: all arrays must have the same number of rows, along axis 0; got 'd.npz' with `x`: "
        "4, `y`: 5. Check how it was saved.",
    ),
    (
        lambda: npz(x=np.float64(1), y=np.ones(5)),
        Value,
        f"{ROWS} (). {KEEP} x.",
    ),
    (
        lambda: npz(x=np.ones((5, 0)), y=np.ones(5)),
        Value,
        f"{ROWS} (5, 0). {KEEP} x.",
    ),
    (
        lambda: npz(x=np.ones((4, 2)), y=np.ones((4, 2))),
        Value,
        f"{VECTOR} `y` of 'd.npz' of shape (4, 2). Name another, or save one value a row.",
    ),
    (
        lambda: npz(x=np.arange(4), y=[0, 1] * 2, g=np.ones((4, 1, 1)), options={"split": "g"}),
        Value,
        f"{VECTOR} `g` of 'd.npz' of shape (4, 1, 1). Name another, or save one value a row.",
    ),
    *(
        (
            lambda values=values: npz(x=values, y=[0, 1] * 2),
            Value,
            f"{REAL} `x` of 'd.npz', which holds {held}. {KEEP} x, or save it as numbers.",
        )
        for values, held in (
            (np.array([1, None, "a", 2]), "objects"),
            (np.ones(4, complex), "complex128"),
            (np.array([b"a", b"b"] * 2), "|S1"),
            (np.array([["a"], ["b"]] * 2), "text of rank 2 or more"),
            (np.zeros(4, "M8[s]"), "datetime64[s]"),
        )
    ),
    *(
        (
            lambda cells=cells: parquet({"my x": cells, "y": [0, 1] * 2}),
            Value,
            "study: a column must hold a number, a text or a date a row; got `my x` of "
            f"'d.parquet', which holds {kind}. {KEEP} 'my x'.",
        )
        for cells, kind in (
            ([[1], [2]] * 2, "nested values"),
            ([{"a": 1}] * 4, "nested values"),
            ([b"\xff"] * 4, "binary"),
        )
    ),
]

CASES: list[Case] = [*FILES, *COLUMNS]
