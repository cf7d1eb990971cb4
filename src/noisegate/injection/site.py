"""The noise of one site: its key and rows in each forward, and its last application."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol, cast
from weakref import ref

import numpy as np

from noisegate.core.errors import InvalidValue, RecomputationError, prefix_errors
from noisegate.core.keys import Key, Stream
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement, Plan
from noisegate.core.rules import EXISTING, SHORTHANDS
from noisegate.core.survey import Call
from noisegate.core.window import ATTENTION, SampleAxis
from noisegate.numpy import mask

from .row_finder import RowFinder
from .steps import Forward, NotTogether, Steps


class Owner(Protocol):
    """The injection, as seen by its notices and the noise of its sites."""

    host: Any
    plan: Plan
    noises: "list[SiteNoise]"
    seed: int
    always: bool
    # How many blocks and calls of `off` silence it now.
    silent: int
    steps: Steps
    row_finder: RowFinder
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


@dataclass(frozen=True, slots=True)
class Last:
    """The last application of a noise; its mask can be computed from it."""

    kind: Kind
    key: Key
    shape: tuple[int, ...]
    rows: Any
    sample_axis: SampleAxis
    live: Mapping[str, Any]

    def mask(self, key: Key | None = None, rows: Any = None) -> np.ndarray:
        """Return which elements are kept; by default under its own key and for its own rows."""
        shape, seen = tuple(self.shape), self.rows
        # Attention with merged heads has samples · heads on the first of three axes: split it, so
        # that rows select samples.
        if self.sample_axis == ATTENTION and len(shape) == 3 and seen is not None:
            shape = (len(seen), shape[0] // len(seen), *shape[1:])
        if rows is None:
            rows = seen
        elif isinstance(rows, slice) and seen is not None:
            rows = seen[rows]
        live = {name: np.asarray(value.tolist()) for name, value in self.live.items()}
        return mask(self.kind, shape, key or self.key, rows, self.sample_axis, **live)


class SiteNoise:
    """The function at a site: it takes a tensor and returns it with noise."""

    def __init__(self, injection: Owner, placement: Placement) -> None:
        self.injection, self.placement = injection, placement
        # Whether its site was reached in the run on an example, and whether it was ever reached.
        self.trained = self.used = False
        # Whether it no longer acts because its noise was moved to other sites.
        self.retired = False
        # How often it acted in the last forward in which it acted at all.
        self.calls = 0
        # The fields of `Last`, as a tuple: making a `Last` would cost more at every call.
        self._seen: tuple[Any, ...] | None = None

    @property
    def last(self) -> Last | None:
        """The last application, if there was one."""
        return None if self._seen is None else Last(*self._seen)

    @property
    def reached(self) -> bool:
        """Whether its site was reached in the last forward."""
        return self in self.injection.steps.last.reached

    @property
    def silent(self) -> bool:
        """Whether its site behaves as if it had no noise."""
        return not self.injection.acts_here

    @property
    def every(self) -> bool:
        """Whether it acts on all floating tensors that it is given, not only on the first."""
        return SHORTHANDS.get(self.placement.rule, ("",))[0] == "input"

    def reach(self) -> None:
        """Note that its site is reached, whether it acts there or not."""
        self.used = True
        self.injection.steps.forward.reached.add(self)

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
        return bool(live) or not kind.is_identity(kind.rate_at(step, {}))

    def __call__(self, x: Any, call: Call | None = None) -> Any:
        """Return x with noise on it."""
        injection, placement = self.injection, self.placement
        forward = injection.steps.forward
        rules: dict[str, str] = {}
        if call is None and (made := forward.made.get(id(x))) is not None and made[0]() is x:
            rules = made[1]  # that have acted on x before
            if rules.get(placement.rule, placement.site) != placement.site:
                # An inner module has passed on its tensor, which has this rule's noise already.
                injection.passed_on[placement.rule, placement.site] = rules[placement.rule]
                return x
        host = injection.host
        try:
            host.refuse_backward()
        except RecomputationError as error:
            raise error.prefix(f"inject ('{placement.site}')") from None
        kind, live = (placement.kind, {}) if call is None else self._read_call(call)
        axis = placement.sample_axis if call is None and x.ndim else self._axis(x, call, forward)
        if call is not None and call.shared_axes is not None and placement.rule == EXISTING:
            kind = _share(kind, call.shared_axes)
        number = forward.calls.get(self, 0)
        rows: Any = None
        if forward.has_step:
            key = Key(injection.seed, placement.site, placement.slot, number, forward.step)
            finder = injection.row_finder
            times = host.rows_in_use()
            if times is not None and axis is not None:
                rows = finder.find_times(times, placement.site, forward)
            elif (forward.numbered or finder.compares) and not forward.together:
                rows = finder.find(x, axis, placement, forward, number)
        else:
            key = injection.make_stray_key(placement)
        forward.calls[self] = self.calls = number + 1
        if forward.together:
            y = self._apply_steps(kind, x, key, axis, live, forward)
        else:
            y = host.apply(kind, x, key, rows, axis, live)
        self._seen = kind, key, x.shape, rows, axis, live
        # With a reference, since the id is free for another tensor once y is gone.
        forward.made[id(y)] = ref(y), {**rules, placement.rule: placement.site}
        return y

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
        if call is not None and call.sample_axis == ATTENTION:
            return ATTENTION
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


def compute_mask(noises: Sequence[SiteNoise], step: int | None, rows: Any, call: int) -> np.ndarray:
    """Return which elements are kept by all noises of one site."""
    site = noises[0].placement.site
    lasts = [(noise, noise.last) for noise in noises if noise.last is not None]
    if not lasts:
        raise InvalidValue(
            f"mask: the shape at '{site}' is not known before a forward with noise there. "
            "Run the model once in training."
        )
    masks = []
    for noise, last in lasts:
        if last.kind.removes:
            place = Stream(noise.injection.seed).site(site, noise.placement.slot)
            masks.append(last.mask(place.at(last.key.step if step is None else step, call), rows))
    if not masks:
        with prefix_errors("mask"):
            lasts[0][1].kind.check_removes()
    return np.asarray(np.logical_and.reduce(masks))
