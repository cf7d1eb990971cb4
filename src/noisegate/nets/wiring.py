"""The layers of a network, their names, their sources, and their shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from noisegate.core.errors import InvalidValue, MissingAttribute, prefix_errors
from noisegate.core.words import list_names
from noisegate.torch import Composed

from . import names, shapes
from .adapters import Input
from .graph import EMPTY, Graph, add_inputs, find_hidden, infer_shapes, list_entering
from .layer import Layer
from .shapes import Shape


class Wiring(Composed):
    """The layers of a network by name, in the order of their run, with the sources of each."""

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
        """The layers with the sources of each."""
        by_name = self.layers
        sources = {by_name[n]: tuple(by_name[s] for s in self.sources[n]) for n in by_name}
        return Graph(sources, tuple(by_name[n] for n in self.exits))

    def _take(self, graph: Graph, known: Mapping[Layer, str], adopt: bool) -> None:
        """Become the network of a graph, or raise and change nothing."""
        graph = add_inputs(graph)
        # What can fail comes first.
        named = self._name_layers(graph, known)
        shown = {layer: f"`{name}`" for layer, name in named.items()}
        found = infer_shapes(graph, self._entering, shown)
        self.layers = {named[layer]: layer for layer in graph.sources}
        self.sources = {
            named[layer]: tuple(named[s] for s in behind) for layer, behind in graph.sources.items()
        }
        self.exits = tuple(named[layer] for layer in graph.exits)
        for name, layer in self.layers.items():
            if name not in self._modules:
                self.add_module(name, layer.child)
            # Parts of a network have its layers, which keep the name that it gave them.
            if adopt:
                layer.network_name = name
        self._settle(graph, found, adopt)

    def _name_layers(self, graph: Graph, known: Mapping[Layer, str]) -> dict[Layer, str]:
        """Return a name for each layer: the known one, the given one, or a counted one."""
        given = {
            layer: layer.given_name
            for layer in graph.sources
            if layer not in known and layer.given_name and not names.is_format(layer.given_name)
        }
        taken = set(known.values())
        for name in given.values():
            if name in taken:
                raise InvalidValue(
                    f"`{name}`: another layer of the network has this name. Give one of them "
                    f"another, or a format that is counted, as '{name}-{{}}'."
                )
            # A child of that name would hide the attribute.
            if name not in self._modules and (hasattr(type(self), name) or name in vars(self)):
                raise InvalidValue(
                    f"`{name}`: a network has an attribute of this name. Give the layer another, "
                    f"as '{name}1'."
                )
            taken.add(name)
        found = {}
        for layer in graph.sources:
            name = known.get(layer) or given.get(layer) or ""
            if not name:
                pattern = layer.given_name or names.format_of_class(layer.class_name)
                name = names.find_free_name(pattern, taken)
                taken.add(name)
            found[layer] = name
        return found

    def _settle(
        self,
        graph: Graph,
        found: Mapping[Layer, Shape | None],
        adopt: bool = True,
        like: Any = None,
    ) -> None:
        """Make the parameters whose sizes are known, and connect the layers."""
        device = None if like is None else like.device
        dtype = like.dtype if like is not None and like.is_floating_point() else None
        for layer, entering in list_entering(graph, found, self._entering).items():
            known = [shape for shape in entering if shape is not None]
            if len(known) == len(entering) and layer.can_build(*known):
                layer.build(*known, device=device, dtype=dtype)
            behind = graph.sources[layer]
            if adopt and (behind or entering[0] is not None):
                layer.connect(behind, entering[0] if len(entering) == 1 else None, found[layer])

    @property
    def _entering(self) -> dict[Layer, Shape]:
        """The shapes that `complete` was given, by entry."""
        layers = self.layers
        return {layers[name]: s for name, s in self._entry_shapes.items() if name in layers}

    def _infer_shapes(self) -> dict[Layer, Shape | None]:
        return infer_shapes(self.graph, self._entering)

    @property
    def ends(self) -> tuple[list[Shape | None], list[Shape | None]]:
        """The shapes of the inputs and of the outputs, None where one is not known."""
        graph, found = self.graph, self._infer_shapes()
        entering = list_entering(graph, found, self._entering)
        return [entering[layer][0] for layer in graph.entries], [found[n] for n in graph.exits]

    @property
    def complete_now(self) -> bool:
        """Whether all parameters exist."""
        return bool(self.layers) and all(layer.built for layer in self.layers.values())

    def can_complete(self, *inputs: Shape) -> bool:
        """Return whether all parameters can be made for shapes of the inputs."""
        given = {self.layers[name]: shape for name, shape in self._pair_inputs(inputs).items()}
        graph = self.graph
        found = infer_shapes(graph, given)
        for layer, entering in list_entering(graph, found, given).items():
            known = [shape for shape in entering if shape is not None]
            if len(known) < len(entering) or not layer.can_build(*known):
                return False
        return True

    def complete(self, *inputs: Shape, like: Tensor | None = None) -> None:
        """Give an open network the shapes of its inputs, batch first.

        Raises
        ------
        InvalidValue
            If their number is another, or a layer cannot take what it gets.
        """
        self._entry_shapes = self._pair_inputs(inputs)
        graph = self.graph
        shown = {layer: f"`{name}`" for name, layer in self.layers.items()}
        try:
            found = infer_shapes(graph, self._entering, shown)
        except InvalidValue:
            # Still open: the next call may give shapes that fit.
            self._entry_shapes = {}
            raise
        self._settle(graph, found, like=like)

    def _pair_inputs(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Return the inputs by the names of the entries; raise unless there is one for each."""
        entries = self.entries
        if len(inputs) != len(entries):
            plural = "s" * (len(entries) != 1)
            raise InvalidValue(
                f"the network takes {len(entries)} input{plural} ({list_names(entries)}); "
                f"got {len(inputs)}."
            )
        return dict(zip(entries, inputs, strict=True))

    def _sort_inputs(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return the inputs in the order of the entries; they may be one dict of layers."""
        if len(inputs) != 1 or not isinstance(inputs[0], Mapping):
            return inputs
        given, entries = inputs[0], [self.layers[name] for name in self.entries]
        known = list_names(self.entries)
        for key in given:
            if key not in entries and key not in [layer.name for layer in entries]:
                raise InvalidValue(
                    f"`inputs` has {key!r}, which takes no input; what does is {known}."
                )
        for layer in entries:
            if layer not in given and layer.name not in given:
                raise InvalidValue(
                    f"`inputs` has nothing for {layer.shown}. Give one for each of {known}."
                )
        return [given[layer if layer in given else layer.name] for layer in entries]

    @property
    def entries(self) -> list[str]:
        """The names of the layers that take the network's inputs."""
        return [name for name, behind in self.sources.items() if not behind]

    @property
    def open_layer(self) -> str | None:
        """The name of a layer whose input's shape is not known; None if all are."""
        found = self._infer_shapes()
        return next((n for n, layer in self.layers.items() if found[layer] is None), None)

    def _refuse_empty(self, what: str, error: type[InvalidValue] = InvalidValue) -> None:
        """Raise where the network has no layers."""
        if not self.layers:
            raise error(f"{what}: the network is empty. Add a layer: net.add(Relu(5)).")

    def _refuse_open(self, what: str) -> None:
        """Raise where a layer has no parameters yet."""
        self._refuse_empty(what)
        name = next((n for n, layer in self.layers.items() if not layer.built), None)
        if name is not None:
            raise InvalidValue(_is_open(what, name))

    def _refuse_unknown(self, what: str) -> None:
        self._refuse_empty(what, MissingAttribute)
        name = self.open_layer
        if name is not None:
            raise MissingAttribute(_is_open(what, name))

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
        with prefix_errors("get_output_shape"):
            given = [shapes.check_layer_shape(shape) for shape in input_shape]
        entering = {self.layers[name]: s for name, s in self._pair_inputs(given).items()}
        found = infer_shapes(self.graph, entering)
        return _one_or_all([found[self.layers[n]] for n in self.exits])

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The sites behind the words `input`, `hidden` and `output`."""
        names_of = {layer: name for name, layer in self.layers.items()}
        sites = {
            "input": self.entries,
            "hidden": [names_of[layer] for layer in find_hidden(self.graph)],
            "output": self.exits,
        }
        found = {word: tuple(f"{name}:out" for name in of_role) for word, of_role in sites.items()}
        for word, site in (("input", ":in"), ("output", ":out")):
            if len(found[word]) == 1:
                found[word] = (site,)
        return found

    @property
    def own_names(self) -> Mapping[str, str]:
        """The model's input and output, for layers called `in` and `out`."""
        found = {}
        if self.entries == ["in"] and isinstance(self.layers["in"], Input):
            found["in:out"] = ":in"
        if self.exits == ("out",):
            found["out:out"] = ":out"
        return found

    @property
    def inner(self) -> tuple[str, ...]:
        """Layers that another layer calls step by step."""
        return tuple(f"{name}.layer" for name, m in self._modules.items() if hasattr(m, "steps"))


def _is_open(what: str, name: str) -> str:
    return (
        f"{what}: the network is open: the shape of what enters `{name}` is not known yet, so it "
        "has no parameters. Join it to an Input, run it, or give it to an estimator."
    )


def _one_or_all(several: list[Any]) -> Any:
    return several[0] if len(several) == 1 else several
