"""A study.json read again, as far as a comparison needs it; a file that is none is named."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, TypeVar

from noisegate.core.errors import InvalidValue

from .. import messages
from ..data.tasks import Task

__all__ = ["FORMAT", "Recorded", "read_study", "without_nan"]

# Of a study.json, and of the files of the runs.
FORMAT = 2

T = TypeVar("T")
# Loss and error of each seed, at the best epoch.
Values = dict[int, tuple[float, float]]

TASKS = ("classification", "regression")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a study.json says.

    Parameters
    ----------
    path : str
        Where it was read.
    task : Task
        Without the classes.
    data, test : str
        The data's name and digest; the digest of the test split.
    splits : mapping
        The digest of each seed's split.
    ratio : float
        Validation rows / training rows.
    runs : mapping
        By (model, recipe): loss and error of each seed; every one has the seeds of `splits`.
    models : mapping
        The digest of each model's source; empty for the built-in ones.
    recipes : mapping
        By model, the rules of each recipe by its name, as text.
    others : mapping
        Every other setting, and the versions, as text.
    """

    path: str
    task: Task
    data: str
    test: str
    splits: Mapping[int, str]
    ratio: float
    runs: Mapping[tuple[str, str], Values]
    models: Mapping[str, str]
    recipes: Mapping[str, Mapping[str, str]]
    others: Mapping[str, str]


class _Unlike(Exception):
    """A file is not like a study.json, and why."""


def without_nan(value: Any) -> Any:
    """Return the same with None for every number that is not finite, which JSON cannot hold."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_study(path: str | Path) -> Recorded:
    """Read a study.json.

    Raises
    ------
    InvalidValue
        If it cannot be read, is no study.json, is not whole, or has another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidValue(messages.no_file_to_compare(path, reason)) from None
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidValue(messages.no_study_file(path, "it is not JSON")) from None
    try:
        facts = _part({"the file": facts}, "the file", dict)
        found = _part(facts, "format", object)
        if found != FORMAT:
            raise InvalidValue(messages.unknown_format(path, short(found), FORMAT))
        return _recorded(str(path), facts)
    except _Unlike as error:
        raise InvalidValue(messages.no_study_file(path, str(error))) from None


def _recorded(path: str, facts: Mapping[str, Any]) -> Recorded:
    settings = _part(facts, "settings", dict)
    data = _part(settings, "data", dict)
    task = _part(data, "task", str)
    if task not in TASKS:
        raise _Unlike("`task` is unknown")
    runs, splits, ratio = _runs(_part(facts, "runs", list))
    sources, rules = _part(settings, "models", dict), _part(settings, "recipes", dict)
    # In the order of the runs.
    models = {model: _part(sources, model, str) for model, _ in runs}
    recipes = {
        model: {
            name: _part(_part(rules, model, dict), name, str) for of, name in runs if of == model
        }
        for model in models
    }
    scalars = settings.keys() - {"data", "test", "models", "recipes"}
    others = {name: settings[name] for name in sorted(scalars)} | _part(facts, "versions", dict)
    return Recorded(
        path,
        Task(task),
        f"{_part(data, 'name', str)} ({_part(data, 'digest', str)})",
        _part(_part(settings, "test", dict), "digest", str),
        splits,
        ratio,
        runs,
        models,
        recipes,
        {name: "not set" if value is None else str(value) for name, value in others.items()},
    )


def _runs(
    facts: Sequence[Any],
) -> tuple[dict[tuple[str, str], Values], dict[int, str], float]:
    runs: dict[tuple[str, str], Values] = {}
    splits: dict[int, str] = {}
    ratio = math.nan
    for fact in facts:
        run = _part({"a run": fact}, "a run", dict)
        best, seed = _part(run, "best", dict), _part(run, "seed", int)
        values = runs.setdefault((_part(run, "model", str), _part(run, "recipe", str)), {})
        if seed in values:
            raise _Unlike(f"a recipe has seed {seed} twice")
        values[seed] = (_number(best, "validation_loss"), _number(best, "validation_error"))
        split = _part(run, "split", str)
        if splits.setdefault(seed, split) != split:
            raise _Unlike(f"seed {seed} has two splits")
        ratio = _ratio(run)
    if not runs:
        raise _Unlike("`runs` are empty")
    if not all(values.keys() == splits.keys() for values in runs.values()):
        raise _Unlike("a recipe lacks a seed that another has")
    return runs, splits, ratio


def _ratio(run: Mapping[str, Any]) -> float:
    validation, train = (_number(run, name) for name in ("validation_rows", "train_rows"))
    if not (1 <= validation < math.inf and 1 <= train < math.inf):
        raise _Unlike("`validation_rows` and `train_rows` must be at least 1")
    return validation / train


def _part(facts: Mapping[str, Any], name: str, kind: type[T]) -> T:
    if name not in facts:
        raise _Unlike(f"`{name}` is missing")
    value = facts[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Unlike(f"`{name}` is of another type")
    return value


def _number(facts: Mapping[str, Any], name: str) -> float:
    """Return a number; null stands for one that is not finite."""
    value = _part(facts, name, object)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unlike(f"`{name}` is of another type")
    try:
        return float(value)
    except OverflowError:
        return math.inf
