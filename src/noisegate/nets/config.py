"""Read layers and networks from their configs, with the user's own objects by name."""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from noisegate.core import kinds, schedule
from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.words import suggest

from .adapters import Wrapped
from .graph import Graph, as_layer
from .layer import LAYER_CLASSES, Layer
from .to_json import is_ours, name_of
from .wiring import Wiring


def list_customs(network: Wiring) -> dict[str, Any]:
    """Return the user's own objects in a network by name, as `load` takes them."""
    found: dict[str, tuple[Any, bool]] = {}

    def note(value: Any, layer: bool = False) -> None:
        if isinstance(value, Wrapped):
            note(value.module, True)
        elif isinstance(value, Wiring):
            for own in value.layers.values():
                note(own)
        elif isinstance(value, Layer):
            for part in value.own_arguments().values():
                note(part)
        elif isinstance(value, Kind) and not is_ours(value):
            # A user's kind is made again from its numbers, so that its class is enough.
            found.setdefault(type(value).__name__, (type(value), False))
        elif isinstance(value, nn.Module) or (callable(value) and not is_ours(value)):
            word = name_of(value) or ""
            # Modules of one class may share a name as layers: each layer gets its copy.
            other, as_layer_too = found.setdefault(word, (value, layer))
            same = other is value or (layer and as_layer_too and type(other) is type(value))
            if not same:
                raise InvalidValue(
                    f"save: two different objects are called `{word}`. Give one of them "
                    "another name."
                )

    note(network)
    return {
        word: partial(copy.deepcopy, value) if layer else value
        for word, (value, layer) in found.items()
    }


def find_shared_tensors(network: Wiring) -> dict[str, str]:
    """Return the names of tensors that layers share, each with the name of its first use."""
    first = dict[int, str]()
    found = dict[str, str]()
    for path, module in network.named_modules():
        for word, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = f"{path}.{word}"
            if tensor is not None and first.setdefault(id(tensor), name) != name:
                found[name] = first[id(tensor)]
    return found


def share(network: Wiring, names: Mapping[str, str]) -> None:
    """Give layers the tensors of other layers, as `find_shared_tensors` names them."""
    for name, first in names.items():
        owner, _, word = name.rpartition(".")
        source, _, its_word = first.rpartition(".")
        layer, other = network.get_submodule(owner), network.get_submodule(source)
        tensor = {**other._parameters, **other._buffers}[its_word]
        if word in layer._parameters:
            setattr(layer, word, tensor)  # recurrent layers keep a list of weights
        else:
            layer._buffers[word] = tensor


class Reader:
    """Makes layers and networks from configs.

    Parameters
    ----------
    network : callable
        Makes the network of a graph and the names of its layers.
    custom : mapping of str to object, optional
        The user's own, by name: callables, and modules or what is called to make them.
    """

    def __init__(
        self, network: Callable[..., Wiring], custom: Mapping[str, Any] | None = None
    ) -> None:
        self.make_network, self.custom, self.used = network, custom or {}, set[int]()
        self.made: list[tuple[Layer, Mapping[str, Any]]] = []
        self.shared: list[tuple[Wiring, Mapping[str, str]]] = []

    def read(self, config: Mapping[str, Any]) -> Any:
        """Return the layer or the network of a config, complete but for the weights."""
        made = self.network(config) if "layers" in config else self.layer(config)
        # These need every layer, and the parameters whose sizes came from other layers.
        for layer, entry in self.made:
            _make_variables(layer, entry, built=True)
            for name, parameter in layer.named_parameters() if entry.get("frozen") else ():
                parameter.requires_grad_(name not in entry["frozen"])
        for network, names in self.shared:
            share(network, names)
        return made

    def network(self, config: Mapping[str, Any]) -> Wiring:
        """Return a network without its late variables and shared tensors, which `read` adds."""
        # Layers stand in the order of their run: what one takes has been made before it.
        made: dict[str, Layer] = {}
        sources: dict[Layer, tuple[Layer, ...]] = {}
        for entry in config["layers"]:
            again = entry["class"] == "again"
            layer = Wrapped(made[entry["config"]].child) if again else self.layer(entry)
            made[entry["name"]] = layer
            sources[layer] = tuple(made[name] for name in entry["takes"])
        known = {layer: name for name, layer in made.items()}
        network = self.make_network(Graph(sources, tuple(made[n] for n in config["exits"])), known)
        self.shared.append((network, config.get("shared", {})))
        if config["shapes"]:
            network.complete(*(tuple(config["shapes"][name]) for name in network.entries))
        return network

    def layer(self, entry: Mapping[str, Any]) -> Layer:
        """Return a layer without the variables made after its parameters, which `read` adds."""
        layer = self._layer(entry)
        # Variables keep their order, since optimizers number parameters by it.
        _make_variables(layer, entry, built=False)
        self.made.append((layer, entry))
        return layer

    def _layer(self, entry: Mapping[str, Any]) -> Layer:
        name, config = entry["class"], entry["config"]
        if name == "Network":
            return as_layer(self.network(config))
        if name == "custom":
            return self._module(config)
        if name not in LAYER_CLASSES:
            raise InvalidValue(
                f"from_config: unknown layer `{name}`.{suggest(name, list(LAYER_CLASSES))}"
            )
        where = f"`{config['name']}`" if config.get("name") else name
        words = {n: self._decode(where, v) for n, v in config.items()}
        layer_name = words.pop("name", None)
        # `batch_shape` says it all, and is not taken beside `shape`.
        if name == "Input" and words.get("batch_shape") is not None:
            words["shape"] = None
        return LAYER_CLASSES[name](name=layer_name, **words)

    def _module(self, config: Mapping[str, Any]) -> Layer:
        word = config["custom"]
        value = self._custom(word, "a layer")
        module = value if isinstance(value, nn.Module) else value()
        if not isinstance(module, nn.Module):
            raise InvalidValue(
                f"load: custom['{word}'] must be a module, or be called to give one; got {value!r}."
            )
        # One module at two places would share its weights, which the saved ones may not.
        if id(module) in self.used:
            raise InvalidValue(
                f"load: custom['{word}'] is one module for two layers. Give a class or a function, "
                "which is called for each."
            )
        self.used.add(id(module))
        return Wrapped(module)

    def _custom(self, word: str, where: str) -> Any:
        if word not in self.custom:
            raise InvalidValue(
                f"load: {where} needs `{word}`, which is the user's own. Give "
                f"load(path, custom={{'{word}': ...}})."
            )
        return self.custom[word]

    def _decode(self, where: str, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self._decode(where, part) for part in value)
        if not isinstance(value, Mapping):
            return value
        if "layer" in value:
            return self.layer(value["layer"])
        if "network" in value:
            return self.network(value["network"])
        if "numbers" in value:
            kind = self._custom(value["custom"], where)
            return kinds.from_config(value["numbers"], [kind])
        if "custom" in value:
            return self._custom(value["custom"], where)
        if "kind" in value:
            return kinds.from_config(dict(value))
        if "live" in value:
            return torch.tensor(value["live"])
        if "torch" in value:
            word = value["torch"]
            return getattr(torch, word) if hasattr(torch, word) else torch.device(word)
        if "tensor" in value:
            return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
        if "array" in value:
            return np.asarray(value["array"], value["dtype"])
        if "slice" in value:
            return slice(*value["slice"])
        if "schedule" in value:
            return schedule.from_config(value)
        return dict(value)


def _make_variables(layer: Layer, entry: Mapping[str, Any], built: bool) -> None:
    for name, made in entry.get("variables", {}).items():
        if made["built"] == built:
            layer.variable(0.0, name, tuple(made["shape"]), made["trainable"])
            layer.made[name] = dict(made)
