"""Networks on PyTorch: for now the one training loop; composition and estimators build on it."""

from .fit import Epoch, History, fit, misclassified

__all__ = ["Epoch", "History", "fit", "misclassified"]
