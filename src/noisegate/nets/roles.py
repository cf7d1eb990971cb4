"""Which outputs of a network are hidden: the activated output of every weighted layer."""

from collections.abc import Mapping

from torch import nn

from noisegate.torch.model.discover import is_activation

from .layer import Layer
from .layers.dense import DenseLayer
from .layers.structure import Wrapped
from .layers.torch_layers import TorchLayer


def is_weighted(layer: Layer) -> bool:
    """Return whether a layer has a matrix of weights that its input is multiplied by."""
    inner = getattr(layer, "steps", None)
    if inner is not None:
        return is_weighted(inner)
    if isinstance(layer, Wrapped):
        modules = [m for m in layer.module.modules() if not isinstance(m, nn.Embedding)]
        return any(p.ndim > 1 for m in modules for p in m.parameters(recurse=False))
    if isinstance(layer, DenseLayer):
        return layer.units is not None
    return isinstance(layer, TorchLayer) and layer.row.weighted


def activates(layer: Layer) -> bool:
    """Return whether a layer is an activation, and no more."""
    if isinstance(layer, Wrapped):
        return is_activation(layer.module)
    return isinstance(layer, DenseLayer) and layer.units is None


def _is_between(layer: Layer) -> bool:
    """Return whether a layer may stand between a weighted one and its activation."""
    if layer.is_noise:
        return True
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    return isinstance(layer.module if isinstance(layer, Wrapped) else layer, norms)


def hidden_sites(
    layers: Mapping[str, Layer], sources: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the sites that the word `hidden` means."""
    weighted = [name for name, layer in layers.items() if is_weighted(layer)]
    takers: dict[str, list[str]] = {name: [] for name in layers}
    for name, behind in sources.items():
        for source in behind:
            takers[source].append(name)
    before = {name for name in weighted if _leads_to(name, set(weighted), takers)}
    found = (_activated(name, layers, takers) for name in weighted if name in before)
    return tuple(dict.fromkeys(f"{name}:out" for name in found))


def _leads_to(name: str, weighted: set[str], takers: Mapping[str, list[str]]) -> bool:
    """Return whether another layer with weights comes after one: it is not a last one then."""
    return any(t in weighted or _leads_to(t, weighted, takers) for t in takers[name])


def _activated(name: str, layers: Mapping[str, Layer], takers: Mapping[str, list[str]]) -> str:
    """Return the activation that follows a layer, or the layer itself."""
    place, layer = name, layers[name]
    if isinstance(layer, DenseLayer) and not layer.is_linear:
        return name
    while len(takers[place]) == 1:
        place = takers[place][0]
        if activates(layers[place]):
            return place
        if not _is_between(layers[place]):
            break
    return name
