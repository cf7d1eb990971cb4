"""The study: train one network with several noise recipes, and show what each did.

Needs the extra `study`: ``pip install "noisegate[study]"``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from noisegate.core.extras import require_extra

# First of all, so that a missing package is one sentence and not a traceback from within.
require_extra(__name__, "study")

if TYPE_CHECKING:
    from .design import Design
    from .judge.stats import Row
    from .main import run, save
    from .pipeline_files import load
    from .planning import Settings
    from .recipes import RECIPES, Recipe
    from .results import Study
    from .source import Source

__all__ = [
    "RECIPES",
    "Design",
    "Recipe",
    "Row",
    "Settings",
    "Source",
    "Study",
    "load",
    "run",
    "save",
]

# Name: where it is. They wait until they are used, since most bring in torch, and what is wrong
# with a call of the command is told without it.
_LAZY = {
    "Design": "design",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "Row": "judge.stats",
    "Settings": "planning",
    "Source": "source",
    "Study": "results",
    "load": "pipeline_files",
    "run": "main",
    "save": "main",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'noisegate.study' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
