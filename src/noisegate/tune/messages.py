"""What is said of a search."""

from noisegate.core.errors import missing_extra

__all__ = [
    "empty_range",
    "missing_driver",
    "missing_optuna",
    "no_range",
    "no_storage_url",
    "no_trial_finished",
    "nothing_to_search",
    "other_search",
    "range_not_whole",
    "storage_failed",
    "storage_in_memory",
]

# How pip calls what Python imports under another name.
_PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


def empty_range(text: str, how: str | None) -> str:
    above = ", above 0 for log" if how == "log" else ""
    return f"tune: a range is LOW..HIGH with LOW below HIGH{above}; got {text!r}."


def range_not_whole(text: str) -> str:
    return f"tune: a range that ends in int must have whole ends; got {text!r}."


def no_range(text: str) -> str:
    return f"tune: a range is LOW..HIGH, LOW..HIGH log or LOW..HIGH int; got {text!r}."


def nothing_to_search(text: str) -> str:
    return (
        f"tune: with every rule always on at least one must have a range; got {text!r}. "
        "Write a range: 'hid*:out=0..0.8'."
    )


def no_trial_finished(count: int) -> str:
    return (
        f"tune: at least one trial must finish with all its seeds; of {count} none did. "
        "Go on with --resume and more --trials."
    )


def other_search(where: str, name: str, before: object, now: object) -> str:
    return (
        f"tune: `{name}` must be what it was for the trials in '{where}', to go on with them; "
        f"it was {before!r}, and is {now!r}. Give this search another --name."
    )


def storage_failed(url: str, reason: str) -> str:
    return f"tune: the storage '{url}' cannot be used: {reason}."


def storage_in_memory(url: str) -> str:
    return (
        f"tune: a storage must last, since every process opens it for itself; got '{url}', which "
        "is kept in memory. Name a file: sqlite:///trials.db."
    )


def no_storage_url(url: str) -> str:
    return (
        f"tune: a storage must be the URL of a database; got '{url}'. Write for example "
        "sqlite:///trials.db or postgresql://me@host/noise."
    )


def missing_driver(url: str, package: str) -> str:
    named = _PACKAGES.get(package, package)
    return f"tune: the storage '{url}' needs {package}. Install it: pip install {named}"


def missing_optuna() -> str:
    return str(missing_extra("noisegate.tune", "optuna", "tune"))
