"""Tuning: a search for rates and rules, by the study's own objective.

Needs the extra `tune`: ``pip install "noisegate[tune]"``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from noisegate.core.extras import require_extra

# Before the study is imported: its packages come with this extra too, so one sentence is enough.
require_extra(__name__, "tune")

if TYPE_CHECKING:
    from .records import Trial, Tuning
    from .tuning import tune

__all__ = ["Trial", "Tuning", "tune"]

# Name: its file. Each is imported when it is first used, since Optuna takes a second.
_LAZY = {"Trial": "records", "Tuning": "records", "tune": "tuning"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
