"""The NumPy face: forward and backward passes by hand, and the field itself as arrays."""

from typing import TYPE_CHECKING, Any

from noisegate.core.old_words import missing_name

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

if not TYPE_CHECKING:  # a type checker would take every name to exist here

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
