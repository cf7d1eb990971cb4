"""Datasets for the encoder, made of columns."""

import datetime
from typing import Any

import numpy as np
import pandas as pd

from noisegate.study.data.dataset import Dataset
from noisegate.study.data.tasks import Task


def of(
    columns: dict[str, Any] | np.ndarray, target: Any = None, *, impute: bool = False
) -> Dataset:
    """Return a dataset of numbers, of text if the first value is text or None, and of dates."""
    if isinstance(columns, np.ndarray):
        inputs, rows = columns, len(columns)
    else:
        parts = []
        for name, values in columns.items():
            if isinstance(values[0], str | None):
                dtype = object
            else:
                dtype = "M8[s]" if isinstance(values[0], datetime.date) else float
            parts.append(pd.Series(values, name=name, dtype=dtype))
        inputs = pd.concat(parts, axis=1)
        rows = len(inputs)
    target = np.arange(rows, dtype=float) if target is None else np.asarray(target, float)
    return Dataset("d", inputs, (), "y", target, Task("regression"), impute=impute)


def dates(*texts: str | None) -> list[Any]:
    return [pd.NaT if text is None else pd.Timestamp(text) for text in texts]
