"""Predict with uncertainty: sample a model's output with noise on and the model in evaluation."""

from .calibration import Calibration
from .result import Prediction
from .sampling import predict

__all__ = ["Calibration", "Prediction", "predict"]
