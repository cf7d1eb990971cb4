"""Networks in one file: weights in safetensors, the config in its header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from noisegate.core import checks
from noisegate.core.errors import InvalidValue

from . import messages
from .config import customs, from_config, network_config, share
from .network import Network

_HEADER = "noisegate"


def save(network: Network, path: Any) -> None:
    """Write a network to one file: weights and config, nothing that runs when it is read.

    Raises
    ------
    InvalidValue
        If the network is open, or something in it could not be loaded again; then nothing is
        written.
    """
    network._refuse_open("save")
    weights: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise InvalidValue(messages.not_saved("the network", name, value))
        # Tensors that share memory are written twice, since loading shares them again.
        weights[name] = value.detach().cpu().contiguous().clone()
    config = network_config(network)
    text = json.dumps(config)
    with torch.random.fork_rng(devices=[]):
        again = from_config(json.loads(text), customs(network))
    unbuilt = next((n for n, layer in again.layers.items() if not layer.built), None)
    if unbuilt is not None:
        raise InvalidValue(messages.not_saved(f"`{unbuilt}`", "input_shape", None))
    if json.dumps(network_config(again)) != text:
        raise InvalidValue(messages.not_saved("the network", "config", "another after loading"))
    data = serialized(weights, metadata={_HEADER: text})
    target = Path(path)
    beside = target.with_name(f".{target.name}.part")
    beside.write_bytes(data)
    beside.replace(target)


@checks.known_keywords("load")
def load(path: Any, custom: Mapping[str, Any] | None = None) -> Network:
    """Return the network of a file.

    Parameters
    ----------
    path : path-like
        What `save` wrote.
    custom : dict of str to object, optional
        The user's own callables and modules, by the names that the file has for them; a module
        may be one, or a class or function that is called for it. Nothing else is ever imported.

    Raises
    ------
    InvalidValue
        If the file is none that `save` wrote, or something of the user's own is not given.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InvalidValue(messages.no_network_file(path, str(error))) from None
    if text is None:
        raise InvalidValue(messages.no_network_file(path, "it has no config"))
    network: Network = from_config(json.loads(text), custom)
    try:
        network.load_state_dict(weights, assign=True)
        share(network, json.loads(text).get("shared", {}))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InvalidValue(messages.bad_weights(path, reason)) from None
    return network
