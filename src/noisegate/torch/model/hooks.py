"""Hook functions to a module's inputs and outputs, and to both ends of a model's forward."""

import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from noisegate.core.errors import InvalidType, InvalidValue

from ..compiling import compiler_looks_on, eager_only, run_eagerly
from .modules import OwnForward, SiteFunction, call_unwatched
from .protocols import PreActivation
from .scripted import is_scripted, trains
from .values import (
    describe_types,
    find_shape,
    holds_only_tokens,
    is_floating,
    name_parts,
    replace_part,
)

# Called when a forward begins: whether the model trains, the shape of the first tensor, and whether
# all tensors are tokens.
Begin = Callable[[bool, tuple[int, ...] | None, bool], None]
Remove = Callable[[], None]


def hook_before(module: nn.Module, hook: Any, **words: bool) -> Any:
    """Register a hook before a module's forward; return torch's handle."""
    # By nn.Module's method: a script module refuses the name, and calls the hooks all the same.
    return nn.Module.register_forward_pre_hook(module, hook, **words)


def hook_after(module: nn.Module, hook: Any, **words: bool) -> Any:
    """Register a hook after a module's forward; return torch's handle."""
    return nn.Module.register_forward_hook(module, hook, **words)


def attach_to_input(
    module: nn.Module, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's input; return the callable that removes it."""
    hook = _Before(site, part, function)
    return _Undo(hook_before(module, hook, with_kwargs=True).remove, hook.retire)


def attach_to_output(
    module: nn.Module, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's output; return the callable that removes it."""
    hook = _After(site, part, function)
    return _Undo(hook_after(module, hook).remove, hook.retire)


def attach_to_pre_activation(
    module: PreActivation, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's pre-activation; return the callable that removes it."""
    hook = _After(site, part, function)
    return _Undo(module.register_pre_activation_hook(hook).remove, hook.retire)


def watch_forward(model: nn.Module, begin: Begin, end: Callable[[bool], None]) -> Remove:
    """Call `begin` before each forward of a model, and `end` after it.

    `begin` gets whether the model trains, the shape of the first input tensor, and whether all
    input tensors are whole numbers. `end` gets whether the forward succeeded; it is called after a
    failed one too. Returns the callable that removes both.
    """
    # `begin` runs before, and `end` after, all hooks that are there now.
    first, last = _Begin(begin), _End(end)
    before = hook_before(model, first, prepend=True, with_kwargs=True)
    after = hook_after(model, last, always_call=True)
    return _Undo(before.remove, after.remove, first.retire, last.retire)


def watch_parts(model: nn.Module, begin: Callable[[str, bool], None]) -> Remove:
    """Call `begin` before each call of a part, with its path and whether the model trains.

    A part is a module that the model itself may call: a child, or a module in a child's list or
    dict. Returns the callable that removes the hooks.
    """
    hooks = [(part, _BeginPart(path, model, begin)) for path, part in _walk_parts(model)]
    removals = [hook_before(part, hook).remove for part, hook in hooks]
    return _Undo(*removals, *(hook.retire for _, hook in hooks))


def _walk_parts(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in () if is_scripted(model) else model.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _walk_parts(child, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def find_handles(model: nn.Module) -> list[Any]:
    """Return the handles whose methods were given to `watch_forward`, in that order."""
    hooks = model._forward_hooks.values()
    ends = [hook.function for hook in hooks if isinstance(hook, _End)]
    return [getattr(end, "__self__", end) for end in ends if not isinstance(end, _Gone)]


def find_all_handles(model: nn.Module) -> list[Any]:
    """Return the handles of all noise in a model and the modules inside it.

    The handle of a larger model is included if its noise sits at one of these modules.
    """
    found: list[Any] = []
    for module in model.modules():
        hooks: list[Any] = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        functions: list[Any] = [hook.function for hook in hooks if isinstance(hook, _At)]
        forward = module.__dict__.get("forward")
        functions += forward.functions if isinstance(forward, OwnForward) else []
        found += find_handles(module)
        found += [function.injection for function in functions if hasattr(function, "injection")]
    return list({id(handle): handle for handle in found}.values())


# A frame of this code on the stack is a running call of a module.
_CALL = nn.Module._call_impl.__code__


def count_running(model: nn.Module) -> int:
    """Return how many calls of a model are on the stack."""
    return count_calls(inspect.currentframe(), {id(model)})


def count_calls(frame: Any, modules: Container[int]) -> int:
    """Return how many calls of modules with the given ids are on the stack of a frame."""
    count = 0
    while frame is not None:
        if frame.f_code is _CALL and id(frame.f_locals.get("self")) in modules:
            count += 1
        frame = frame.f_back
    return count


class _Undo:
    """Several removals as one; unlike a closure, it is copied with a copied model."""

    def __init__(self, *removals: Callable[[], None]) -> None:
        self.removals = removals

    def __call__(self) -> None:
        for remove in self.removals:
            remove()


class _Gone:
    """The inert function of a retired hook.

    Code that swaps a module for another, such as quantization, moves its hooks. torch's handle of
    a hook then no longer finds it, so removing it by the handle is not enough.
    """

    every, silent = False, True

    def reach(self) -> None:
        """Do nothing."""

    def acts(self, training: bool, call: Any = None) -> bool:
        """Return False."""
        return False

    def __call__(self, *args: Any) -> None:
        """Do nothing."""


class _Hook:
    """A hook that can be made inert wherever it was moved to."""

    function: Any

    def retire(self) -> None:
        """Make the hook inert."""
        self.function = _Gone()


# Hooks run outside of compiled graphs, which would hold a step, a Python number, as a constant.
# `kwargs` is None where torch has lost the flag `with_kwargs` of a hook: if another thread has
# removed the hook, or quantization has moved it.


class _BeginPart(_Hook):
    def __init__(self, path: str, model: nn.Module, function: Callable[[str, bool], None]) -> None:
        self.path, self.model, self.function = path, model, function

    @eager_only
    def __call__(self, module: nn.Module, args: Any) -> None:
        self.function(self.path, trains(self.model))


class _Begin(_Hook):
    def __init__(self, function: Begin) -> None:
        self.function = function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, kwargs: Any = None) -> None:
        values = [*args, *(kwargs or {}).values()]
        self.function(trains(module), find_shape(values), holds_only_tokens(values))


class _End(_Hook):
    def __init__(self, function: Callable[[bool], None]) -> None:
        self.function = function

    @eager_only
    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.function(output is not None)


class _At(_Hook):
    def __init__(self, site: str, part: str | None, function: SiteFunction) -> None:
        self.site, self.part, self.function = site, part, function

    def add_noise(self, value: Any) -> Any:
        """Return a module's inputs or outputs with noise on a tensor in them."""
        if self.part is not None:
            return self._by_name(value, self.part)
        changed, done = _add_noise_within(value, self.function)
        if not done:
            raise InvalidType(
                f"inject: the site '{self.site}' must see a floating-point tensor, or a tuple, "
                f"list or dict that holds one; got {describe_types(value)}. Name a site after the "
                "embedding or the tensor's own module."
            )
        return changed

    def _by_name(self, value: Any, part: str) -> Any:
        parts = name_parts(value)
        if not is_floating(parts.get(part)):
            known = [name for name, inner in parts.items() if is_floating(inner)]
            raise InvalidValue(
                f"inject: the site '{self.site}' sees no floating-point tensor called '{part}'; "
                f"it sees {', '.join(known) or 'none'}."
            )
        return replace_part(value, part, call_unwatched(self.function, parts[part]))


class _Before(_At):
    @eager_only
    def __call__(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        if not self.function.acts(trains(module)):
            return None
        by_name = kwargs or {}
        given = {str(i): value for i, value in enumerate(args)} | by_name
        changed = list(self.add_noise(given).values())
        count = len(args)
        before = tuple(changed[:count])
        if kwargs is None:
            return before
        return before, dict(zip(by_name, changed[count:], strict=True))


class _After(_At):
    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        # `eager_only` written out: its wrapper would cost at every call of every site.
        outside = compiler_looks_on()
        return (
            _outside(self, module, output) if outside else self.add_noise_to_output(module, output)
        )

    def add_noise_to_output(self, module: nn.Module, output: Any) -> Any:
        """Return a module's output with noise on it, or None if the function does not act."""
        function = self.function
        if not function.acts(trains(module)):
            return None
        # The usual case without the search for a tensor; below, a watching mode is kept out.
        if self.part is None and is_floating(output) and not torch._C._len_torch_function_stack():
            return function(output)
        return self.add_noise(output)


_outside = run_eagerly(_After.add_noise_to_output)


def _add_noise_within(value: Any, function: SiteFunction) -> tuple[Any, bool]:
    """Return a copy with noise on its floating tensors, and whether it has any.

    Noise is put on the first, or on all of them if the function acts on `every` one.
    """
    if is_floating(value):
        return call_unwatched(function, value), True
    if not isinstance(value, Mapping | list | tuple):
        return value, False
    done = False
    names = list(value) if isinstance(value, Mapping) else range(len(value))
    for name in names:
        inner, found = _add_noise_within(value[name], function)
        if found:
            value, done = replace_part(value, str(name), inner), True
            if not function.every:
                break
    return value, done
