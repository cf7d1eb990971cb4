"""Script modules: code that torch.jit has compiled or traced, and that calls no inner hooks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from noisegate.core.patterns import ATTENTION_PORTS

# The operators that are a dropout or contain one, with the position of the rate in their arguments.
_RATES = {
    **dict.fromkeys(("dropout", "dropout_", "native_dropout"), 1),
    **dict.fromkeys(("feature_dropout", "feature_dropout_"), 1),
    **dict.fromkeys(("alpha_dropout", "alpha_dropout_"), 1),
    **dict.fromkeys(("feature_alpha_dropout", "feature_alpha_dropout_"), 1),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), 5),
    "scaled_dot_product_attention": 4,
}
# All ports that an inner module might have.
_PORTS = ("in", "out", "pre", "dropout", "noise", *ATTENTION_PORTS)


def is_scripted(module: nn.Module) -> bool:
    """Return whether a module is a script module, whose code runs without its inner modules."""
    return isinstance(module, torch.jit.ScriptModule)


def trains(module: nn.Module) -> bool:
    """Return whether a module trains; a frozen script module has no mode and does not."""
    return bool(getattr(module, "training", False))


def find_sites_inside(path: str, module: nn.Module) -> list[str]:
    """Return the sites that a script module would have inside if it were an ordinary module."""
    found = []
    for name, inner in _walk_inside(path, module):
        weights = [weight for weight, _ in inner.named_parameters(recurse=False)]
        # The module's own input and output can be reached by hooks.
        ports = [*_PORTS, *weights] if inner is not module else [*_PORTS[2:], *weights]
        found += [f"{name}:{port}" for port in ports]
    return found


def find_dropouts_inside(path: str, module: nn.Module) -> dict[str, str]:
    """Return the sites of the dropouts in a script module's code, with words that describe each.

    A dropout's site is at the innermost module whose code calls it.
    """
    found = {name: inner for name, inner in _walk_inside(path, module) if _has_dropout(inner)}
    return {
        f"{name}:dropout": f"{getattr(inner, 'original_name', 'code')} in a script module"
        for name, inner in found.items()
        if not any(other.startswith(f"{name}." if name else "") for other in found.keys() - {name})
    }


def _walk_inside(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield a script module and those inside it, with their paths in the model."""
    for name, inner in module.named_modules():
        yield ".".join(part for part in (path, name) if part), inner


def _has_dropout(module: Any) -> bool:
    if not module._c._has_method("forward"):
        return False
    graph = module.inlined_graph  # a name keeps it alive, and with it its nodes
    if graph.findAllNodes("aten::bernoulli") or graph.findAllNodes("aten::bernoulli_"):
        return True
    rates = [
        list(node.inputs())[place].toIValue()  # None if the rate is no constant of the graph
        for operator, place in _RATES.items()
        for node in graph.findAllNodes(f"aten::{operator}")
    ]
    return any(rate is None or rate > 0 for rate in rates)
