"""Networks for estimators: built from sizes, or a copy of the user's, sized by the data."""

from collections.abc import Sequence
from operator import index
from typing import Any

from torch import nn

from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.nets import messages
from noisegate.nets.adapters import Input
from noisegate.nets.graph import copy_part
from noisegate.nets.joining import join
from noisegate.nets.layer import LAYERS, Layer
from noisegate.nets.network import Network

from .rows import Values, dense

Sizes = Sequence[int | None]


def is_sizes(value: Any) -> bool:
    """Return whether a network is given by its sizes."""
    return isinstance(value, list | tuple)


def build(network: Any, activation: Any, x: Values, outputs: int, targets: str = "y") -> nn.Module:
    """Return a network of its own for data.

    Parameters
    ----------
    network : sequence of int or None, Network, Layer or Module
        Sizes, of which the first and the last may be None; or a network, which is copied, but
        for rates that are tensors.
    activation : str or callable
        Of the hidden layers, where sizes are given.
    x : tensor or SparseRows
        The inputs.
    outputs : int
        How many the data ask for.
    targets : str
        What the data are called that ask for them.
    """
    if is_sizes(network):
        return _of_sizes(network, activation, x, outputs, targets)
    if isinstance(network, Layer):
        network = join(network)
    if not isinstance(network, nn.Module):
        raise InvalidType(messages.bad_sizes(network))
    model: nn.Module = copy_part(network)
    if isinstance(model, Network):
        _fit_to(model, x)
    return model


def _of_sizes(sizes: Sizes, activation: Any, x: Values, outputs: int, targets: str) -> Network:
    known: list[Any] = [index(n) if n is not None and _is_size(n) else n for n in sizes]
    inner = all(_is_size(size) for size in known[1:-1])
    ends = len(known) > 1 and all(size is None or _is_size(size) for size in (known[0], known[-1]))
    if not inner or not ends:
        raise InvalidValue(messages.bad_sizes(sizes))
    features = x.shape[-1]
    for where, given, data, found in (
        ("input", known[0], "X", features),
        ("output", known[-1], targets, outputs),
    ):
        if given is not None and given != found:
            raise InvalidValue(messages.other_size(where, given, data, found))
    hidden = LAYERS.get(str(activation).capitalize())
    layers = [
        LAYERS["Dense"](size, activation, name=f"hid{i}")
        if hidden is None
        else hidden(size, name=f"hid{i}")
        for i, size in enumerate(known[1:-1], start=1)
    ]
    shape = (None,) * (x.ndim - 2) + (features,)
    return join(Input(shape, name="in"), *layers, LAYERS["Linear"](outputs, name="out"))


def _is_size(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and index(value) >= 1


def _fit_to(model: Network, x: Values) -> None:
    """Let a network take the shape of the data, or say that it does not."""
    shape = (None, *x.shape[1:])
    entries = model.entries
    if len(entries) != 1:
        raise InvalidValue(messages.one_input(entries))
    entry = model.layers[entries[0]]
    if isinstance(entry, Input) and entry.expected is not None:
        expected = entry.expected
        if len(expected) != x.ndim:
            raise InvalidValue(messages.other_size("input", expected, "X", tuple(x.shape)))
        for given, found in zip(expected[1:], x.shape[1:], strict=True):
            if given is not None and given != found:
                raise InvalidValue(messages.other_size("input", given, "X", found))
    if model.open_layer is not None:
        first = dense(x[:1])
        model.complete(shape, like=first if first.is_floating_point() else None)


def check_outputs(
    model: nn.Module, allowed: Sequence[int], found: object, targets: str = "y"
) -> None:
    """Refuse a network whose outputs are not as many as the data ask for."""
    if not isinstance(model, Network) or len(model.exits) != 1:
        return
    size = model.output_shape[-1]
    if size is not None and size not in allowed:
        raise InvalidValue(messages.other_size("output", size, targets, found))


def takes_tokens(network: Any) -> bool:
    """Return whether whole numbers enter a network: what it begins with is an embedding."""
    if is_sizes(network) or not isinstance(network, nn.Module):
        return False
    if isinstance(network, Network):
        first = [n for n, layer in network.layers.items() if not isinstance(layer, Input)][:1]
        return any(isinstance(network.layers[n], nn.Embedding) for n in first)
    weighted = (m for m in network.modules() if any(True for _ in m.parameters(recurse=False)))
    return isinstance(next(weighted, None), nn.Embedding)
