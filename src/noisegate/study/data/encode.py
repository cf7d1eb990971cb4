"""Datasets as tensors, by a scikit-learn preprocessor that is fitted on training rows alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import validate_data
from torch import Tensor

from noisegate.core.errors import InvalidValue
from noisegate.core.words import list_names, shorten, suggest

from .cells import CODE, Notation, label
from .dataset import Dataset

PARTS = ("year", "month", "day", "day_of_week", "hour", "minute", "second")


def make_preprocessor(dataset: Dataset) -> "Pipeline | Standardize":
    """Return the transformer of inputs to float32 features, which is to be fitted on training rows.

    Numbers are standardised. A category has one feature for each of its values in the dataset, in
    the order of their code points. A date becomes those of its parts that vary in the dataset,
    standardised. If the dataset is to be imputed, each input that misses values has an indicator
    after all other features. An array is standardised by `Standardize` alone. The dataset has all
    rows but the test rows, so every split of it has the same features.
    """
    inputs = dataset.inputs
    if isinstance(inputs, np.ndarray):
        return Standardize()
    kinds = {name: dtype.kind for name, dtype in inputs.dtypes.items()}
    categories = {
        name: sorted(inputs[name].dropna().unique()) or [""] for name in kinds if kinds[name] == "O"
    }
    dates = {name: _split_date(inputs, name) for name in kinds if kinds[name] == "M"}
    reader = ReadColumns(
        [*kinds], categories, dates, impute=dataset.impute, notation=asdict(dataset.notation)
    )
    features: list[tuple[str, BaseEstimator, list[str]]] = []
    for is_category, run in groupby(reader.get_feature_names_out(), categories.__contains__):
        names = list(run)
        steps: list[BaseEstimator] = [Standardize()]
        if is_category:
            known = [categories[name] for name in names]
            how = {"handle_unknown": "ignore", "sparse_output": False, "dtype": np.float32}
            steps = [OneHotEncoder(categories=known, **how), ZeroUnseen()]
        if dataset.impute:
            strategy = "most_frequent" if is_category else "median"
            steps.insert(0, SimpleImputer(strategy=strategy, keep_empty_features=True))
        features.append((f"columns_{len(features)}", make_pipeline(*steps), names))
    if missing := [next(iter(dates.get(name, [name]))) for name in kinds if inputs[name].hasnans]:
        features.append(("missing", MissingIndicator(features="all"), missing))
    joined = ColumnTransformer(features, sparse_threshold=0, verbose_feature_names_out=False)
    return Pipeline([("read", reader), ("features", joined)])


def _split_date(inputs: pd.DataFrame, name: str) -> dict[str, str]:
    """Return the columns that a date becomes, at least one, each with its part of a date."""
    parts = [part for part in PARTS if getattr(inputs[name].dt, part).nunique() > 1] or ["year"]
    dash = "_" if not {f"{name}_{part}" for part in parts} & set(inputs) else "__"
    return {f"{name}{dash}{part}": part for part in parts}


class ReadColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Read a table: numbers as float64, categories as text, dates as the numbers of their parts.

    `names` are the inputs, in the order of the features; other columns of a table are left out.
    `categories` has the known values of each category, `dates` for each date the columns that it
    becomes, each with its part of a date. With `impute` values may be missing, and become NaN.
    """

    def __init__(
        self,
        names: list[str],
        categories: Mapping[str, Sequence[str]],
        dates: Mapping[str, Mapping[str, str]],
        impute: bool = False,
        notation: Mapping[str, Any] | None = None,
    ) -> None:
        self.names, self.categories, self.dates = names, categories, dates
        self.impute, self.notation = impute, notation

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns."""
        columns = [column for name in self.names for column in self.dates.get(name, [name])]
        return np.array(columns, object)

    def fit(self, X: object, y: object = None) -> Self:
        """Return the reader, which learns nothing."""
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Return the columns of a DataFrame, or of an array of the inputs in their order."""
        table, notation = self._find_columns(X), Notation(**self.notation or {})
        columns: dict[str, np.ndarray] = {}
        for name in self.names:
            cells = _clean_text(table[name], notation)
            if name in self.dates:
                dates = _read_dates(cells)
                for column, part in self.dates[name].items():
                    values = columns[column] = getattr(dates.dt, part).to_numpy(np.float64)
            elif name in self.categories:
                values = columns[name] = _read_words(cells, self.categories[name])
            else:
                values = columns[name] = _read_numbers(cells, notation)
            if not self.impute and (values != values).any():
                row = np.argmax(values != values)
                raise InvalidValue(
                    "study: every row must be complete, as the training rows were; got no value of "
                    f"`{name}` in row {row} (from 0). Leave the row out, or fill it in."
                )
        # Their dtypes are said, or pandas makes one of its own of text.
        return pd.concat(
            [pd.Series(each, table.index, each.dtype) for each in columns.values()],
            axis=1,
            keys=columns,
        )

    def _find_columns(self, X: Any) -> pd.DataFrame:
        if not len(X):
            raise InvalidValue("study: inputs must have a row; got none.")
        if not isinstance(X, pd.DataFrame):
            if np.ndim(X) != 2 or np.shape(X)[1] != len(self.names):
                raise InvalidValue(
                    "study: inputs must be a DataFrame with the columns "
                    f"{list_names(self.names)}, or an array of these; got {shorten(X)}."
                )
            return pd.DataFrame(np.asarray(X), columns=self.names)
        names = [str(name) for name in X.columns]
        for name in self.names:
            if names.count(name) != 1:
                near = "" if name in names else suggest(name, names)
                raise InvalidValue(
                    f"study: inputs must have one column `{name}`; got {names.count(name)}.{near}"
                )
        return X.set_axis(names, axis=1)


def _clean_text(cells: pd.Series, notation: Notation) -> pd.Series:
    """Return cells of text stripped, and None where a word is a missing value, as a study reads."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object)
    if not pd.api.types.is_object_dtype(cells) and not pd.api.types.is_string_dtype(cells):
        return cells
    places, values = pd.factorize(cells)
    words = [value.strip() if isinstance(value, str) else value for value in values]
    words = [None if isinstance(w, str) and notation.is_missing(w) else w for w in words]
    # A missing value has the place -1.
    clean = np.array([*words, None], object)[places]
    return pd.Series(clean, cells.index, object, cells.name)


def _read_numbers(cells: pd.Series, notation: Notation) -> np.ndarray:
    numbers = cells
    if not pd.api.types.is_numeric_dtype(cells):  # booleans are numbers, too
        texts = cells.map(lambda one: notation.parse(one) if isinstance(one, str) else one)
        numbers = pd.to_numeric(texts.astype(object), errors="coerce")
    values = np.asarray(numbers.to_numpy(np.float64, na_value=np.nan))
    if not np.isfinite(values).all():
        _refuse_cells(cells, ~np.isfinite(values), "finite numbers")
    return values


def _read_dates(cells: pd.Series) -> pd.Series:
    dates = cells
    if not pd.api.types.is_datetime64_any_dtype(cells):
        texts = cells.astype(str).where(cells.notna())
        dates = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
        _refuse_cells(cells, dates.isna(), "dates as YYYY-MM-DD")
    # A time zone is left as it is read: at UTC.
    return pd.to_datetime(dates, utc=True).dt.tz_localize(None)


def _read_words(cells: pd.Series, known: Sequence[str]) -> np.ndarray:
    places, values = pd.factorize(cells)
    words = [label(value) for value in values]
    lost = any(CODE.fullmatch(word) for word in known)  # its zero, where 02134 is a number
    if pd.api.types.is_any_real_numeric_dtype(cells) and (lost or not {*words} & {*known}):
        _refuse_cells(cells, True, f"text, such as {list_names(known[:3])}")
    return np.asarray(
        np.array([*words, np.nan], object)[places]
    )  # a missing value has the place -1


def _refuse_cells(cells: pd.Series, bad: Any, kind: str) -> None:
    """Raise if a cell that is not missing is bad."""
    wrong = np.flatnonzero(bad & cells.notna())
    if len(wrong):
        row = wrong[0]
        value = shorten(cells.iloc[[row]].tolist()[0])
        raise InvalidValue(
            f"study: `{cells.name}` must hold {kind}, as in the training rows; got {value} in row "
            f"{row} (from 0). Convert the column first."
        )


class ZeroUnseen(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Set features to zero that are zero in all rows of the fit: a category that is in none."""

    def fit(self, X: Any, y: object = None) -> Self:
        """Return the transformer, which knows what is zero."""
        validate_data(self, X, skip_check_array=True)
        self.seen_ = np.asarray(X).any(axis=0)
        return self

    def transform(self, X: Any) -> Any:
        """Return the features."""
        return X if self.seen_.all() else X * self.seen_


class Standardize(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # untyped
    """Subtract the mean and divide by the standard deviation (of the population), to float32.

    Each feature of a table by itself; images by channel, (rows, channels, ...); a single map,
    (rows, height, width), as a whole. Unlike in `StandardScaler`, a constant is exactly zero.
    """

    def fit(self, X: Any, y: object = None) -> Self:
        """Return the transformer, with the moments of these rows."""
        validate_data(self, X, skip_check_array=True)
        values = _to_array(X)
        axes = tuple(axis for axis in range(values.ndim) if axis != 1 or values.ndim == 3)
        self.center_, self.scale_ = _find_moments(values, axes)
        self.shape_ = values.shape[1:]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the standardised values."""
        values = _to_array(X)
        if values.shape[1:] != self.shape_:
            raise InvalidValue(
                f"study: inputs must have the shape (rows, {str(self.shape_)[1:]}, as in the "
                f"training rows; got {values.shape}."
            )
        return np.asarray(((values - self.center_) / self.scale_).astype(np.float32))


def _to_array(X: Any) -> np.ndarray:
    """Return an array; of a table with each column in one piece, so that sums are the same."""
    values = np.asarray(X)
    return np.asfortranarray(values) if values.ndim == 2 else values


def _find_moments(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (of the population), axes kept; where constant, 1."""
    center = values.mean(axes, dtype=np.float64, keepdims=True)
    scale = values.std(axes, dtype=np.float64, keepdims=True)
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    # The mean of equal numbers may be rounded to another one.
    center = np.where(low == high, low, center)
    return center, np.where((low == high) | (scale == 0), 1.0, scale)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes tensors of a dataset, by what the training rows tell and nothing else.

    `preprocessor` is fitted, `shape` is that of one row of the inputs; `center` and `scale` are
    mean and standard deviation of the training rows' targets: 0 and 1 for classification, and 1
    where those targets are all the same.
    """

    preprocessor: Pipeline | Standardize
    shape: tuple[int, ...]
    center: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(cls, dataset: Dataset, train_rows: np.ndarray) -> "Encoder":
        """Return the encoder of some rows, by number, of a dataset without the test rows."""
        train = dataset.take(train_rows)
        with config_context(transform_output="default"):  # whatever a notebook has set
            preprocessor = make_preprocessor(dataset).fit(train.inputs)
            shape = preprocessor.transform(train.inputs[:1]).shape[1:]
        if dataset.task.is_classification:
            return cls(preprocessor, shape)
        center, scale = _find_moments(train.target, (0,))
        return cls(preprocessor, shape, float(center[0]), float(scale[0]))

    def inputs(self, dataset: Dataset) -> Tensor:
        """Return the inputs, float32: (rows, features), or (rows, ...) of the one array."""
        # Filled, not stacked: torch tells the memory format, and so a convolution its rounding,
        # from the strides, and those of an axis of 1 must be the same in every process.
        found = np.empty((dataset.rows, *self.shape), np.float32)
        with config_context(transform_output="default"):
            found[...] = self.preprocessor.transform(dataset.inputs)
        return _as_tensor(found)

    def targets(self, dataset: Dataset) -> Tensor:
        """Return the targets: classes, int64 (rows,); or standardised, float32 (rows, 1)."""
        if dataset.task.is_classification:
            return _as_tensor(dataset.target.astype(np.int64))
        values = (dataset.target - self.center) / self.scale
        return _as_tensor(values.astype(np.float32).reshape(-1, 1))


def _as_tensor(values: np.ndarray) -> Tensor:
    # Cloned into torch's own memory, whose alignment is the same in every process.
    return torch.from_numpy(values).clone()
