"""Networks on PyTorch: layers that are composed, noised by name, and saved.

Needs the extra `torch`: ``pip install "noisegate[torch]"``. They are trained by
`noisegate.estimators`, or by a loop of one's own.
"""

from typing import Any

from noisegate.core.old_words import missing_name

from . import penalties, regularizers
from .config import from_config
from .get_output import get_output
from .joining import Sequential, join, parallel, repeat
from .layer import Layer
from .layers import (
    GRU,
    LSTM,
    AlphaDropout,
    AveragePooling1d,
    AveragePooling2d,
    AveragePooling3d,
    BatchNorm,
    ConcreteDropout,
    Convolution1d,
    Convolution2d,
    Convolution3d,
    Dense,
    DropBlock,
    DropBlock1d,
    DropBlock2d,
    DropBlock3d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropoutChannels,
    DropoutLocations,
    DropPath,
    Elu,
    Embedding,
    FeatureAlphaDropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Gelu,
    ImpulseNoise,
    LayerNorm,
    LeakyRelu,
    Linear,
    LockedDropout,
    MaxPooling1d,
    MaxPooling2d,
    MaxPooling3d,
    NoiseLayer,
    Relu,
    Selu,
    Sigmoid,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    Tanh,
    TimeDistributedDense,
    UniformNoise,
    dropout,
)
from .layers.noise import (
    drop_path,
    dropout_channels,
    dropout_locations,
    locked_dropout,
    spatial_dropout,
)
from .layers.over_time import TimeDistributed
from .layers.structure import Add, Concatenate, Input, Masking, Reshape
from .network import Network
from .outputs import outputs_matching, parameters_matching
from .saving import load


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "GRU",
    "LSTM",
    "Add",
    "AlphaDropout",
    "AveragePooling1d",
    "AveragePooling2d",
    "AveragePooling3d",
    "BatchNorm",
    "Concatenate",
    "ConcreteDropout",
    "Convolution1d",
    "Convolution2d",
    "Convolution3d",
    "Dense",
    "DropBlock",
    "DropBlock1d",
    "DropBlock2d",
    "DropBlock3d",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "DropoutChannels",
    "DropoutLocations",
    "Elu",
    "Embedding",
    "FeatureAlphaDropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Gelu",
    "ImpulseNoise",
    "Input",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "Linear",
    "LockedDropout",
    "Masking",
    "MaxPooling1d",
    "MaxPooling2d",
    "MaxPooling3d",
    "Network",
    "NoiseLayer",
    "Relu",
    "Reshape",
    "Selu",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Tanh",
    "TimeDistributed",
    "TimeDistributedDense",
    "UniformNoise",
    "drop_path",
    "dropout",
    "dropout_channels",
    "dropout_locations",
    "from_config",
    "get_output",
    "join",
    "load",
    "locked_dropout",
    "outputs_matching",
    "parallel",
    "parameters_matching",
    "penalties",
    "regularizers",
    "repeat",
    "spatial_dropout",
]


def __dir__() -> list[str]:
    return sorted(__all__)
