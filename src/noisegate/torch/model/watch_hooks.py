"""The hooks and the mode of a watch on a model's function calls, and what runs in its forwards."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from noisegate.core import checks
from noisegate.core.patterns import own_site

from ..compiling import compiler_looks_on, eager_only, never_compile_alone
from ..tracing import Unscriptable
from .draw_watch import DrawWatch, make_draw, may_draw, name_class
from .eager_attention import mark_dropped
from .handlers import DRAWS, HANDLERS, SILENT
from .replacing import make_call
from .scripted import trains


@dataclass
class ModuleFrame:
    """A running call of a module, with the number of noises that it has made at each port.

    A module is `known` if it is a noise itself, or is known to make noise inside. The functions
    that a known module calls are not sites.
    """

    # Has the module's path, and whether it is known.
    hook: "_WatchHook"
    training: bool
    # None in graphs: a compiler would know the module by two names.
    module: nn.Module | None = None
    counts: dict[str, int] = field(default_factory=dict)
    # Whether it has multiplied two tensors, as an attention does before its softmax.
    multiplies: bool = False

    @property
    def path(self) -> str:
        """The module's path."""
        return self.hook.path

    @property
    def known(self) -> bool:
        """Whether the module is a noise itself, or known to make noise inside."""
        return self.hook.known

    def name_next(self, port: str) -> str:
        """Return the name of the next site of a port."""
        return own_site(self.path, port, self.count_next(port))

    def count_next(self, port: str) -> int:
        """Return the number of the next noise at a port, and count it."""
        number = self.counts.get(port, 0)
        self.counts[port] = number + 1
        return number

    def copy(self) -> "ModuleFrame":
        """Return a copy with counts of its own."""
        return replace(self, counts=dict(self.counts))


@dataclass
class WatchedThread:
    """The watch in one thread: a mode for each running forward, and the module calls in them.

    `modes` pairs each mode with the number of frames that were there before it. `draws` watches
    the generators from the beginning of the outermost forward to its end.
    """

    modes: list[tuple[TorchFunctionMode, int]] = field(default_factory=list)
    frames: list[ModuleFrame] = field(default_factory=list)
    draws: DrawWatch | None = None
    # The function of torch's that was called last, by which draws are named.
    function: Any = None
    # How many functions that make noise are handled now: what they draw is no draw of its own.
    handles: int = 0


def name_attribute(port: str) -> str:
    """Return the name of an attribute for a port with or without a number."""
    return port.removeprefix(":").replace(".", "_")


@checks.at_trace_time
def may_draw_in_graph(function: Any) -> bool:
    """Return `may_draw`, in code that a compiler traces."""
    return may_draw(function)


class _WatchHook(Unscriptable):
    def __init__(
        self, watch: Any, path: str = "", known: bool = False, module: nn.Module | None = None
    ) -> None:
        self.watch, self.path, self.known, self.module = watch, path, known, module
        self.sites = watch.places.setdefault(path, SimpleNamespace())

    @checks.at_trace_time
    def note_in_graph(self, port: str, *given: Any) -> None:
        """Tell all listeners of a function that makes noise in the module."""
        call = make_call(*given)
        for listener in self.watch.listeners:
            listener.note_site(f"{self.path}{port}", call)

    @checks.at_trace_time
    def plan_in_graph(self, port: str, *given: Any) -> list[Any]:
        """Return how graphs apply each function at one of the module's sites."""
        call, rank = make_call(*given), given[3]
        functions = self.watch.functions.get(f"{self.path}{port}", [])
        for function in functions:
            function.reach_in_graph()
        return [function.plan_in_graph(call, rank) for function in functions]

    @checks.at_trace_time
    def note_draw_in_graph(self, function: Any) -> None:
        """Tell all listeners of a function that draws in the module."""
        draw = make_draw(self.path, name_class(cast(nn.Module, self.module)), self.known, function)
        for listener in self.watch.listeners:
            listener.note_draw(draw)


def _is_left_alone(module: nn.Module) -> bool:
    """Return whether a program of a module in evaluation is made, in which no noise acts."""
    return torch.compiler.is_exporting() and not trains(module)


class Enter(_WatchHook):
    """Begins to watch a forward of the model."""

    def _in_graph(self, module: nn.Module, args: Any) -> None:
        if torch.compiler.is_exporting() and trains(module):
            # Here, since an error further down would leave the mode: no hook is called then.
            for listener in self.watch.listeners:
                listener.refuse_export()
        if not _is_left_alone(module):
            self.watch.enter_in_graph(self, trains(module))

    def __call__(self, module: nn.Module, args: Any) -> None:
        """Do so, outside of graphs."""
        self.watch.begin()

    __call__ = eager_only(__call__, _in_graph)


class Leave(_WatchHook):
    """Ends it."""

    def _in_graph(self, module: nn.Module, args: Any, output: Any) -> None:
        if not _is_left_alone(module):
            self.watch.leave_in_graph()

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Do so, outside of graphs."""
        self.watch.end(output is not None)

    __call__ = eager_only(__call__, _in_graph)


class Push(_WatchHook):
    """Notes that a module's call begins."""

    def _in_graph(self, module: nn.Module, args: Any) -> None:
        here = getattr(self.watch.local, "thread", None)
        if here is not None and not _is_left_alone(module):
            here.frames.append(ModuleFrame(self, trains(module)))

    def __call__(self, module: nn.Module, args: Any) -> None:
        """Do so, outside of graphs."""
        if self.watch.modes:
            self.watch.look()
            self.watch.frames.append(ModuleFrame(self, trains(module), module))
        elif vars(self.sites) and trains(module):
            # Nothing watches the functions: a backward may compute them again, or torch.fx trace.
            for function in (one for those in vars(self.sites).values() for one in those):
                function.refuse_unwatched(args[0] if args else None)

    __call__ = eager_only(__call__, _in_graph)


class Pop(_WatchHook):
    """Notes that it ends."""

    def _in_graph(self, module: nn.Module, args: Any, output: Any) -> None:
        here = getattr(self.watch.local, "thread", None)
        if here is not None and not _is_left_alone(module):
            here.frames.pop()
            self._pass_mark_on(args, output)

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Do so, outside of graphs."""
        if self.watch.frames:
            self.watch.look()
            self.watch.frames.pop()
            self._pass_mark_on(args, output)

    def _pass_mark_on(self, args: Any, output: Any) -> None:
        """Mark what a dropout module returns for probabilities."""
        if self.known and args and isinstance(args[0], Tensor):
            mark_dropped(args[0], output)

    __call__ = eager_only(__call__, _in_graph)


# What a compiler calls `torch.utils.checkpoint.checkpoint`.
_CHECKPOINT = torch.ops.higher_order.tag_activation_checkpoint


class Mode(TorchFunctionMode):
    """Sees every call of a torch function, and handles those that make noise."""

    def __init__(self, watch: Any, here: WatchedThread) -> None:
        super().__init__()
        self.watch, self.here = watch, here

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the function's result, or that of its handler."""
        handler = HANDLERS.get(func)
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            frame = self.here.frames[-1]
            if func is torch.Tensor.unflatten:  # a compiler cannot trace it inside of a mode
                func = torch.unflatten
            if func is _CHECKPOINT and args:
                # The compiler traces the segment after it has left the mode, as any function's.
                return func(self._watch_segment(args[0]), *args[1:], **kwargs)
            if handler is None and not frame.known:
                self.watch.note_draws_in_graph(func)
            if handler is None or frame.known:
                return func(*args, **kwargs)
            return handler(self.watch, func, args, kwargs)
        if handler is None and compiler_looks_on():
            return func(*args, **kwargs)
        frame, draws = self.here.frames[-1], self.here.draws
        self.here.function = func
        if frame.known:
            if draws is None or compiler_looks_on() or not may_draw(func):
                return func(*args, **kwargs)
            return draws.run_known(lambda: func(*args, **kwargs))
        if handler is None:
            if draws is None:
                return func(*args, **kwargs)
            return draws.run(frame, func, args, kwargs)
        if handler not in SILENT and self.watch.interrupted:
            return func(*args, **kwargs)
        if handler in SILENT or func in DRAWS:
            return _run_handler(handler, self.watch, func, args, kwargs)
        self.here.handles += 1
        try:
            return _run_handler(handler, self.watch, func, args, kwargs)
        finally:
            self.here.handles -= 1

    def _watch_segment(self, function: Any) -> Any:
        """Return a function that a checkpoint calls, watched as the code around it."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return run


never_compile_alone(Mode.__torch_function__)


@eager_only
def _run_handler(handler: Any, *args: Any) -> Any:
    """Handle a function outside of compiled graphs."""
    return handler(*args)
