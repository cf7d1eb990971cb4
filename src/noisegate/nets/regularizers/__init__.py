"""Regularizers by pattern, after theanets: noise in the graph, and terms of the loss.

A pattern is a glob over the names of outputs, ``layer:out`` and ``layer:pre``, or, for weights,
over those of parameters, ``layer.weight``.
"""

from .output_noise import BernoulliDropout, GaussianNoise
from .regularizer import Regularizer
from .terms import (
    Contractive,
    HiddenL1,
    RecurrentNorm,
    RecurrentState,
    WeightL1,
    WeightL2,
)

__all__ = [
    "BernoulliDropout",
    "Contractive",
    "GaussianNoise",
    "HiddenL1",
    "RecurrentNorm",
    "RecurrentState",
    "Regularizer",
    "WeightL1",
    "WeightL2",
]
