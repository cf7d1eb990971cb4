"""Estimators in scikit-learn's manner that hold a skorch net, with noise by keyword."""

from .base import Estimator
from .classifier import Classifier
from .regressor import Autoencoder, Regressor

__all__ = ["Autoencoder", "Classifier", "Estimator", "Regressor"]
