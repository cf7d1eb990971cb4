"""Modules that say themselves where their noise goes: what a face knows of composed networks."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class PreActivation(nn.Module):
    """A module whose pre-activation is a place for noise: the port `pre`.

    Its forward calls `pre` with what enters its activation, and goes on with what that returns.
    """

    has_pre = True

    def pre(self, z: Tensor) -> Tensor:
        """Return what enters the activation, after whatever was put there."""
        for function in self.__dict__.get("_at_pre", {}).values():
            changed = function(self, (), z)
            z = z if changed is None else changed
        return z

    def register_pre_activation_hook(
        self, function: Callable[[nn.Module, Any, Tensor], Tensor | None]
    ) -> RemovableHandle:
        """Put ``function(module, (), z)`` at the pre-activation; return how to remove it."""
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
        Sites that are the model's own input or output, by another name: ``in:out`` to ``:in``.
    inner : tuple of str
        Paths of modules that a module of the model calls piece by piece: no places for noise.
    """

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """The sites that the words `input`, `hidden` and `output` mean."""
        raise NotImplementedError

    @property
    def own_names(self) -> Mapping[str, str]:
        """The model's own input and output by other names."""
        return {}

    @property
    def inner(self) -> tuple[str, ...]:
        """Paths of modules that are called piece by piece."""
        return ()
