"""Every layer of networks by its name."""

from torch import nn

import noisegate.torch as face

from ..layer import LAYERS, Layer
from . import torch_layers as of_torch
from .dense import dense
from .noise import in_network, preset
from .over_time import TimeDistributed, embedding, time_distributed_dense  # noqa: F401
from .recurrent import recurrent
from .structure import Add, Concatenate, Masking, Reshape  # noqa: F401
from .torch_layers import over_places

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

Convolution1d, Convolution2d, Convolution3d = over_places(
    "Conv", of_torch.ConvolutionLayer, "Convolution"
)
MaxPooling1d, MaxPooling2d, MaxPooling3d = over_places(
    "MaxPool", of_torch.PoolingLayer, "MaxPooling"
)
AveragePooling1d, AveragePooling2d, AveragePooling3d = over_places(
    "AvgPool", of_torch.PoolingLayer, "AveragePooling"
)
Flatten = of_torch.layer_of(nn.Flatten, of_torch.FlattenLayer)
BatchNorm = of_torch.batch_norm()
LayerNorm = of_torch.layer_of(nn.LayerNorm, of_torch.LayerNormLayer)
Embedding = embedding()
LSTM = recurrent(nn.LSTM)
GRU = recurrent(nn.GRU)

Dropout = in_network(face.Dropout)
Dropout1d = in_network(face.Dropout1d)
Dropout2d = in_network(face.Dropout2d)
Dropout3d = in_network(face.Dropout3d)
AlphaDropout = in_network(face.AlphaDropout)
FeatureAlphaDropout = in_network(face.FeatureAlphaDropout)
SpatialDropout1D = in_network(face.SpatialDropout1D)
SpatialDropout2D = in_network(face.SpatialDropout2D)
SpatialDropout3D = in_network(face.SpatialDropout3D)
DropoutChannels = in_network(face.DropoutChannels)
DropoutLocations = in_network(face.DropoutLocations)
DropPath = in_network(face.DropPath)
LockedDropout = in_network(face.LockedDropout)
ConcreteDropout = in_network(face.ConcreteDropout)
GaussianDropout = in_network(face.GaussianDropout)
GaussianNoise = in_network(face.GaussianNoise)
UniformNoise = in_network(face.UniformNoise)
ImpulseNoise = in_network(face.ImpulseNoise)
DropBlock1d = in_network(face.DropBlock1d)
DropBlock2d = in_network(face.DropBlock2d)
DropBlock3d = in_network(face.DropBlock3d)
DropBlock = in_network(face.DropBlock)
NoiseLayer = in_network(face.NoiseLayer)

dropout = Dropout
dropout_channels = spatial_dropout = preset("dropout_channels", Dropout, "data_format")
dropout_locations = preset("dropout_locations", Dropout, "data_format")
drop_path = preset("drop_path", Dropout)
locked_dropout = preset("locked_dropout", Dropout, "time_axis")

_HERE = {
    name: kind
    for name, kind in globals().items()
    if isinstance(kind, type) and issubclass(kind, Layer) and name == kind.__name__ != "Layer"
}
LAYERS |= _HERE

__all__ = [
    *_HERE,
    "drop_path",
    "dropout",
    "dropout_channels",
    "dropout_locations",
    "locked_dropout",
    "spatial_dropout",
]
