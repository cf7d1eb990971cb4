"""Estimators in scikit-learn's manner that hold a skorch net, with noise by keyword."""

from .autoencoder import Autoencoder
from .base import Estimator
from .classifier import Classifier
from .regressor import Regressor

__all__ = ["Autoencoder", "Classifier", "Estimator", "Regressor"]
