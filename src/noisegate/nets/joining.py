"""How layers and networks are put together: graphs, `join`, `parallel`, `repeat`."""

import copy
from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any

from torch import nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.kind import Kind

from . import messages
from .graph import EMPTY, Graph, inferred, united
from .layer import Layer
from .layers.noise import layer_of_kind, live_rates
from .layers.structure import Wrapped

if TYPE_CHECKING:
    from .network import Network


def as_layer(value: Any) -> Layer:
    """Return the layer that a layer, a kind of noise or a module of the user's is."""
    if isinstance(value, Layer):
        return value
    if isinstance(value, Kind):
        return layer_of_kind(value)
    if isinstance(value, nn.Module):
        return Wrapped(value)
    raise InvalidType(messages.no_layer(value))


def graph_of(value: Any) -> Graph:
    """Return the graph of a network, of a layer and all behind it, or of a list that is joined."""
    from .network import Network

    if isinstance(value, Network):
        return value.graph
    if isinstance(value, list | tuple):
        return chained(value)
    layer = as_layer(value)
    source = layer.__dict__.get("source")
    if source is None:
        return Graph({layer: ()}, (layer,))
    return Graph({**source.sources, layer: source.exits}, (layer,))


def chained(parts: Iterable[Any]) -> Graph:
    """Return the graph in which each part takes what the one before gives."""
    graph = EMPTY
    for part in parts:
        graph = _chain(graph, graph_of(part))
    return graph


def _chain(first: Graph, second: Graph) -> Graph:
    if not first.sources or not second.sources:
        return first if first.sources else second
    entries = second.entries
    for layer in second.sources:
        if layer in first.sources:
            raise InvalidValue(messages.cycle(layer.shown))
    if len(first.exits) > 1 and not all(layer.merges for layer in entries):
        takes = next(layer for layer in entries if not layer.merges)
        raise InvalidValue(messages.several_inputs(takes.shown, len(first.exits)))
    joined = {layer: behind or first.exits for layer, behind in second.sources.items()}
    return Graph({**first.sources, **joined}, second.exits)


def behind(value: Any) -> Graph:
    """Return the graph of a layer and what it takes, by whatever it was joined."""
    from .network import Network

    if isinstance(value, Network) or not isinstance(value, Layer) or "source" in vars(value):
        return graph_of(value)
    graph = united([behind(source) for source in value.inputs]) if value.inputs else EMPTY
    return Graph({**graph.sources, value: value.inputs}, (value,))


def attach(layer: Layer, incoming: Any) -> None:
    """Let a layer take what `incoming` gives, as Lasagne's layers do."""
    graph = behind(incoming)
    if len(graph.exits) != 1:
        raise InvalidValue(messages.several_inputs(layer.shown, len(graph.exits)))
    layer.source = graph
    known = inferred(Graph({**graph.sources, layer: graph.exits}, (layer,)))
    layer.wired(graph.exits, known[graph.exits[0]], known[layer])


def join(*parts: Any) -> "Network":
    """Return a network in which each part takes what the one before gives.

    Parameters
    ----------
    *parts : Layer, Network, Kind, Module or list
        A kind of noise, or a preset, becomes its layer; a module of the user's stays what it is;
        a list is joined. With one layer, the network of all that is behind it.

    Raises
    ------
    InvalidValue
        If shapes do not fit, a name is taken, or a layer would be in the network twice.

    Examples
    --------
    >>> from noisegate.nets import Dropout, Input, Relu, Sigmoid, join
    >>> join(Input(10), Relu(5) >> Dropout(0.5), Relu(5) >> Dropout(0.5), Sigmoid(1))
    (?, 10) -> [... 6 layers ...] -> (?, 1)
    """
    from .network import Network

    return Network(chained(parts))


def parallel(*parts: Any) -> "Network":
    """Return a network of branches beside each other; `Concatenate` or `Add` joins them.

    Examples
    --------
    >>> from noisegate.nets import Concatenate, Input, Relu, Tanh, join, parallel
    >>> join(Input(10), parallel([Relu(5), Relu(3)], Tanh(4)), Concatenate())
    (?, 10) -> [... 5 layers ...] -> (?, 7)
    """
    from .network import Network

    return Network(united([graph_of(part) for part in parts]))


def copied(part: Any) -> Any:
    """Return a copy of what can be joined, which reads the very same live rates."""
    rates = [rate for layer in graph_of(part).sources for rate in live_rates(layer)]
    return copy.deepcopy(part, {id(rate): rate for rate in rates})


@checks.known_keywords("repeat")
def repeat(part: Any, n: int) -> "Network":
    """Return copies of a layer or a network, each taking what the one before gives.

    Parameters
    ----------
    part : Layer, Network, Kind, Module or list
        What is repeated; its shapes must fit each other.
    n : int
        How often, at least 1. The first is `part` itself, the others are copies, which share
        with it the rates that are tensors.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or index(n) < 1:
        raise InvalidValue(messages.bad_count(n))
    copies = [copied(part) for _ in range(index(n) - 1)]
    try:
        return join(part, *copies)
    except InvalidValue as error:
        raise InvalidValue(messages.not_repeated(str(error))) from None


def Sequential(*layers: Any) -> "Network":
    """Return a network to which layers are added: empty, or of the layers that are given.

    Examples
    --------
    >>> from noisegate.nets import Dense, Sequential, TimeDistributed
    >>> model = Sequential()
    >>> model.add(TimeDistributed(Dense(32), input_shape=(None, 16)))
    >>> model
    (?, ?, 16) -> [... 2 layers ...] -> (?, ?, 32)
    """
    many = len(layers) == 1 and isinstance(layers[0], list | tuple)
    return join(*(layers[0] if many else layers))
