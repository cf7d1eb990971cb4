"""The NumPy face: forward and backward by hand, and the field itself as arrays."""

from .field import mask, noise
from .functional import Cache, apply, backward, dropout_backward, dropout_forward, forward

__all__ = [
    "Cache",
    "apply",
    "backward",
    "dropout_backward",
    "dropout_forward",
    "forward",
    "mask",
    "noise",
]
