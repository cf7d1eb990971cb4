"""The noise of one site: which key, which rows, and what acted last."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import ref

import numpy as np

from noisegate.core import checks, messages
from noisegate.core.errors import InvalidValue, RecomputationError
from noisegate.core.keys import Key, Stream
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.survey import Call
from noisegate.core.window import ATTENTION, SampleAxis, Window, rows_count
from noisegate.numpy import mask

from .steps import Forward, NotTogether

if TYPE_CHECKING:
    from .model_noise import ModelNoise


@dataclass(frozen=True, slots=True)
class Last:
    """The last application of a noise, from which its mask is rebuilt."""

    kind: Kind
    key: Key
    shape: tuple[int, ...]
    rows: Any
    sample_axis: SampleAxis
    live: Mapping[str, Any]

    def mask(self, key: Key | None = None, rows: Any = None) -> np.ndarray:
        """Return where an element is kept, under another key or for other rows too."""
        shape, seen = tuple(self.shape), self.rows
        if self.sample_axis == ATTENTION and len(shape) == 3 and seen is not None:
            shape = (len(seen), shape[0] // len(seen), *shape[1:])
        if rows is None:
            rows = seen
        elif isinstance(rows, slice) and seen is not None:
            rows = seen[rows]
        live = {name: np.asarray(value.tolist()) for name, value in self.live.items()}
        return mask(self.kind, shape, key or self.key, rows, self.sample_axis, **live)


class Ready(NamedTuple):
    """What of an application is the same at every step.

    `of` says for what: kind, shape, dtype, layout, device, sample axis, rows. `rate` is None
    where it moves, or where x is integers; `idle` says that it changes nothing. In `works` the
    host keeps what it worked out.
    """

    of: tuple[Any, ...]
    window: Window
    rate: float | None
    idle: bool
    works: Any


class SiteNoise:
    """The function that injection puts at a site."""

    def __init__(self, injection: "ModelNoise", placement: Placement) -> None:
        self.injection, self.placement = injection, placement
        # Whether its place was reached in a run in training, and at any time; and whether it has
        # moved elsewhere.
        self.trained = self.used = self.retired = False
        # How often it acted in the last forward in which it did.
        self.calls = 0
        self._seen: tuple[Any, ...] | None = None
        self._ready: Ready | None = None

    @property
    def last(self) -> Last | None:
        """The last application, if there was one."""
        return None if self._seen is None else Last(*self._seen)

    @property
    def reached(self) -> bool:
        """Whether its place was reached in the last forward."""
        return self in self.injection.steps.last.reached

    @property
    def silent(self) -> bool:
        """Whether it is as if it were not there."""
        return not self.injection.acts_here

    @property
    def every(self) -> bool:
        """Whether it acts on every floating tensor that it sees, not on the first alone."""
        return SHORTHANDS.get(self.placement.rule, ("",))[0] == "input"

    def reach(self) -> None:
        """Note that its place was reached, whether it acts there or not."""
        self.used = True
        self.injection.steps.forward.reached.add(self)

    def acts(self, training: bool, call: Call | None = None) -> bool:
        """Return whether it would change anything, in training or not, for a call."""
        injection = self.injection
        if injection.always and not injection.listens:
            return False
        self.reach()
        if self.retired or injection.silent or not (training or injection.always):
            return False
        if call is None:
            return True
        kind, live = self._noise(call)
        return bool(live) or not kind.is_identity(kind.rate_at(self._step(), {}))

    def __call__(self, x: Any, call: Call | None = None) -> Any:
        """Return x with noise on it."""
        injection, placement = self.injection, self.placement
        forward = injection.steps.forward
        rules = _rules_on(x, forward) if call is None else {}
        if placement.rule in rules and rules[placement.rule] != placement.site:
            # A module within has passed its tensor on, with this rule's noise on it.
            injection.passed_on[placement.rule, placement.site] = rules[placement.rule]
            return x
        host = injection.host
        try:
            host.refuse_backward()
        except RecomputationError as error:
            raise error.prefix(f"inject ('{placement.site}')") from None
        kind, live = (placement.kind, None) if call is None else self._noise(call)
        axis = placement.sample_axis if call is None and x.ndim else self._axis(x, call, forward)
        if call is not None and call.shared_axes is not None and placement.rule == EXISTING:
            kind = _sharing(kind, call.shared_axes)
        number = forward.calls.get(self, 0)
        if forward.running:
            key = Key(injection.seed, placement.site, placement.slot, number, forward.step)
            looked_at = forward.numbered or injection.extents is not None
            numbered = looked_at and not forward.together
            within = host.rows_in_use()
            if within is not None and axis is not None:
                rows: Any = self._rows_within(within, forward)
            else:
                rows = self._rows(x, axis, forward, key) if numbered else None
        else:
            key, rows = self._stray(), None
        forward.calls[self] = self.calls = number + 1
        if forward.together:
            y = self._together(kind, x, key, axis, live or {}, forward)
        elif live:
            y = kind(x, key, rows=rows, sample_axis=axis, **live)
        else:
            y = self._apply(kind, x, key, rows, axis)
        self._seen = kind, key, x.shape, rows, axis, live or {}
        forward.made[id(y)] = ref(y), {**rules, placement.rule: placement.site}
        return y

    def _apply(self, kind: Kind, x: Any, key: Key, rows: Any, axis: SampleAxis) -> Any:
        """Return x with noise on it, as a call of the kind would; what repeats is kept."""
        ready = self._prepared(kind, x, key, rows, axis)
        if ready.rate is None:
            return kind(x, key, rows=rows, sample_axis=axis)
        if ready.idle:
            return x
        return self.injection.host.apply_in(kind, x, key, ready.window, ready.rate, ready.works)

    def _prepared(self, kind: Kind, x: Any, key: Key, rows: Any, axis: SampleAxis) -> Ready:
        """Return what is the same for every step, all arguments checked, once."""
        ready, of = self._ready, (kind, x.shape, x.dtype, x.layout, x.device, axis, rows)
        if ready is None or ready.of != of:
            host = self.injection.host
            window, integers = host.window_for(kind, x, key, rows, axis)
            rate = kind.rate if checks.is_host(kind.rate) and not integers else None
            idle = rate is not None and kind.is_identity(rate)
            ready = Ready(of, window, rate, idle, host.works_of(kind))
            self._ready = ready
        return ready

    def _together(
        self,
        kind: Kind,
        x: Any,
        key: Key,
        axis: SampleAxis,
        live: Mapping[str, Any],
        forward: Forward,
    ) -> Any:
        """Return x with the noise of several steps, each on an equal part of its first axis."""
        steps = forward.together
        if axis not in (0, ATTENTION) or not x.shape[0] or x.shape[0] % len(steps) or live:
            raise NotTogether
        part = x[: x.shape[0] // len(steps)]
        rows = self._rows(part, axis, forward, key) if forward.numbered else None
        ready = self._prepared(kind, part, key, rows, axis)
        if ready.rate is None:
            raise NotTogether
        if ready.idle:
            return x
        host = self.injection.host
        y = host.apply_steps(kind, x, key, ready.window, ready.rate, steps, ready.works)
        return y if forward.muted is None else host.mute(y, forward.muted, len(steps))

    def measured(self) -> list[str]:
        """Return shape, calls, and the share that the mask of the last call removes, in words."""
        last = self.last
        if last is None:
            return ["", "0", ""]
        removed = f"{1 - last.mask().mean():.4f}" if last.kind.removes else ""
        return [str(tuple(last.shape)), str(self.calls), removed]

    def _noise(self, call: Call) -> tuple[Kind, Mapping[str, Any]]:
        """Return the kind that acts, and its rate where that is an array."""
        placement = self.placement
        if not placement.own:
            return placement.kind, {}
        # A model in evaluation may call its dropouts with a rate of 0.
        return placement.kind if self.injection.always else call.kind, call.live

    def _axis(self, x: Any, call: Call | None, forward: Forward) -> SampleAxis:
        axis = self.placement.sample_axis
        if not x.ndim:
            return None
        if call is not None and call.sample_axis == ATTENTION:
            return ATTENTION
        if call is None or call.sample_axis is not None or self.placement.rule != EXISTING:
            return axis
        # The layer takes x as one sample; its first axis may be the model's samples all the same.
        count = (forward.batch or 0) * max(1, len(forward.together))
        named = axis is not None and -x.ndim <= axis < x.ndim and x.shape[axis] == count
        return axis if named else None

    def _step(self) -> int:
        forward = self.injection.steps.forward
        return forward.step if forward.running else 0

    def _stray(self) -> Key:
        """Return a key of its own, where its module is used without the model."""
        # The model alone knows the step.
        injection, placement = self.injection, self.placement
        injection.notices.stray(placement)
        injection.strays += 1
        name = f"{placement.site} without its model"
        return Stream(injection.seed).site(name, placement.slot).at(injection.strays - 1)

    def _rows_within(self, rows: Any, forward: Forward) -> tuple[int, ...]:
        """Return the rows of steps of time: those of the samples, and in each its steps."""
        if forward.together:
            raise NotTogether
        if not forward.numbered:
            return tuple(rows)
        count = rows.samples
        ids: Any = forward.ids
        if ids is None:
            ids = range(forward.first, forward.first + (forward.batch or 0))
        ids = (0,) * count if forward.shared else ids
        if len(ids) != count:
            raise InvalidValue(self._of_other_extent(count, len(ids), forward))
        return tuple(rows.of(ids))

    def _rows(self, x: Any, axis: SampleAxis, forward: Forward, key: Key) -> Any:
        """Return the row of each sample, where they do not count from 0."""
        if axis is None:
            if forward.numbered and x.ndim and self.placement.sample_axis is not None:
                raise InvalidValue(messages.unbatched_rows(self.placement.site, tuple(x.shape)))
            return None
        own = self.injection.steps.rows_of_its_own(self.placement.site, self.placement.rule)
        if own is not None:
            return own
        extents = self.injection.extents
        counted = forward.ids is None and not forward.first and not forward.shared
        if counted and extents is None:
            return None
        extent = x.shape[0 if axis == ATTENTION else axis]
        heads_merged = axis == ATTENTION and x.ndim == 3
        if forward.shared:
            return (0,) * ((forward.batch or 1) if heads_merged else extent)
        if extents is not None:
            name = (self.placement.site, self.placement.slot, key.call)
            first, count = forward.first, forward.batch or 0
            ids = range(first, first + count) if forward.ids is None else forward.ids
            return extents.rows(name, ids, extent)
        expected = (forward.batch if forward.ids is None else len(forward.ids)) or 0
        heads = extent // expected if heads_merged and expected else 1
        samples = forward.batch if heads_merged and forward.batch else expected
        if extent != expected * heads or samples != expected:
            raise InvalidValue(self._of_other_extent(extent, expected, forward))
        if forward.ids is not None:
            return forward.ids
        return range(forward.first, forward.first + expected)

    def _of_other_extent(self, extent: int, expected: int, forward: Forward) -> str:
        """Return what is said where a site's samples are not those that have rows."""
        batch = forward.batch
        if forward.ids is not None and batch is None:  # of a part that is called without the model
            return f"inject: {rows_count(expected, extent)}"
        if forward.ids is not None and batch and batch != expected and extent % batch == 0:
            return f"inject: {rows_count(expected, batch)}"
        sentence = messages.unclear_rows if self.injection.always else messages.other_extent
        return sentence(self.placement.site, extent, expected)


def _rules_on(x: Any, forward: Forward) -> dict[str, str]:
    """Return the rules whose noise this very tensor bears, and where each has acted."""
    made = forward.made.get(id(x))
    return made[1] if made is not None and made[0]() is x else {}


@lru_cache(maxsize=1024)
def _sharing(kind: Kind, shared: tuple[int, ...]) -> Kind:
    """Return a kind of which these axes of an input share a decision."""
    return cast(Kind, replace(cast(Any, kind), shared_axes=shared))


def mask_of(noises: list[SiteNoise], step: int | None, rows: Any, call: int) -> np.ndarray:
    """Return where all the noises of one site keep an element."""
    site = noises[0].placement.site
    lasts = [(noise, noise.last) for noise in noises if noise.last is not None]
    if not lasts:
        raise InvalidValue(messages.not_seen("mask", site))
    masks = []
    for noise, last in lasts:
        if last.kind.removes:
            place = Stream(noise.injection.seed).site(site, noise.placement.slot)
            masks.append(last.mask(place.at(last.key.step if step is None else step, call), rows))
    if not masks:
        lasts[0][1].kind.check_removes()
    return np.asarray(np.logical_and.reduce(masks))
