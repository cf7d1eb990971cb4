"""The settings of a study, and the checks of them that need neither torch nor the rows.

Nothing here needs torch, pandas, scikit-learn, SciPy or matplotlib, which take seconds to import.
So a command that is called wrongly answers at once; the study itself makes the same checks first.
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
from noisegate.core.words import got, suggest

from .files import check_folder, check_unused
from .recipes import SUFFIXES, Recipe, index_recipes, parse_recipe, read_recipes
from .source import DIGITS, Source

# Beyond these a number is a mistake.
MOST = {"seeds": 10_000, "jobs": 1024, "trials": 1_000_000, "tune_seed": 2**64 - 1}
# The built-in models.
MODELS = ("mlp", "cnn")
# A module may have signs in its name that no Python name has.
_OWN = re.compile(r"[^\s:./\\]+(\.[^\s:./\\]+)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Design:
    """The settings of a study as they were asked for: everything that decides its numbers.

    Parameters
    ----------
    models : tuple of str, optional
        `mlp`, `cnn` or `module:function`; None means `mlp`, and `cnn` too on the digits.
    recipes : tuple of str or Recipe, optional
        Names, texts ``NAME=RULES``, files; None means all built-in ones that fit a model.
    source : Source
        Where the data come from.
    seeds : int
        Seeds 0 to ``seeds - 1``; at least 2.
    epochs : int
        The budget of each run, at least 1.
    batch_size : int, optional
        Samples of a step; None means a tenth of the training samples, within 16 and 128.
    learning_rate : float
        Of Adam; above 0.
    uncertainty : bool
        Whether the uncertainty of predictions with noise is evaluated.
    ood : path, optional
        Out-of-distribution inputs for that; None means test samples with shuffled columns.
    """

    models: tuple[str, ...] | None = None
    recipes: tuple[str | Recipe, ...] | None = None
    source: Source = DIGITS
    seeds: int = 5
    epochs: int = 60
    batch_size: int | None = None
    learning_rate: float = 2e-3
    uncertainty: bool = False
    ood: Any = None


def check_design(design: Design, *, jobs: int, out: str | Path | None, resume: bool) -> None:
    """Raise what can be told before the data are read and a model is made; nothing is written."""
    check_count("jobs", 1, jobs, "1 is this process.")
    check_count("seeds", 2, design.seeds, "An interval needs at least two runs of each recipe.")
    check_count("epochs", 1, design.epochs, "60 is the default.")
    if design.batch_size is not None:
        check_count("batch_size", 1, design.batch_size, "Left out, it is chosen by the rows.")
    rate = design.learning_rate
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < inf:
        raise InvalidValue(f"study: `learning_rate` must be a number in (0, inf); got {rate!r}.")
    if out is not None:
        check_folder(Path(out))
    design.source.check(design.ood)
    for name in model_names(design):
        check_model(name)
    recipes_of(design.recipes)
    if out is not None and not resume:
        check_unused(Path(out))


def check_count(name: str, least: int, value: Any, why: str) -> None:
    """Raise unless a value is a whole number within its bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidValue(
            f"study: `{name}` must be a whole number >= {least}; got {value!r}. {why}"
        )
    if value > (most := MOST.get(name, 2**31)):
        raise InvalidValue(f"study: `{name}` must be at most {most:,}; got {value!r}.")


def recipes_of(
    recipes: Iterable[str | Recipe] | None,
) -> tuple[dict[str, str], list[Recipe] | None]:
    """Return the texts of the files that are named, and the recipes; None if none are named."""
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
    return files, list(index_recipes(found).values())


# Models by their names ------------------------------------------------------------------------


def model_names(design: Design) -> tuple[str, ...]:
    """Return the names of the models, each once; on the digits both built-in ones by default."""
    names = design.models
    if names is None:
        names = MODELS if design.source.data is None else MODELS[:1]
    if not names:
        raise InvalidValue(
            "study: `models` must name at least one model; known are mlp, cnn, module:function."
        )
    return tuple(dict.fromkeys(names))


def check_model(name: str) -> None:
    """Raise if no model can have this name, or its module is not there; nothing is imported."""
    check_model_name(name)
    if name not in MODELS:
        check_module(name.partition(":")[0])


def check_model_name(name: str) -> None:
    """Raise if a name is neither of a built-in model, nor of the form ``module:function``."""
    if name not in MODELS and not _OWN.fullmatch(name):
        raise InvalidValue(
            f"study: a model must be {', '.join(MODELS)}, or module:function for your own; "
            f"{got(name)}.{_suggest_model(name)}"
        )


def _suggest_model(name: str) -> str:
    """Return what may be meant: a built-in model, or the module of a file."""
    if near := suggest(name, MODELS):
        return near
    path, _, function = name.partition(":")
    module = path.replace("\\", "/").removesuffix(".py").removeprefix("./") or "net"
    function = re.sub(r"[^\w.].*", "", function) or "make"
    if module.startswith(("/", "..")):
        return f" Start the command in that folder, and write {module.split('/')[-1]}:{function}."
    return f" Write for example {module.replace('/', '.')}:{function}."


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
    near = suggest(module, [path.stem for path in Path().glob("*.py")])
    return InvalidValue(
        "study: the module of a model must be in the current folder, or installed; "
        f"{got(module)}.{near or ' Start the command where its file lies.'}"
    )
