"""The noise of one site: its key and rows in each forward, and its last application."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from time import perf_counter_ns
from typing import Any, Protocol, cast
from weakref import ref

from noisegate.core import checks
from noisegate.core.errors import NoisegateError
from noisegate.core.keys import Key
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement, Plan
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.survey import TAG, Call
from noisegate.core.window import ATTENTION, SampleAxis
from noisegate.numpy import mask

from .graph_state import InGraph, Mark
from .last_call import Last
from .row_finder import RowFinder
from .running_forward import Forward, NotTogether
from .steps import Steps


class Owner(Protocol):
    """The injection, as seen by its notices and the noise of its sites."""

    host: Any
    plan: Plan
    noises: "list[SiteNoise]"
    seed: int
    always: bool
    # How many blocks and calls of `off` silence it now.
    silent: int
    # Whether the last forward failed because of its noise, which new noise then replaces.
    failed: bool
    steps: Steps
    row_finder: RowFinder
    placed: Any
    notices: Any
    # By rule and site: the inner site where the rule has acted on the same tensor already.
    passed_on: dict[tuple[str, str], str]

    @property
    def listens(self) -> bool:
        """Whether it takes part in the forwards of this thread."""

    @property
    def acts_here(self) -> bool:
        """Whether its noise acts in this thread."""

    def make_stray_key(self, placement: Placement) -> Key:
        """Return a fresh key for a module that is called outside of a forward of the model."""


# How many former places are remembered, to know the last call.
_PLACES = 4


class SiteNoise:
    """The function at a site: it takes a tensor and returns it with noise."""

    def __init__(self, injection: Owner, placement: Placement) -> None:
        self.injection, self.placement = injection, placement
        # Whether its site was reached in the run on an example, and whether it was ever reached.
        self.trained = self.used = self._traced = False
        # Whether it acts on all floating tensors that it is given, not only on the first; and
        # whether its rule may have other sites.
        self.every = SHORTHANDS.get(placement.rule, ("",))[0] == "input"
        self.spreads = placement.rule != placement.site
        # Whether it no longer acts because its noise was moved to other sites.
        self.retired = False
        # The fields of `Last`, as a tuple: making a `Last` would cost more at every call.
        self._seen: tuple[Any, ...] | None = None
        # How graphs know it, now and before; predictions run no graphs.
        self.place: Any = None
        self.own_backward = placement.kind.has_own_backward
        self._places: list[Any] = []
        if not injection.always:
            self.place = self._make_place(placement.kind)
        # Of this thread, its `calls` in the running forward, as graphs count them.
        self.local = threading.local()
        self.local.calls = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, in which no forward runs."""
        return {name: value for name, value in vars(self).items() if name != "local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy."""
        self.__dict__.update(state, local=threading.local())
        self.local.calls = 0

    @property
    def last(self) -> Last | None:
        """The last application, if there was one."""
        calls = [*map(self.injection.host.get_last_call, self._places), self._seen]
        seen = [Last(*call) for call in calls if call is not None]
        return max(seen, key=lambda last: last.time, default=None)

    def _make_place(self, kind: Kind) -> Any:
        """Return the place by which graphs know a kind at this site."""
        placement = self.placement
        given = kind, self.injection.seed, placement.site, placement.slot
        place = self.injection.host.make_place(*given)
        self._places = [*self._places[-_PLACES:], place]
        return place

    def set_placement(self, placement: Placement) -> None:
        """Replace the placement, for eager code and for graphs."""
        self.placement, self.injection.placed = placement, None
        self.own_backward = placement.kind.has_own_backward
        if self.place is not None:
            self.place = self._make_place(placement.kind)

    @property
    def reached(self) -> bool:
        """Whether its site was reached in the last forward."""
        return self in self.injection.steps.last.reached

    @property
    def silent(self) -> bool:
        """Whether its site behaves as if it had no noise."""
        return not self.injection.acts_here

    def reach(self) -> None:
        """Note that its site is reached, whether it acts there or not."""
        self.used = True
        self.injection.steps.forward.reached.add(self)

    def refuse_unwatched(self, x: Any) -> None:
        """Raise where its module is called with x, and it should act but will not be asked."""
        host = self.injection.host
        if self.retired or self.silent:
            return
        try:
            host.refuse_tracing(x, self.injection.steps)
            if self._seen is not None:
                host.refuse_backward()
        except NoisegateError as error:
            raise error.prefix(f"inject ('{self.placement.site}')") from None

    def acts(self, training: bool, call: Call | None = None) -> bool:
        """Note that its site is reached; return whether it would change anything there."""
        injection = self.injection
        if injection.always and not injection.listens:
            return False
        self.reach()
        if self.retired or injection.silent or not (training or injection.always):
            return False
        if call is None:
            return True
        kind, live = self._read_call(call)
        forward = injection.steps.forward
        step = forward.step if forward.has_step else 0
        # A schedule has no one rate at a step that is mapped.
        mapped = type(step) is not int
        return bool(live) or mapped or not kind.is_identity(kind.rate_at(step, {}))

    def __call__(self, x: Any, call: Call | None = None) -> Any:
        """Return x with noise on it."""
        injection, placement = self.injection, self.placement
        forward = injection.steps.forward
        rules: dict[str, str] = {}
        if call is None and (made := forward.made.get(id(x))) is not None and made[0]() is x:
            rules = made[1]  # that have acted on x before
        elif call is None and forward.mark is not None:
            rules = self._read_tag(x, forward)
        if rules and rules.get(placement.rule, placement.site) != placement.site:
            # An inner module has passed on its tensor, which has this rule's noise already.
            injection.passed_on[placement.rule, placement.site] = rules[placement.rule]
            return x
        self.refuse_elsewhere(x)
        host = injection.host
        kind, live = (placement.kind, {}) if call is None else self._read_call(call)
        axis = placement.sample_axis if call is None and x.ndim else self._axis(x, call, forward)
        if call is not None and call.shared_axes is not None and placement.rule == EXISTING:
            kind = _share(kind, call.shared_axes)
        number = forward.calls.get(self, 0)
        if forward.has_step:
            key = Key(injection.seed, placement.site, placement.slot, number, forward.step)
            rows, given = self.find_rows(x, axis, forward, number)
        else:
            key = injection.make_stray_key(placement)
            rows = given = injection.row_finder.find_stray(x, axis)
        forward.calls[self] = number + 1
        try:
            if forward.together:
                y = self._apply_steps(kind, x, key, axis, live, forward)
            else:
                y = host.apply(kind, x, key, given, axis, live)
        except NoisegateError as error:
            injection.failed = True
            error.add_note(
                f"The noise is that of the rule '{placement.rule}' at '{placement.site}'."
            )
            raise
        shape = host.read_shape(x, "inject") if x.is_nested else x.shape
        # A tensor that is mapped must not outlive its map.
        seen = kind, key, shape, rows, axis, live, number + 1, perf_counter_ns()
        self._seen = seen if type(key.step) is int else None
        # With a reference, since the id is free for another tensor once y is gone.
        forward.made[id(y)] = ref(y), {**rules, placement.rule: placement.site}
        return y

    def find_rows(self, x: Any, axis: SampleAxis, forward: Forward, number: int) -> tuple[Any, Any]:
        """Return the rows of the samples of x, None if they count from 0; and as a map has them."""
        host, finder = self.injection.host, self.injection.row_finder
        if forward.batch is None and axis is not None:
            finder.see(x, axis, forward)
        times = host.times_in_use()
        if times is not None and axis is not None:
            rows = finder.find_times(times, self.placement.site, forward)
            return rows, rows
        if not (forward.numbered or finder.compares) or forward.together:
            return None, None
        rows = finder.find(x, axis, self.placement, forward, number)
        return rows, host.follow(rows) if forward.follows and rows is not None else rows

    def decide(self, training: bool, call: Call) -> bool | None:
        """Return whether the site's module skips what a coin decides on; None if it is torch's."""
        injection, forward = self.injection, self.injection.steps.forward
        self.reach()
        acts = training or injection.always
        if self.retired or injection.silent or not acts or not forward.has_step:
            return None
        if forward.together:
            raise NotTogether
        kind, live = self._read_call(call)
        number = forward.calls.get(self, 0)
        forward.calls[self] = number + 1
        key = Key(injection.seed, self.placement.site, self.placement.slot, number, forward.step)
        self._seen = kind, key, (), None, None, live, number + 1, perf_counter_ns()
        return not bool(mask(kind, (), key))

    def call_in_graph(self, x: Any, plan: InGraph | None = None, rate: Any = None) -> Any:
        """Return x with noise on it, in code that a compiler traces.

        `plan` is of the model's own noise that is replaced, and `rate` its rate: a number, a
        tensor, or None for the kind's own.
        """
        placement, host = self.placement, self.injection.host
        graphs = self.injection.steps.graphs.local
        cursor = self.find_cursor()
        if cursor is None:
            return host.run_eagerly(self)(x)
        if graphs.by_rule:
            self.injection.steps.graphs.refuse_rules()
        place, axis = self.place, "none"
        tag: tuple[Any, ...] = ()
        if plan is None:
            tag = tuple(pair for pair in getattr(x, TAG, None) or () if self._knows(*pair))
            if self.spreads and any(self._follows(noise) for _, noise in tag):
                return x  # an inner module has passed on its tensor, which has this noise
            axis = host.name_axis(placement.sample_axis if x.ndim else None)
        else:
            # By an attribute, since an equal model may run the graph that is made for this one.
            place = getattr(self, plan.place) if placement.own else place
            axis = plan.axis
            if plan.only_samples and x.shape[int(axis)] != graphs.batch:
                axis = "none"
        number = self.local.calls
        self.local.calls = number + 1
        samples = graphs.ids, graphs.samples
        own = rate if placement.own else None
        given = {"samples": samples, "call": number, "axis": axis, "rate": own}
        y = host.add_noise(x, cursor, place, own_backward=self.own_backward, **given)
        setattr(y, TAG, (*tag, (graphs.mark, self)))
        return y

    def refuse_elsewhere(self, x: Any) -> None:
        """Raise where x is recorded or computed again, and its noise would be wrong."""
        host = self.injection.host
        try:
            host.refuse_tracing(x, self.injection.steps)
            host.refuse_backward()
        except NoisegateError as error:
            raise error.prefix(f"inject ('{self.placement.site}')") from None

    def find_cursor(self) -> Any:
        """Return the cursor of the forward that a compiler traces; None if it runs eagerly."""
        host, graphs = self.injection.host, self.injection.steps.graphs
        if host.is_exporting():  # else the name of the site is not read, which a graph would hold
            host.refuse_export(f"inject ('{self.placement.site}')")
        cursor = getattr(graphs.local, "cursor", None)
        if cursor is None and host.traces_whole():
            graphs.refuse_parts()
        return cursor

    def _knows(self, mark: Mark, noise: "SiteNoise") -> bool:
        """Return whether a noise is of this injection, and has acted in the running forward."""
        return mark.live and noise.injection is self.injection

    def _follows(self, noise: "SiteNoise") -> bool:
        """Return whether another noise is of the same rule, at another site."""
        return noise is not self and noise.placement.rule == self.placement.rule

    def _read_tag(self, x: Any, forward: Forward) -> dict[str, str]:
        """Return the rules that have acted on x in a graph of this forward, and their sites."""
        tag = getattr(x, TAG, None) or ()
        those = [noise.placement for mark, noise in tag if mark is forward.mark]
        return {placement.rule: placement.site for placement in those}

    def plan_in_graph(self, call: Call, rank: int) -> InGraph:
        """Return how graphs apply it in place of a noise of the model's own."""
        kind, _ = self._read_call(call)
        if call.shared_axes is not None and self.placement.rule == EXISTING:
            kind = _share(kind, call.shared_axes)
        own, only_samples = self.placement.sample_axis, False
        axis: SampleAxis = own
        if not rank:
            axis = None
        elif type(call.sample_axis) in (int, str):
            axis = call.sample_axis
        elif call.sample_axis is None and self.placement.rule == EXISTING:
            only_samples = own is not None and -rank <= own < rank
            axis = own if only_samples else None
        name = "place"
        if kind.at_rate(self.placement.kind.rate) != self.placement.kind:
            place = self._make_place(kind)
            name = f"place_{place[0]}"
            setattr(self, name, place)
        return InGraph(name, self.injection.host.name_axis(axis), only_samples)

    @checks.at_trace_time
    def reach_in_graph(self) -> None:
        """Note that a graph has its site."""
        self._traced = True

    @property
    def may_act_in_graphs(self) -> bool:
        """Whether a graph has its site, or its noise has acted in a graph of an equal model."""
        get = self.injection.host.get_last_call
        return self._traced or any(get(place) is not None for place in self._places)

    def is_silent_in_graph(self) -> bool:
        """Return `silent`, in code that a compiler traces."""
        return self.injection.silent > 0

    def acts_in_graph(self, training: bool, rate: Any = None) -> bool:
        """Return whether it would change anything, in code that a compiler traces.

        `rate` is that of the noise that it replaces, which decides unless the user has set one.
        """
        injection = self.injection
        if rate == 0 and self.placement.own:
            return False
        return not (self.retired or injection.silent) and (training or injection.always)

    def _apply_steps(
        self, kind: Kind, x: Any, key: Key, axis: SampleAxis, live: Any, forward: Forward
    ) -> Any:
        """Return x with the noise of several steps, each on an equal part of its first axis."""
        steps = forward.together
        if axis not in (0, ATTENTION) or not x.shape[0] or x.shape[0] % len(steps) or live:
            raise NotTogether
        part = x[: x.shape[0] // len(steps)]
        rows = None
        if forward.numbered:
            finder = self.injection.row_finder
            rows = finder.find(part, axis, self.placement, forward, key.call)
        host = self.injection.host
        y = host.apply_steps(kind, x, key, rows, axis, steps)
        if y is None:
            raise NotTogether
        if y is x or forward.muted is None:  # y is x if the noise changes nothing
            return y
        return host.mute_part(y, forward.muted, len(steps))

    def _read_call(self, call: Call) -> tuple[Kind, Mapping[str, Any]]:
        """Return the kind that acts, and its rate if that is an array."""
        placement = self.placement
        if not placement.own:
            return placement.kind, {}
        # In evaluation a model may call its dropouts with a rate of 0, so a prediction uses the
        # rate that the placement holds from training.
        return placement.kind if self.injection.always else call.kind, call.live

    def _axis(self, x: Any, call: Call | None, forward: Forward) -> SampleAxis:
        """Return the axis of the samples of x; None if x is one sample."""
        axis = self.placement.sample_axis
        if not x.ndim:
            return None
        if call is not None and type(call.sample_axis) in (int, str):
            return call.sample_axis
        if call is None or call.sample_axis is not None or self.placement.rule != EXISTING:
            return axis
        # torch's layer takes x as one sample, but its first axis may still be the model's samples.
        count = (forward.batch or 0) * max(1, len(forward.together))
        named = axis is not None and -x.ndim <= axis < x.ndim and x.shape[axis] == count
        return axis if named else None


@lru_cache(maxsize=1024)
def _share(kind: Kind, shared: tuple[int, ...]) -> Kind:
    """Return a kind whose mask is shared along the given axes of the input."""
    return cast(Kind, replace(cast(Any, kind), shared_axes=shared))
