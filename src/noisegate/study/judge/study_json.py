"""A study.json, read as far as a comparison needs it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisegate.core.errors import InvalidValue
from noisegate.core.words import shorten

from ..json_text import FORMAT

# What a comparison needs of a study.json; float stands for any number, or null.
RUN = {
    **dict.fromkeys(("model", "recipe", "split"), str),
    "seed": int,
    **dict.fromkeys(("train_rows", "validation_rows"), float),
    "best": dict.fromkeys(("validation_loss", "validation_error"), float),
}
SHAPE = {
    "settings": {
        "data": dict.fromkeys(("name", "digest", "task"), str),
        "test": {"digest": str},
        **dict.fromkeys(("models", "recipes"), dict),
    },
    "versions": dict,
    "runs": [RUN],
}
# Loss and error of each seed.
Values = dict[int, tuple[float, float]]

REMEDY = "Name the folder of a study's --out, or the study.json in it."


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study.json that was read and checked; `settings` and `versions` are as they stand in it.

    `runs` has, by (model, recipe), the loss and the error of each seed at its best epoch. Every one
    has the seeds of `splits`, the digests of each seed's split. `ratio` is that of validation to
    training samples.
    """

    path: str
    settings: Mapping[str, Any]
    versions: Mapping[str, Any]
    runs: Mapping[tuple[str, str], Values]
    splits: Mapping[int, str]
    ratio: float

    @property
    def models(self) -> list[str]:
        """The names of the models, in the order of the runs."""
        return list(dict.fromkeys(model for model, _ in self.runs))


class _Unlike(Exception):
    """A file is not like a study.json, and why."""


def read_study(path: str | Path) -> StudyFile:
    """Read a study.json, or the one in a folder; raise unless it is whole and of this format."""
    file = Path(path)
    if file.is_dir():
        file /= "study.json"
        if not file.exists():
            raise InvalidValue(
                f"study: a folder to compare must have a study.json; got '{path}'. Name the folder "
                "of a study that has finished, its --out."
            )
    try:
        facts = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidValue(
            f"study: a file to compare must be one that can be read; got '{file}': "
            f"{error.strerror or error}. {REMEDY}"
        ) from None
    except (ValueError, RecursionError):
        raise _not_a_study(file, "it is not JSON") from None
    try:
        _check_shape(facts, {"format": object}, "the file")
        if facts["format"] != FORMAT:
            raise InvalidValue(
                f"study: a study.json must have format {FORMAT} to be compared; got format "
                f"{shorten(facts['format'])} in '{file}'. Make the study again with this version: "
                "the file holds its command."
            )
        _check_shape(facts, SHAPE, "the file")
        return _read_study_facts(str(file), facts)
    except _Unlike as error:
        raise _not_a_study(file, error) from None


def _not_a_study(path: Path, reason: object) -> InvalidValue:
    return InvalidValue(
        f"study: a file to compare must be a study's study.json; got '{path}': {reason}. {REMEDY}"
    )


def _read_study_facts(path: str, facts: Mapping[str, Any]) -> StudyFile:
    settings = facts["settings"]
    if settings["data"]["task"] not in ("classification", "regression"):
        raise _Unlike("`task` is unknown")
    runs, splits, ratio = _read_runs(facts["runs"])
    for model, recipe in runs:
        _check_shape(settings["models"], {model: str}, "models")
        _check_shape(settings["recipes"], {model: {recipe: str}}, "recipes")
    return StudyFile(path, settings, facts["versions"], runs, splits, ratio)


def _read_runs(
    facts: Sequence[Mapping[str, Any]],
) -> tuple[dict[tuple[str, str], Values], dict[int, str], float]:
    runs: dict[tuple[str, str], Values] = {}
    splits: dict[int, str] = {}
    ratio = math.nan
    for run in facts:
        best, seed = run["best"], run["seed"]
        values = runs.setdefault((run["model"], run["recipe"]), {})
        if seed in values:
            raise _Unlike(f"a recipe has seed {seed} twice")
        loss, error = (_read_number(best[f"validation_{name}"]) for name in ("loss", "error"))
        values[seed] = loss, error
        if splits.setdefault(seed, run["split"]) != run["split"]:
            raise _Unlike(f"seed {seed} has two splits")
        validation, train = (_read_number(run[name]) for name in ("validation_rows", "train_rows"))
        if not (1 <= validation < math.inf and 1 <= train < math.inf):
            raise _Unlike("`validation_rows` and `train_rows` must be at least 1")
        ratio = validation / train
    if not runs:
        raise _Unlike("`runs` are empty")
    if any(values.keys() != splits.keys() for values in runs.values()):
        raise _Unlike("a recipe lacks a seed that another has")
    return runs, splits, ratio


def _check_shape(value: Any, shape: Any, name: str) -> None:
    """Raise unless a value has the type of a shape, and its parts."""
    kind = type(shape) if isinstance(shape, dict | list) else shape
    kinds: Any = int | float | None if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not object):
        raise _Unlike(f"`{name}` is of another type")
    if kind is list:
        for number, each in enumerate(value):
            _check_shape(each, shape[0], f"{name}/{number}")
    elif isinstance(shape, dict):
        for part, inner in shape.items():
            if part not in value:
                raise _Unlike(f"`{part}` is missing")
            _check_shape(value[part], inner, part)


def _read_number(value: float | None) -> float:
    """Return a number; null stands for one that is not finite."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf
