"""Every layer of networks by its name."""

from torch import nn

import noisegate.torch as face

from ..layer import LAYER_CLASSES, Layer
from . import torch_layers as of_torch
from .dense import make_dense
from .noise import make_noise, make_preset
from .over_time import TimeDistributed, make_embedding, make_time_distributed_dense  # noqa: F401
from .recurrent import make_recurrent
from .structure import Add, Concatenate, Masking, Reshape  # noqa: F401
from .torch_layers import make_over_places

Dense = make_dense("Dense", None)
Linear = make_dense("Linear", nn.Identity)
Relu = make_dense("Relu", nn.ReLU)
LeakyRelu = make_dense("LeakyRelu", nn.LeakyReLU)
Elu = make_dense("Elu", nn.ELU)
Selu = make_dense("Selu", nn.SELU)
Gelu = make_dense("Gelu", nn.GELU)
Sigmoid = make_dense("Sigmoid", nn.Sigmoid)
Tanh = make_dense("Tanh", nn.Tanh)
Softmax = make_dense("Softmax", nn.Softmax, dim=-1)
TimeDistributedDense = make_time_distributed_dense()

Convolution1d, Convolution2d, Convolution3d = make_over_places(
    "Conv", of_torch.ConvolutionLayer, "Convolution"
)
MaxPooling1d, MaxPooling2d, MaxPooling3d = make_over_places(
    "MaxPool", of_torch.PoolingLayer, "MaxPooling"
)
AveragePooling1d, AveragePooling2d, AveragePooling3d = make_over_places(
    "AvgPool", of_torch.PoolingLayer, "AveragePooling"
)
Flatten = of_torch.make_layer(nn.Flatten, of_torch.FlattenLayer)
BatchNorm = of_torch.make_batch_norm()
LayerNorm = of_torch.make_layer(nn.LayerNorm, of_torch.LayerNormLayer)
Embedding = make_embedding()
LSTM = make_recurrent(nn.LSTM)
GRU = make_recurrent(nn.GRU)

Dropout = make_noise(face.Dropout)
Dropout1d = make_noise(face.Dropout1d)
Dropout2d = make_noise(face.Dropout2d)
Dropout3d = make_noise(face.Dropout3d)
AlphaDropout = make_noise(face.AlphaDropout)
FeatureAlphaDropout = make_noise(face.FeatureAlphaDropout)
SpatialDropout1D = make_noise(face.SpatialDropout1D)
SpatialDropout2D = make_noise(face.SpatialDropout2D)
SpatialDropout3D = make_noise(face.SpatialDropout3D)
DropoutChannels = make_noise(face.DropoutChannels)
DropoutLocations = make_noise(face.DropoutLocations)
DropPath = make_noise(face.DropPath)
LockedDropout = make_noise(face.LockedDropout)
ConcreteDropout = make_noise(face.ConcreteDropout)
GaussianDropout = make_noise(face.GaussianDropout)
GaussianNoise = make_noise(face.GaussianNoise)
UniformNoise = make_noise(face.UniformNoise)
ImpulseNoise = make_noise(face.ImpulseNoise)
MultiplicativeUniformNoise = make_noise(face.MultiplicativeUniformNoise)
NeftuneNoise = make_noise(face.NeftuneNoise)
PatchDropout = make_noise(face.PatchDropout)
QuantizationNoise = make_noise(face.QuantizationNoise)
RandomErasing = make_noise(face.RandomErasing)
ShotNoise = make_noise(face.ShotNoise)
SpanMask = make_noise(face.SpanMask)
SpeckleNoise = make_noise(face.SpeckleNoise)
DropBlock1d = make_noise(face.DropBlock1d)
DropBlock2d = make_noise(face.DropBlock2d)
DropBlock3d = make_noise(face.DropBlock3d)
DropBlock = make_noise(face.DropBlock)
NoiseLayer = make_noise(face.NoiseLayer)

dropout = Dropout
dropout_channels = spatial_dropout = make_preset("dropout_channels", Dropout, "data_format")
dropout_locations = make_preset("dropout_locations", Dropout, "data_format")
drop_path = make_preset("drop_path", Dropout)
locked_dropout = make_preset("locked_dropout", Dropout, "time_axis")

_HERE = {
    name: kind
    for name, kind in globals().items()
    if isinstance(kind, type) and issubclass(kind, Layer) and name == kind.__name__ != "Layer"
}
LAYER_CLASSES |= _HERE

__all__ = [
    *_HERE,
    "drop_path",
    "dropout",
    "dropout_channels",
    "dropout_locations",
    "locked_dropout",
    "spatial_dropout",
]
