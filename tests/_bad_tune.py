"""Bad searches and storages, and the sentence for each.

Files are written into the working directory.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import sqlalchemy

from _bad_numbers import Case, Value
from noisegate import tune as room
from noisegate.core.errors import MissingExtra, NoisegateError
from noisegate.study import Source, Study
from noisegate.tune import space as room_space
from noisegate.tune import storages, tune, tuning
from noisegate.tune.space import parse_space
from noisegate.tune.trials import Trials

SPACE = "hid*:out=0..0.8, in:out=gaussian(0.01..1 log)"


def rows(path: str | Path = "d.csv", seed: int = 0, count: int = 160) -> Source:
    """Write two overlapping classes of rows as a CSV file, and return where they are."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4))
    y = x @ [1, -1, 0.5, 0] + 0.7 * generator.normal(size=count) > 0
    cells = [[*(f"{v:.4f}" for v in row), "ny"[int(t)]] for row, t in zip(x, y, strict=True)]
    Path(path).write_text("".join(",".join(line) + "\n" for line in [[*"abcdy"], *cells]))
    return Source(data=path, target="y")


def search(space: str | None = SPACE, **options: Any) -> Study:
    """Search with little work; the rows are written first unless they are given."""
    source = options.pop("source", None) or rows()
    words = {"trials": 12, "seeds": 3, "epochs": 2, "progress": False, **options}
    return tune(words.pop("model", "mlp"), space, source=source, **words)


def stored(url: str, **options: Any) -> Callable[[], Any]:
    """Return the call that searches with a storage."""
    return lambda: search(storage=url, out="out", trials=1, seeds=2, epochs=1, **options)


def text_file() -> Any:
    Path("text.db").write_text("hello, this is no database\n" * 100)
    return stored("sqlite:///text.db")()


def full() -> Any:
    """Search where the file of trials cannot grow any more."""
    opened = storages._open

    def small(url: str, options: dict[str, object]) -> Any:
        storage = opened(url, options)
        sqlalchemy.event.listen(
            storage.engine, "checkout", lambda one, *_: one.execute("PRAGMA max_page_count = 1")
        )
        return storage

    with mock.patch.object(storages, "_open", small):
        return search(storage="sqlite:///t.db", seeds=2, epochs=1, trials=400)


def without(module: str, url: str) -> Callable[[], Any]:
    def call() -> Any:
        # They register themselves once, and the patch forgets what is imported within it.
        importlib.import_module("sqlalchemy.dialects.postgresql")
        importlib.import_module("sqlalchemy.dialects.mysql")
        with mock.patch.dict(sys.modules, {module: None}):
            return stored(url)()

    return call


def other(**options: Any) -> Callable[[], Any]:
    """Return the call that joins a search with other words than it was begun with."""

    def call() -> Any:
        words = {"storage": "sqlite:///t.db", "trials": 1, "seeds": 2, "epochs": 1}
        search(**words)
        return search(**{**words, **options})

    return call


def without_optuna() -> Any:
    with mock.patch("noisegate.core.extras.find_spec", return_value=None):
        return importlib.reload(room)


def fitting_nothing() -> Any:
    with mock.patch.object(room_space, "fits", return_value=False):
        return search(None)


def none_finished() -> Any:
    """Join a search whose only trial is still another process's."""
    with mock.patch.object(Trials, "next", return_value=None), mock.patch.object(tuning, "save"):
        return search()


CASES: list[Case] = [
    # Ranges
    *(
        (
            lambda text=text: parse_space(f"hid*:out={text}"),
            Value,
            f"tune: a range is LOW..HIGH with LOW below HIGH; got {text!r}.",
        )
        for text in ("0.8..0.2", "0.5..0.5", "0..1e999")
    ),
    *(
        (
            lambda text=text: parse_space(f"hid*:out={text}"),
            Value,
            f"tune: a range is LOW..HIGH, LOW..HIGH log or LOW..HIGH int; got {text!r}.",
        )
        for text in ("0..0.8 lin", "0...0.8", "gaussian(0..1 lgo)")
    ),
    (
        lambda: parse_space("in:out=gaussian(0..1 log)"),
        Value,
        "tune: a range is LOW..HIGH with LOW below HIGH, above 0 for log; got '0..1 log'.",
    ),
    (
        lambda: parse_space("conv*:out=drop_block(0.1, 3..6.5 int)"),
        Value,
        "tune: a range that ends in int must have whole ends; got '3..6.5 int'.",
    ),
    (
        lambda: parse_space("hid*:out=0.5", always=True),
        Value,
        "tune: with every rule always on at least one must have a range; got 'hid*:out=0.5'. "
        "Write a range: 'hid*:out=0..0.8'.",
    ),
    (
        fitting_nothing,
        Value,
        "tune: `space` must hold rules for mlp, since none of the default ones fits its sites. See "
        "them with `noisegate sites mlp`, and give rules: --rules 'hid*:out=0..0.8'.",
    ),
    # Trials
    (
        none_finished,
        NoisegateError,
        "tune: at least one trial must finish with all its seeds; of 0 none did. "
        "Go on with --resume and more --trials.",
    ),
    # Storages
    (
        other(tune_seed=1),
        Value,
        "tune: `tune_seed` must be what it was for the trials in 'sqlite:///t.db, noisegate', to "
        "go on with them; it was 0, and is 1. Give this search another --name.",
    ),
    (
        other(epochs=2),
        Value,
        "tune: `epochs` must be what it was for the trials in 'sqlite:///t.db, noisegate', to "
        "go on with them; it was 1, and is 2. Give this search another --name.",
    ),
    (
        other(space="hid*:out=0..0.8"),
        Value,
        "tune: `space` must be what it was for the trials in 'sqlite:///t.db, noisegate', to go "
        f"on with them; it was {SPACE!r}, and is 'hid*:out=0..0.8'. Give this search another "
        "--name.",
    ),
    (
        other(always=True),
        Value,
        "tune: `always` must be what it was for the trials in 'sqlite:///t.db, noisegate', to "
        "go on with them; it was False, and is True. Give this search another --name.",
    ),
    (
        text_file,
        NoisegateError,
        "tune: the storage 'sqlite:///text.db' cannot be used: file is not a database.",
    ),
    (
        stored("sqlite:///no/such/t.db"),
        NoisegateError,
        "tune: the storage 'sqlite:///no/such/t.db' cannot be used: unable to open database file.",
    ),
    (
        full,
        NoisegateError,
        "tune: the storage 'sqlite:///t.db' cannot be used: database or disk is full.",
    ),
    *(
        (
            stored(url),
            Value,
            f"tune: a storage must be the URL of a database; got '{shown}'. Write for example "
            "sqlite:///trials.db or postgresql://me@host/noise.",
        )
        for url, shown in (
            ("trials.db", "trials.db"),
            ("", ""),
            ("redis://me:secret@host", "redis://me:***@host"),
            ("sqlite:/t.db", "sqlite:/t.db"),
            ("postgresql://me:secret@host:port/x", "postgresql://me:***@host:port/x"),
        )
    ),
    *(
        (
            stored(url),
            Value,
            "tune: a storage must last, since every process opens it for itself; got "
            f"'{url}', which is kept in memory. Name a file: sqlite:///trials.db.",
        )
        for url in ("sqlite://", "sqlite:///:memory:")
    ),
    (
        without("psycopg2", "postgresql+psycopg2://me:secret@host/noise"),
        MissingExtra,
        "tune: the storage 'postgresql+psycopg2://me:***@host/noise' needs psycopg2. "
        "Install it: pip install psycopg2-binary",
    ),
    (
        without("pymysql", "mysql+pymysql://me:p@ss@host/noise"),
        MissingExtra,
        "tune: the storage 'mysql+pymysql://me:***@host/noise' needs pymysql. "
        "Install it: pip install pymysql",
    ),
    # Packages
    (
        without_optuna,
        MissingExtra,
        'noisegate.tune needs optuna. Install it with: pip install "noisegate[tune]"',
    ),
]
