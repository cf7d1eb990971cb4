"""A kind of noise as a module: active in train(), identity in eval()."""

from threading import Lock
from typing import Any, ClassVar, NoReturn, cast

import torch
from torch import Tensor, nn

from noisegate.core import catalogue, checks
from noisegate.core.errors import InvalidValue, MissingAttribute, NoisegateError, prefix_errors
from noisegate.core.keys import SEED_BITS, STEP_BITS, Key, Stream
from noisegate.core.kind import Kind, check_kind
from noisegate.core.schedule import Schedule
from noisegate.core.window import DEFAULT_AXIS, SampleAxis

from .checkpointing import refuse_backward, register
from .compiling import compiler_looks_on, run_eagerly
from .cursors import Counter
from .functional import apply_eagerly, check_rows, draw_seed, refuse_leaf
from .graph_rows import find_ids
from .graph_sites import make_place, name_axis
from .in_graph import add_noise
from .maps import draw_cursor_in_maps
from .nested import read_shape
from .ranks import find_replica_rows, join_replica
from .time_rows import KeptRows, rows_in_use
from .tracing import (
    find_trace,
    forward_in_script,
    is_symbolic,
    refuse_export,
    refuse_frozen_step,
    refuse_tracing,
)

# Threads that share a layer share no step.
_counting = Lock()


class NoiseLayer(nn.Module):
    """A kind of noise as a module; its layers are `Dropout`, `GaussianNoise` and the others.

    Without a seed every training call draws 64 bits from torch's CPU generator, so that
    ``torch.manual_seed`` governs. With a seed and a site the layer uses the key
    ``Stream(seed).site(site).at(step)`` and counts its own training calls in `step`. The step is
    not part of ``state_dict()``: set it to resume.

    Parameters
    ----------
    kind : Kind
        The noise; a named layer takes the arguments that make it instead.
    seed : int, optional
        In [0, 2⁶⁴); with it `site` is needed too.
    site : str, optional
        Name of this noise in the seed's stream.
    sample_axis : int or None
        The axis of the samples, as at a call of a kind. By default it follows from the layer's
        form of input: an unbatched (C, L) of `Dropout1d` has none.

    Attributes
    ----------
    kind : Kind
        The noise, which cannot be set. The arguments that make it, such as `p`, are attributes
        too and may be changed between calls.
    step : int
        The step that the next training call uses; only with a seed.
    inplace : bool
        Whether the input is overwritten; only for layers whose torch original has `inplace`.

    Raises
    ------
    InvalidValue
        If a seed is given without a site, a site without a seed, or a schedule without a seed;
        at the call, if the input's rank is not the layer's.
    RecomputationError
        If a seeded layer is called inside a backward pass that is not torch's checkpointing: its
        step is unknown there.

    Notes
    -----
    Noise on MPS tensors, and on XPU devices without float64, is computed on the CPU and copied to
    the device.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> layer = ng.torch.Dropout(0.5, seed=13, site="hid1:out")
    >>> layer(torch.ones(2, 4)), layer.step
    (tensor([[0., 0., 2., 2.],
            [2., 0., 2., 2.]]), 1)
    """

    definition: ClassVar[catalogue.Definition | None] = None
    inplace = False
    # Whether the rate is a tensor.
    _is_live: ClassVar[bool] = False
    # Properties that `torch.jit.script` leaves out.
    __jit_unused_properties__ = ("kind", "step", "p", "trace_of_step", "_has_forms")

    def __init__(
        self,
        kind: Kind,
        seed: int | None = None,
        site: str | None = None,
        sample_axis: int | None = DEFAULT_AXIS,
    ) -> None:
        with prefix_errors(type(self).__name__):
            check_kind(kind)
        numbers = {name: getattr(kind, name) for name in kind.names()}
        self._begin(numbers, kind, seed, site, sample_axis)

    def _begin(
        self,
        arguments: dict[str, Any],
        kind: Kind,
        seed: int | None,
        site: str | None,
        sample_axis: int | None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        if seed is not None and site is None:
            refuse_lone_seed(layer)
        if site is not None and seed is None:
            refuse_lone_site(layer)
        with prefix_errors(layer):
            self.seed = None if seed is None else checks.check_whole("seed", seed, SEED_BITS)
        self.site = site
        self.sample_axis = sample_axis
        self._counter = Counter()
        if seed is not None and site is not None:
            Stream(seed).site(site)  # refuses an invalid site now rather than at the first call
        self._has_seed = seed is not None
        self._set(arguments, kind)
        register(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, and register it: it counts its own calls."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        register(self)

    def snapshot(self) -> Any:
        """Return the state that the next noise depends on."""
        return self._counter.snapshot(), self._kind, self.arguments, self._place

    def restore(self, state: Any) -> None:
        """Return to the state of a snapshot, if there was one."""
        if state is not None:
            counter, self._kind, self.arguments, self._place = state
            self._counter.restore(counter)

    def _set(self, arguments: dict[str, Any], kind: Kind) -> None:
        if self.seed is None and isinstance(kind.rate, Schedule):
            kind.refuse_schedule()
        self._kind, self.arguments = kind, arguments
        site = "" if self.site is None else self.site
        self._place = make_place(kind, self.seed, site, 0)
        self._own_backward = kind.has_own_backward

    @property
    def kind(self) -> Kind:
        """The noise, as the arguments make it."""
        return cast(Kind, self._kind)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an argument of the kind by making another kind; anything else as usual."""
        arguments = self.__dict__.get("arguments", {})
        if name not in arguments:
            super().__setattr__(name, value)
            return
        make = type(self.kind) if self.definition is None else self.definition.make
        changed = {**arguments, name: value}
        self._set(changed, make(**changed))

    def __getattr__(self, name: str) -> Any:
        """Return an argument of the kind, in its checked form."""
        if name == "step":
            self._refuse_step()
        arguments = self.__dict__.get("arguments", {})
        if name not in arguments:
            return super().__getattr__(name)
        return getattr(self.kind, name) if name in self.kind.names() else arguments[name]

    @property
    def step(self) -> int:
        """The step that the next training call uses."""
        if self.seed is None:
            raise AttributeError("step")  # Python then calls `__getattr__`, which refuses it
        return self._counter.number

    @step.setter
    def step(self, value: int) -> None:
        if self.seed is None:
            self._refuse_step()
        with prefix_errors(type(self).__name__):
            self._counter.number = checks.check_whole("step", value, STEP_BITS)
        self._counter.trace = find_trace()

    @property
    def trace_of_step(self) -> Any:
        """What recorded the operations where the step was set last; None if it counts."""
        return self._counter.trace

    def _refuse_step(self) -> NoReturn:
        layer = type(self).__name__
        raise MissingAttribute(
            f"{layer}: a layer without `seed` has no step; it draws afresh at every call. "
            f"Write for example {layer}(seed=13, site='hid1:out')."
        )

    def forward(self, x: Tensor, rows: Any = None) -> Tensor:
        """Return x with noise in training, else x itself."""
        if compiler_looks_on():
            if torch.compiler.is_compiling():
                return self._forward_in_graph(x, rows)
            return cast(Tensor, run_eagerly(self.forward_eagerly)(x, rows))
        return self.forward_eagerly(x, rows)

    def forward_eagerly(self, x: Tensor, rows: Any = None) -> Tensor:
        """Return x with noise in training, else x itself; not for code that a compiler traces."""
        axis = self.sample_axis
        definition = self.definition
        if definition is not None and definition.inputs is not None and not is_symbolic(x):
            shape = read_shape(x, type(self).__name__)
            axis = definition.sample_axis(self.arguments, shape, axis)
        if not self.training or (self.seed is None and self._is_identity()):
            if not is_symbolic(x):
                check_rows(self.kind, x, rows, axis)
            return x
        try:
            refuse_tracing(x, self)
            if self.inplace:
                refuse_leaf(x)
            if self.seed is not None:
                refuse_backward()
        except NoisegateError as error:
            raise error.prefix(type(self).__name__) from None
        if rows is None:
            rows = rows_in_use()
            if type(rows) is KeptRows:
                rows = rows.fit(x.shape, axis)
            if self.seed is not None:
                rows = find_replica_rows(
                    type(self).__name__, read_shape(x, type(self).__name__), axis, rows
                )
        y = apply_eagerly(self.kind, x, self._next_key(), rows, axis, self.live())
        return x.copy_(y) if self.inplace else y

    def _forward_in_graph(self, x: Tensor, rows: Any) -> Tensor:
        """Return x with noise in training, in code that a compiler traces."""
        if not self.training:
            return x
        refuse_export(type(self).__name__)
        # Nothing here reads the seed, the site or the rate, so equal layers share a graph.
        cursor = self._counter.take_in_graph() if self._has_seed else draw_cursor_in_maps()
        axis = name_axis(self._find_axis(x.ndim) if self._has_forms else self.sample_axis)
        rate = self.live_rate()
        samples = find_ids(rows, x, axis, type(self).__name__), -1
        if self._has_seed and rows is None:
            cursor = join_replica(type(self).__name__, cursor)
        own = self._own_backward
        given: dict[str, Any] = {"rate": rate, "samples": samples, "axis": axis}
        y = add_noise(x, cursor, self._place, own_backward=own, **given)
        return x.copy_(y) if self.inplace else y

    def _find_axis(self, rank: int) -> SampleAxis:
        """Return the sample axis of an input of a rank."""
        definition = cast(catalogue.Definition, self.definition)
        return definition.sample_axis(self.arguments, (1,) * rank, self.sample_axis)

    _find_axis = checks.at_trace_time(_find_axis)

    @property
    def _has_forms(self) -> bool:
        return self.definition is not None and self.definition.inputs is not None

    # `torch.jit.script` compiles the source of the wrapped function.
    forward.__wrapped__ = forward_in_script  # type: ignore[attr-defined]

    def __prepare_scriptable__(self) -> "NoiseLayer":
        """Return the layer itself for a script, or raise in training."""
        if self.training:
            refuse_frozen_step(type(self).__name__)
        return self

    def _is_identity(self) -> bool:
        return self.kind.is_identity(cast(float, self.kind.rate))

    def live(self) -> dict[str, Any]:
        """Return the rate if it is a tensor, for a call of the kind; else nothing."""
        return {}

    def live_rate(self) -> Tensor | None:
        """Return the rate if it is a tensor."""
        return self.live()[type(self.kind).RATE] if self._is_live else None

    def _next_key(self) -> Key:
        if self.seed is None or self.site is None:
            # A fresh seed is the whole key: site and step add nothing to it.
            return Key(draw_seed(), "", 0, 0, 0)
        with _counting:
            step = self._counter.number
            if step >> STEP_BITS:
                with prefix_errors(type(self).__name__):
                    checks.check_whole("step", step, STEP_BITS)
            self._counter.number = step + 1
        return Key(self.seed, self.site, 0, 0, step)

    def extra_repr(self) -> str:
        """Return the arguments and the seed, in torch's manner."""
        words = (
            [repr(self.kind)] if self.definition is None else self._show_arguments(self.definition)
        )
        if self.seed is not None:
            words = [*words, f"seed={self.seed}", f"site={self.site!r}"]
        return ", ".join(words)

    def _show_arguments(self, definition: catalogue.Definition) -> list[str]:
        """Return words for the rate, arguments that differ from their default, and `inplace`."""
        words = [f"{definition.rate}={self._show_rate()}"]
        for name, parameter in definition.parameters.items():
            value = getattr(self, name)
            if name != definition.rate and value != parameter.default:
                words.append(f"{name}={value!r}")
        return [*words, f"inplace={self.inplace}"] if definition.inplace else words

    def _show_rate(self) -> str:
        return repr(self.kind.rate)


def refuse_lone_seed(layer: str) -> NoReturn:
    """Raise because a layer was given a seed without a site."""
    raise InvalidValue(
        f"{layer}: a layer with `seed` needs `site` too, or two layers with one seed would share "
        f"a mask. Write for example {layer}(seed=13, site='hid1:out')."
    )


def refuse_lone_site(layer: str) -> NoReturn:
    """Raise because a layer was given a site without a seed."""
    raise InvalidValue(
        f"{layer}: `site` does nothing without `seed`. "
        f"Write for example {layer}(seed=13, site='hid1:out')."
    )
