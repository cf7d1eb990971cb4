"""Networks on PyTorch: layers that are composed, noised by name, trained, and saved.

Layers and networks need the extra `torch`; the estimators `Classifier`, `Regressor` and
`Autoencoder`, and `fit`, the extra `estimators`.
"""

from typing import TYPE_CHECKING, Any

from noisegate.core.errors import MissingExtra
from noisegate.core.messages import missing_extra
from noisegate.core.old_words import missing_name

from . import penalties, regularizers
from .basic import Add, Concatenate, Input, Masking, Reshape
from .config import from_config
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
from .network import Network
from .noise import drop_path, dropout_channels, dropout_locations, locked_dropout, spatial_dropout
from .outputs import outputs_matching, parameters_matching
from .running import get_output
from .saving import load
from .time import TimeDistributed

if TYPE_CHECKING:
    from .estimators import Autoencoder as Autoencoder
    from .estimators import Classifier as Classifier
    from .estimators import Estimator as Estimator
    from .estimators import Regressor as Regressor
    from .fitting import Epoch as Epoch
    from .fitting import History as History
    from .fitting import fit as fit
    from .fitting import misclassified as misclassified

# What needs skorch and scikit-learn waits until it is asked for.
_FITTING = ("Epoch", "History", "fit", "misclassified")
_ESTIMATORS = ("Autoencoder", "Classifier", "Estimator", "Regressor")


def __getattr__(name: str) -> Any:
    if name not in (*_FITTING, *_ESTIMATORS):
        raise missing_name(__name__, name)
    home: Any
    try:
        if name in _FITTING:
            from . import fitting as home
        else:
            from . import estimators as home
    except ModuleNotFoundError as error:
        if error.name not in ("skorch", "sklearn"):
            raise
        what = f"noisegate.nets.{name}"
        raise MissingExtra(missing_extra(what, str(error.name), "estimators")) from None
    value = globals()[name] = getattr(home, name)
    return value


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
    return sorted((*__all__, *_FITTING, *_ESTIMATORS))
