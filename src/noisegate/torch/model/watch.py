"""Observe and replace the noise that a model makes by calling functions.

A `TorchFunctionMode` is entered when the model's forward begins and left when it ends. It sees
every call of a torch function. Hooks on the modules tell it which module is calling.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from threading import Lock
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import nn
from torch._C import _is_tracing
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from noisegate.core import checks
from noisegate.core.local import Local
from noisegate.core.patterns import own_site
from noisegate.core.survey import Call, OwnDraw

from ..checkpointing import is_replaying, register
from ..compiling import compiler_looks_on
from .discover import INSIDE, get_own_call, make_dropout_call
from .draw_kernels import begin_to_serve, cease_to_serve
from .draw_watch import DrawWatch, KnownDraws, make_draw, may_draw, name_class
from .handlers import DRAWING
from .hooks import count_running, hook_after, hook_before
from .listener import Listener
from .modules import SiteFunction, reach_functions
from .paths import unwrap
from .scripted import find_dropouts_inside, is_scripted, trains
from .watch_hooks import (
    Enter,
    Leave,
    Mode,
    ModuleFrame,
    Pop,
    Push,
    WatchedThread,
    may_draw_in_graph,
    name_attribute,
)


def _is_known(module: nn.Module) -> bool:
    """Return whether a module is a noise, or a script module that makes noise inside."""
    module = unwrap(module)
    if is_scripted(module):
        return bool(find_dropouts_inside("", module))
    return get_own_call(module) is not None


def _has_frame(module: nn.Module) -> bool:
    """Return whether sites of functions that a module calls are named by its own path."""
    module = unwrap(module)
    # torch's other modules call no functions that draw, so hooks there would only cost time.
    own_code = type(module).__module__.partition(".")[0] != "torch"
    return own_code or is_scripted(module) or isinstance(module, (*DRAWING, *INSIDE))


def may_call_noise(modules: Iterable[nn.Module]) -> bool:
    """Return whether a forward of these modules may call a function that makes noise.

    Hooks, and a `forward` that was put on an instance, may call anything.
    """
    return torch.nn.modules.module._has_any_global_hook() or any(
        _has_frame(m)
        or isinstance(m, INSIDE)
        or m._forward_hooks
        or m._forward_pre_hooks
        or "forward" in vars(m)
        for m in modules
    )


# Several threads may run one model; guards `FunctionWatch._inside`.
_counting = Lock()


class FunctionWatch:
    """The watch on a model's function calls: its listeners and the functions put at sites."""

    def __init__(self, model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
        self.functions: dict[str, list[SiteFunction]] = {}
        # The same lists by path, as attributes: what a compiler has read of a dict stays as it was,
        # even if a site is found while it traces.
        self.places: dict[str, SimpleNamespace] = {}
        self.listeners: list[Listener] = []
        # The default stays empty: it represents every thread without a running forward.
        self._here: Local[WatchedThread] = Local(WatchedThread())
        # How many watched forwards run, over all threads; and whether the hooks are to be removed
        # once that is 0.
        self._inside, self._closing = 0, False
        # Of this thread: the `thread` that graphs read.
        self.local = threading.local()
        self._known_draws = KnownDraws()
        enter = Enter(self, "", _is_known(model), model)
        self.model = model
        self.root = ModuleFrame(enter, trains(model), model)
        self.hooks = [
            hook_before(model, enter, prepend=True),
            hook_after(model, Leave(self), always_call=True),
        ]
        for path, module in modules.items():
            # `Enter` pushes the model's own frame.
            if path and (_is_known(module) or _has_frame(module)):
                known = _is_known(module)
                before, after = Push(self, path, known, module), Pop(self, path, known)
                self.hooks.append(hook_before(module, before, prepend=True))
                self.hooks.append(hook_after(module, after, always_call=True))
        register(self)

    @classmethod
    def find(cls, model: nn.Module) -> "FunctionWatch | None":
        """Return the watch on a model, or None if it has none."""
        for hook in model._forward_pre_hooks.values():
            if isinstance(hook, Enter):
                found: FunctionWatch = hook.watch
                return found
        return None

    def add(self, site: str, function: SiteFunction) -> Callable[[], None]:
        """Put a function at a site; return the callable that removes it."""
        self._closing = False
        functions = self.functions.setdefault(site, [])
        path, _, port = site.rpartition(":")
        setattr(self.places.setdefault(path, SimpleNamespace()), name_attribute(port), functions)
        functions.append(function)
        return partial(self.discard, site, function)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; return the callable that removes it."""
        self._closing = False
        # A new listener has heard of no draw yet, so each mode gets another close watch.
        self._known_draws.forget()
        self.listeners.append(listener)
        return partial(self.discard, "", listener)

    def discard(self, site: str, whom: Any) -> None:
        """Remove a function from a site, or a listener if `site` is ""; then unused hooks too."""
        those: list[Any] = self.functions.get(site, []) if site else self.listeners
        if whom in those:
            those.remove(whom)
        if not self.listeners and not any(self.functions.values()):
            while self.modes:  # inside a forward, at whose end no hook would leave them
                self.leave()
            self._closing = True
            self._close()

    def _close(self) -> None:
        """Remove the hooks if nothing needs them, once the forwards of other threads have ended."""
        with _counting:
            closed = self._closing and not self._inside
        for hook in self.hooks if closed else ():
            hook.remove()

    # For handlers -----------------------------------------------------------------------------

    def waits_for(self, place: str) -> bool:
        """Return whether a rule names a port, or one site, where the model makes no noise."""
        waits = any(place in listener.waited for listener in self.listeners)
        return waits and not self.interrupted

    def find_functions(self, port: str, call: Call) -> list[SiteFunction]:
        """Return the functions at the calling module's next site of a port; note the call."""
        site = self.frame.name_next(port)
        for listener in self.listeners:
            listener.note_site(site, call)
        return reach_functions(self.functions.get(site, []))

    def find_in_graph(self, port: str, *call: Any) -> list[tuple[SiteFunction, Any]]:
        """Return the functions at the next site of a port, and how graphs apply each.

        `call` are the arguments of `make_call`.
        """
        frame = self.frame
        place = frame.hook
        # Not by the site's name: an equal model may run the graph that is made for this one.
        name = own_site("", port, frame.count_next(port))
        place.note_in_graph(name, *call)
        functions = getattr(place.sites, name_attribute(name), ())
        plans = place.plan_in_graph(name, *call)
        found = zip(functions, plans, strict=True)
        return [(f, plan) for f, plan in found if not f.is_silent_in_graph()]

    def note_draws_in_graph(self, function: Any) -> None:
        """Tell all listeners of a function in a graph that is known to draw.

        No Python runs around it later, when the generators could be compared.
        """
        if may_draw_in_graph(function):
            self.frame.hook.note_draw_in_graph(function)

    @checks.at_trace_time
    def note_unreached(self, site: str, words: str) -> None:
        """Tell all listeners of a noise that cannot be replaced."""
        for listener in self.listeners:
            listener.note_unreached(site, words)

    def find_parts(self, function: Any, shape: Sequence[int]) -> list[Any] | None:
        """Return the parts of what the calling module draws; None if it is left to torch."""
        frame, here = self.frame, self._here.get()
        if frame.known or here.handles or self.interrupted:
            return None
        called = here.function
        if called is not None and may_draw(called):
            function = called  # as the code writes it; a script shows the operator alone
        kind = name_class(cast(nn.Module, frame.module))
        draw = make_draw(frame.path, kind, frame.known, function)
        site = frame.name_next("draw")
        found = (listener.find_draw(site, tuple(shape), draw) for listener in self.listeners)
        parts = next((parts for parts in found if parts is not None), None)
        if here.draws is not None and parts is not None:
            here.draws.served = site
        return parts or None

    def decide(self, rate: float, drawn: str) -> bool | None:
        """Return whether the calling module skips what a coin decides on; None if it is torch's."""
        for listener in self.listeners:
            listener.forget_draw(drawn)
        call = make_dropout_call("Dropout", rate, f"a coin at rate {rate:g}")
        functions: list[Any] = self.find_functions("skip", call)
        decided = (function.decide(self.frame.training, call) for function in functions)
        return next((skips for skips in decided if skips is not None), None)

    @property
    def draws_elsewhere(self) -> bool:
        """Whether the model draws from Python's or NumPy's generator, or may."""
        return self._known_draws.has_others(trains(self.model))

    def leave_to_model(self, function: Callable[[], Any]) -> Any:
        """Return the result of the model's own call, whose draw the listeners know already."""
        draws = self.draws
        return function() if draws is None else draws.run_known(function)

    @property
    def draws(self) -> DrawWatch | None:
        """The watch on the generators in this thread, if there is one."""
        return self._here.get().draws

    @property
    def frames(self) -> list[ModuleFrame]:
        """The module calls that run in this thread's watched forwards, innermost last."""
        return self._here.get().frames

    @property
    def modes(self) -> list[tuple[TorchFunctionMode, int]]:
        """The modes of this thread, each with the number of frames that were there before it."""
        return self._here.get().modes

    @property
    def frame(self) -> ModuleFrame:
        """The innermost running call of a module; the model's own if none runs."""
        if torch.compiler.is_compiling():
            here: WatchedThread = self.local.thread
            return here.frames[-1]
        return self.frames[-1] if self.frames else self.root

    @property
    def interrupted(self) -> bool:
        """Whether a watched forward has ended without its hooks.

        torch calls no hook if a keyboard interrupt ends a forward.
        """
        if is_replaying() or compiler_looks_on():  # then no forward is on the stack
            return False
        return len(self.modes) > count_running(self.model)

    # A forward --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Watch a forward of the model; first leave the modes of interrupted ones."""
        while self.modes and not is_replaying() and len(self.modes) >= count_running(self.model):
            self.leave()
        self.enter()
        # A forward within another, or a recomputed segment, draws as part of the outer one.
        # A check of a trace compares the source lines of two forwards, which a close watch changes.
        first = len(self.modes) == 1 and not is_replaying() and not _is_tracing()
        if first and any(listener.watches for listener in self.listeners):
            watch = DrawWatch(self._known_draws, self.model, self._note_draw)
            self._here.get().draws = watch

    def look(self) -> None:
        """Compare the generators' states where a module call begins or ends, in a close watch."""
        draws = self.draws
        if draws is not None and draws.closely:
            draws.look(self.frame)

    def _note_draw(self, draw: OwnDraw) -> None:
        if self.interrupted:  # the forward has gone, and other code draws
            return
        for listener in list(self.listeners):
            if listener.watches:
                listener.note_draw(draw)

    def end(self, succeeded: bool) -> None:
        """Stop watching a forward; report the draws of one that succeeded."""
        here = self._here.get()
        if here.draws and succeeded and len(here.modes) == 1:
            here.draws.end(here.frames[0])
        self.leave()

    def enter(self) -> None:
        """Enter a mode in this thread, with a frame for the model."""
        here = self._here.get()
        if here is self._here.default:
            here = WatchedThread()
            self._here.set(here)
        with _counting:
            self._inside += 1
        mode = Mode(self, here)
        mode.__enter__()  # type: ignore[no-untyped-call]
        begin_to_serve(self)
        here.modes.append((mode, len(here.frames)))
        here.frames.append(ModuleFrame(self.root.hook, trains(self.model), self.model))
        self.local.thread = here

    def enter_in_graph(self, hook: "Enter", training: bool) -> None:
        """Enter a mode in code that a compiler traces."""
        here = WatchedThread()
        mode = Mode(self, here)
        mode.__enter__()  # type: ignore[no-untyped-call]
        here.modes.append((mode, 0))
        here.frames.append(ModuleFrame(hook, training))
        self.local.thread = here

    def leave_in_graph(self) -> None:
        """Leave the mode in code that a compiler traces."""
        self.local.thread.modes[0][0].__exit__(None, None, None)
        self.local.thread = None

    def leave(self) -> None:
        """Leave the innermost mode of this thread; do nothing if there is none."""
        here = self._here.get()
        if not here.modes:
            return
        mode, depth = here.modes.pop()
        cease_to_serve()
        mode.__exit__(None, None, None)
        del here.frames[depth:]
        if not here.modes:
            if here.draws is not None:
                here.draws.close()
            self._here.set(self._here.default)
        with _counting:
            self._inside -= 1
        self._close()

    def snapshot(self) -> Any:
        """Return which modes and module calls are running, for a segment that will run again."""
        return len(self.modes), [frame.copy() for frame in self.frames], self._is_hidden

    @property
    def _is_hidden(self) -> bool:
        """Whether torch has put this thread's modes aside, as in a backward within a backward."""
        modes = self.modes
        return bool(modes) and modes[-1][0] not in _get_current_function_mode_stack()

    def restore(self, state: Any) -> None:
        """Return to a snapshot, entering or leaving modes as needed.

        A segment is computed again outside of the forward, where no mode is active.
        """
        if state is None:  # it was not there yet
            return
        depth, frames, hidden = state
        if self._is_hidden:
            for mode, _ in self.modes:
                mode.__enter__()
        while len(self.modes) < depth:
            self.enter()
        while len(self.modes) > depth:
            self.leave()
        for mode, _ in reversed(self.modes if hidden else []):
            mode.__exit__(None, None, None)
        self.frames[:] = [frame.copy() for frame in frames]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, in which no forward runs."""
        state = {name: value for name, value in vars(self).items() if name != "local"}
        return {**state, "_inside": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, and register it with checkpointing."""
        self.__dict__.update(state, local=threading.local())
        register(self)
