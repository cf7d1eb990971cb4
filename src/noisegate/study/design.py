"""What is wrong with a call, as far as the arguments and the first lines of the files tell.

Nothing here needs torch, scikit-learn, SciPy or matplotlib, which take seconds to import. So a
command that is called wrongly answers at once; the study itself makes the same checks first.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.machinery import PathFinder
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from noisegate.core.errors import InvalidValue

from . import messages
from .files import check_folder, check_unused
from .recipes import SUFFIXES, Recipe, by_name, parse_recipe, read_recipes
from .source import Source

__all__ = [
    "MODELS",
    "Given",
    "check_call",
    "check_count",
    "check_model",
    "check_model_name",
    "check_module",
    "missing_module",
    "model_names",
    "recipes_of",
]

# Beyond these a number is a mistake.
MOST = {"seeds": 10_000, "jobs": 1024, "trials": 1_000_000, "tune_seed": 2**64 - 1}
# The built-in models.
MODELS = ("mlp", "cnn")
# A module may have signs in its name that no Python name has.
_OWN = re.compile(r"[^\s:./\\]+(\.[^\s:./\\]+)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Given:
    """How a study is called: everything but which recipes, and where its results go."""

    models: tuple[str, ...] | None
    source: Source
    seeds: int
    epochs: int
    batch_size: int | None
    learning_rate: float
    uncertainty: bool
    ood: str | Path | None


def check_call(
    given: Given,
    recipes: Iterable[str | Recipe] | None,
    *,
    jobs: int,
    out: str | Path | None,
    resume: bool,
) -> None:
    """Raise what can be told before the rows are read and a model is made; nothing is written.

    Raises
    ------
    InvalidValue, InvalidType
        If a number is out of bounds, a file or a column is not there, a model or a recipe is
        none, or the results cannot go where they are to go.
    MissingExtra
        If a file of data needs pyarrow.
    """
    check_count("jobs", 1, jobs, "1 is this process.")
    _check_counts(given)
    if out is not None:
        check_folder(Path(out))
    given.source.check(given.ood)
    for name in model_names(given):
        check_model(name)
    recipes_of(recipes)
    if out is not None and not resume:
        check_unused(Path(out))


def check_count(name: str, least: int, value: Any, why: str) -> None:
    """Refuse what is no whole number, less than the least, or more than anybody means."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidValue(messages.not_a_count(name, least, value, why))
    if value > (most := MOST.get(name, 2**31)):
        raise InvalidValue(messages.too_many(name, most, value))


def _check_counts(given: Given) -> None:
    check_count("seeds", 2, given.seeds, "An interval needs at least two runs of each recipe.")
    check_count("epochs", 1, given.epochs, "60 is the default.")
    if given.batch_size is not None:
        check_count("batch_size", 1, given.batch_size, "Left out, it is chosen by the rows.")
    rate = given.learning_rate
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < inf:
        raise InvalidValue(messages.not_a_number_between("learning_rate", 0, inf, rate))


def recipes_of(
    recipes: Iterable[str | Recipe] | None,
) -> tuple[dict[str, str], list[Recipe] | None]:
    """Return the texts of the files that are named, and the recipes; None if none are named.

    Raises
    ------
    InvalidValue, InvalidType
        If a name or a file is of no recipe, or two recipes of one name differ.
    """
    if recipes is None:
        return {}, None
    files: dict[str, str] = {}
    found: list[Recipe] = []
    for given in recipes:
        if isinstance(given, Recipe):
            found.append(given)
        elif "=" not in given and given.endswith(SUFFIXES):
            found += read_recipes(given)
            files[Path(given).name] = Path(given).read_text("utf-8")
        else:
            found.append(parse_recipe(given))
    return files, list(by_name(found).values())


# Models by their names ------------------------------------------------------------------------


def model_names(given: Given) -> tuple[str, ...]:
    """Return the names of the models, each once; on the digits both built-in ones by default.

    Raises
    ------
    InvalidValue
        If there are none.
    """
    names = given.models
    if names is None:
        names = MODELS if given.source.data is None else MODELS[:1]
    if not names:
        raise InvalidValue(messages.no_model([*MODELS, "module:function"]))
    return tuple(dict.fromkeys(names))


def check_model(name: str) -> None:
    """Raise if no model can have this name, or its module is not there; nothing is imported."""
    check_model_name(name)
    if name not in MODELS:
        check_module(name.partition(":")[0])


def check_model_name(name: str) -> None:
    """Raise if a name is neither of a built-in model, nor of the form ``module:function``."""
    if name not in MODELS and not _OWN.fullmatch(name):
        raise InvalidValue(messages.unknown_model(name, MODELS))


def check_module(module: str) -> None:
    """Raise if a module is neither in the current folder nor installed; it is not imported.

    Of a dotted name only the first part is looked for, since the others are known once it is
    imported.
    """
    invalidate_caches()  # the file may be new
    first = module.partition(".")[0]
    if first in sys.modules or PathFinder.find_spec(first, [str(Path.cwd())]) or find_spec(first):
        return
    raise missing_module(module)


def missing_module(module: str) -> InvalidValue:
    """Return the error of a module that is not there, with the nearest in the current folder."""
    return InvalidValue(messages.no_module(module, [path.stem for path in Path().glob("*.py")]))
