"""Layers and networks as dicts that JSON can hold, and back."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from noisegate.core import kinds, schedule
from noisegate.core.axes import AxisSlice
from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.schedule import Schedule

from . import messages, penalties
from .graph import Graph
from .joining import as_layer
from .layer import Layer
from .layers.structure import Wrapped
from .network import Network

VERSION = 1


def encoded(who: str, name: str, value: Any) -> Any:
    """Return an argument as JSON can hold it; what is the user's own becomes its name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, slice):
        value = AxisSlice(value.start, value.stop, value.step)
    if isinstance(value, AxisSlice | Schedule):
        return value.config()
    if isinstance(value, Kind):
        if type(value).__module__.startswith("noisegate."):
            return value.config()
        return {"custom": type(value).__name__, "numbers": value.config()}
    if isinstance(value, Network):
        return {"network": network_config(value)}
    if isinstance(value, Layer):
        return {"layer": layer_config(value)}
    if isinstance(value, list | tuple):
        return [encoded(who, name, part) for part in value]
    if isinstance(value, torch.dtype | torch.device):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if hasattr(value, "config") and type(value).__module__ == penalties.__name__:
        return value.config()
    word = _name_of(value)
    if word is None:
        raise InvalidValue(messages.not_saved(who, name, value))
    return {"custom": word}


def _name_of(value: Any) -> str | None:
    """Return the name of a callable, if it has one of its own."""
    if isinstance(value, nn.Module):
        return type(value).__name__
    name = getattr(value, "__name__", None)
    if not callable(value) or name is None:
        return None
    return None if name.startswith("<") else str(name)


def customs(network: Network) -> dict[str, Any]:
    """Return what of a network is the user's own, by name, as `load` takes it."""
    found: dict[str, tuple[Any, bool]] = {}

    def note(value: Any, layer: bool = False) -> None:
        if isinstance(value, Wrapped):
            note(value.module, True)
        elif isinstance(value, Network):
            for own in value.layers.values():
                note(own)
        elif isinstance(value, Layer):
            for part in value.own_arguments().values():
                note(part)
        elif isinstance(value, Kind) and not type(value).__module__.startswith("noisegate."):
            found.setdefault(type(value).__name__, (type(value), False))
        elif isinstance(value, nn.Module) or (callable(value) and not _ours(value)):
            word = _name_of(value) or ""
            # Of a module that is a layer, each layer of its class gets a copy.
            other, as_layer_too = found.setdefault(word, (value, layer))
            same = other is value or (layer and as_layer_too and type(other) is type(value))
            if not same:
                raise InvalidValue(messages.two_of_a_name(word))

    note(network)
    return {
        word: partial(copy.deepcopy, value) if layer else value
        for word, (value, layer) in found.items()
    }


def _ours(value: Any) -> bool:
    return isinstance(value, Kind) or type(value).__module__ == penalties.__name__


def layer_config(layer: Layer) -> dict[str, Any]:
    """Return a layer's class and arguments, and the variables that were made for it."""
    if isinstance(layer, Wrapped):
        if isinstance(layer.module, Network):
            return {"class": "Network", "config": network_config(layer.module)}
        word = _name_of(layer.module)
        config = {"custom": word, "name": layer.given_name}
        return {"class": "custom", "config": config}
    frozen = [n for n, p in layer.named_parameters() if not p.requires_grad]
    return {
        "class": type(layer).__name__,
        # The name that was given: what is counted is counted anew.
        "config": {**layer.get_config(), "name": layer.given_name},
        "variables": layer.made,
        "frozen": frozen if layer.trainable else [],
    }


def network_config(network: Network) -> dict[str, Any]:
    """Return a network as a dict that JSON can hold; the weights are apart."""
    layers, modules = [], dict[int, str]()
    for name, layer in network.layers.items():
        entry = {"name": name, "takes": list(network.sources[name])}
        first = modules.setdefault(id(getattr(layer, "module", layer)), name)
        # A module that is used twice is one module again.
        entry |= layer_config(layer) if first == name else {"class": "again", "config": first}
        layers.append(entry)
    shared = shared_tensors(network)
    return {
        "noisegate": VERSION,
        "layers": layers,
        "exits": list(network.exits),
        "shapes": {name: list(shape) for name, shape in network._entry_shapes.items()},
        **({"shared": shared} if shared else {}),
    }


def shared_tensors(network: Network) -> dict[str, str]:
    """Return the name of each parameter or buffer that several layers have, and of its first."""
    first = dict[int, str]()
    found = dict[str, str]()
    for path, module in network.named_modules():
        for word, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = f"{path}.{word}"
            if tensor is not None and first.setdefault(id(tensor), name) != name:
                found[name] = first[id(tensor)]
    return found


def share(network: Network, names: Mapping[str, str]) -> None:
    """Let layers have the very tensors that others have."""
    for name, first in names.items():
        owner, _, word = name.rpartition(".")
        source, _, its_word = first.rpartition(".")
        layer, other = network.get_submodule(owner), network.get_submodule(source)
        tensor = {**other._parameters, **other._buffers}[its_word]
        if word in layer._parameters:
            setattr(layer, word, tensor)  # of which recurrent layers take note
        else:
            layer._buffers[word] = tensor


class _Reader:
    """Makes layers of configs, with what the user gives for what is the user's own."""

    def __init__(self, custom: Mapping[str, Any]) -> None:
        self.custom, self.used = custom, set[int]()
        self.made: list[tuple[Layer, Mapping[str, Any]]] = []
        self.shared: list[tuple[Network, Mapping[str, str]]] = []

    def network(self, config: Mapping[str, Any]) -> Network:
        made: dict[str, Layer] = {}
        sources: dict[Layer, tuple[Layer, ...]] = {}
        for entry in config["layers"]:
            again = entry["class"] == "again"
            layer = Wrapped(made[entry["config"]].module) if again else self.layer(entry)
            made[entry["name"]] = layer
            sources[layer] = tuple(made[name] for name in entry["takes"])
        known = {layer: name for name, layer in made.items()}
        network = Network(Graph(sources, tuple(made[n] for n in config["exits"])), known)
        self.shared.append((network, config.get("shared", {})))
        if config["shapes"]:
            network.complete(*(tuple(config["shapes"][name]) for name in network.entries))
        return network

    def finish(self) -> None:
        """Make the variables that layers were given, freeze what was frozen, share what was."""
        for layer, entry in self.made:
            _make_variables(layer, entry, built=True)
            for name, parameter in layer.named_parameters() if entry.get("frozen") else ():
                parameter.requires_grad_(name not in entry["frozen"])
        for network, names in self.shared:
            share(network, names)

    def layer(self, entry: Mapping[str, Any]) -> Layer:
        layer = self._layer(entry)
        # In the order in which they were made, of which optimizers make use.
        _make_variables(layer, entry, built=False)
        self.made.append((layer, entry))
        return layer

    def _layer(self, entry: Mapping[str, Any]) -> Layer:
        from .layers import LAYERS

        name, config = entry["class"], entry["config"]
        if name == "Network":
            return as_layer(self.network(config))
        if name == "custom":
            return self._module(config)
        if name not in LAYERS:
            raise InvalidValue(messages.unknown_class(name, list(LAYERS)))
        words = {n: self._decoded(_called(name, config), v) for n, v in config.items()}
        layer_name = words.pop("name", None)
        if name == "Input" and words.get("batch_shape") is not None:
            words["shape"] = None
        return LAYERS[name](name=layer_name, **words)

    def _module(self, config: Mapping[str, Any]) -> Layer:
        word = config["custom"]
        value = self._custom(word, "a layer")
        module = value if isinstance(value, nn.Module) else value()
        if not isinstance(module, nn.Module):
            raise InvalidValue(messages.custom_no_module(word, value))
        if id(module) in self.used:
            raise InvalidValue(messages.custom_twice(word))
        self.used.add(id(module))
        return Wrapped(module)

    def _custom(self, word: str, where: str) -> Any:
        if word not in self.custom:
            raise InvalidValue(messages.custom_needed(word, where))
        return self.custom[word]

    def _decoded(self, where: str, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self._decoded(where, part) for part in value)
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


def _called(kind: str, config: Mapping[str, Any]) -> str:
    return f"`{config['name']}`" if config.get("name") else kind


def _make_variables(layer: Layer, entry: Mapping[str, Any], built: bool) -> None:
    for name, made in entry.get("variables", {}).items():
        if made["built"] == built:
            layer.variable(0.0, name, tuple(made["shape"]), made["trainable"])
            layer.made[name] = dict(made)


def from_config(config: Mapping[str, Any], custom: Mapping[str, Any] | None = None) -> Any:
    """Return the layer or the network of a config; its weights are new.

    Parameters
    ----------
    config : dict
        As of `network_config`, or of `layer_config`.
    custom : dict of str to object, optional
        What is the user's own, by name: callables, and modules or what is called to make them.
    """
    reader = _Reader(custom or {})
    made = reader.network(config) if "layers" in config else reader.layer(config)
    reader.finish()
    return made
