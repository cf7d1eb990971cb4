"""Layers and networks as dicts that JSON can hold, and back."""

from collections.abc import Mapping
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
from .basic import Wrapped
from .graph import Graph
from .joining import as_layer
from .layer import Layer
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
        return value.config()
    if isinstance(value, Network):
        return {"network": network_config(value)}
    if isinstance(value, Layer):
        return {"layer": layer_config(value)}
    if isinstance(value, list | tuple):
        return [encoded(who, name, part) for part in value]
    if isinstance(value, torch.dtype | torch.device):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.Tensor | np.ndarray):
        return {"array": value.tolist()}
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
    """Return what of a network is the user's own, by the name that a file has for it."""
    found: dict[str, Any] = {}

    def note(value: Any, unique: bool = True) -> None:
        if isinstance(value, Wrapped):
            note(value.module, False)
        elif isinstance(value, Network):
            for layer in value.layers.values():
                note(layer)
        elif isinstance(value, Layer):
            for part in value.own_arguments().values():
                note(part)
        elif isinstance(value, nn.Module) or (callable(value) and not _ours(value)):
            word = _name_of(value) or ""
            other = found.setdefault(word, value)
            same = other is value or (not unique and type(other) is type(value))
            if not same:
                raise InvalidValue(messages.two_of_a_name(word))

    note(network)
    return found


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
        "config": layer.get_config(),
        "variables": layer.made,
        "frozen": frozen if layer.trainable else [],
    }


def network_config(network: Network) -> dict[str, Any]:
    """Return a network as a dict that JSON can hold; the weights are apart."""
    layers = [
        {"name": name, "takes": list(network.sources[name]), **layer_config(layer)}
        for name, layer in network.layers.items()
    ]
    return {
        "noisegate": VERSION,
        "layers": layers,
        "exits": list(network.exits),
        "shapes": {name: list(shape) for name, shape in network._entry_shapes.items()},
    }


class _Reader:
    """Makes layers of configs, with what the user gives for what is the user's own."""

    def __init__(self, custom: Mapping[str, Any]) -> None:
        self.custom, self.used = custom, set[int]()

    def network(self, config: Mapping[str, Any]) -> Network:
        made: dict[str, Layer] = {}
        sources: dict[Layer, tuple[Layer, ...]] = {}
        for entry in config["layers"]:
            layer = self.layer(entry)
            made[entry["name"]] = layer
            sources[layer] = tuple(made[name] for name in entry["takes"])
        known = {layer: name for name, layer in made.items()}
        network = Network(Graph(sources, tuple(made[n] for n in config["exits"])), known)
        if config["shapes"]:
            network.complete(*(tuple(config["shapes"][name]) for name in network.entries))
        for entry in config["layers"]:
            _finish(made[entry["name"]], entry)
        return network

    def layer(self, entry: Mapping[str, Any]) -> Layer:
        from .layers import LAYERS

        name, config = entry["class"], entry["config"]
        if name == "Network":
            return as_layer(self.network(config))
        if name == "custom":
            return self._module(config)
        if name not in LAYERS:
            raise InvalidValue(messages.unknown_class(name, list(LAYERS)))
        words = {n: self._decoded(f"`{config.get('name')}`", v) for n, v in config.items()}
        layer_name = words.pop("name", None)
        if name == "NoiseLayer":
            return LAYERS[name](words.pop("kind"), name=layer_name, **words)
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
        if "custom" in value:
            return self._custom(value["custom"], where)
        if "kind" in value:
            return kinds.from_config(dict(value))
        if "torch" in value:
            word = value["torch"]
            return getattr(torch, word) if hasattr(torch, word) else torch.device(word)
        if "array" in value:
            return np.asarray(value["array"])
        if "slice" in value:
            return slice(*value["slice"])
        if "schedule" in value:
            return schedule.from_config(value)
        return dict(value)


def _finish(layer: Layer, entry: Mapping[str, Any]) -> None:
    """Make the variables that a layer was given, and freeze what was frozen."""
    for name, made in entry.get("variables", {}).items():
        layer.variable(0.0, name, tuple(made["shape"]), made["trainable"])
    for name, parameter in layer.named_parameters() if entry.get("frozen") else ():
        parameter.requires_grad_(name not in entry["frozen"])


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
    return reader.network(config) if "layers" in config else reader.layer(config)
