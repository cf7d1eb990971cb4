"""Hook functions to a module's inputs and outputs, and to both ends of a model's forward."""

import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from noisegate.core.errors import InvalidType, InvalidValue

from ..compiling import (
    compiler_is_imported,
    compiler_looks_on,
    eager_only,
    never_compile_alone,
    run_eagerly,
)
from ..tracing import Unscriptable
from .instance_forward import walk_forwards
from .modules import SiteFunction, call_unwatched
from .protocols import PreActivation
from .scripted import is_scripted, trains
from .values import (
    describe_types,
    find_shape,
    holds_only_tokens,
    is_floating,
    name_parts,
    remove_tags,
    replace_part,
)


class Observer(Protocol):
    """Is told of the forwards of a model."""

    def begin(self, training: bool, shape: tuple[int, ...] | None, only_tokens: bool) -> None:
        """Begin a forward.

        It gets whether the model trains, the shape of the first input tensor, and whether all
        input tensors are whole numbers.
        """

    def begin_in_graph(
        self, training: bool, shape: tuple[int, ...] | None, only_tokens: bool
    ) -> None:
        """Begin a forward in code that a compiler traces."""

    def end(self, succeeded: bool) -> None:
        """End a forward; it may have failed."""

    def end_in_graph(self) -> None:
        """End a forward in code that a compiler traces."""


Remove = Callable[[], None]


def hook_before(module: nn.Module, hook: Any, **words: bool) -> Any:
    """Register a hook before a module's forward; return torch's handle."""
    # By nn.Module's method: a script module refuses the name, and calls the hooks all the same.
    handle = nn.Module.register_forward_pre_hook(module, hook, **words)
    flags = (module._forward_pre_hooks_with_kwargs,)
    return _renumber(handle, module._forward_pre_hooks, flags, words.get("prepend", False))


def hook_after(module: nn.Module, hook: Any, **words: bool) -> Any:
    """Register a hook after a module's forward; return torch's handle."""
    handle = nn.Module.register_forward_hook(module, hook, **words)
    flags = module._forward_hooks_with_kwargs, module._forward_hooks_always_called
    return _renumber(handle, module._forward_hooks, flags, words.get("prepend", False))


def _renumber(handle: Any, hooks: Any, flags: Any, first: bool) -> Any:
    """Give a hook a number that is free in its module; return torch's handle.

    torch numbers hooks across the process, and compiled code compares the numbers: each equal
    module, and each new model, would be compiled anew. torch's own numbers are positive.
    """
    number, old = -1, handle.id
    while number in hooks:
        number -= 1
    hooks[number] = hooks.pop(old)
    if first:
        hooks.move_to_end(number, last=False)
    for flag in flags:
        if old in flag:
            flag[number] = flag.pop(old)
    handle.id = number
    return handle


def attach_to_input(
    module: nn.Module, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's input; return the callable that removes it."""
    hook = _Before(site, part, function)
    return Undo(hook_before(module, hook, with_kwargs=True).remove, hook.retire)


def attach_to_output(
    module: nn.Module, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's output; return the callable that removes it."""
    hook = _After(site, part, function)
    return Undo(hook_after(module, hook).remove, hook.retire)


def attach_to_pre_activation(
    module: PreActivation, site: str, part: str | None, function: SiteFunction
) -> Remove:
    """Put a function at a module's pre-activation; return the callable that removes it."""
    hook = _After(site, part, function)
    return Undo(module.register_pre_activation_hook(hook).remove, hook.retire)


def watch_forward(model: nn.Module, observer: Observer) -> Remove:
    """Tell an observer of each forward of a model; return the callable that ends this."""
    # It begins before, and ends after, all hooks that are there now.
    first, last = _Begin(observer), _End(observer)
    before = hook_before(model, first, prepend=True, with_kwargs=True)
    after = hook_after(model, last, always_call=True)
    return Undo(before.remove, after.remove, first.retire, last.retire)


def watch_parts(model: nn.Module, begin: Callable[[str, bool], None]) -> Remove:
    """Call `begin` before each call of a part, with its path and whether the model trains.

    A part is a module that the model itself may call: a child, or a module in a child's list or
    dict. Returns the callable that removes the hooks.
    """
    hooks = [(part, _BeginPart(path, model, begin)) for path, part in _walk_parts(model)]
    removals = [hook_before(part, hook).remove for part, hook in hooks]
    return Undo(*removals, *(hook.retire for _, hook in hooks))


def _walk_parts(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in () if is_scripted(model) else model.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _walk_parts(child, f"{path}{name}.")
        else:
            yield f"{path}{name}", child


def find_handles(model: nn.Module) -> list[Any]:
    """Return the observers that were given to `watch_forward`, in that order."""
    hooks = model._forward_hooks.values()
    ends = [hook.function for hook in hooks if isinstance(hook, _End)]
    return [end for end in ends if not isinstance(end, _Gone)]


def find_all_handles(model: nn.Module) -> list[Any]:
    """Return the handles of all noise in a model and the modules inside it.

    The handle of a larger model is included if its noise sits at one of these modules.
    """
    found: list[Any] = []
    for module in model.modules():
        hooks: list[Any] = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        functions: list[Any] = [hook.function for hook in hooks if isinstance(hook, AtSite)]
        functions += [f for forward in walk_forwards(module) for f in forward.functions]
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


class Undo:
    """Several removals as one; unlike a closure, it is copied with a copied model."""

    def __init__(self, *removals: Callable[[], None]) -> None:
        self.removals = removals

    def __call__(self) -> None:
        """Remove all."""
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

    def begin(self, *args: Any) -> None:
        """Do nothing."""

    acts_in_graph = acts
    reach_in_graph = reach
    call_in_graph = begin_in_graph = end_in_graph = end = __call__ = begin


class _Hook(Unscriptable):
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

    def _do_nothing(self, module: nn.Module, args: Any) -> None:
        """Do nothing: which modules a graph calls is known when it is traced."""

    def __call__(self, module: nn.Module, args: Any) -> None:
        self.function(self.path, trains(self.model))

    __call__ = eager_only(__call__, _do_nothing)


class _Begin(_Hook):
    def __init__(self, observer: Observer) -> None:
        self.function = observer

    def __call__(self, module: nn.Module, args: Any, kwargs: Any = None) -> None:
        values = [*args, *(kwargs or {}).values()]
        given = trains(module), find_shape(values), holds_only_tokens(values)
        if not compiler_looks_on():
            self.function.begin(*given)
        elif torch.compiler.is_exporting():
            return  # a program keeps no steps, and noise that acts in one is refused
        elif torch.compiler.is_compiling():
            self.function.begin_in_graph(*given)
        else:
            _begin_outside(self.function, given)


def _begin_eagerly(observer: Observer, given: tuple[Any, ...]) -> None:
    observer.begin(*given)


_begin_outside = run_eagerly(_begin_eagerly)
never_compile_alone(_Begin.__call__)


class _End(_Hook):
    def __init__(self, observer: Observer) -> None:
        self.function = observer

    def _in_graph(self, module: nn.Module, args: Any, output: Any) -> None:
        if not torch.compiler.is_exporting():
            self.function.end_in_graph()
            remove_tags(output)

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.function.end(output is not None)
        if compiler_is_imported():
            remove_tags(output)

    __call__ = eager_only(__call__, _in_graph)


class AtSite(_Hook):
    """A hook of a function at a site."""

    def __init__(self, site: str, part: str | None, function: SiteFunction) -> None:
        self.site, self.part, self.function = site, part, function

    def add_noise(self, value: Any, function: Any = None) -> Any:
        """Return a module's inputs or outputs with noise on a tensor in them."""
        function = self.function if function is None else function
        if self.part is not None:
            return self._by_name(value, self.part, function)
        changed, done = _add_noise_within(value, function, self.function.every)
        if not done:
            raise InvalidType(
                f"inject: the site '{self.site}' must see a floating-point tensor, or a tuple, "
                f"list or dict that holds one; got {describe_types(value)}. Name a site after the "
                "embedding or the tensor's own module."
            )
        return changed

    def _by_name(self, value: Any, part: str, function: Any) -> Any:
        parts = name_parts(value)
        if not is_floating(parts.get(part)):
            known = [name for name, inner in parts.items() if is_floating(inner)]
            raise InvalidValue(
                f"inject: the site '{self.site}' sees no floating-point tensor called '{part}'; "
                f"it sees {', '.join(known) or 'none'}."
            )
        return replace_part(value, part, call_unwatched(function, parts[part]))


class _Before(AtSite):
    def _in_graph(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        self.function.reach_in_graph()
        if not self.function.acts_in_graph(trains(module)):
            return None
        return self._change(args, kwargs, self.function.call_in_graph)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any = None) -> Any:
        if not self.function.acts(trains(module)):
            return None
        return self._change(args, kwargs, self.function)

    __call__ = eager_only(__call__, _in_graph)

    def _change(self, args: Any, kwargs: Any, function: Any) -> Any:
        """Return a module's arguments with noise on them, in torch's form."""
        by_name = kwargs or {}
        given = {str(i): value for i, value in enumerate(args)} | by_name
        changed = list(self.add_noise(given, function).values())
        count = len(args)
        before = tuple(changed[:count])
        if kwargs is None:
            return before
        return before, dict(zip(by_name, changed[count:], strict=True))


class _After(AtSite):
    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        # `eager_only` written out: its wrapper would cost at every call of every site.
        if not compiler_looks_on():
            return self.add_noise_to_output(module, output)
        if not torch.compiler.is_compiling():
            return _outside(self, module, output)
        self.function.reach_in_graph()
        if not self.function.acts_in_graph(trains(module)):
            return None
        return self.add_noise(output, self.function.call_in_graph)

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
never_compile_alone(_After.__call__)


def _add_noise_within(
    value: Any, function: Callable[[Tensor], Tensor], every: bool
) -> tuple[Any, bool]:
    """Return a copy with noise on its floating tensors, and whether it has any.

    Noise is put on the first, or on `every` one of them.
    """
    if is_floating(value):
        return call_unwatched(function, value), True
    if not isinstance(value, Mapping | list | tuple):
        return value, False
    done = False
    names = list(value) if isinstance(value, Mapping) else range(len(value))
    for name in names:
        inner, found = _add_noise_within(value[name], function, every)
        if found:
            value, done = replace_part(value, str(name), inner), True
            if not every:
                break
    return value, done
