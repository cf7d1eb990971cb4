"""Bad files, columns, rows and targets of a study, and the sentence for each.

Files are written into the working directory.
"""

from typing import Any

import numpy as np

import _bad_study_files
from _bad_numbers import Case, Value
from _study_files import DATA, column, csv, like, like_npz, npz, table, target
from noisegate.study.data.read import read_like
from noisegate.study.data.split import split_rows

LONG = "word " * 12
GAPS = (
    "Leave these rows out with --missing drop, fill the gaps with --missing impute, leave columns "
    "out with --ignore, or say with --na which words are missing values."
)
FIX = "Fix that cell"

CELLS: list[Case] = [
    (
        lambda: csv(table("x,z,y", "1,2,0", ",3,1", "NA,?,0", "2,1,1", "2,1,null")),
        Value,
        "study: every row must be complete; got 3 of 5 rows of 'd.csv' with missing values (`x`: "
        f'1 empty, 1 "NA"; `z`: 1 "?"; `y`: 1 "null"), the first at line 3. {GAPS}',
    ),
    (
        lambda: npz(x=np.array([[1, 2], [3, np.nan], [1, 2]]), y=[0, 1, 0]),
        Value,
        "study: every row must be complete; got 1 of 3 rows of 'd.npz' with missing values (`x`: "
        f"1 empty), the first at row 1 (from 0). {GAPS}",
    ),
    (
        lambda: csv(table("x,y", "1,", "2,nan", "3,None"), missing="drop"),
        Value,
        "study: some row must be complete; got 'd.csv', where every one of its 3 rows has missing "
        'values (`y`: 1 empty, 1 "nan", 1 "None"). Leave columns out with --ignore, or fill them '
        "in.",
    ),
    *(
        (
            lambda cell=cell: csv(column([1, "", cell, 4, 5]), missing="drop"),
            Value,
            f"study: numbers must be finite, and below 1e100; got {told} in `x` at line 4 of "
            "'d.csv'. Fix it, or leave it blank and drop its row with --missing drop.",
        )
        for cell, told in (("inf", "inf"), ("-Infinity", "-inf"), ("1e999", "inf"), (1e150, 1e150))
    ),
    (
        lambda: npz(x=np.array([[1, 2], [3, -np.inf], [1, 2]], np.float32), y=[0, 1, 0]),
        Value,
        "study: numbers must be finite, and below 1e100; got -inf in `x` at row 1 (from 0) of "
        "'d.npz'. Fix it, or leave it blank and drop its row with --missing drop.",
    ),
    (
        lambda: csv(column([*(f"{i}.5" for i in range(10)), "1_0"])),
        Value,
        "study: `x` must hold numbers, as 10 of its 11 cells do; got '1_0' at line 12 of 'd.csv'. "
        f"{FIX}, name it as a missing value with --na, or leave the column out with --ignore x.",
    ),
    (
        lambda: csv(column([*(f"{i}.5" for i in range(10)), LONG], "my x,y")),
        Value,
        "study: `my x` must hold numbers, as 10 of its 11 cells do; got 'word word word word word "
        f"word word word … at line 12 of 'd.csv'. {FIX}, name it as a missing value with "
        "--na, or leave the column out with --ignore 'my x'.",
    ),
    (
        lambda: csv(table("id,x,y", "1,a1,0", "2,a2,1", "3,a3,0"), inputs=["x"]),
        Value,
        "study: a column of text must have values that rows share; got another in every row of "
        "`x`, as 'a1' at line 2 of 'd.csv'. Leave it out of --inputs.",
    ),
    (
        lambda: csv(column([f"a{i // 2}" for i in range(202)]), inputs=["x"]),
        Value,
        "study: a column of text must have at most 100 different values; got 101 in `x`, as 'a0' "
        "at line 2 of 'd.csv'. Leave it out of --inputs.",
    ),
    (
        lambda: csv(table("a,b,x,y", *(f"a{i},2,{i},{i % 2}" for i in range(12)))),
        Value,
        "study: there must be a column to learn from; got none of 'd.csv' but `a` (another text in "
        "every row), `b` (one value in every row), `x` (counts the rows). Name those that are "
        "inputs with --inputs.",
    ),
]

TARGETS: list[Case] = [
    (
        lambda: csv(column([1, 2, 3]), task="clustering"),
        Value,
        "study: the task must be classification or regression; got 'clustering'. Name one of them.",
    ),
    *(
        (
            lambda text=text: csv(text, missing="drop"),
            Value,
            f"study: at least 3 complete rows are needed, to train on, to validate on and to test "
            f"on; got {count} in 'd.csv'. Bring more rows: a study needs hundreds to tell much.",
        )
        for text, count in ((table("x,y", "1,0", "2,1"), 2), (column([1, 2, ""]), 2))
    ),
    (
        lambda: csv(target([*(f"{i}.5" for i in range(19)), "none?"])),
        Value,
        "study: `y` must hold numbers, as 19 of its 20 cells do; got 'none?' at line 21 of "
        f"'d.csv'. {FIX}, name it as a missing value with --na, or give --task classification if "
        "each text is a class.",
    ),
    (
        lambda: csv(target(["no", "yes", "no"]), task="regression"),
        Value,
        "study: the target of a regression must hold numbers; got 'no' in `y` at line 2 of "
        f"'d.csv'. {FIX}; if each text is a class, give --task classification.",
    ),
    (
        lambda: csv(target([2, 2, 2]), task="regression"),
        Value,
        "study: the target of a regression must vary; got 2 in every row of `y` of 'd.csv'. Name "
        "another column with --target.",
    ),
    (
        lambda: csv(target([0.5, 0.5, 0.5])),
        Value,
        "study: the target of a regression must vary; got 0.5 in every row of `y` of 'd.csv'. Name "
        "another column with --target.",
    ),
    (
        lambda: csv(table("x,y", "a1,0.5", "a2,1.5", "a3,2.5"), inputs=["x"]),
        Value,
        "study: a column of text must have values that rows share; got another in every row of "
        "`x`, as 'a1' at line 2 of 'd.csv'. Leave it out of --inputs.",
    ),
    *(
        (
            lambda cells=cells: csv(target(cells)),
            Value,
            f"study: a classification must have at least two classes; got '{told}' in every row "
            "of `y` of 'd.csv'. Name another column with --target.",
        )
        for cells, told in ((["no"] * 3, "no"), ([1.0] * 3, "1"))
    ),
    (
        lambda: csv(target([*range(1001), 0]), task="classification"),
        Value,
        "study: a classification must have at most 1000 classes; got 1001 in `y`. Name another "
        "column with --target, or give --task regression if it holds numbers.",
    ),
    (
        lambda: csv(target([1, 2, 3])),
        Value,
        "study: some rows must share a class; got 3 classes in the 3 rows of `y` of 'd.csv'. Name "
        "another column with --target, or give --task regression if it holds numbers.",
    ),
    (
        lambda: csv(target([1, 2.5, 1]), task="classification"),
        Value,
        "study: classes must be text or whole numbers below 2^53; got 2.5 in `y` at line 3 of "
        "'d.csv'. Give --task regression.",
    ),
]

LIKE: list[Case] = [
    (
        lambda: read_like("no.csv", csv(DATA), what="the test file"),
        Value,
        "study: the test file must exist; got 'no.csv', which does not. Check its path.",
    ),
    (
        lambda: like(table("X,c", "1,red")),
        Value,
        "study: the test file must have every column that the data have; got 't.csv' without `x`. "
        "It has `X`, `c`. Did you mean `X`?",
    ),
    (
        lambda: like(table("x,c", "1,red")),
        Value,
        "study: the test file must have every column that the data have; got 't.csv' without `y`. "
        "It has `x`, `c`.",
    ),
    (
        lambda: like(table("x,c,y,leak", "1,red,no,0", "2,red,maybe,0")),
        Value,
        "study: the classes must be those of the data, no, yes; got 'maybe' in `y` at line 3 of "
        f"'t.csv'. {FIX}, or leave that row out.",
    ),
    (
        lambda: like(table("x,c,y", "1,red,no", "?,red,no", "many,red,no"), missing="drop"),
        Value,
        f"study: `x` must hold numbers, as in the data; got 'many' at line 4 of 't.csv'. {FIX}.",
    ),
    (
        lambda: like(table("x,c,y", "1,2,no")),
        Value,
        "study: `c` must hold text, as in the data; got '2' at line 2 of 't.csv', and numbers that "
        "are no values of the data in all rows. Check that the column is the same one.",
    ),
    (
        lambda: like(table("x,y", "1,2", "3,no"), table("x,y", *(f"{i},{i}.5" for i in range(5)))),
        Value,
        "study: the target of a regression must hold numbers; got 'no' in `y` at line 3 of "
        f"'t.csv'. {FIX}; if each text is a class, give --task classification.",
    ),
    (
        lambda: like_npz(np.ones((4, 3)), np.ones((4, 2))),
        Value,
        "study: a row of `x` must have the shape (3,), as in the data; got (2,) in 't.npz'. Save "
        "it in that shape.",
    ),
    (
        lambda: like_npz(np.array(["a", "b"] * 2), np.ones((4, 2))),
        Value,
        "study: a row of `x` must have the shape (), as in the data; got (2,) in 't.npz'. Save it "
        "in that shape.",
    ),
]


def share(value: float, text: str = DATA, **options: Any) -> Any:
    return split_rows(csv(text, **options), value, 0, "test")


SPLITS: list[Case] = [
    *(
        (
            lambda value=value: share(value),
            Value,
            f"study: a share of the rows must be in (0, 1); got {value!r}. Write for example 0.2.",
        )
        for value in (0, 1, -0.5, float("nan"))
    ),
    *(
        (
            lambda value=value: share(value),
            Value,
            f"study: a share of {value:g} must leave rows on both sides; got 4 rows. Bring more, "
            "or change the share.",
        )
        for value in (0.1, 0.9)
    ),
    (
        lambda: share(0.5, table("g,x,y", "a,1,0", "a,2,1", "a,3,0"), split="g"),
        Value,
        "study: a share of 0.5 must leave groups on both sides; got 1 group. Bring more, or "
        "change the share.",
    ),
]

CASES: list[Case] = [*_bad_study_files.CASES, *CELLS, *TARGETS, *LIKE, *SPLITS]
"""Every sentence that bad data are answered with, word for word."""
