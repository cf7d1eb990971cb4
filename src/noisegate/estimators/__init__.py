"""Estimators in scikit-learn's manner around a skorch net; and `fit`, a plain training loop.

Needs the extra `estimators`: ``pip install "noisegate[estimators]"``.
"""

from typing import Any

from noisegate.core.extras import require_extra
from noisegate.core.old_words import missing_name

require_extra(__name__, "estimators")

from .autoencoder import Autoencoder
from .classifier import Classifier
from .estimator import Estimator
from .fitting import Epoch, History, fit, misclassified
from .regressor import Regressor

__all__ = [
    "Autoencoder",
    "Classifier",
    "Epoch",
    "Estimator",
    "History",
    "Regressor",
    "fit",
    "misclassified",
]


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
