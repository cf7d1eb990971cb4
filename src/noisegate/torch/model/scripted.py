"""Script modules: code that torch.jit compiled or traced, which calls no hooks on its way."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# The operators that are dropouts or have one inside, and which of their arguments is its rate.
_RATES = {
    **dict.fromkeys(("dropout", "dropout_", "native_dropout"), 1),
    **dict.fromkeys(("feature_dropout", "feature_dropout_"), 1),
    **dict.fromkeys(("alpha_dropout", "alpha_dropout_"), 1),
    **dict.fromkeys(("feature_alpha_dropout", "feature_alpha_dropout_"), 1),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), 5),
    "scaled_dot_product_attention": 4,
}
# Every port that a module inside might have.
_PORTS = ("in", "out", "pre", "dropout", "noise", "probs")


def is_scripted(module: nn.Module) -> bool:
    """Return whether a module is a script module, whose inner modules torch does not call."""
    return isinstance(module, torch.jit.ScriptModule)


def trains(module: nn.Module) -> bool:
    """Return whether a module is in training; a frozen script module, which has no mode, is not."""
    return bool(getattr(module, "training", False))


def find_sites_inside(path: str, module: nn.Module) -> list[str]:
    """Return the sites that a script module would have inside, were it an ordinary one."""
    found = []
    for name, inner in _walk_inside(path, module):
        weights = [weight for weight, _ in inner.named_parameters(recurse=False)]
        ports = [*_PORTS, *weights] if inner is not module else [*_PORTS[2:], *weights]
        found += [f"{name}:{port}" for port in ports]
    return found


def find_dropouts_inside(path: str, module: nn.Module) -> dict[str, str]:
    """Return the sites of the dropouts that a script module's code calls, and whose they are.

    A dropout is named by the innermost module whose code calls it.
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
    graph = module.inlined_graph  # held, since its nodes end with it
    if graph.findAllNodes("aten::bernoulli") or graph.findAllNodes("aten::bernoulli_"):
        return True
    rates = [
        list(node.inputs())[place].toIValue()  # None where only a call knows
        for operator, place in _RATES.items()
        for node in graph.findAllNodes(f"aten::{operator}")
    ]
    return any(rate is None or rate > 0 for rate in rates)
