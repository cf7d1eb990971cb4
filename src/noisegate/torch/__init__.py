"""The PyTorch face: noise as functions and as modules, with gradients and without saved masks."""

from typing import TYPE_CHECKING, Any

from noisegate.core.extras import require_extra
from noisegate.core.old_words import missing_name

require_extra(__name__, "torch")

from .concrete import ConcreteDropout
from .functional import (
    alpha_dropout,
    apply,
    concrete_dropout,
    drop_block,
    drop_block1d,
    drop_block2d,
    drop_block3d,
    drop_path,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    dropout_channels,
    dropout_locations,
    feature_alpha_dropout,
    gaussian_dropout,
    gaussian_noise,
    impulse_noise,
    locked_dropout,
    spatial_dropout1d,
    spatial_dropout2d,
    spatial_dropout3d,
    uniform_noise,
)
from .layers import (
    AlphaDropout,
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
    FeatureAlphaDropout,
    GaussianDropout,
    GaussianNoise,
    ImpulseNoise,
    LockedDropout,
    NoiseLayer,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    UniformNoise,
    layer,
)
from .model.hooks import find_all_handles as handles
from .model.host import Host
from .model.protocols import Composed, PreActivation
from .model.sharing import exclusive

__all__ = [
    "AlphaDropout",
    "Composed",
    "ConcreteDropout",
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
    "FeatureAlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "Host",
    "ImpulseNoise",
    "LockedDropout",
    "NoiseLayer",
    "PreActivation",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "UniformNoise",
    "alpha_dropout",
    "apply",
    "concrete_dropout",
    "drop_block",
    "drop_block1d",
    "drop_block2d",
    "drop_block3d",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "dropout_channels",
    "dropout_locations",
    "exclusive",
    "feature_alpha_dropout",
    "gaussian_dropout",
    "gaussian_noise",
    "handles",
    "impulse_noise",
    "layer",
    "locked_dropout",
    "spatial_dropout1d",
    "spatial_dropout2d",
    "spatial_dropout3d",
    "uniform_noise",
]

if not TYPE_CHECKING:  # a type checker would accept every name of the module

    def __getattr__(name: str) -> Any:
        raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted(__all__)
