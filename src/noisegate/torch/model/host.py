"""Give injection access to a PyTorch model: its sites, and functions at them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from noisegate.core.patterns import parse_port, split
from noisegate.core.survey import Sites

from ..checkpointing import refuse_backward, register
from ..functional import apply_eagerly, apply_steps, draw_seed
from ..ranks import world_size
from ..time_rows import rows_in_use
from . import hooks
from .compiled import refuse_compiled
from .discover import choose_port, find_pre_activation, find_sites, get_own_call
from .forward import Runner, mute_part
from .modules import OwnForward, SiteFunction
from .paths import find_modules
from .protocols import PreActivation
from .sharing import exclusive
from .watch import FunctionWatch, Listener


class Host(Runner):
    """A model with its modules by canonical path.

    Raises
    ------
    InvalidValue
        If two modules have one path, or compiled code of the model has run already.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.modules = find_modules(model)
        refuse_compiled(model)

    # Functions of the face that injection calls through its host, since it imports no framework.
    draw_seed = staticmethod(draw_seed)
    refuse_backward = staticmethod(refuse_backward)
    register = staticmethod(register)
    apply = staticmethod(apply_eagerly)
    rows_in_use = staticmethod(rows_in_use)
    apply_steps = staticmethod(apply_steps)
    world_size = staticmethod(world_size)
    mute_part = staticmethod(mute_part)

    def sites(self) -> Sites:
        """Return the sites of the model that are known before it runs."""
        return find_sites(self.model, self.modules)

    @property
    def has_code_of_its_own(self) -> bool:
        """Whether a module's class is neither torch's nor noisegate's, so it may call anything."""
        homes = (type(module).__module__.partition(".")[0] for module in self.modules.values())
        return any(home not in ("torch", "noisegate") for home in homes)

    def handles(self) -> list[Any]:
        """Return the handles of the noise that the model has."""
        return hooks.find_handles(self.model)

    def attach(self, site: str, function: SiteFunction) -> Callable[[], None]:
        """Put a function at a site; return the callable that removes it."""
        module, port = self.modules[split(site)[0]], parse_port(site)
        if port.own:
            return self._attach_own(module, site, function)
        name, part = port.name, port.part
        if name == "pre" and isinstance(module, PreActivation):
            return hooks.attach_to_pre_activation(module, site, part, function)
        if name == "pre":
            before = find_pre_activation(module)
            assert before is not None
            module, name = before
        put = hooks.attach_to_input if name == "in" else hooks.attach_to_output
        return put(module, site, part, function)

    def _attach_own(
        self, module: nn.Module, site: str, function: SiteFunction
    ) -> Callable[[], None]:
        # Functions need the watch. A module that is a noise needs another `forward` only, which
        # costs nothing elsewhere.
        if get_own_call(module) is None or parse_port(site).name == "probs":
            return self._watch().add(site, function)
        forward = module.__dict__.get("forward")
        return (forward if isinstance(forward, OwnForward) else OwnForward(module)).add(function)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener for the noise that functions make; return the callable that removes it."""
        return self._watch().listen(listener)

    def watch_forward(self, begin: hooks.Begin, end: Callable[[bool], None]) -> Callable[[], None]:
        """Call functions when a forward begins and ends; return the callable that removes both."""
        return hooks.watch_forward(self.model, begin, end)

    def watch_parts(self, begin: Callable[[str, bool], None]) -> Callable[[], None]:
        """Call a function before each call of a part of the model; return how to remove it."""
        return hooks.watch_parts(self.model, begin)

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one thread at a time change the model, for a block."""
        return exclusive(self.model)

    def count_running(self) -> int:
        """Return how many calls of the model, nested in each other, are running."""
        return hooks.count_running(self.model)

    def find_replaced(self) -> list[str]:
        """Return the sites where the model's own noise is replaced."""
        own = ((path, m, get_own_call(m)) for path, m in self.modules.items())
        found = [
            f"{path}:{choose_port(call.kind)}"
            for path, module, call in own
            if call is not None and isinstance(module.__dict__.get("forward"), OwnForward)
        ]
        watch = FunctionWatch.find(self.model)
        functions = {} if watch is None else watch.functions
        return [*found, *(site for site, those in functions.items() if those)]

    def _watch(self) -> FunctionWatch:
        return FunctionWatch.find(self.model) or FunctionWatch(self.model, self.modules)
