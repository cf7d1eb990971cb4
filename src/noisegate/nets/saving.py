"""Networks in one file: weights as safetensors, the config in its header."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from noisegate.core.errors import InvalidValue
from noisegate.torch.generators import TORCH, keep_states

from .config import Reader, list_customs
from .to_json import save_error
from .wiring import Wiring

_HEADER = "noisegate"


def save(network: Any, path: Any, network_class: Callable[..., Wiring]) -> None:
    """Write a network to one file of weights and config, without code that runs on loading.

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
            raise save_error("the network", name, value)
        # Shared tensors are written once per name, since safetensors refuses shared memory.
        weights[name] = value.detach().cpu().contiguous().clone()
    text = json.dumps(network.get_config())
    with keep_states(TORCH):
        again: Any = Reader(network_class, list_customs(network)).read(json.loads(text))
    unbuilt = next((n for n, layer in again.layers.items() if not layer.built), None)
    if unbuilt is not None:
        raise save_error(f"`{unbuilt}`", "input_shape", None)
    if json.dumps(again.get_config()) != text:
        raise save_error("the network", "config", "another after loading")
    data = to_bytes(weights, metadata={_HEADER: text})
    # Renamed into place, so that no reader finds half a file.
    target = Path(path)
    beside = target.with_name(f".{target.name}.part")
    beside.write_bytes(data)
    beside.replace(target)


def read_file(path: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config and the weights of a file; raise if `save` did not write it."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _no_network(path, str(error)) from None
    if text is None:
        raise _no_network(path, "it has no config")
    return json.loads(text), weights


def _no_network(path: object, reason: str) -> InvalidValue:
    return InvalidValue(f"load: {path} is no network of noisegate: {reason}.")
