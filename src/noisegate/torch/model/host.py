"""Give injection access to a PyTorch model: its sites, and functions at them."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from noisegate.core.errors import InvalidValue
from noisegate.core.kind import Kind
from noisegate.core.patterns import (
    ATTENTION_PORTS,
    BRANCH,
    RECURRENT_PORTS,
    TOKENS,
    parse_port,
    split,
)
from noisegate.core.survey import Sites

from .. import cursors, graph_sites, in_graph
from ..checkpointing import list_registered, refuse_backward, register
from ..compiling import compiler_is_imported, run_eagerly, traces_whole
from ..dtensors import LayerWatch, is_split
from ..functional import apply_eagerly, apply_steps, draw_seed
from ..generators import restore_others, seed_others
from ..maps import Following, count_members, count_traced_members, transforms_act
from ..nested import read_shape
from ..ranks import find_rank
from ..time_rows import times_in_use, use_kept
from ..tracing import find_trace, refuse_export, refuse_tracing
from . import hooks
from .block_forward import attach_to_branch
from .compiled import guard_hooks
from .discover import (
    choose_port,
    find_pre_activation,
    find_replaceable,
    find_sites,
    get_own_call,
)
from .forward import Runner, mute_part
from .listener import Listener
from .modules import OwnForward, SiteFunction
from .paths import find_modules, unwrap
from .protocols import PreActivation
from .sharing import exclusive
from .tokens import attach_to_tokens
from .values import find_shape
from .watch import FunctionWatch, may_call_noise
from .weights import attach_to_parameter, find_padding

# Modules of torch's that take scores, and those that pass on what others give.
_MAY_HAVE_SCORES = nn.Identity, nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Softmax2d, nn.Sequential


class Host(Runner):
    """A model with its modules by canonical path.

    Raises
    ------
    InvalidValue
        If two modules have one path.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.modules = find_modules(model)
        # What layers give, if ranks compute them together.
        self._layers: LayerWatch | None = None
        guard_hooks()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, which may be in a process that has injected nothing."""
        self.__dict__.update(state)
        guard_hooks()

    # Functions of the face that injection calls through its host, since it imports no framework.
    draw_seed = staticmethod(draw_seed)
    refuse_backward = staticmethod(refuse_backward)
    refuse_tracing = staticmethod(refuse_tracing)
    find_trace = staticmethod(find_trace)
    is_exporting = staticmethod(torch.compiler.is_exporting)
    refuse_export = staticmethod(refuse_export)
    read_shape = staticmethod(read_shape)
    register = staticmethod(register)
    times_in_use = staticmethod(times_in_use)
    use_kept = staticmethod(use_kept)
    list_registered = staticmethod(list_registered)
    count_members = staticmethod(count_members)
    follow = staticmethod(Following)
    transforms_act = staticmethod(transforms_act)
    apply_steps = staticmethod(apply_steps)
    seed_others = staticmethod(seed_others)
    restore_others = staticmethod(restore_others)
    find_rank = staticmethod(find_rank)
    find_shape = staticmethod(find_shape)
    mute_part = staticmethod(mute_part)
    # For graphs.
    compiler_is_imported = staticmethod(compiler_is_imported)
    run_eagerly = staticmethod(run_eagerly)
    traces_whole = staticmethod(traces_whole)
    make_counter = staticmethod(cursors.Counter)
    make_cursor = staticmethod(cursors.make_cursor)
    make_ids = staticmethod(cursors.make_ids)
    make_place = staticmethod(graph_sites.make_place)
    advance = staticmethod(cursors.advance)
    join_ranks = staticmethod(cursors.join_ranks)
    note_largest = staticmethod(cursors.note_largest)
    count_traced_members = staticmethod(count_traced_members)
    name_axis = staticmethod(graph_sites.name_axis)
    get_last_call = staticmethod(graph_sites.get_last_call)

    def sites(self) -> Sites:
        """Return the sites of the model that are known before it runs."""
        return find_sites(self.model, self.modules)

    @property
    def has_code_of_its_own(self) -> bool:
        """Whether a module's class is neither torch's nor noisegate's, so it may call anything."""
        homes = (type(module).__module__.partition(".")[0] for module in self.modules.values())
        return any(home not in ("torch", "noisegate") for home in homes)

    def has_split_parameters(self) -> bool:
        """Return whether ranks hold parts of parameters, as under tensor parallelism.

        FSDP gathers its parameters for a forward, so there it is False.
        """
        if "torch.distributed.tensor" not in sys.modules:
            return False
        gathered = {"FSDPModule", "FullyShardedDataParallel"}
        units = (
            m for m in self.model.modules() if gathered & {b.__name__ for b in type(m).__mro__}
        )
        held = {id(parameter) for unit in units for parameter in unit.parameters()}
        return any(is_split(p, id(p) in held) for p in self.model.parameters())

    def watch_layers(self) -> Callable[[], None]:
        """Watch layers that ranks compute together, before any noise; return how to stop."""
        if not self.has_split_parameters():
            return _do_nothing
        self._layers = LayerWatch(self.model)
        return self._layers.remove

    def check_layers(self) -> None:
        """Raise if layers that ranks compute together are not watched."""
        if self._layers is None and self.has_split_parameters():
            raise InvalidValue(
                "inject: the model was parallelized after the noise was put in, which then may see "
                "plain parts of tensors. Inject after parallelize_module."
            )

    def apply(self, kind: Kind, x: Any, *given: Any) -> Any:
        """Return x with noise on it."""
        if self._layers is not None:
            self._layers.refuse(kind, x)
        return apply_eagerly(kind, x, *given)

    def add_noise(self, x: Any, *given: Any, **named: Any) -> Any:
        """Return x with noise on it, in code that a compiler traces."""
        if self._layers is not None:
            self._layers.refuse_in_graph(x)
        return in_graph.add_noise(x, *given, **named)

    def may_call_noise(self) -> bool:
        """Return whether a forward of the model may call a function that makes noise."""
        return may_call_noise(self.modules.values())

    def handles(self) -> list[Any]:
        """Return the handles of the noise that the model has."""
        return hooks.find_handles(self.model)

    def attach(self, site: str, function: Any) -> Callable[[], None]:
        """Put a function at a site; return the callable that removes it."""
        module, port = self.modules[split(site)[0]], parse_port(site)
        if port.own:
            return self._attach_own(module, site, function)
        if port.parameter:
            return attach_to_parameter(self.modules, split(site), function)
        name, part = port.name, port.part
        if name == BRANCH:
            return attach_to_branch(module, site, function)
        if name == TOKENS:
            return attach_to_tokens(module, site, function)
        if name == "pre" and isinstance(module, PreActivation):
            return hooks.attach_to_pre_activation(module, site, part, function)
        if name == "pre":
            before = find_pre_activation(module)
            assert before is not None
            module, name = before
        if name == "in":
            return hooks.attach_to_input(module, site, part, function)
        return hooks.attach_to_output(module, site, part, function)

    def get_parameter_shape(self, site: str) -> tuple[int, ...]:
        """Return the shape of a parameter; () of one that torch makes at the first call."""
        path, name = split(site)
        parameter: Any = self.modules[path]._parameters[name]
        return () if is_lazy(parameter) else tuple(parameter.shape)

    def get_spared(self, site: str) -> tuple[int, ...]:
        """Return the rows of a parameter that stay without noise, as an embedding's padding."""
        path, name = split(site)
        return find_padding(self.modules.values(), self.modules[path]._parameters.get(name))

    def find_without_scores(self, site: str) -> str | None:
        """Return the name of the module of a site if it is one of torch's that has no scores."""
        module, port = unwrap(self.modules[split(site)[0]]), parse_port(site)
        name, home = type(module).__name__, type(module).__module__
        may_have = isinstance(module, _MAY_HAVE_SCORES) or port.name in ATTENTION_PORTS
        return None if may_have or not home.startswith("torch.nn.modules.") else name

    def _attach_own(
        self, module: nn.Module, site: str, function: SiteFunction
    ) -> Callable[[], None]:
        # Functions need the watch. A module that is a noise needs another `forward` only, which
        # costs nothing elsewhere.
        inside = (*ATTENTION_PORTS, *RECURRENT_PORTS)
        if find_replaceable(module) is None or parse_port(site).name in inside:
            return self._watch().add(site, function)
        return (OwnForward.find(module) or OwnForward(module)).add(function)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener for the noise that functions make; return the callable that removes it."""
        return self._watch().listen(listener)

    @property
    def draws_elsewhere(self) -> bool:
        """Whether the model draws from Python's or NumPy's generator, or may."""
        watch = FunctionWatch.find(self.model)
        return watch is not None and watch.draws_elsewhere

    def watch_forward(self, observer: hooks.Observer) -> Callable[[], None]:
        """Tell an observer when a forward begins and ends; return the callable that ends this."""
        return hooks.watch_forward(self.model, observer)

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
        """Return the sites where the model's own noise is replaced, or its draws are served."""
        own = ((path, m, get_own_call(m)) for path, m in self.modules.items())
        found = [
            f"{path}:{choose_port(call.kind)}"
            for path, module, call in own
            if call is not None and OwnForward.find(module) is not None
        ]
        watch = FunctionWatch.find(self.model)
        functions = {} if watch is None else watch.functions
        found += [site for site, those in functions.items() if those]
        return [*found, *(site for handle in self.handles() for site in handle.plan.keyed)]

    def _watch(self) -> FunctionWatch:
        return FunctionWatch.find(self.model) or FunctionWatch(self.model, self.modules)


def _do_nothing() -> None:
    """Stop what was never begun; copies have it, too."""
