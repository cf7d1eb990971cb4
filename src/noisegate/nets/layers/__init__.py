"""Every layer of networks by its name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..layer import Layer
from ..shapes import Shape
from .dense import dense
from .noise import NOISES
from .over_time import TimeDistributed, embedding, time_distributed_dense
from .recurrent import recurrent
from .structure import Add, Concatenate, Input, Masking, Reshape
from .torch_layers import FLATTEN, ROWS, FlattenLayer, Row, TorchLayer, layer_of


def _same(given: Mapping[str, Any], shape: Shape) -> Shape:
    if len(shape) < 2:
        raise ValueError("it takes (N, C, ...)")
    return shape


def _check_rank(self: Any, x: Any) -> None:
    self.get_output_shape(tuple(x.shape))


def _batch_norm() -> Any:
    # Torch has a class for each rank, which differ in nothing but the rank that they take.
    row = Row("BatchNorm", nn.modules.batchnorm._BatchNorm, _same, "num_features", keeps_time=True)
    made = layer_of(row, TorchLayer, _check_input_dim=_check_rank)
    made.__doc__ = "Batch normalisation along axis 1, of any rank; arguments are torch's."
    return made


def _is_layer(value: Any) -> bool:
    """Return whether something is a layer that is made here."""
    return isinstance(value, type) and issubclass(value, Layer) and value.__module__ == __name__


Dense = dense("Dense", None)
Linear = dense("Linear", nn.Identity)
Relu = dense("Relu", nn.ReLU)
LeakyRelu = dense("LeakyRelu", nn.LeakyReLU)
Elu = dense("Elu", nn.ELU)
Selu = dense("Selu", nn.SELU)
Gelu = dense("Gelu", nn.GELU)
Sigmoid = dense("Sigmoid", nn.Sigmoid)
Tanh = dense("Tanh", nn.Tanh)
Softmax = dense("Softmax", nn.Softmax, dim=-1)
TimeDistributedDense = time_distributed_dense()

Convolution1d, Convolution2d, Convolution3d = map(layer_of, ROWS[:3])
MaxPooling1d, MaxPooling2d, MaxPooling3d = map(layer_of, ROWS[3:6])
AveragePooling1d, AveragePooling2d, AveragePooling3d = map(layer_of, ROWS[6:9])
Flatten = layer_of(FLATTEN, FlattenLayer)
BatchNorm = _batch_norm()
LayerNorm = layer_of(Row("LayerNorm", nn.LayerNorm, _same, "normalized_shape", -1, keeps_time=True))
Embedding = embedding()
LSTM = recurrent(nn.LSTM)
GRU = recurrent(nn.GRU)

Dropout = NOISES["Dropout"]
Dropout1d = NOISES["Dropout1d"]
Dropout2d = NOISES["Dropout2d"]
Dropout3d = NOISES["Dropout3d"]
AlphaDropout = NOISES["AlphaDropout"]
FeatureAlphaDropout = NOISES["FeatureAlphaDropout"]
SpatialDropout1D = NOISES["SpatialDropout1D"]
SpatialDropout2D = NOISES["SpatialDropout2D"]
SpatialDropout3D = NOISES["SpatialDropout3D"]
DropoutChannels = NOISES["DropoutChannels"]
DropoutLocations = NOISES["DropoutLocations"]
DropPath = NOISES["DropPath"]
LockedDropout = NOISES["LockedDropout"]
ConcreteDropout = NOISES["ConcreteDropout"]
GaussianDropout = NOISES["GaussianDropout"]
GaussianNoise = NOISES["GaussianNoise"]
UniformNoise = NOISES["UniformNoise"]
ImpulseNoise = NOISES["ImpulseNoise"]
DropBlock1d = NOISES["DropBlock1d"]
DropBlock2d = NOISES["DropBlock2d"]
DropBlock3d = NOISES["DropBlock3d"]
DropBlock = NOISES["DropBlock"]
NoiseLayer = NOISES["NoiseLayer"]
dropout = Dropout

# By name, as configs have it.
LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *filter(_is_layer, list(globals().values())),
        *(Add, Concatenate, Input, Masking, Reshape, TimeDistributed),
    )
}
