"""Run layers with everything before them, as Lasagne's `get_output` does."""

from collections.abc import Mapping
from typing import Any

from noisegate.core import checks
from noisegate.core.errors import InvalidValue, prefix_errors

from .graph import graph_behind, unite
from .network import Network
from .noise_mode import read_mode, shows_mode


@shows_mode
@checks.check_call("get_output")
def get_output(layer_or_layers: Any, inputs: Any = None, *, mask: Any = None, **mode: Any) -> Any:
    """Return the output of layers, with noise unless ``deterministic=True``, as Lasagne does.

    Parameters
    ----------
    layer_or_layers : Layer, Network, or a list of layers
        Several outputs come from one forward pass, with one noise.
    inputs : tensor, array, dict of layer to tensor, or None
        What enters; None takes each Input's `input_var`.
    mask : tensor of bool, optional
        Of shape (samples, time): False where a time step is padding.
    deterministic : bool
        Whether noise is off; False, unless it is said.
    """
    with prefix_errors("get_output"):
        training = read_mode(mode, True)
    many = isinstance(layer_or_layers, list | tuple)
    wanted = list(layer_or_layers) if many else [layer_or_layers]
    if not many and isinstance(layer_or_layers, Network):
        network, wanted = layer_or_layers, list(layer_or_layers.exits)
    else:
        graph = unite([graph_behind(layer) for layer in wanted])
        known = {layer: layer.network_name for layer in graph.sources if layer.network_name}
        # Layers of different networks may have one name; then all are named anew.
        unique = len(set(known.values())) == len(known)
        network = Network(graph, known if unique else None, adopt=False)
    found = network.outputs(wanted, *_inputs_of(network, inputs), mask=mask, training=training)
    return found if many or len(found) > 1 else found[0]


def _inputs_of(network: Network, inputs: Any) -> list[Any]:
    entries = [network.layers[name] for name in network.entries]
    if isinstance(inputs, Mapping):
        with prefix_errors("get_output"):
            return list(network._sort_inputs([inputs]))
    if inputs is None:
        found = [layer.arguments.get("input_var") for layer in entries]
    else:
        found = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    for layer, value in zip(entries, found, strict=False):
        if value is None:
            raise InvalidValue(
                f"get_output: {layer.shown} has no input. Give `inputs`, a tensor or a dict of "
                "layer to tensor, or Input(..., input_var=tensor)."
            )
    return found
