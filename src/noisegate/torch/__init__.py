"""The PyTorch face: noise as functions and as modules, with gradients and without saved masks."""

from noisegate.core import messages
from noisegate.core.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401  the first import of this face that can fail
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtra(messages.missing_extra("noisegate.torch", "torch", "torch")) from None

from .functional import (
    apply,
    draw_seed,
    dropout,
    gaussian_dropout,
    gaussian_noise,
    refuse_backward,
    uniform_noise,
)
from .hooks import attach, on_forward, sites
from .layers import Dropout, GaussianDropout, GaussianNoise, NoiseLayer, UniformNoise

__all__ = [
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "NoiseLayer",
    "UniformNoise",
    "apply",
    "attach",
    "draw_seed",
    "dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "on_forward",
    "refuse_backward",
    "sites",
    "uniform_noise",
]
