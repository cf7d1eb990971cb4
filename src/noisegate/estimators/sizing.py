"""Networks for estimators: built from sizes, or a copy of the user's, in the sizes of the data."""

from collections.abc import Sequence
from operator import index
from typing import Any

from torch import nn

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.words import got, list_names
from noisegate.nets.adapters import Input
from noisegate.nets.graph import copy_part
from noisegate.nets.joining import join
from noisegate.nets.layer import LAYER_CLASSES, Layer
from noisegate.nets.network import Network

from .examples import Inputs, to_dense

Sizes = Sequence[int | None]


def is_sizes(value: Any) -> bool:
    """Return whether a network is given by its sizes."""
    return isinstance(value, list | tuple)


def build(network: Any, activation: Any, x: Inputs, outputs: int, targets: str = "y") -> nn.Module:
    """Return a network for data that nobody else holds.

    Parameters
    ----------
    network : sequence of int or None, Network, Layer or Module
        Sizes, of which the first and the last may be None; or a network, which is copied except
        for rates that are tensors.
    activation : str or callable
        Activation of the hidden layers where sizes are given.
    x : tensor or sparse matrix
        The inputs.
    outputs : int
        The number of outputs that the data need.
    targets : str
        The user's name for the data that need them: "y" or "X".
    """
    if is_sizes(network):
        return _build_from_sizes(network, activation, x, outputs, targets)
    if isinstance(network, Layer):
        network = join(network)
    if not isinstance(network, nn.Module):
        raise InvalidType(_describe_wrong_network(network))
    model: nn.Module = copy_part(network)
    if isinstance(model, Network):
        _fit_shape(model, x)
    return model


def _build_from_sizes(
    sizes: Sizes, activation: Any, x: Inputs, outputs: int, targets: str
) -> Network:
    numbers: list[Any] = [index(n) if n is not None and _is_size(n) else n for n in sizes]
    inner = all(_is_size(size) for size in numbers[1:-1])
    ends = len(numbers) > 1 and all(
        size is None or _is_size(size) for size in (numbers[0], numbers[-1])
    )
    if not inner or not ends:
        raise InvalidValue(_describe_wrong_network(sizes))
    features = x.shape[-1]
    for where, size, data, data_size in (
        ("input", numbers[0], "X", features),
        ("output", numbers[-1], targets, outputs),
    ):
        if size is not None and size != data_size:
            raise _size_error(where, size, data, data_size)
    # "relu" is the layer Relu, where there is such a layer.
    hidden = LAYER_CLASSES.get(str(activation).capitalize())
    layers = [
        LAYER_CLASSES["Dense"](size, activation, name=f"hid{i}")
        if hidden is None
        else hidden(size, name=f"hid{i}")
        for i, size in enumerate(numbers[1:-1], start=1)
    ]
    # Axes between rows and features, such as time, may have any extent.
    shape = (None,) * (len(x.shape) - 2) + (features,)
    return join(Input(shape, name="in"), *layers, LAYER_CLASSES["Linear"](outputs, name="out"))


def _describe_wrong_network(value: object) -> str:
    return (
        "`network` must be a module, or at least two sizes: whole numbers of at least 1, the first "
        f"and the last None to be taken from the data; {got(value)}."
    )


def _size_error(where: str, size: object, data: str, data_size: object) -> InvalidValue:
    return InvalidValue(f"the network's {where} has size {size}, and {data} has {data_size}.")


def _is_size(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and index(value) >= 1


def _fit_shape(model: Network, x: Inputs) -> None:
    """Give an open network the shape of the data; raise if a known shape differs."""
    shape = (None, *x.shape[1:])
    entries = model.entries
    if len(entries) != 1:
        raise InvalidValue(
            f"an estimator's network must take one input; this one takes {list_names(entries)}."
        )
    entry = model.layers[entries[0]]
    if isinstance(entry, Input) and entry.expected is not None:
        expected = entry.expected
        if len(expected) != len(x.shape):
            raise _size_error("input", expected, "X", tuple(x.shape))
        for size, data_size in zip(expected[1:], x.shape[1:], strict=True):
            if size is not None and size != data_size:
                raise _size_error("input", size, "X", data_size)
    if model.open_layer is not None:
        first = to_dense(x[:1], "cpu")
        model.complete(shape, like=first if first.is_floating_point() else None)


def check_outputs(
    model: nn.Module, allowed: Sequence[int], needed: object, targets: str = "y"
) -> None:
    """Raise unless a network has as many outputs as the data need."""
    if not isinstance(model, Network) or len(model.exits) != 1:
        return
    size = model.output_shape[-1]
    if size is not None and size not in allowed:
        raise _size_error("output", size, targets, needed)


def takes_tokens(network: Any) -> bool:
    """Return whether a network takes whole numbers, since it begins with an embedding."""
    if is_sizes(network) or not isinstance(network, nn.Module):
        return False
    if isinstance(network, Network):
        first = [n for n, layer in network.layers.items() if not isinstance(layer, Input)][:1]
        return any(isinstance(network.layers[n], nn.Embedding) for n in first)
    # The first submodule with weights is what the input enters.
    weighted = (m for m in network.modules() if any(True for _ in m.parameters(recurse=False)))
    return isinstance(next(weighted, None), nn.Embedding)
