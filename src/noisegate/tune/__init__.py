"""Tuning: a search for rates and rules, by the study's own objective.

Needs the extra `tune`: ``pip install "noisegate[tune]"``.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from noisegate.core.errors import missing_extra

# Before the study is imported: its packages come with this extra too, so one sentence is enough.
if find_spec("optuna") is None:
    raise missing_extra("noisegate.tune", "optuna", "tune")

if TYPE_CHECKING:
    from .main import tune
    from .results import Trial, Tuning

__all__ = ["Trial", "Tuning", "tune"]

# Name: its file. Each is imported when it is first used, since Optuna takes a second.
_LAZY = {"Trial": "results", "Tuning": "results", "tune": "main"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
