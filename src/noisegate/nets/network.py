"""The network: layers by name, run as one module of torch's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidType, InvalidValue, prefix_errors
from noisegate.core.html import paragraphs
from noisegate.core.old_words import answer
from noisegate.core.words import list_names, suggest
from noisegate.injection import Report

from . import old_words, shapes
from .adapters import Wrapped
from .config import find_shared_tensors
from .graph import Graph, chain
from .joinable import Joinable
from .layer import constrain_weights, sum_penalties
from .noise_mode import GET_OUTPUT_FOR, OUTPUT, Way, in_mode, shows_mode
from .saving import save
from .tensors import as_tensor, check_mask
from .wiring import Wiring

VERSION = 1


class Network(Joinable, old_words.TrainedElsewhere, Wiring):
    """A network of layers, which `join` and `>>` make: a module of torch's.

    Each layer is a child under its own name. A network whose input's shape is not known is open:
    it can be joined on, run, or given to an estimator, and has no parameters before.

    Attributes
    ----------
    layers : dict of str to Layer
        The layers by name, in the order in which they run.
    input_shape, output_shape : tuple, or a list of them
        Shapes with the batch in front; None for what a call only knows.
    """

    def add(self, layer: Any) -> None:
        """Append a layer, a kind of noise or a network."""
        known = {layer: name for name, layer in self.layers.items()}
        self._take(chain([self, layer]), known, True)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        """Return the parameters by name; raise while the network is open."""
        recurse = kwargs.get("recurse", args[1] if len(args) > 1 else True)
        if recurse:
            self._refuse_open("parameters")
        return super().named_parameters(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the weights by name; raise while the network is open."""
        self._refuse_open("state_dict")
        return super().state_dict(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Explain missing shapes and other systems' methods; else as in any module."""
        if name in ("input_shape", "output_shape"):
            self._refuse_unknown(name)
        try:
            return super().__getattr__(name)
        except AttributeError:
            answer("Network", name, old_words.OF_NETWORKS)
            raise

    def __getitem__(self, name: str) -> nn.Module:
        """Return a layer by its name."""
        if name not in self.layers:
            raise InvalidValue(
                f"the network has no layer `{name}`; it has {list_names(self.layers)}."
                f"{suggest(name, list(self.layers))}"
            )
        return self.layers[name].child

    layer = __getitem__

    def __len__(self) -> int:
        """Return how many layers it has."""
        return len(self.layers)

    def __iter__(self) -> Iterator[nn.Module]:
        """Return the layers in the order in which they run."""
        return (self[name] for name in self.layers)

    def _name_of(self, layer: Any) -> str:
        if isinstance(layer, str):
            self[layer]
            return layer
        for name, own in self.layers.items():
            if layer is own or layer is own.child:
                return name
        raise InvalidValue(
            f"the network does not have this layer: {layer!r}. It has {list_names(self.layers)}."
        )

    def end(self, layer: Any) -> "Network":
        """Return the network up to a layer, by its name; the layers are the same."""
        name = self._name_of(layer)
        behind = {name}
        for other in reversed(self.sources):
            behind |= set(self.sources[other]) if other in behind else set()
        return self._part(behind, [name])

    def start(self, layer: Any) -> "Network":
        """Return the network from a layer on, by its name; the layers are the same."""
        name = self._name_of(layer)
        ahead = {name}
        for other, behind in self.sources.items():
            ahead |= {other} if ahead.intersection(behind) else set()
        return self._part(ahead, [n for n in self.exits if n in ahead])

    def _part(self, chosen: set[str], exits: Sequence[str]) -> "Network":
        own = self.layers
        sources = {
            own[n]: tuple(own[s] for s in self.sources[n] if s in chosen)
            for n in own
            if n in chosen
        }
        graph = Graph(sources, tuple(own[n] for n in exits))
        part = Network(graph, {layer: name for name, layer in own.items() if name in chosen}, False)
        found = self._infer_shapes()
        for name in part.entries:
            shape = found[own[self.sources[name][0]]] if self.sources[name] else None
            shape = self._entry_shapes.get(name, shape)
            if shape is not None:
                part._entry_shapes[name] = shape
        return part

    # Calls -------------------------------------------------------------------------------------

    def forward(self, *inputs: Any, mask: Tensor | None = None) -> Any:
        """Return the output of the last layer, or a tuple of outputs if there are several.

        Parameters
        ----------
        *inputs : tensor
            One for each `Input`, in their order.
        mask : tensor of bool, optional
            Of shape (samples, time): False where a time step is padding.
        """
        self._refuse_empty("forward")
        values = self._pair_inputs(inputs)
        if not self.complete_now:
            known = [(None, *x.shape[1:]) for x in inputs]
            self.complete(*known, like=next((x for x in inputs if x.is_floating_point()), None))
        if mask is not None and not inputs[0].shape[0]:
            mask = None  # there are no samples
        makes_masks = any(layer.makes_mask for layer in self.layers.values())
        if makes_masks or mask is not None or self._wanted is not None:
            self._run_masked(values, mask)
        else:
            # The usual case, with as little work between the layers as possible.
            for name, behind in self.sources.items():
                given = [values[source] for source in behind] if behind else [values[name]]
                values[name] = self._modules[name](*given)  # type: ignore[misc]
        found = [values[name] for name in self.exits]
        return found[0] if len(found) == 1 else tuple(found)

    def _run_masked(self, values: dict[str, Any], mask: Tensor | None) -> None:
        """Compute the output of each layer into `values`, and pass masks of time steps on."""
        masks: dict[str, Tensor | None] = {}
        if mask is not None:
            extents = getattr(mask, "shape", None)
            fitting = {n: x for n, x in values.items() if x.shape[:2] == extents}
            masks = {n: check_mask(mask, x) for n, x in (fitting or values).items()}
        for name, layer in self.layers.items():
            behind, module = self.sources[name] or (name,), self._modules[name]
            given = [values[source] for source in behind]
            merged = layer.merge_masks(given, [masks.get(source) for source in behind])
            words = {"mask": merged} if layer.takes_mask and merged is not None else {}
            y = values[name] = module(*given, **words)  # type: ignore[misc]
            left = layer.compute_mask(given[0], merged)
            if isinstance(layer, Wrapped) and left is not None:
                # Only the output shows whether a module of the user's keeps the time axis.
                left = left if y.ndim > 2 and y.shape[:2] == left.shape else None
            masks[name] = left
        if self._wanted is not None:
            self._wanted.update(values=values, masks=masks)

    @shows_mode
    def output(self, *inputs: Any, mask: Any = None, **mode: Any) -> Any:
        """Return the output, without noise unless ``training=True``, or ``deterministic=False``.

        Parameters
        ----------
        *inputs : tensor or array
            One for each `Input`, in their order; or one dict of layers, or of their names.
        mask : tensor of bool, optional
            Of shape (samples, time): False where a time step is padding.
        training, deterministic : bool
            Whether noise acts; a truth value behind the inputs is `training`.
        """
        return self._run_in_mode(OUTPUT, "output", inputs, mask, mode)

    @shows_mode
    def get_output_for(self, *inputs: Any, mask: Any = None, **mode: Any) -> Any:
        """Return the output, with noise unless ``deterministic=True``; else as `output`.

        A truth value behind the inputs is `deterministic`.
        """
        return self._run_in_mode(GET_OUTPUT_FOR, "get_output_for", inputs, mask, mode)

    def _run_in_mode(self, way: Way, name: str, inputs: Any, mask: Any, mode: Any) -> Any:
        with prefix_errors(f"Network.{name}"):
            inputs, training = way.read(inputs, mode)
            inputs = self._sort_inputs(inputs)
        with in_mode(self, training):
            return self._run(inputs, mask)

    @shows_mode
    def outputs(
        self, layers: Sequence[Any], *inputs: Any, mask: Any = None, **mode: Any
    ) -> list[Any]:
        """Return the outputs of several layers from one forward pass, with one noise.

        Parameters
        ----------
        layers : sequence of str or Layer
            By name, or themselves.
        *inputs, training, deterministic
            As of `output`.
        """
        several = [layers] if isinstance(layers, str | nn.Module) else layers
        wanted = [self._name_of(layer) for layer in several]
        with prefix_errors("Network.outputs"):
            values, training = OUTPUT.read(inputs, mode)
            given = self._sort_inputs(values)
        with in_mode(self, training), self._record() as found:
            self._run(given, mask)
        return [found["values"][name] for name in wanted]

    def compute_mask(self, *inputs: Any, mask: Any = None) -> Tensor | None:
        """Return the mask of the output's time steps, without noise; None if there is none."""
        with in_mode(self, False), self._record() as found, torch.no_grad():
            self._run(inputs, mask)
        return found["masks"].get(self.exits[0])  # type: ignore[no-any-return]

    @contextmanager
    def _record(self) -> Iterator[dict[str, Any]]:
        before, self._wanted = self._wanted, {}
        try:
            yield self._wanted
        finally:
            self._wanted = before

    def _run(self, inputs: Sequence[Any], mask: Any) -> Any:
        given = [as_tensor(x) for x in inputs]
        return self(*given) if mask is None else self(*given, mask=as_tensor(mask))

    # Penalties, words, copies ------------------------------------------------------------------

    def penalty(self) -> Tensor:
        """Return the sum of the layers' penalties, for the loss; shape ().

        Penalties of outputs are those of the last forward in training.
        """
        return sum_penalties(self)

    def constrain(self) -> None:
        """Bring all weights within their constraints, after a step of training."""
        constrain_weights(self)

    def get_config(self) -> dict[str, Any]:
        """Return the network, without its weights, as a dict that JSON can hold."""
        layers, modules = [], dict[int, str]()
        for name, layer in self.layers.items():
            entry = {"name": name, "takes": list(self.sources[name])}
            first = modules.setdefault(id(layer.child), name)
            # A module that is used twice must be one module again when it is loaded.
            entry |= layer.write_config() if first == name else {"class": "again", "config": first}
            layers.append(entry)
        shared = find_shared_tensors(self)
        return {
            "noisegate": VERSION,
            "layers": layers,
            "exits": list(self.exits),
            "shapes": {name: list(shape) for name, shape in self._entry_shapes.items()},
            **({"shared": shared} if shared else {}),
        }

    def nested_config(self) -> dict[str, Any]:
        """Return its form in the config of a layer that has it as an argument."""
        return {"network": self.get_config()}

    def summary(self) -> Report:
        """Return a table of the layers: name, class, what it takes, shape, parameters."""
        found = self._infer_shapes()
        rows = []
        for name, layer in self.layers.items():
            count = sum(p.numel() for p in layer.parameters()) if layer.built else None
            shape = shapes.write(found[layer])
            behind = ", ".join(self.sources[name])
            size = "?" if count is None else str(count)
            rows.append([name, layer.class_name, behind, shape, size])
        total = sum(p.numel() for layer in self.layers.values() for p in layer.parameters())
        note = f"{total} parameters, {len(self.layers)} layers."
        return Report(["name", "layer", "takes", "output", "parameters"], rows, [note])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the layers by name, and with `deep` their arguments as ``layer__argument``."""
        found: dict[str, Any] = dict(self.layers)
        for name, layer in self.layers.items() if deep else ():
            found |= {f"{name}__{word}": v for word, v in layer.get_params().items()}
        return found

    def set_params(self, **params: Any) -> "Network":
        """Set arguments of layers, as ``layer__argument``; return the network."""
        for word, value in params.items():
            name, _, argument = word.partition("__")
            if self.layers.get(word) is value:
                continue  # `get_params` returns the layers too
            if name not in self.layers or not argument:
                raise InvalidType(
                    f"set_params: `{word}` is no argument of a layer, written layer__argument."
                    f"{suggest(word, list(self.get_params()))}"
                )
            self.layers[name].set_params(**{argument: value})
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without tensors of a forward, which cannot be copied."""
        return {**self.__dict__, "_wanted": None}

    def __repr__(self) -> str:
        """Return the shapes at both ends and the number of layers."""
        several = [[shapes.write(shape) for shape in side] for side in self.ends]
        ends = [side[0] if len(side) == 1 else f"[{', '.join(side)}]" for side in several]
        count = len(self.layers)
        if not count:
            return "an empty network"
        return f"{ends[0]} -> [... {count} layer{'s' * (count > 1)} ...] -> {ends[1]}"

    def _repr_html_(self) -> str:
        """Return the repr and the summary as HTML, for notebooks."""
        return paragraphs([repr(self)]) + self.summary()._repr_html_()

    def save(self, path: Any) -> None:
        """Write config and weights to one file, which `load` reads."""
        save(self, path, Network)
