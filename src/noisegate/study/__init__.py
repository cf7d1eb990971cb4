"""The study: train one network with several noise recipes, and show what each did.

Needs the extra `study`: ``pip install "noisegate[study]"``.
"""

# ruff: noqa: E402
from .extra import require_extra

# First of all, so that a missing package is one sentence and not a traceback from within.
require_extra()

from .main import run, save
from .recipes import RECIPES, Recipe
from .results import Settings, Study
from .sources import Source
from .stats import Row

__all__ = ["RECIPES", "Recipe", "Row", "Settings", "Source", "Study", "run", "save"]
