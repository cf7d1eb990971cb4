"""Where a study's rows come from, and which of them are kept for the test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.words import list_names

from . import messages
from .data import DIGITS as OF_DIGITS
from .data import Dataset, check_columns, digits, drawn, input_columns, read, read_like

__all__ = ["DIGITS", "Reading", "Rows", "Source", "argument", "make_source"]

# How sentences call the other files.
TEST, OOD = "the test file", "the OOD file"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows to learn and to choose by, the rows of the test, and inputs not of the data."""

    search: Dataset
    test: Dataset
    strange: Dataset | None

    def facts(self, source: "Source") -> dict[str, Any]:
        """Return what decides every run, for JSON; the digests tell one content from another."""
        search, test = self.search, self.test
        return {
            "data": {
                "name": search.name,
                "digest": search.digest,
                "rows": search.rows + (0 if source.test else test.rows),
                "target": search.target_name,
                "task": search.task.name,
                "classes": list(search.task.classes),
                "inputs": [column.name for column in search.columns],
                "groups": source.split,
            },
            "test": {
                "file": Path(source.test).name if source.test else None,
                "rows": test.rows,
                "seed": None if source.test else source.test_seed,
                "share": None if source.test else source.test_share,
                "digest": test.digest,
            },
            "validation_share": source.validation_share,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows come from, and how they are split.

    One test split is drawn once, and no seed and no choice ever sees it; what is left is split
    anew into training and validation rows by each seed.

    Parameters
    ----------
    data : path, optional
        A file .csv, .npz or .parquet (which needs ``noisegate[parquet]``); scikit-learn's
        handwritten digits if None.
    target : str, optional
        The column, or the array of an npz, to predict.
    task : {"classification", "regression"}, optional
        Told from the target if None: text, booleans, or at most 20 different whole numbers are
        classes.
    inputs : tuple of str
        Which columns or arrays are inputs; all others if empty. An npz with several needs it.
    ignore : tuple of str
        Columns that are no inputs.
    split : str, optional
        A column whose rows of one value stay together in every split: patients, users, batches.
    drop_missing : bool
        Leave out rows with missing values; they are an error otherwise.
    test : path, optional
        A file of test rows; a share of the data is the test split if None.
    test_seed : int
        Which test split is drawn.
    test_share, validation_share : float
        In (0, 1): the test's share of all rows, and the validation's share of the others.
    """

    data: str | Path | None = None
    target: str | None = None
    task: str | None = None
    inputs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    split: str | None = None
    drop_missing: bool = False
    test: str | Path | None = None
    test_seed: int = 0
    test_share: float = 0.2
    validation_share: float = 0.25

    def rows(self, strange: str | Path | None = None) -> Rows:
        """Read the files and draw the test split.

        Parameters
        ----------
        strange : path, optional
            A file of inputs that are not of the data.

        Raises
        ------
        InvalidValue
            If a file, a column or a value is not as it must be; the message says which.
        """
        self._check_arguments()
        data = digits() if self.data is None else self._read(self.data)
        if self.test is None:
            rest, part = drawn(data, self.test_share, self.test_seed, "test")
            search, test = data.take(rest), data.take(part)
        else:
            search = data
            test = read_like(self.test, data, what=TEST, drop_missing=self.drop_missing)
        odd = None
        if strange is not None:
            odd = read_like(strange, data, what=OOD, drop_missing=self.drop_missing, target=False)
        return Rows(search, test, odd)

    def check(self, strange: str | Path | None = None) -> None:
        """Raise what the arguments and the files' column names tell; no row is read.

        Parameters
        ----------
        strange : path, optional
            As for `rows`.

        Raises
        ------
        InvalidValue
            As `rows`, for what can be told without the rows.
        """
        self._check_arguments()
        if self.data is None or self.target is None:
            *inputs, target = OF_DIGITS
        else:
            target = self.target
            inputs = list(
                input_columns(
                    self.data, target, inputs=self.inputs, ignore=self.ignore, split=self.split
                )
            )
        if self.test is not None:
            check_columns(self.test, [*inputs, target], what=TEST)
        if strange is not None:
            check_columns(strange, inputs, what=OOD)

    def arguments(self) -> list[str]:
        """Return the command line's arguments that say the same."""
        words: list[str] = []
        for name in self.__slots__:
            value, default = getattr(self, name), getattr(DIGITS, name)
            flag = f"--{name.replace('_', '-')}"
            if value == default:
                continue
            if isinstance(value, bool):
                words.append(flag)
            else:
                values = value if isinstance(value, tuple) else (value,)
                words += [word for one in values for word in argument(flag, one)]
        return words

    def _check_arguments(self) -> None:
        for name in ("test_share", "validation_share"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0 < share < 1:
                raise InvalidValue(messages.not_a_number_between(name, 0, 1, share))
        if self.data is None and self.target is not None:
            raise InvalidValue(messages.target_without_data(self.target))
        if self.data is not None and self.target is None:
            raise InvalidValue(messages.no_target(self.data))

    def _read(self, data: str | Path) -> Dataset:
        assert self.target is not None
        return read(
            data,
            self.target,
            task=self.task,
            inputs=self.inputs,
            ignore=self.ignore,
            split=self.split,
            drop_missing=self.drop_missing,
        )


DIGITS = Source()


class Reading(TypedDict, total=False):
    """The words of a `Source` but for its data and target."""

    task: str | None
    inputs: tuple[str, ...]
    ignore: tuple[str, ...]
    split: str | None
    drop_missing: bool
    test: Any
    test_seed: int
    test_share: float
    validation_share: float


def make_source(
    source: Source | None, data: Any, target: str | None, reading: Mapping[str, Any]
) -> Source:
    """Return the source that a call names: whole, or by its data, its target and further words.

    Raises
    ------
    InvalidValue
        If it is named twice, or a word is unknown.
    """
    with prefix_errors("study"):
        checks.check_keywords(reading, [*Reading.__annotations__])
    given = [name for name, value in (("data", data), ("target", target)) if value is not None]
    if source is None:
        return Source(data, target, **reading)
    if given or reading:
        raise InvalidValue(
            f"study: `source` says where the data come from; got {list_names([*given, *reading])} "
            "beside it. Put these words into the Source."
        )
    return source


def argument(flag: str, value: object) -> list[str]:
    """Return a flag and its value as words, in one where the value could be taken for a flag."""
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
