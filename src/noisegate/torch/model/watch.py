"""The noises that a model makes by functions, seen and replaced.

One mode is entered at the beginning of the model's forward and left at its end. It sees every call
of a function of torch's; hooks on the modules in between say which of them is calling.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any, Protocol

from torch import nn
from torch.overrides import TorchFunctionMode

from noisegate.core.local import Local
from noisegate.core.patterns import own_site
from noisegate.core.survey import Call, OwnDraw

from ..checkpointing import is_replaying, register
from ..compiling import compiler_looks_on, eager_only
from .discover import INSIDE, get_own_call
from .draw_watch import DrawWatch, KnownDraws, may_draw
from .handlers import DRAWING, HANDLERS, SILENT
from .hooks import count_running, hook_after, hook_before
from .modules import SiteFunction, reach_functions
from .scripted import find_dropouts_inside, is_scripted


class Listener(Protocol):
    """Who wants to know what a forward shows."""

    def note_site(self, site: str, call: Call) -> None:
        """Take note of a noise that a function makes, at its first call or at any."""

    def note_unreached(self, site: str, words: str) -> None:
        """Take note of a noise that cannot be replaced."""

    def note_draw(self, draw: OwnDraw) -> None:
        """Take note of random numbers that the model's own code draws."""

    @property
    def watches(self) -> bool:
        """Whether it wants to know of those in the forward that begins now."""


@dataclass
class _Frame:
    """A call of a module: which, and how many noises of each port it has made.

    A module that is a noise itself, or that is known to make noise inside, is `known`: the
    functions that it calls are no sites.
    """

    path: str
    module: nn.Module
    known: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def name_next(self, port: str) -> str:
        number = self.counts.get(port, 0)
        self.counts[port] = number + 1
        return own_site(self.path, port, number)

    def copy(self) -> "_Frame":
        return replace(self, counts=dict(self.counts))


@dataclass
class _Thread:
    """What watches in one thread: a mode for each forward, and the calls of modules in them.

    `modes` says how many calls there were before each. `draws` looks at the generators, from the
    beginning of the outermost forward to its end.
    """

    modes: list[tuple[TorchFunctionMode, int]] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    draws: DrawWatch | None = None


def _is_known(module: nn.Module) -> bool:
    """Return whether a module is a noise, or is known to make noise inside."""
    if is_scripted(module):
        return bool(find_dropouts_inside("", module))
    return get_own_call(module) is not None or isinstance(module, INSIDE)


def _has_frame(module: nn.Module) -> bool:
    """Return whether functions that a module calls are told apart from its parent's."""
    own_code = type(module).__module__.partition(".")[0] != "torch"
    return own_code or is_scripted(module) or isinstance(module, DRAWING)


# Several threads may run one model.
_counting = Lock()


class FunctionWatch:
    """What functions do in a model's forward: who listens, and what has taken their place."""

    def __init__(self, model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
        self.functions: dict[str, list[SiteFunction]] = {}
        self.listeners: list[Listener] = []
        # The default stays empty: it stands for every thread in which nothing watches.
        self._here: Local[_Thread] = Local(_Thread())
        # In how many forwards of the model something watches, of all threads; and whether
        # nothing needs that any more.
        self._inside, self._closing = 0, False
        self._known_draws = KnownDraws()
        self.root = _Frame("", model, _is_known(model))
        self.hooks = [
            hook_before(model, _Enter(self), prepend=True),
            hook_after(model, _Leave(self), always_call=True),
        ]
        for path, module in modules.items():
            if path and (_is_known(module) or _has_frame(module)):
                before, after = _Push(self, path, _is_known(module)), _Pop(self)
                self.hooks.append(hook_before(module, before, prepend=True))
                self.hooks.append(hook_after(module, after, always_call=True))
        register(self)

    @classmethod
    def find(cls, model: nn.Module) -> "FunctionWatch | None":
        """Return what watches a model's forward, if anything does."""
        for hook in model._forward_pre_hooks.values():
            if isinstance(hook, _Enter):
                return hook.watch
        return None

    def add(self, site: str, function: SiteFunction) -> Callable[[], None]:
        """Put a function at a site; return how to undo it."""
        self._closing = False
        self.functions.setdefault(site, []).append(function)
        return partial(self.discard, site, function)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody what a forward shows; return how to undo it."""
        self._closing = False
        self._known_draws.forget()
        self.listeners.append(listener)
        return partial(self.discard, "", listener)

    def discard(self, site: str, whom: Any) -> None:
        """Give up a function or a listener, and with the last the hooks."""
        those: list[Any] = self.functions.get(site, []) if site else self.listeners
        if whom in those:
            those.remove(whom)
        if not self.listeners and not any(self.functions.values()):
            while self.modes:  # within a forward, whose end nobody would see
                self.leave()
            self._closing = True
            self._close()

    def _close(self) -> None:
        """Take the hooks out, unless another thread's forward has to end first."""
        with _counting:
            closed = self._closing and not self._inside
        for hook in self.hooks if closed else ():
            hook.remove()

    # What handlers ask ------------------------------------------------------------------------

    def find_functions(self, port: str, call: Call) -> list[SiteFunction]:
        """Return the functions that are present at the next site of the calling module."""
        site = self.frame.name_next(port)
        for listener in self.listeners:
            listener.note_site(site, call)
        return reach_functions(self.functions.get(site, []))

    def note_unreached(self, site: str, words: str) -> None:
        """Tell whoever listens of a noise that cannot be replaced."""
        for listener in self.listeners:
            listener.note_unreached(site, words)

    def leave_to_model(self, function: Callable[[], Any]) -> Any:
        """Return what a call gives that is left to the model, and has been told of already."""
        draws = self.draws
        return function() if draws is None else draws.run_known(function)

    @property
    def draws(self) -> DrawWatch | None:
        """What looks at the generators in this thread."""
        return self._here.get().draws

    @property
    def frames(self) -> list[_Frame]:
        """The calls of modules that are running in this thread, in a forward that is watched."""
        return self._here.get().frames

    @property
    def modes(self) -> list[tuple[TorchFunctionMode, int]]:
        """The modes that watch in this thread, and how many calls there were before each."""
        return self._here.get().modes

    @property
    def frame(self) -> _Frame:
        """The call of a module that is running."""
        return self.frames[-1] if self.frames else self.root

    @property
    def interrupted(self) -> bool:
        """Whether the forward that is watched has gone.

        torch calls no hook where an interrupt from the keyboard ends a forward.
        """
        if is_replaying() or compiler_looks_on():  # no forward is on the stack then
            return False
        return len(self.modes) > count_running(self.root.module)

    # A forward --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to watch a forward of the model, and end what an interrupt has left."""
        while (
            self.modes and not is_replaying() and len(self.modes) >= count_running(self.root.module)
        ):
            self.leave()
        self.enter()
        first = len(self.modes) == 1 and not is_replaying()
        if first and any(listener.watches for listener in self.listeners):
            watch = DrawWatch(self._known_draws, self.root.module, self._note_draw)
            self._here.get().draws = watch

    def look(self) -> None:
        """Look at the generators where a call of a module begins or ends, in a close watch."""
        draws = self.draws
        if draws is not None and draws.closely:
            draws.look(self.frame)

    def _note_draw(self, draw: OwnDraw) -> None:
        if self.interrupted:  # it is nobody's forward that draws
            return
        for listener in list(self.listeners):
            if listener.watches:
                listener.note_draw(draw)

    def end(self, succeeded: bool) -> None:
        """End to watch a forward; of one that succeeded, tell what it has drawn."""
        here = self._here.get()
        if here.draws and succeeded and len(here.modes) == 1:
            here.draws.end(here.frames[0])
        self.leave()

    def enter(self) -> None:
        """Begin to watch."""
        here = self._here.get()
        if here is self._here.default:
            here = _Thread()
            self._here.set(here)
        with _counting:
            self._inside += 1
        mode = _Mode(self, here)
        mode.__enter__()  # type: ignore[no-untyped-call]
        here.modes.append((mode, len(here.frames)))
        here.frames.append(_Frame("", self.root.module, self.root.known))

    def leave(self) -> None:
        """End to watch, however the forward ended."""
        here = self._here.get()
        if not here.modes:
            return
        mode, depth = here.modes.pop()
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
        """Return which calls are running, for a segment that will run again."""
        return len(self.modes), [frame.copy() for frame in self.frames]

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says: outside of a forward, watch as within."""
        depth, frames = state
        while len(self.modes) < depth:
            self.enter()
        while len(self.modes) > depth:
            self.leave()
        self.frames[:] = [frame.copy() for frame in frames]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs."""
        return {**self.__dict__, "_inside": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copied model's."""
        self.__dict__.update(state)
        register(self)


class _Hook:
    def __init__(self, watch: FunctionWatch, path: str = "", known: bool = False) -> None:
        self.watch, self.path, self.known = watch, path, known


class _Enter(_Hook):
    @eager_only
    def __call__(self, module: nn.Module, args: Any) -> None:
        self.watch.begin()


class _Leave(_Hook):
    @eager_only
    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.watch.end(output is not None)


class _Push(_Hook):
    @eager_only
    def __call__(self, module: nn.Module, args: Any) -> None:
        if self.watch.modes:
            self.watch.look()
            self.watch.frames.append(_Frame(self.path, module, self.known))


class _Pop(_Hook):
    @eager_only
    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.watch.frames:
            self.watch.look()
            self.watch.frames.pop()


class _Mode(TorchFunctionMode):
    """Sees every call of a function of torch's, and handles those that are noises."""

    def __init__(self, watch: FunctionWatch, here: _Thread) -> None:
        super().__init__()
        self.watch, self.here = watch, here

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what a function gives."""
        handler = HANDLERS.get(func)
        kwargs = kwargs or {}
        if handler is None and compiler_looks_on():
            return func(*args, **kwargs)  # what draws in a graph shows in the generators' states
        frame, draws = self.here.frames[-1], self.here.draws
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
        return _run_handler(handler, self.watch, func, args, kwargs)


@eager_only
def _run_handler(handler: Any, *args: Any) -> Any:
    """Handle a function outside of compiled graphs."""
    return handler(*args)
