"""How far a network's own doubt can be trusted: with and without noise when it predicts.

Figures are in `plots`, which is the one module here that needs matplotlib.
"""

from .evaluation import EvaluationRows, evaluate
from .outcomes import Coverage, Histogram, OneSeed, Outcome, Reliability
from .shuffling import shuffled
from .summary import CoverageSummary, PredictorSummary, Uncertainty, summary
from .words import LABELS, headings, table, words

__all__ = [
    "LABELS",
    "Coverage",
    "CoverageSummary",
    "EvaluationRows",
    "Histogram",
    "OneSeed",
    "Outcome",
    "PredictorSummary",
    "Reliability",
    "Uncertainty",
    "evaluate",
    "headings",
    "shuffled",
    "summary",
    "table",
    "words",
]
