"""Predictions with uncertainty: the noise on, the model in evaluation, sample by sample."""

from .calibration import Calibration
from .result import Prediction
from .sampling import predict

__all__ = ["Calibration", "Prediction", "predict"]
