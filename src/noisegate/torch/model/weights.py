"""Put noise on the parameters of a module while its forward runs."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import RLock
from typing import Any, NamedTuple, Protocol
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from noisegate.core.checks import at_trace_time
from noisegate.core.errors import InvalidType, InvalidValue

from ..compiling import eager_only
from .hooks import hook_before
from .instance_forward import InstanceForward, walk_forwards
from .modules import SiteFunction, call_unwatched
from .scripted import trains
from .weight_words import find_makers


class ParameterFunction(SiteFunction, Protocol):
    """A function at a parameter."""

    @property
    def sample_axis(self) -> int | None:
        """The axis of the samples that the module takes, if each has a draw of its own."""


# An attribute that is hidden: of which object, its name, and its value or None.
_Hidden = tuple[dict[str, Any], str, Any]


class _Entry(NamedTuple):
    """A function at a parameter: the module that holds it, its site, and rows without noise.

    `apply` is the function, or what stands for it in a graph.
    """

    holder: nn.Module
    site: str
    padding: tuple[int, ...]
    function: ParameterFunction
    apply: Callable[[Tensor], Tensor]

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.site.rpartition(":")[2]

    def read(self) -> Tensor:
        """Return the parameter as the module's code would read it now."""
        value: Tensor = getattr(self.holder, self.name)
        return value

    def add_noise(self, weight: Tensor) -> Tensor:
        """Return the parameter with noise on it, or several copies with the noise of each."""
        noised = call_unwatched(self.apply, weight)
        if not self.padding or noised is weight:
            return noised
        rows, axis = torch.tensor(self.padding, device=weight.device), weight.ndim - 2
        return noised.index_copy(axis, rows, weight.index_select(axis, rows))

    def hide(self, noised: Tensor) -> list[_Hidden]:
        """Let the module's code read another tensor; return what `_uncover` needs."""
        values = vars(self.holder)
        changed: dict[str, Any] = {self.name: noised}
        if isinstance(self.holder, nn.RNNBase):
            # Its code reads a list of its weights, which it makes anew if they are others.
            index = self.holder._flat_weights_names.index(self.name)
            for name, entry in (("_flat_weights", noised), ("_flat_weight_refs", ref(noised))):
                changed[name] = [*values[name]]
                changed[name][index] = entry
        before = [(values, name, values.get(name)) for name in changed]
        values.update(changed)
        return before


def _uncover(before: Sequence[_Hidden]) -> None:
    for values, name, value in reversed(before):
        if value is None:
            del values[name]
        else:
            values[name] = value


class ParameterForward(InstanceForward):
    """The `forward` of a module in which parameters have noise while it runs.

    The noise lies over the parameter as an attribute of the instance, so that the parameter itself
    stays where optimisers, state dicts and other modules find it.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.entries: list[_Entry] = []
        # Another thread must not read the noise of this one.
        self._lock = RLock()
        # With a hook, torch's layers keep off fused code that reads weights past their modules.
        self._hook = hook_before(module, _refuse_copies)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy."""
        self.__dict__.update(state, _lock=RLock())

    def _in_graph(self, *args: Any, **kwargs: Any) -> Any:
        """Return the same as a call, in code that a compiler traces."""
        acting = []
        for entry in self.entries:
            entry.function.reach_in_graph()
            if entry.function.acts_in_graph(self.module.training):
                acting.append(entry._replace(apply=entry.function.call_in_graph))
        return self._call(acting, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns with noise on its parameters."""
        with self._lock:
            training = trains(self.module)
            acting = [entry for entry in self.entries if entry.function.acts(training)]
            return self._call(acting, args, kwargs)

    __call__ = eager_only(__call__, _in_graph)

    def _call(self, entries: Sequence[_Entry], args: Any, kwargs: Any) -> Any:
        """Call the module's own forward with the noise of entries on its parameters."""
        by_sample = [entry for entry in entries if entry.function.sample_axis is not None]
        before: list[_Hidden] = []
        try:
            for entry in entries:
                if entry.function.sample_axis is None:
                    before += entry.hide(entry.add_noise(entry.read()))
            if by_sample:
                return self._call_by_sample(by_sample, args, kwargs)
            return self.call_own(*args, **kwargs)
        finally:
            _uncover(before)

    def _call_by_sample(self, entries: Sequence[_Entry], args: Any, kwargs: Any) -> Any:
        """Call the module's own forward for each sample as a batch of one, with its own noise."""
        given = *args, *kwargs.values()
        x = next(value for value in given if isinstance(value, Tensor))
        axis = entries[0].function.sample_axis or 0
        if not -x.ndim <= axis < x.ndim:
            _refuse_axis(entries[0].site, axis, tuple(x.shape))
        axis %= x.ndim
        count = x.shape[axis]
        axes = [_find_axis(value, axis, count) for value in given]
        parts = [
            v if at is None else v.unsqueeze(at + 1) for v, at in zip(given, axes, strict=True)
        ]
        weights = []
        for entry in entries:
            weight = entry.read()
            weights.append(entry.add_noise(weight.expand(count, *weight.shape)))

        def call(weights: Sequence[Tensor], values: Sequence[Any]) -> Any:
            before: list[_Hidden] = []
            try:
                for entry, weight in zip(entries, weights, strict=True):
                    before += entry.hide(weight)
                by_name = dict(zip(kwargs, values[len(args) :], strict=True))
                return self.call_own(*values[: len(args)], **by_name)
            finally:
                _uncover(before)

        y = torch.vmap(call, (0, axes), axis)(weights, parts)
        if not isinstance(y, Tensor):
            _refuse_output(entries[0].site, type(y).__name__)
        return y.flatten(axis, axis + 1)

    def add(self, entry: _Entry) -> Callable[[], None]:
        """Add a function at a parameter; return the callable that removes it."""
        axis = entry.function.sample_axis
        axes = (other.function.sample_axis for other in self.entries)
        other = next((one for one in axes if one not in (None, axis)), None)
        if other is not None and axis is not None:
            raise InvalidValue(
                f"inject: '{entry.site}' has its samples along axis {axis}, and another parameter "
                f"of the same module along axis {other}. Give both one `sample_axis`."
            )
        self.entries.append(entry)
        self.functions.append(entry.function)
        return partial(self.discard, entry)

    def discard(self, entry: _Entry) -> None:
        """Remove a function at a parameter; after the last, restore the module's own forward."""
        if entry in self.entries:
            self.entries.remove(entry)
        super().discard(entry.function)

    def detach(self) -> None:
        """Give the module back its own `forward`, and take the hook out."""
        super().detach()
        self._hook.remove()


def _refuse_copies(module: nn.Module, args: Any) -> None:
    """Raise in a copy of a module that has the `forward` of the original."""
    if torch.compiler.is_compiling():
        return
    for found in walk_forwards(module):
        if found.module is not module:
            raise InvalidValue(
                f"inject: this {type(module).__name__} is a copy of a module with noise on its "
                "parameters, as nn.DataParallel makes them, and would compute with those of the "
                "original. Use nn.parallel.DistributedDataParallel, or copy.deepcopy."
            )


@at_trace_time
def _refuse_axis(site: str, axis: int, shape: tuple[int, ...]) -> None:
    raise InvalidValue(
        f"inject: '{site}' has one draw for each sample along axis {axis}, and its module takes a "
        f"tensor of shape {shape}. Name another `sample_axis`."
    )


@at_trace_time
def _refuse_output(site: str, name: str) -> None:
    raise InvalidType(
        f"inject: '{site}' has one draw for each sample, so its module must return one tensor; "
        f"got {name}. Leave its rule out of `sample_axis`, for one draw a step."
    )


def _find_axis(value: Any, axis: int, count: int) -> int | None:
    """Return the axis of a module's argument that has its samples, if it has one."""
    has = isinstance(value, Tensor) and value.ndim > axis and value.shape[axis] == count
    return axis if has else None


def attach_to_parameter(
    modules: dict[str, nn.Module], site: tuple[str, str], function: ParameterFunction
) -> Callable[[], None]:
    """Put a function at a parameter; return the callable that removes it."""
    path, name = site
    holder, owner = modules[path], _find_caller(modules, path)
    _check_hooks(holder, path, name)
    if function.sample_axis is not None and not _takes_samples(holder):
        raise InvalidValue(
            f"inject: '{path}:{name}' cannot have one draw for each sample: that is for layers "
            f"such as Linear, Conv2d and Embedding; got {type(holder).__name__}. Leave its rule "
            "out of `sample_axis`, for one draw a step."
        )
    padding = find_padding(modules.values(), holder._parameters[name])
    entry = _Entry(holder, f"{path}:{name}", padding, function, function)
    return (ParameterForward.find(owner) or ParameterForward(owner)).add(entry)


def _find_caller(modules: dict[str, nn.Module], path: str) -> nn.Module:
    """Return the module whose forward reads the parameters of another, mostly that one itself."""
    module = modules[path]
    parent = path.rpartition(".")[0]
    called = type(module).forward is not nn.Module.forward or "forward" in vars(module)
    # Multi-head attention reads the weights of its last layer, and does not call it.
    inner = isinstance(modules.get(parent), nn.MultiheadAttention)
    return module if not path or (called and not inner) else _find_caller(modules, parent)


def _takes_samples(holder: nn.Module) -> bool:
    """Return whether a module computes each sample by itself, and returns one tensor."""
    others = nn.RNNBase, nn.RNNCellBase, nn.EmbeddingBag, _BatchNorm
    counts = isinstance(holder, _NormBase) and holder.track_running_stats
    return not isinstance(holder, others) and not counts and not holder._modules


def _check_hooks(holder: nn.Module, path: str, name: str) -> None:
    """Raise if a hook of torch's makes a weight of a parameter before the module's forward."""
    for made, home in find_makers(holder):
        if name.startswith(f"{made}_"):
            raise InvalidValue(
                f"inject: '{path}:{name}' is read before its module runs, by a hook of {home} that "
                f"makes `{made}` of it, so its noise would not act. Use "
                "torch.nn.utils.parametrizations instead, or put noise on the module's output."
            )


def find_padding(modules: Iterable[nn.Module], parameter: Any) -> tuple[int, ...]:
    """Return the row of an embedding's padding, which stays without noise; () of other weights."""
    tables = nn.Embedding, nn.EmbeddingBag
    found = [m for m in modules if isinstance(m, tables) and m.weight is parameter]
    for module in found:
        if module.sparse or module.max_norm is not None:
            word = "sparse=True" if module.sparse else "max_norm"
            raise InvalidValue(
                f"inject: the weight of an {type(module).__name__} with {word} takes no noise, "
                "since torch would not find the raw weight. Name its output instead."
            )
    return tuple({m.padding_idx for m in found if m.padding_idx is not None})
