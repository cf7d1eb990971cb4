"""Which layers a network has, what each takes, under which names, and the shapes of it all."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from noisegate.core.errors import InvalidValue, MissingAttribute
from noisegate.torch import Composed

from . import messages, names, shapes
from .graph import EMPTY, Graph, implied, inferred
from .layer import Layer
from .layers.structure import Input, Wrapped
from .roles import hidden_sites
from .shapes import Shape


class Wiring(Composed):
    """The layers of a network by name, in the order in which they run, and what each takes."""

    def __init__(
        self, graph: Graph = EMPTY, known: Mapping[Layer, str] | None = None, adopt: bool = True
    ) -> None:
        nn.Module.__init__(self)
        self.layers: dict[str, Layer] = {}
        self.sources: dict[str, tuple[str, ...]] = {}
        self.exits: tuple[str, ...] = ()
        self._entry_shapes: dict[str, Shape] = {}
        self._wanted: dict[str, Any] | None = None
        self._take(graph, known or {}, adopt)

    @property
    def graph(self) -> Graph:
        """The layers, and what each takes."""
        by_name = self.layers
        sources = {by_name[n]: tuple(by_name[s] for s in self.sources[n]) for n in by_name}
        return Graph(sources, tuple(by_name[n] for n in self.exits))

    def _take(self, graph: Graph, known: Mapping[Layer, str], adopt: bool) -> None:
        """Become the network of a graph; nothing has changed if that fails."""
        graph = implied(graph)
        named = self._named(graph, known)
        shown = {layer: f"`{name}`" for layer, name in named.items()}
        given = {
            self.layers[name]: shape
            for name, shape in self._entry_shapes.items()
            if name in self.layers
        }
        found = inferred(graph, given, shown)
        self.layers = {named[layer]: layer for layer in graph.sources}
        self.sources = {
            named[layer]: tuple(named[s] for s in behind) for layer, behind in graph.sources.items()
        }
        self.exits = tuple(named[layer] for layer in graph.exits)
        for name, layer in self.layers.items():
            if name not in self._modules:
                self.add_module(name, layer.module if isinstance(layer, Wrapped) else layer)
        if adopt:
            for layer, name in named.items():
                layer.network_name = name
        self._settle(graph, found, adopt)

    def _named(self, graph: Graph, known: Mapping[Layer, str]) -> dict[Layer, str]:
        given = {
            layer: layer.given_name
            for layer in graph.sources
            if layer not in known and layer.given_name and not names.is_format(layer.given_name)
        }
        taken: dict[str, Layer] = {name: layer for layer, name in known.items()}
        for layer, name in given.items():
            if name in taken:
                raise InvalidValue(messages.name_taken(name))
            if name not in self._modules and (hasattr(type(self), name) or name in vars(self)):
                raise InvalidValue(messages.name_of_attribute(name))
            taken[name] = layer
        found = {}
        for layer in graph.sources:
            name = known.get(layer) or given.get(layer) or ""
            if not name:
                word = layer.default_name if isinstance(layer, Wrapped) else type(layer).__name__
                name = names.counted(layer.given_name or names.of_class(word), taken)
                taken[name] = layer
            found[layer] = name
        return found

    def _settle(
        self,
        graph: Graph,
        found: Mapping[Layer, Shape | None],
        adopt: bool = True,
        like: Any = None,
    ) -> None:
        """Make the parameters whose sizes are known, and tell each layer its shapes."""
        device = None if like is None else like.device
        dtype = like.dtype if like is not None and like.is_floating_point() else None
        for layer, behind in graph.sources.items():
            given = [found[source] for source in behind]
            if not behind:
                given = [self._shape_into(layer, found)]
            known = [shape for shape in given if shape is not None]
            if len(known) == len(given) and layer.can_build(*known):
                layer.build(*known, device=device, dtype=dtype)
            if adopt and (behind or given[0] is not None):
                layer.wired(behind, given[0] if len(given) == 1 else None, found[layer])

    def _shape_into(self, layer: Layer, found: Mapping[Layer, Shape | None]) -> Shape | None:
        """Return the shape that enters a layer which takes nothing of another."""
        if isinstance(layer, Input):
            return found[layer]
        given = {self.layers[name]: shape for name, shape in self._entry_shapes.items()}
        return given.get(layer)

    @property
    def ends(self) -> tuple[list[Shape | None], list[Shape | None]]:
        """The shapes of what enters and of what leaves, None where one is not known."""
        found = self._found_shapes()
        entering = [self._shape_into(self.layers[name], found) for name in self.entries]
        return entering, [found[self.layers[name]] for name in self.exits]

    @property
    def complete_now(self) -> bool:
        """Whether all parameters are there."""
        return bool(self.layers) and all(layer.built for layer in self.layers.values())

    def can_complete(self, *inputs: Shape) -> bool:
        """Return whether parameters can be made for shapes of the inputs."""
        given = {self.layers[n]: shape for n, shape in zip(self.entries, inputs, strict=True)}
        graph, found = self.graph, inferred(self.graph, given)
        for layer, behind in graph.sources.items():
            known = [found[s] for s in behind] if behind else [given.get(layer)]
            shapes_in = [shape for shape in known if shape is not None]
            if len(shapes_in) < len(known) or not layer.can_build(*shapes_in):
                return False
        return True

    def complete(self, *inputs: Shape, like: Tensor | None = None) -> None:
        """Tell an open network the shapes of its inputs, the batch in front.

        Raises
        ------
        InvalidValue
            If their number is another, or a layer cannot take what it gets.
        """
        entries = self.entries
        if len(inputs) != len(entries):
            raise InvalidValue(messages.input_count(len(inputs), entries))
        self._entry_shapes = dict(zip(entries, inputs, strict=True))
        graph = self.graph
        given = {self.layers[name]: shape for name, shape in self._entry_shapes.items()}
        shown = {layer: f"`{name}`" for name, layer in self.layers.items()}
        try:
            found = inferred(graph, given, shown)
        except InvalidValue:
            self._entry_shapes = {}
            raise
        self._settle(graph, found, like=like)

    def _by_place(self, who: str, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return the inputs in the order of the entries; they may be one dict of layers."""
        if len(inputs) != 1 or not isinstance(inputs[0], Mapping):
            return inputs
        given, entries = inputs[0], [self.layers[name] for name in self.entries]
        names = [layer.name for layer in entries]
        for key in given:
            if key not in entries and key not in names:
                raise InvalidValue(messages.no_entry(who, key, self.entries))
        for layer in entries:
            if layer not in given and layer.name not in given:
                raise InvalidValue(messages.entry_missing(who, layer.shown, self.entries))
        return [given[layer if layer in given else layer.name] for layer in entries]

    @property
    def entries(self) -> list[str]:
        """The names of the layers that take the network's inputs."""
        return [name for name, behind in self.sources.items() if not behind]

    @property
    def open_layer(self) -> str | None:
        """The name of a layer whose input's shape is not known; None if all are."""
        found = self._found_shapes()
        return next((n for n, layer in self.layers.items() if found[layer] is None), None)

    def _found_shapes(self) -> dict[Layer, Shape | None]:
        given = {self.layers[name]: shape for name, shape in self._entry_shapes.items()}
        return inferred(self.graph, given)

    def _refuse_open(self, what: str) -> None:
        if not self.layers:
            raise InvalidValue(messages.empty_network(what))
        name = next((n for n, layer in self.layers.items() if not layer.built), None)
        if name is not None:
            raise InvalidValue(messages.open_network(what, name))

    def _refuse_unknown(self, what: str) -> None:
        if not self.layers:
            raise MissingAttribute(messages.empty_network(what))
        name = self.open_layer
        if name is not None:
            raise MissingAttribute(messages.open_network(what, name))

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or of each."""
        self._refuse_unknown("input_shape")
        return _one_or_all(self.ends[0])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or of each."""
        self._refuse_unknown("output_shape")
        return _one_or_all(self.ends[1])

    def get_output_shape(self, *input_shape: Any) -> Any:
        """Return the shape of the output for other shapes of the inputs."""
        given = [shapes.checked("get_output_shape", shape) for shape in input_shape]
        if len(given) != len(self.entries):
            raise InvalidValue(messages.input_count(len(given), self.entries))
        entries = {self.layers[n]: s for n, s in zip(self.entries, given, strict=True)}
        found = inferred(self.graph, entries)
        return _one_or_all([found[self.layers[n]] for n in self.exits])

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The sites that the words `input`, `hidden` and `output` mean."""
        entries = self.entries
        several = tuple(f"{name}:out" for name in entries)
        return {
            "input": (":in",) if len(entries) == 1 else several,
            "hidden": hidden_sites(self.layers, self.sources),
            "output": (":out",) if len(self.exits) == 1 else tuple(f"{n}:out" for n in self.exits),
        }

    @property
    def own_names(self) -> Mapping[str, str]:
        """The input and the output of the model, where layers are called `in` and `out`."""
        found = {}
        if self.entries == ["in"] and isinstance(self.layers["in"], Input):
            found["in:out"] = ":in"
        if self.exits == ("out",):
            found["out:out"] = ":out"
        return found

    @property
    def inner(self) -> tuple[str, ...]:
        """The layers within those that call them step by step."""
        return tuple(f"{name}.layer" for name, m in self._modules.items() if hasattr(m, "steps"))


def _one_or_all(several: list[Any]) -> Any:
    return several[0] if len(several) == 1 else several
