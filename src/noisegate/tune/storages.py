"""Optuna's storages: each is opened once in a process, and its errors become sentences."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from noisegate.core.errors import InvalidValue, MissingExtra, NoisegateError

# Seconds that a process waits while others write to the file.
PATIENCE = 60
# How often a process tries again while another makes the tables, and seconds between.
ATTEMPTS, PAUSE = 20, 0.25
# What pip calls the packages that Python imports under another name.
PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}

_storages: dict[str, optuna.storages.RDBStorage] = {}


def file_url(path: Path) -> str:
    """Return the URL of an SQLite file; its path may hold any characters."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Return the storage of a URL, opened on the first call in a process."""
    if url not in _storages:
        _storages[url] = _open(url, _options(url))
    return _storages[url]


def close_storage(url: str) -> None:
    """Close the storage of a URL, if it is open."""
    storage = _storages.pop(url, None)
    if storage is not None:
        storage.remove_session()
        storage.engine.dispose()


def hide_passwords(text: str) -> str:
    """Return a text with the passwords of URLs in it hidden, malformed URLs included."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(password=)[^&\s]*", r"\1***", text)


@contextmanager
def explain_errors(url: str) -> Iterator[None]:
    """Silence Optuna in a block, and raise what fails in its storage as a sentence."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise _failure(url, error) from error


def _options(url: str) -> dict[str, object]:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise _no_url(url) from None
    if not parsed.drivername.startswith("sqlite"):
        return {"pool_pre_ping": True}  # a server closes idle connections
    if parsed.database in (None, "", ":memory:"):
        raise InvalidValue(
            "tune: a storage must last, since every process opens it for itself; got "
            f"'{hide_passwords(url)}', which is kept in memory. Name a file: sqlite:///trials.db."
        )
    # Without a pool no connection stays open, even if opening fails.
    return {"connect_args": {"timeout": PATIENCE}, "poolclass": NullPool}


def _open(url: str, options: dict[str, object]) -> optuna.storages.RDBStorage:
    # Optuna formats the URL, so braces in it are doubled.
    template = url.replace("{", "{{").replace("}", "}}")
    for attempt in range(ATTEMPTS):
        try:
            return optuna.storages.RDBStorage(template, engine_kwargs=options)
        except ArgumentError:
            raise _no_url(url) from None
        except ImportError as error:
            missing = getattr(error.__cause__, "name", None) or "its driver"
            raise MissingExtra(
                f"tune: the storage '{hide_passwords(url)}' needs {missing}. "
                f"Install it: pip install {PACKAGES.get(missing, missing)}"
            ) from None
        except RuntimeError as error:  # the tables are another version's
            raise _failure(url, error) from error
        except SQLAlchemyError as error:
            # Several processes make the tables at the same time, and all but one fail.
            raced = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not raced or attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)
    raise AssertionError


def _no_url(url: str) -> InvalidValue:
    """Return the error of a text that is not the URL of a database."""
    return InvalidValue(
        f"tune: a storage must be the URL of a database; got '{hide_passwords(url)}'. Write for "
        "example sqlite:///trials.db or postgresql://me@host/noise."
    )


def _failure(url: str, error: BaseException) -> NoisegateError:
    """Return the error of a storage that cannot be used."""
    return NoisegateError(
        f"tune: the storage '{hide_passwords(url)}' cannot be used: {_reason(error)}."
    )


def _reason(error: BaseException) -> str:
    """Return the first line of the database's own message."""
    cause = error.__cause__ or error
    message = str(getattr(cause, "orig", cause)).strip() or type(error).__name__
    return hide_passwords(message.splitlines()[0].rstrip("."))
