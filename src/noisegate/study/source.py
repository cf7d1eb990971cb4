"""Where a study's data come from, how they are read, and which samples are the test split."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors
from noisegate.core.words import got, list_names

from .data.header import DIGITS as OF_DIGITS
from .data.header import check_columns, name_target, read_header, select_inputs

if TYPE_CHECKING:
    from .data.dataset import Dataset

# How sentences call the other files.
TEST, OOD = "the test file", "the OOD file"


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples to learn and to choose by, those of the test, and out-of-distribution inputs."""

    search: "Dataset"
    test: "Dataset"
    ood: "Dataset | None"

    def facts(self, source: "Source") -> dict[str, Any]:
        """Return what decides every run, for JSON; the digests tell one content from another."""
        search, test = self.search, self.test
        own = source.test is not None
        return {
            "data": {
                "name": search.name,
                "digest": search.digest,
                "rows": search.rows + (0 if own else test.rows),
                "target": search.target_name,
                "task": search.task.name,
                "classes": list(search.task.classes),
                "inputs": [column.name for column in search.input_columns],
                "columns": [
                    {**asdict(column), "categories": list(column.categories)}
                    for column in search.columns
                ],
                "groups": source.split,
            },
            "test": {
                "file": test.name if own else None,
                "rows": test.rows,
                "seed": None if own else source.test_seed,
                "share": None if own else source.test_share,
                "digest": test.digest,
            },
            "validation_share": source.validation_share,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """Where the data come from, how they are read, and how they are split.

    One test split is drawn once, and no seed and no choice ever sees it; what is left is split
    anew into training and validation samples by each seed.

    Parameters
    ----------
    data : DataFrame, path, or pair of arrays (X, y), optional
        A table .csv or .tsv, compressed or not, .parquet, .feather, .arrow, .xlsx, .xls or .ods;
        arrays .npz; scikit-learn's handwritten digits if None. The arrays X, of rank 2 or images,
        and y are the columns `x` and `y`.
    target : str, optional
        The column, or the array of an npz, to predict; of a pair of arrays it is `y`.
    task : {"classification", "regression"}, optional
        Inferred from the target if None: text, booleans, or at most 20 different whole numbers
        are classes.
    inputs : tuple of str
        Which columns or arrays are inputs. If empty, all others are but those that are constant,
        are different in every row, or have more than 100 different texts. An npz with several
        arrays needs it.
    ignore : tuple of str
        Columns that are no inputs.
    split : str, optional
        A column whose rows of one value stay together in every split: patients, users, batches.
    missing : {"error", "drop", "impute"}
        What becomes of rows with missing values: an error, with their count; left out; or kept,
        with inputs that are filled in by the training rows' median or most frequent value, beside
        an indicator.
    na : tuple of str, optional
        The words that are missing values, beside empty cells; NA, N/A, NaN, nan, null, None and ?
        if None.
    decimal, thousands : str, optional
        How texts write numbers: "," and "." for 1.234,5.
    test : DataFrame, path or pair of arrays, optional
        The test samples; a share of the data is the test split if None.
    test_seed : int
        Which test split is drawn.
    test_share, validation_share : float
        In (0, 1): the test's share of all samples, and the validation's share of the others.
    drop_missing : bool
        The same as ``missing="drop"``.
    """

    data: Any = None
    target: str | None = None
    task: str | None = None
    inputs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    split: str | None = None
    missing: str = "error"
    na: tuple[str, ...] | None = None
    decimal: str = "."
    thousands: str | None = None
    test: Any = None
    test_seed: int = 0
    test_share: float = 0.2
    validation_share: float = 0.25
    drop_missing: bool = False

    def __post_init__(self) -> None:
        for name in ("inputs", "ignore", "na"):
            value = getattr(self, name)
            if value is not None:  # one name may stand alone, and a DataFrame's may be numbers
                words = (value,) if isinstance(value, str) else value
                object.__setattr__(self, name, tuple(map(str, words)))
        for name in ("target", "split"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else str(value))
        if self.drop_missing:  # one word for it is enough from here on
            object.__setattr__(self, "drop_missing", False)
            if self.missing == "impute":
                raise InvalidValue(
                    "study: `missing` must be 'drop' with drop_missing; got 'impute'. Give one of "
                    "them."
                )
            object.__setattr__(self, "missing", "drop")
        if self.target is None and isinstance(self.data, tuple | list):
            object.__setattr__(self, "target", name_target(self.data) if self.data else "y")

    def read(self, ood: Any = None) -> Samples:
        """Read the data and draw the test split.

        Parameters
        ----------
        ood : DataFrame, path or pair of arrays, optional
            Out-of-distribution inputs.

        Raises
        ------
        InvalidValue, InvalidType
            If the data, a column or a value are not as they must be; the message says which.
        """
        from .data.read import read_like  # pandas takes a second to import
        from .data.split import split_rows

        self._check_arguments()
        data, how = self._read_data(), self._how
        if self.test is None:
            rest, part = split_rows(data, self.test_share, self.test_seed, "test")
            search, test = data.take(rest), data.take(part)
        else:
            search, test = data, read_like(self.test, data, what=TEST, **how)
        odd = None if ood is None else read_like(ood, data, what=OOD, target=False, **how)
        return Samples(search, test, odd)

    def check(self, ood: Any = None) -> None:
        """Raise what the arguments and the columns' names tell; no row is read.

        Parameters
        ----------
        ood
            As for `read`.

        Raises
        ------
        InvalidValue, InvalidType
            As `read`, for what can be told without the rows.
        """
        self._check_arguments()
        if self.data is None or self.target is None:
            *inputs, target = OF_DIGITS
        else:
            header, target = read_header(self.data, "the data file"), self.target
            inputs = [*select_inputs(header, target, self.inputs, self.ignore, self.split)]
        for data, what, needed in ((self.test, TEST, [target]), (ood, OOD, [])):
            if data is None:
                continue
            other = read_header(data, what)
            known = self.inputs or self.data is None
            if not known and not {*inputs} <= {*other.columns}:
                # It may be a column that is left out once the data are read.
                inputs = [column.name for column in self._read_data().input_columns]
            check_columns(other, [*inputs, *needed])

    def arguments(self) -> list[str]:
        """Return the command line's arguments that say the same; a DataFrame is data.csv."""
        words: list[str] = []
        for name in self.__slots__:
            value, default = getattr(self, name), getattr(DIGITS, name)
            flag = f"--{name.replace('_', '-')}"
            if name in ("data", "test"):
                value = name_file(name, value)
            if value == default:
                continue
            values = value if isinstance(value, tuple) else (value,)
            words += [word for one in values for word in argument(flag, one)] or [flag]
        return words

    @property
    def _how(self) -> dict[str, Any]:
        """The words on how cells are read."""
        from .data.cells import Notation

        notation = Notation(self.na, self.decimal, self.thousands)
        return {"missing": self.missing, "notation": notation}

    def _read_data(self) -> "Dataset":
        from .data.read import digits, read_data  # pandas takes a second to import

        if self.data is None or self.target is None:
            return digits()
        words = {name: getattr(self, name) for name in ("task", "inputs", "ignore", "split")}
        return read_data(self.data, self.target, **words, **self._how)

    def _check_arguments(self) -> None:
        for name in ("test_share", "validation_share"):
            share = getattr(self, name)
            if not isinstance(share, int | float) or not 0 < share < 1:
                raise InvalidValue(f"study: `{name}` must be a number in (0, 1); {got(share)}.")
        with prefix_errors("study"):
            checks.make_choice_check("error", "drop", "impute")("missing", self.missing)
        self._check_signs()
        if self.data is None and self.target is not None:
            raise InvalidValue(
                f"study: `data` must say where the target {self.target!r} is; it is missing, and "
                "the digits have one of their own. Name the file with --data."
            )
        if self.data is not None and self.target is None:
            where = f"'{self.data}'" if isinstance(self.data, str) else "the data"
            raise InvalidValue(
                f"study: `target` must say which column of {where} is to be predicted; it is "
                "missing. Name it with --target."
            )

    def _check_signs(self) -> None:
        signs = {"decimal": self.decimal, "thousands": self.thousands}
        for name, sign in signs.items():
            wrong = not isinstance(sign, str) or len(sign) != 1 or sign.isalnum() or sign in "+-"
            if wrong and (sign is not None or name == "decimal"):
                raise InvalidValue(f"study: `{name}` must be one sign, as ',' or '.'; {got(sign)}.")
        if self.decimal == self.thousands:
            raise InvalidValue(
                f"study: `decimal` and `thousands` must differ; got {self.decimal!r} for both."
            )


DIGITS = Source()


class Reading(TypedDict, total=False):
    """The words of a `Source` but for its data and target."""

    task: str | None
    inputs: tuple[str, ...]
    ignore: tuple[str, ...]
    split: str | None
    missing: str
    na: tuple[str, ...] | None
    decimal: str
    thousands: str | None
    test: Any
    test_seed: int
    test_share: float
    validation_share: float
    drop_missing: bool


F = TypeVar("F", bound=Callable[..., Any])


def show_reading(function: F) -> F:
    """Show the words of a `Source` in a signature, in place of ``**reading``."""
    call = signature(function)
    *own, _ = call.parameters.values()
    words = (
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
        for one in fields(Source)
        if one.name in Reading.__annotations__
    )
    function.__signature__ = call.replace(parameters=[*own, *words])  # type: ignore[attr-defined]  # of any callable
    return function


def make_source(
    source: Source | None,
    data: Any,
    target: str | None,
    reading: Mapping[str, Any],
    called: Callable[..., Any],
) -> Source:
    """Return the source that a call names: whole, or by its data, its target and further words.

    `called` is the function whose keywords an error lists.
    """
    with prefix_errors("study"):
        checks.check_keywords(reading, [*signature(called).parameters])
    given = [name for name, value in (("data", data), ("target", target)) if value is not None]
    if source is None:
        return Source(data, target, **reading)
    if given or reading:
        raise InvalidValue(
            f"study: `source` says where the data come from; got {list_names([*given, *reading])} "
            "beside it. Put these words into the Source."
        )
    return source


def name_file(word: str, data: Any) -> Any:
    """Return what a command calls data: a path as it is, a stand-in for what came from Python."""
    if hasattr(data, "columns"):
        return f"{word}.csv"
    return f"{word}.npz" if isinstance(data, tuple | list) else data


def argument(flag: str, value: object) -> list[str]:
    """Return a flag and its value as words, in one where the value could be taken for a flag."""
    text = str(value)
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]
