"""Graphs of layers: their sources, how they are joined, and the shapes that follow."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

import noisegate.torch as face
from noisegate.core.errors import InvalidType, InvalidValue
from noisegate.core.kind import Kind

from . import shapes
from .adapters import Input, Wrapped
from .layer import LAYER_CLASSES, Layer
from .shapes import Shape

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Graph:
    """Layers in an order in which they can run, what each takes, and which give the output."""

    sources: dict[Layer, tuple[Layer, ...]]
    exits: tuple[Layer, ...]

    @property
    def entries(self) -> list[Layer]:
        """The layers that take nothing of another."""
        return [layer for layer, sources in self.sources.items() if not sources]


EMPTY = Graph({}, ())


def as_layer(value: Any) -> Layer:
    """Return a layer, or make one from a kind of noise or a module of the user's."""
    if isinstance(value, Layer):
        return value
    if isinstance(value, Kind):
        made = face.layer(value)
        kind = LAYER_CLASSES[type(made).__name__]
        return kind(value) if made.definition is None else kind(**made.arguments)
    if isinstance(value, nn.Module):
        return Wrapped(value)
    raise InvalidType(
        f"join: a layer, a network, a kind of noise or a module is joined; got {value!r}. "
        "Write for example Relu(5)."
    )


def graph_of(value: Any) -> Graph:
    """Return the graph of a network, a list of parts, or a layer with its `incoming`."""
    if isinstance(value, list | tuple):
        return chain(value)
    graph = None if isinstance(value, Layer) else getattr(value, "graph", None)
    if isinstance(graph, Graph):  # a network's
        return graph
    layer = as_layer(value)
    source = layer.__dict__.get("source")
    if source is None:
        return Graph({layer: ()}, (layer,))
    return Graph({**source.sources, layer: source.exits}, (layer,))


def graph_behind(value: Any) -> Graph:
    """Return the graph of a layer and everything before it, in whatever network that is."""
    if not isinstance(value, Layer) or "source" in vars(value):
        return graph_of(value)
    graph = unite(map(graph_behind, value.inputs))
    return Graph({**graph.sources, value: value.inputs}, (value,))


def chain(parts: Iterable[Any]) -> Graph:
    """Return the graph in which each part takes what the one before gives."""
    graph = EMPTY
    for part in parts:
        graph = _append(graph, graph_of(part))
    return graph


def _append(first: Graph, second: Graph) -> Graph:
    if not first.sources or not second.sources:
        return first if first.sources else second
    for layer in second.sources:
        if layer in first.sources:
            raise InvalidValue(
                f"join: {layer.shown} is in the network already, and would come behind itself: a "
                "cycle. Copy it with copy.deepcopy, or use repeat."
            )
    if len(first.exits) > 1:
        for layer in second.entries:
            if not layer.merges:
                raise _several_inputs(layer, first)
    # Every entry of the second takes all that the first gives.
    joined = {layer: behind or first.exits for layer, behind in second.sources.items()}
    return Graph({**first.sources, **joined}, second.exits)


def _several_inputs(layer: Layer, behind: Graph) -> InvalidValue:
    return InvalidValue(
        f"join: {layer.shown} takes one input; got {len(behind.exits)}. Put Concatenate() or Add() "
        "between, which take several."
    )


def unite(graphs: Iterable[Graph]) -> Graph:
    """Return one graph of several side by side; shared layers occur once."""
    sources: dict[Layer, tuple[Layer, ...]] = {}
    exits: list[Layer] = []
    for graph in graphs:
        for layer, behind in graph.sources.items():
            # Branches may share layers, if both agree on what these take.
            if sources.setdefault(layer, behind) != behind:
                raise InvalidValue(
                    f"join: {layer.shown} would have two different inputs. A layer is in a network "
                    "once; copy it with copy.deepcopy, or take both inputs by Concatenate or Add."
                )
        exits += graph.exits
    return Graph(sources, tuple(dict.fromkeys(exits)))


def attach(layer: Layer, incoming: Any) -> None:
    """Connect a layer to its `incoming`, as Lasagne's layers do."""
    graph = graph_behind(incoming)
    if len(graph.exits) != 1:
        raise _several_inputs(layer, graph)
    # There is no network yet: `graph_of` finds here what the layer takes.
    layer.source = graph
    known = infer_shapes(Graph({**graph.sources, layer: graph.exits}, (layer,)))
    layer.connect(graph.exits, known[graph.exits[0]], known[layer])


def copy_part(part: Any) -> Any:
    """Return a deep copy of a layer or network that shares its rates given as tensors."""
    modules = (m for layer in graph_of(part).sources for m in layer.modules())
    rates = [m.live_rate for m in modules if isinstance(m, Layer)]
    return copy.deepcopy(part, {id(rate): rate for rate in rates if rate is not None})


# Shapes ------------------------------------------------------------------------------------------


def add_inputs(graph: Graph) -> Graph:
    """Return a graph with an Input before each entry that was told its input's shape."""
    sources: dict[Layer, tuple[Layer, ...]] = {}
    for layer, behind in graph.sources.items():
        if not behind and layer.expected is not None and not isinstance(layer, Input):
            entry = Input(batch_shape=layer.expected)
            sources[entry] = ()
            behind = (entry,)
        sources[layer] = behind
    return Graph(sources, graph.exits)


def infer_shapes(
    graph: Graph,
    given: Mapping[Layer, Shape] | None = None,
    shown: Mapping[Layer, str] | None = None,
) -> dict[Layer, Shape | None]:
    """Return the output shape of each layer in a graph, None where it is not known yet.

    Parameters
    ----------
    graph : Graph
        The layers in their order.
    given : mapping of Layer to tuple, optional
        Shapes that enter the graph, the batch in front.
    shown : mapping of Layer to str, optional
        Names of the layers for error messages.
    """
    given, shown = given or {}, shown or {}
    found: dict[Layer, Shape | None] = {}
    for layer, behind in graph.sources.items():
        entering = [found[s] for s in behind] if behind else [given.get(layer, layer.expected)]
        known = [shape for shape in entering if shape is not None]
        if len(known) < len(entering):
            found[layer] = None
            continue
        try:
            if layer.expected is not None and not shapes.can_be_equal(layer.expected, known[0]):
                raise ValueError(f"it takes {shapes.write(layer.expected)}")
            found[layer] = layer.infer_shape(*known)
        except ValueError as error:
            follower = shown.get(layer, layer.shown)
            # In the network's own names, which layers that were not adopted do not have.
            names = [shown.get(s, s.shown) for s in behind] or ["the input"]
            raise InvalidValue(_cannot_follow(follower, names, known, str(error))) from None
    return found


def list_entering(
    graph: Graph, found: Mapping[Layer, Shape | None], given: Mapping[Layer, Shape]
) -> dict[Layer, list[Shape | None]]:
    """Return the shapes that enter each layer: inferred ones, and those given at the entries."""
    return {
        layer: [found[source] for source in behind]
        or [found[layer] if isinstance(layer, Input) else given.get(layer)]
        for layer, behind in graph.sources.items()
    }


def _cannot_follow(follower: str, names: Sequence[str], given: Sequence[Shape], reason: str) -> str:
    pairs = zip(names, map(shapes.write, given), strict=True)
    behind = " and ".join(f"{name}, which gives {shape}" for name, shape in pairs)
    return f"join: {follower} cannot follow {behind}: {reason.rstrip('.')}."


# Hidden outputs ----------------------------------------------------------------------------------


def find_hidden(graph: Graph) -> list[Layer]:
    """Return the layers with hidden outputs: the activation of each weighted layer but the last."""
    takers: dict[Layer, list[Layer]] = {layer: [] for layer in graph.sources}
    for layer, behind in graph.sources.items():
        for source in behind:
            takers[source].append(layer)
    # Backwards, so that what follows a layer is known before the layer.
    leads: set[Layer] = set()
    for layer in reversed(graph.sources):
        if any(taker.is_weighted or taker in leads for taker in takers[layer]):
            leads.add(layer)
    weighted = [layer for layer in graph.sources if layer.is_weighted and layer in leads]
    return list(dict.fromkeys(_find_activation(layer, takers) for layer in weighted))


def _find_activation(layer: Layer, takers: Mapping[Layer, list[Layer]]) -> Layer:
    """Return the activation after a layer, past noise and normalization, or the layer itself."""
    if layer.activates:
        return layer
    place = layer
    while len(takers[place]) == 1:
        place = takers[place][0]
        if place.activates and not place.is_weighted:
            return place
        if not (place.is_noise or isinstance(place.child, _NORMS)):
            break
    return layer
