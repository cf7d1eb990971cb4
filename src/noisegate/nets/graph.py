"""Graphs of layers: what each takes, and the shapes that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from noisegate.core.errors import InvalidValue

from . import messages, shapes
from .layer import Layer
from .layers.structure import Input
from .shapes import Shape


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


def united(graphs: Iterable[Graph]) -> Graph:
    """Return graphs beside each other; layers that they share are there once."""
    sources: dict[Layer, tuple[Layer, ...]] = {}
    exits: list[Layer] = []
    for graph in graphs:
        for layer, behind in graph.sources.items():
            if sources.setdefault(layer, behind) != behind:
                raise InvalidValue(messages.two_places(layer.shown))
        exits += graph.exits
    return Graph(sources, tuple(dict.fromkeys(exits)))


def implied(graph: Graph) -> Graph:
    """Return a graph in which an Input stands before each layer that was told its input's shape."""
    sources: dict[Layer, tuple[Layer, ...]] = {}
    for layer, behind in graph.sources.items():
        shape: Shape | None = layer.expected
        if not behind and shape is not None and not isinstance(layer, Input):
            entry = Input(batch_shape=shape)
            sources[entry] = ()
            behind = (entry,)
        sources[layer] = behind
    return Graph(sources, graph.exits)


def inferred(
    graph: Graph,
    given: Mapping[Layer, Shape] | None = None,
    shown: Mapping[Layer, str] | None = None,
) -> dict[Layer, Shape | None]:
    """Return the shape that each layer of a graph gives, None where it cannot be known yet."""
    given, shown = given or {}, shown or {}
    found: dict[Layer, Shape | None] = {}
    for layer, behind in graph.sources.items():
        entry = given.get(layer)
        if not behind and entry is None:
            entry = layer.expected
        known = [found[s] for s in behind] if behind else [entry]
        shapes_in = [shape for shape in known if shape is not None]
        if len(shapes_in) < len(known):
            found[layer] = None
            continue
        try:
            if layer.expected is not None and not shapes.fits(layer.expected, shapes_in[0]):
                raise ValueError(f"it takes {shapes.shown(layer.expected)}")
            found[layer] = layer.shape_rule(*shapes_in)
        except ValueError as error:
            who = shown.get(layer, layer.shown)
            words = [
                (shown.get(s, s.shown), shapes.shown(shape))
                for s, shape in zip(behind or (None,), shapes_in, strict=True)
                if s is not None
            ]
            if not words:
                words = [("the input", shapes.shown(shapes_in[0]))]
            raise InvalidValue(messages.cannot_follow(who, words, str(error))) from None
    return found
