"""Optuna's storages: opened once in a process, and what is wrong with them in a sentence."""

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

from . import messages

__all__ = ["close", "file_url", "opened", "said", "shown"]

# Seconds that a process waits for others to have written to a file.
PATIENCE = 60
# How often tables are looked for that another process is making, and after how many seconds.
ATTEMPTS, PAUSE = 20, 0.25

_opened: dict[str, optuna.storages.RDBStorage] = {}


def file_url(path: Path) -> str:
    """Return the URL of a file of SQLite, whatever signs its name has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def opened(url: str) -> optuna.storages.RDBStorage:
    """Return the storage of a URL; a process has one of each.

    Raises
    ------
    InvalidValue
        If it is no URL of a database that other processes can use.
    MissingExtra
        If the driver of the database is not installed.
    """
    if url not in _opened:
        _opened[url] = _open(url, _options(url))
    return _opened[url]


def close(url: str) -> None:
    """Let go of the storage of a URL."""
    storage = _opened.pop(url, None)
    if storage is not None:
        storage.remove_session()
        storage.engine.dispose()


def shown(text: str) -> str:
    """Return a text without the passwords of URLs in it, also of those that cannot be read."""
    text = re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"(password=)[^&\s]*", r"\1***", text)


@contextmanager
def said(url: str) -> Iterator[None]:
    """Have Optuna say nothing, and what fails in a storage be a sentence."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise NoisegateError(messages.storage_failed(shown(url), _reason(error))) from error


def _options(url: str) -> dict[str, object]:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        raise InvalidValue(messages.no_storage_url(shown(url))) from None
    if not parsed.drivername.startswith("sqlite"):
        return {"pool_pre_ping": True}  # a server ends connections that are idle for long
    if parsed.database in (None, "", ":memory:"):
        raise InvalidValue(messages.storage_in_memory(shown(url)))
    # Without a pool no connection is left open, where opening fails too.
    return {"connect_args": {"timeout": PATIENCE}, "poolclass": NullPool}


def _open(url: str, options: dict[str, object]) -> optuna.storages.RDBStorage:
    # Optuna fills braces in.
    template = url.replace("{", "{{").replace("}", "}}")
    for attempt in range(ATTEMPTS):
        try:
            return optuna.storages.RDBStorage(template, engine_kwargs=options)
        except ArgumentError:
            raise InvalidValue(messages.no_storage_url(shown(url))) from None
        except ImportError as error:
            missing = getattr(error.__cause__, "name", None) or "its driver"
            raise MissingExtra(messages.missing_driver(shown(url), missing)) from None
        except RuntimeError as error:  # tables of another version of Optuna's
            raise NoisegateError(messages.storage_failed(shown(url), _reason(error))) from error
        except SQLAlchemyError as error:
            # Of processes that make the tables at the same time only one can.
            known = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not known or attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE)
    raise AssertionError


def _reason(error: BaseException) -> str:
    """Return the first line of what the database said."""
    cause = error.__cause__ or error
    said = str(getattr(cause, "orig", cause)).strip() or type(error).__name__
    return shown(said.splitlines()[0].rstrip("."))
