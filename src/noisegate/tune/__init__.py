"""Tuning: a search for rates and rules, by the study's own objective.

Needs the extra `tune`: ``pip install "noisegate[tune]"``.
"""

from importlib.util import find_spec

from noisegate.core.errors import MissingExtra

from . import messages

# Before the study, whose packages this extra brings too: one sentence names all that is missing.
if find_spec("optuna") is None:
    raise MissingExtra(messages.missing_optuna())

from .main import tune
from .results import Trial
from .tuning import Tuning

__all__ = ["Trial", "Tuning", "tune"]
