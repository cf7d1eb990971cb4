"""What injection needs of PyTorch: a model's sites, hooks at them, and its forward passes."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from noisegate.core import messages
from noisegate.core.errors import InvalidType

from .functional import eager_only

Function = Callable[[Any], Any]


def sites(model: nn.Module) -> list[str]:
    """Return the sites of a model: the input and the output of every module, by its path."""
    return [f"{path}:{port}" for path, _ in model.named_modules() for port in ("in", "out")]


def attach(model: nn.Module, site: str, function: Function) -> Callable[[], None]:
    """Put a function of one tensor at a site, while its module trains; return how to undo it."""
    path, _, port = site.rpartition(":")
    module = model.get_submodule(path)
    if port == "in":
        before = _Before(site, function)
        return module.register_forward_pre_hook(before, with_kwargs=True).remove
    return module.register_forward_hook(_After(site, function)).remove


def on_forward(
    model: nn.Module, begin: Callable[[bool, int | None], None], end: Callable[[], None]
) -> Callable[[], None]:
    """Call `begin` with the model's mode and batch before each forward, and `end` after it.

    `end` is called after a failed forward too. Returns how to undo both.
    """
    before = model.register_forward_pre_hook(_Begin(begin), prepend=True, with_kwargs=True)
    after = model.register_forward_hook(_End(end), always_call=True)
    return _Undo(before.remove, after.remove)


def handles(model: nn.Module) -> list[Any]:
    """Return what was given to `on_forward`, in the order in which it was put in."""
    hooks = model._forward_hooks.values()
    ends = [hook.function for hook in hooks if isinstance(hook, _End)]
    return [getattr(end, "__self__", end) for end in ends]


class _Undo:
    """Several removals as one, which a copied model copies."""

    def __init__(self, *removals: Callable[[], None]) -> None:
        self.removals = removals

    def __call__(self) -> None:
        for remove in self.removals:
            remove()


# Hooks run outside of a compiled graph: a step is a Python number, and would be compiled in.


class _Begin:
    def __init__(self, function: Callable[[bool, int | None], None]) -> None:
        self.function = function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.function(module.training, _batch([*args, *kwargs.values()]))


class _End:
    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.function()


def _batch(values: list[Any]) -> int | None:
    """Return the extent of the first axis of the first tensor, also within what is given."""
    for value in values:
        if isinstance(value, Tensor) and value.ndim:
            return int(value.shape[0])
        if isinstance(value, Mapping | list | tuple):
            within = _batch(list(value.values() if isinstance(value, Mapping) else value))
            if within is not None:
                return within
    return None


class _Before:
    def __init__(self, site: str, function: Function) -> None:
        self.site, self.function = site, function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        if not module.training:
            return None
        given = [*args, *kwargs.values()]
        changed = _on_first_tensor(self.site, given, self.function)
        count = len(args)
        return tuple(changed[:count]), dict(zip(kwargs, changed[count:], strict=True))


class _After:
    def __init__(self, site: str, function: Function) -> None:
        self.site, self.function = site, function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if not module.training:
            return None
        if isinstance(output, Tensor):
            return _on_first_tensor(self.site, [output], self.function)[0]
        if type(output) in (tuple, list):
            return type(output)(_on_first_tensor(self.site, list(output), self.function))
        raise InvalidType(messages.no_tensor(self.site, type(output).__name__))


def _on_first_tensor(site: str, values: list[Any], function: Function) -> list[Any]:
    """Return the values with the first floating-point tensor replaced by its image."""
    for i, value in enumerate(values):
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
            return [*values[:i], function(value), *values[i + 1 :]]
    seen = ", ".join(_described(value) for value in values) or "nothing"
    raise InvalidType(messages.no_tensor(site, seen))


def _described(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
