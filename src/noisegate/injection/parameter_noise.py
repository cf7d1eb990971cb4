"""The noise on a parameter: one draw a step, or one for each sample."""

from dataclasses import replace
from functools import lru_cache
from time import perf_counter_ns
from typing import Any, cast

from noisegate.core.axes import ALL_BUT_SAMPLES, resolve_all
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement
from noisegate.core.survey import Call

from .last_call import Last
from .running_forward import NotTogether
from .site import Owner, SiteNoise


class ParameterNoise(SiteNoise):
    """The function at a parameter: it takes the parameter and returns it with noise.

    Every use of the parameter in a step has the same noise, that of call 0. With one draw for each
    sample it takes the parameter once for each of them, along a new first axis.
    """

    def __init__(self, injection: Owner, placement: Placement) -> None:
        self._shape = injection.host.get_parameter_shape(placement.site)
        super().__init__(injection, placement)

    @property
    def sample_axis(self) -> int | None:
        """The axis of the samples that the module takes, if each has a draw of its own."""
        return self.placement.sample_axis

    @property
    def last(self) -> Last | None:
        """The last application, if there was one."""
        last = super().last
        spared = self.injection.host.get_spared(self.placement.site)
        return None if last is None else replace(last, spared=spared)

    def __call__(self, x: Any, call: Call | None = None) -> Any:
        """Return x with noise on it."""
        injection, placement = self.injection, self.placement
        forward = injection.steps.forward
        if forward.together:
            raise NotTogether
        self.refuse_elsewhere(x)
        axis = None if placement.sample_axis is None else 0
        rows = given = None
        if forward.has_step:
            key = Key(injection.seed, placement.site, placement.slot, 0, forward.step)
            if axis is not None:
                rows, given = self.find_rows(x, axis, forward, 0)
        else:
            key = injection.make_stray_key(placement)
        number = forward.calls[self] = forward.calls.get(self, 0) + 1
        kind = self._adapt(placement.kind)
        y = injection.host.apply(kind, x, key, given, axis, {})
        seen: Any = kind, key, x.shape, rows, axis, {}, number, perf_counter_ns()
        self._seen = seen if type(key.step) is int else None
        return y

    def call_in_graph(self, x: Any, plan: Any = None, rate: Any = None) -> Any:
        """Return x with noise on it, in code that a compiler traces."""
        cursor, host = self.find_cursor(), self.injection.host
        if cursor is None:
            return host.run_eagerly(self)(x)
        if self.sample_axis is None:
            return host.add_noise(x, cursor, self.place, call=0, axis="none")
        graphs = self.injection.steps.graphs
        if graphs.local.by_rule:
            graphs.refuse_rules()
        samples = graphs.local.ids, graphs.local.samples
        return host.add_noise(x, cursor, self.place, samples=samples, call=0, axis="0")

    def _make_place(self, kind: Kind) -> Any:
        """Return the place by which graphs know a kind at this site."""
        return super()._make_place(self._adapt(kind))

    def _adapt(self, kind: Kind) -> Kind:
        """Return a kind for parameters along an axis of samples, if there is one."""
        return kind if self.sample_axis is None else _shift_shared(kind, self._shape)


@lru_cache(maxsize=1024)
def _shift_shared(kind: Kind, shape: tuple[int, ...]) -> Kind:
    """Return a kind for arrays with one more axis than `shape`, which comes first."""
    if kind.shared == ALL_BUT_SAMPLES:
        return kind
    axes = sorted(resolve_all("shared_axes", cast(Any, kind.shared), shape))
    return cast(Kind, replace(cast(Any, kind), shared_axes=[axis + 1 for axis in axes]))
