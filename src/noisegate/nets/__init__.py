"""Networks on PyTorch: layers that are composed, noised by name, and saved.

Needs the extra `torch`: ``pip install "noisegate[torch]"``. They are trained by
`noisegate.estimators`, or by a loop of one's own.
"""

from typing import Any

from noisegate.core.extras import require_extra
from noisegate.core.old_words import missing_name

require_extra(__name__, "torch")

from . import initializers, layers, penalties, regularizers  # noqa: F401  initializers by name
from .adapters import Input
from .get_output import get_output
from .joining import Sequential, from_config, join, load, parallel, repeat
from .layer import Layer
from .layers import *  # noqa: F403
from .network import Network
from .outputs import outputs_matching, parameters_matching


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "Input",
    "Layer",
    "Network",
    "Sequential",
    "from_config",
    "get_output",
    "join",
    "load",
    "outputs_matching",
    "parallel",
    "parameters_matching",
    "penalties",
    "regularizers",
    "repeat",
]
__all__ += layers.__all__


def __dir__() -> list[str]:
    return sorted(__all__)
