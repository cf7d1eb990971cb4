"""The preprocessor is a transformer of scikit-learn's, and takes what pandas reads."""

import datetime
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from _asserts import assert_same_bits, assert_sentence
from _study_tables import dates, of
from noisegate import InvalidValue
from noisegate.study.data.encode import Encoder, make_preprocessor
from noisegate.study.data.read import digits, read_data
from noisegate.study.pipeline_files import TRUSTED

TABLE = {
    "x": [1.0, 2.0, 4.0, 7.0],
    "c": ["a", "b", "a", "7"],
    "t": [datetime.datetime(2020, 1, day) for day in (1, 2, 4, 4)],
}


def fitted() -> Any:
    data = of(TABLE)
    return make_preprocessor(data).fit(data.inputs)


def test_it_is_cloned_pickled_and_dumped():
    data = of(TABLE)
    first = fitted()
    expected = first.transform(data.inputs)
    again = clone(first).fit(data.inputs)
    assert set(first.get_params(deep=False)) == {"steps", "memory", "transform_input", "verbose"}
    assert first.get_params()["read__names"] == ["x", "c", "t"]
    text = skops.io.dumps(first)
    trusted = skops.io.get_untrusted_types(data=text)
    assert set(trusted) <= set(TRUSTED)
    loaded = skops.io.loads(text, trusted=trusted)
    for other in (again, pickle.loads(pickle.dumps(first)), loaded):
        assert_same_bits(other.transform(data.inputs), expected)
        assert list(other.get_feature_names_out()) == list(first.get_feature_names_out())


@pytest.mark.parametrize("impute", [False, True])
def test_imputing_and_arrays_are_dumped_too(impute):
    gap = np.nan if impute else 3.0
    for data in (
        of({"x": [1.0, gap, 5.0], "c": ["a", None if impute else "a", "b"]}, impute=impute),
        digits(),
    ):
        first = make_preprocessor(data).fit(data.inputs)
        stream = io.BytesIO(skops.io.dumps(first))
        types = skops.io.get_untrusted_types(data=stream.getvalue())
        assert set(types) <= set(TRUSTED)
        loaded = skops.io.loads(stream.getvalue(), trusted=types)
        assert_same_bits(loaded.transform(data.inputs), first.transform(data.inputs))


def test_it_makes_a_dataframe_where_one_is_asked_for():
    data, expected = of(TABLE), fitted().transform(of(TABLE).inputs)
    frame = fitted().set_output(transform="pandas").transform(data.inputs)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame) == list(fitted().get_feature_names_out())
    assert_same_bits(frame.to_numpy(), expected)
    for each in (data, digits()):
        with config_context(transform_output="pandas"):
            found = Encoder.fit(each, np.arange(4)).inputs(each)
        assert_same_bits(found, Encoder.fit(each, np.arange(4)).inputs(each))


def test_it_stands_in_a_pipeline():
    data = of(TABLE)
    line = make_pipeline(make_preprocessor(data), FunctionTransformer(lambda x: 2 * x))
    assert_same_bits(line.fit_transform(data.inputs), 2 * fitted().transform(data.inputs))


PLAIN: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it is": lambda table: table,
    "integers": lambda table: table.assign(x=table.x.astype(int)),
    "nullable integers": lambda table: table.assign(x=table.x.astype("Int64")),
    "text of numbers": lambda table: table.assign(x=table.x.astype(str)),
    "categories": lambda table: table.assign(
        c=table.c.astype("category"), x=table.x.astype("category")
    ),
    "strings": lambda table: table.assign(c=table.c.astype("string")),
    "text and numbers": lambda table: table.assign(c=["a", "b", "a", 7]),
    "text and floats": lambda table: table.assign(c=pd.Series(["a", "b", "a", 7.0], dtype=object)),
    "dates as text": lambda table: table.assign(t=table.t.astype(str)),
    "dates as nanoseconds": lambda table: table.assign(t=table.t.astype("M8[ns]")),
    "dates as objects": lambda table: table.assign(t=table.t.dt.date),
    "dates of a zone": lambda table: table.assign(
        t=table.t.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    ),
    "another order and further columns": lambda table: table[["t", "c", "x"]].assign(w=0),
    "another index": lambda table: table.set_index(pd.Index(list("wxyz"))),
    "an array": lambda table: table.to_numpy(),
}


@pytest.mark.parametrize("how", PLAIN)
def test_it_takes_what_plain_pandas_reads(how):
    table = of(TABLE).inputs
    assert_same_bits(fitted().transform(PLAIN[how](table)), fitted().transform(table))


def test_booleans_are_numbers_or_words():
    data = of({"x": [0.0, 1.0, 1.0], "c": ["False", "True", "True"]})
    found = make_preprocessor(data).fit(data.inputs)
    table = pd.DataFrame({"x": [False, True, True], "c": [False, True, True]})
    assert_same_bits(found.transform(table), found.transform(data.inputs))


def test_names_need_not_be_text():
    data = of({"0": [1.0, 2.0], "1": [3.0, 4.0]})
    found = make_preprocessor(data).fit(data.inputs)
    assert found.transform(pd.DataFrame([[1, 3], [2, 4]])).tolist() == [[-1, -1], [1, 1]]


def changed(**columns: Any) -> pd.DataFrame:
    return of(TABLE).inputs.assign(**columns)


COMPLETE = (
    "study: every row must be complete, as the training rows were; got no value of `{}` in row {} "
    "(from 0). Leave the row out, or fill it in."
)
KIND = (
    "study: `{}` must hold {}, as in the training rows; got {} in row {} (from 0). Convert the "
    "column first."
)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            lambda: changed().drop(columns="x"),
            "study: inputs must have one column `x`; got 0.",
        ),
        (
            lambda: changed().rename(columns={"x": "X"}).assign(xx=1).drop(columns="X"),
            "study: inputs must have one column `x`; got 0. Did you mean `xx`?",
        ),
        (
            lambda: pd.concat([changed(), changed()[["c"]]], axis=1),
            "study: inputs must have one column `c`; got 2.",
        ),
        (
            lambda: np.zeros((4, 2)),
            "study: inputs must be a DataFrame with the columns `x`, `c`, `t`, or an array of "
            "these; got array([[0., 0.], [0., 0.], [0., 0.], [0., 0.]]).",
        ),
        (
            lambda: changed(x=["1", "2", "1,5", "3"]),
            KIND.format("x", "finite numbers", "'1,5'", 2),
        ),
        (
            lambda: changed(x=[1, np.inf, 2, 3]),
            KIND.format("x", "finite numbers", "inf", 1),
        ),
        (
            lambda: changed(t=["2020-01-01", "2020-01-02", "2020-01-03", "3.1.2020"]),
            KIND.format("t", "dates as YYYY-MM-DD", "'3.1.2020'", 3),
        ),
        (
            lambda: changed(t=[1, 2, 3, 4]),
            KIND.format("t", "dates as YYYY-MM-DD", "1", 0),
        ),
        (
            lambda: changed(c=[1, 2, 3, 4]),
            KIND.format("c", "text, such as `7`, `a`, `b`", "1", 0),
        ),
        (lambda: changed(x=[1, 2, None, 3]), COMPLETE.format("x", 2)),
        (lambda: changed(c=["a", "b", "a", None]), COMPLETE.format("c", 3)),
        (lambda: changed(t=dates("2020-01-01", None, None, None)), COMPLETE.format("t", 1)),
    ],
)
def test_inputs_of_another_kind_are_refused(table, sentence):
    with assert_sentence(InvalidValue, sentence):
        fitted().transform(table())


def test_images_of_another_shape_are_refused():
    data = digits()
    found = make_preprocessor(data).fit(data.inputs)
    sentence = (
        "study: inputs must have the shape (rows, 1, 8, 8), as in the training rows; got (5, 8, 8)."
    )
    with assert_sentence(InvalidValue, sentence):
        found.transform(data.inputs[:5, 0])


def test_what_is_read_from_a_file_is_encoded(tmp_path):
    rows = [f"{i * 7 % 11},{'uvw'[i % 3]},2020-01-{i % 9 + 1:02},{i % 2}" for i in range(30)]
    path = tmp_path / "d.csv"
    path.write_text("x,c,t,y\n" + "\n".join(rows) + "\n")
    data = read_data(str(path), "y")
    encoder = Encoder.fit(data, np.arange(20))
    table = pd.read_csv(path)
    assert_same_bits(encoder.preprocessor.transform(table), encoder.inputs(data))
