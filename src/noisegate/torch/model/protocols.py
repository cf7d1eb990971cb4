"""Base classes of modules that declare the places for noise inside them."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from noisegate.core.kind import Kind


class PreActivation(nn.Module):
    """A module whose pre-activation is a place for noise: the port `pre`.

    Its forward passes the activation's input through `pre`, and continues with the result.
    """

    has_pre = True

    def pre(self, z: Tensor) -> Tensor:
        """Return the activation's input, changed by the functions that were put there."""
        for function in self.__dict__.get("_at_pre", {}).values():
            changed = function(self, (), z)
            z = z if changed is None else changed
        return z

    def register_pre_activation_hook(
        self, function: Callable[[nn.Module, Any, Tensor], Tensor | None]
    ) -> RemovableHandle:
        """Call ``function(module, (), z)`` at the pre-activation; return a handle to remove it."""
        hooks = self.__dict__.setdefault("_at_pre", OrderedDict())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = function
        return handle


class Composed(nn.Module):
    """A model that names its own input, hidden outputs and output.

    Attributes
    ----------
    roles : mapping of str to tuple of str
        The sites that `input`, `hidden` and `output` mean, by paths within the model.
    own_names : mapping of str to str
        Other names of the model's own input and output, such as ``in:out`` for ``:in``.
    inner : tuple of str
        Paths of modules that another module runs in pieces, so their calls are no sites.
    """

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The sites that the words `input`, `hidden` and `output` mean."""
        raise NotImplementedError

    @property
    def own_names(self) -> Mapping[str, str]:
        """Other names of the model's own input and output."""
        return {}

    @property
    def inner(self) -> tuple[str, ...]:
        """Paths of modules that another module runs in pieces."""
        return ()


class OwnStates(nn.Module):
    """A recurrent layer that has noise on its states, or between its layers, by itself."""

    @property
    def own_states(self) -> Mapping[str, Kind]:
        """The noise by port: `state`, `cell` or `layers`."""
        return {}
