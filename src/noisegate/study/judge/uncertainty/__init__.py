"""How far a network's own uncertainty can be trusted, with and without noise when it predicts."""

from .outcomes import Histogram
from .over_seeds import PredictorSummary, Uncertainty

__all__ = ["Histogram", "PredictorSummary", "Uncertainty"]
