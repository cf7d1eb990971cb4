"""Tuning: a search for rates and rules, by the study's own objective.

Needs the extra `tune`: ``pip install "noisegate[tune]"``.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from noisegate.core.errors import MissingExtra

from . import messages

# Before the study, whose packages this extra brings too: one sentence names all that is missing.
if find_spec("optuna") is None:
    raise MissingExtra(messages.missing_optuna())

if TYPE_CHECKING:
    from .main import tune
    from .results import Trial
    from .tuning import Tuning

__all__ = ["Trial", "Tuning", "tune"]

# Name: where it is. They wait until they are used, as those of the study do.
_LAZY = {"Trial": "results", "Tuning": "tuning", "tune": "main"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
