"""The sites in torch's recurrent modules, those that such a module lacks, and who may have more."""

from collections.abc import Iterator

from torch import nn
from torch.fx import GraphModule

from noisegate.core.patterns import CELL, LAYERS, STATE, own_site

from .paths import unwrap
from .scripted import is_scripted


def find_recurrent(path: str, module: nn.Module) -> list[str]:
    """Return the sites in the recurrence of a module of torch's."""
    inner = unwrap(module)
    if is_scripted(module) or not isinstance(inner, nn.RNNBase | nn.RNNCellBase):
        return []
    has_cell = isinstance(inner, nn.LSTM | nn.LSTMCell)
    stacked = isinstance(inner, nn.RNNBase) and inner.num_layers > 1
    ports = [STATE] + [CELL] * has_cell + [LAYERS] * stacked
    return [own_site(path, port, 0) for port in ports]


def find_lacking(path: str, module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the sites that a recurrent module of torch's lacks, and why."""
    inner, name = unwrap(module), type(unwrap(module)).__name__
    if is_scripted(module) or not isinstance(inner, nn.RNNBase | nn.RNNCellBase):
        return
    if not isinstance(inner, nn.LSTM | nn.LSTMCell):
        yield f"{path}:{CELL}", f"this {name} carries on the state alone. Name '{path}:{STATE}'."
    remedy = f"and the place is between two. Name '{path}:out' for its output."
    if isinstance(inner, nn.RNNCellBase) or inner.num_layers == 1:
        yield f"{path}:{LAYERS}", f"this {name} has one layer, {remedy}"


def may_compute_states(module: nn.Module) -> bool:
    """Return whether a module's own code may call torch's recurrent functions."""
    inner = unwrap(module)
    home = type(inner).__module__.partition(".")[0]
    known = home in ("torch", "noisegate") and not isinstance(inner, GraphModule)
    return not (known or isinstance(inner, nn.RNNBase | nn.RNNCellBase))
