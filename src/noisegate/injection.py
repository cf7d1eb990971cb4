"""Noise put into a model that somebody else wrote, by name, and taken out without a trace."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import ref

from noisegate.core import checks, messages
from noisegate.core.backends import face_of_model
from noisegate.core.errors import InvalidValue
from noisegate.core.keys import SEED_BITS, STEP_BITS, Key, Stream
from noisegate.core.plan import Placement, make_plan
from noisegate.core.window import rows_of

__all__ = ["Injection", "handles", "inject"]


@dataclass(frozen=True, slots=True)
class _Forward:
    """Which part of which step the model's forward is.

    `first` is the row of its first sample; `ids` are the rows of its samples where they are
    given. Outside of a forward `running` is False.
    """

    step: int = 0
    first: int = 0
    batch: int | None = None
    ids: Sequence[int] | None = None
    running: bool = False


class Injection:
    """Noise in a model, as `inject` returns it; also a context manager that removes it.

    Attributes
    ----------
    seed : int
        The seed of the noise, in [0, 2⁶⁴).
    sites : tuple of str
        The sites that have noise, in the order of the rules.
    step : int
        The step that the next training forward uses: 0 at first. It advances when that forward
        has begun, even if it fails; a resume sets it. Evaluation does not advance it.
    rows : sequence of int or None
        Ids of the samples of the next forwards, in [0, 2⁶⁴); None counts from 0.
    """

    def __init__(
        self, model: Any, rules: Mapping[str, Any], seed: int | None, sample_axis: Any
    ) -> None:
        face = face_of_model(model)
        self._refuse_backward, self._register = face.refuse_backward, face.register
        self.seed = checks.whole(
            "inject", "seed", face.draw_seed() if seed is None else seed, SEED_BITS
        )
        others = [handle for handle in face.handles(model) if handle.seed == self.seed]
        taken = {placement.name for other in others for placement in other._plan.placements}
        self._plan = make_plan(rules, face.sites(model), taken, sample_axis)
        self._next = 0
        self._forward = _Forward()
        self._pinned: _Forward | None = None
        self._rows: Sequence[int] | None = None
        self._silent = self._strays = 0
        self._made: dict[tuple[str, int], tuple[Any, str]] = {}
        self._passed_on: dict[tuple[str, str], str] = {}
        self._noises = [_SiteNoise(self, placement) for placement in self._plan.placements]
        self._register(self)
        self._detach: list[Callable[[], None]] = [
            face.attach(model, noise.placement.site, noise) for noise in self._noises
        ]
        # Last of all, so that the model's own output is still part of its forward.
        self._detach.append(face.on_forward(model, self._begin, self._end))

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that have noise, in the order of the rules."""
        return self._plan.sites

    @property
    def step(self) -> int:
        """The step that the next training forward uses."""
        return self._next

    @step.setter
    def step(self, value: int) -> None:
        self._next = checks.whole("inject", "step", value, STEP_BITS)
        self._forward = replace(self._forward, step=self._next)

    @property
    def rows(self) -> Sequence[int] | None:
        """The ids of the samples of the next forwards."""
        return self._rows

    @rows.setter
    def rows(self, value: Any) -> None:
        self._rows = None if value is None else rows_of("inject", value)

    @contextmanager
    def at(self, step: int, rows: Any = None) -> Iterator[None]:
        """Make every training forward of a block part of one step; `step` stays where it is.

        The samples go on from one forward to the next, along the first axis of the model's
        input: two micro-batches of 16 have the noise of one batch of 32.

        Parameters
        ----------
        step : int
            In [0, 2³²).
        rows : sequence of int, optional
            Ids of all the samples of the block, in [0, 2⁶⁴); by default 0, 1, 2 ….
        """
        step = checks.whole("inject", "step", step, STEP_BITS)
        ids = None if rows is None else rows_of("inject", rows)
        before, self._pinned = self._pinned, _Forward(step, batch=0, ids=ids)
        try:
            yield
        finally:
            self._pinned = before

    def off(self) -> AbstractContextManager[None]:
        """Silence the noise until `on`, or for a block: ``with noise.off():``.

        It is then as if the noise were not there; the step does not advance either.
        """
        before = self._silent
        self._silent += 1

        @contextmanager
        def silence() -> Iterator[None]:
            try:
                yield
            finally:
                self._silent = before

        return silence()

    def on(self) -> None:
        """Let the noise act again, however often it was silenced."""
        self._silent = 0

    def report(self) -> str:
        """Return a table of what was put where, by which rule, in plain text."""
        notes = [f"note: {messages.passed_on(*k, v)}" for k, v in self._passed_on.items()]
        return "\n".join([self._plan.report(), *notes])

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as a dict that JSON can hold."""
        noises = [
            {"site": p.site, "slot": p.slot, "noise": p.kind.config()}
            for p in self._plan.placements
        ]
        return {"scheme": 1, "seed": self.seed, "step": self.step, "noises": noises}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the noise must be the one that it was taken of.

        Raises
        ------
        InvalidValue
            If scheme, seed, sites or kinds differ: the message says which.
        """
        mine = self.state()
        for name in ("scheme", "seed", "noises"):
            if state.get(name) != mine[name]:
                raise InvalidValue(messages.other_state(name, state.get(name), mine[name]))
        self.step = state["step"]

    def remove(self) -> None:
        """Take the noise out of the model; nothing of it stays, and its slots are free again."""
        for detach in self._detach:
            detach()
        self._detach.clear()

    def __enter__(self) -> "Injection":
        """Return the handle; the end of the block removes the noise."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the noise."""
        self.remove()

    def __repr__(self) -> str:
        """Return the seed, the step and the number of sites."""
        return f"<noise at {len(self.sites)} sites, seed {self.seed}, step {self.step}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: not the tensors of this forward."""
        return {**self.__dict__, "_made": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copied model's noise, which counts on its own."""
        self.__dict__.update(state)
        self._register(self)

    def snapshot(self) -> Any:
        """Return what the next noise depends on."""
        calls = [noise.calls for noise in self._noises]
        return self._forward, self._pinned, self._next, self._silent, self._strays, calls

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says."""
        self._forward, self._pinned, self._next, self._silent, self._strays, calls = state
        for noise, count in zip(self._noises, calls, strict=True):
            noise.calls = count

    def _begin(self, training: bool, batch: int | None) -> None:
        """Take the next step, or the next part of a pinned one."""
        if self._silent:
            return
        for noise in self._noises:
            noise.calls = 0
        self._made.clear()
        pinned = self._pinned
        if pinned is None:
            self._forward = _Forward(self._next, 0, batch, self._rows, True)
            self._next += training
            return
        first = pinned.first
        ids = None if pinned.ids is None else pinned.ids[first : first + (batch or 0)]
        self._forward = _Forward(pinned.step, first, batch, ids, True)
        if training:
            self._pinned = replace(pinned, first=first + (batch or 0))

    def _end(self) -> None:
        self._forward = replace(self._forward, running=False)


class _SiteNoise:
    """The function that injection puts at a site."""

    def __init__(self, injection: Injection, placement: Placement) -> None:
        self.injection, self.placement = injection, placement
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        injection, placement = self.injection, self.placement
        if injection._silent or self._has_it(x):
            return x
        injection._refuse_backward(f"inject ('{placement.site}')")
        axis = placement.sample_axis
        if not x.ndim:
            axis = None
        key, rows = self._key(), self._rows(x, axis)
        self.calls += 1
        y = placement.kind(x, key, rows=rows, sample_axis=axis)
        injection._made[placement.rule, id(y)] = ref(y), placement.site
        return y

    def _has_it(self, x: Any) -> bool:
        """Return whether a module within passed its tensor on, with this rule's noise on it."""
        injection, placement = self.injection, self.placement
        made, site = injection._made.get((placement.rule, id(x)), (None, ""))
        if made is None or made() is not x or site == placement.site:
            return False
        injection._passed_on[placement.rule, placement.site] = site
        return True

    def _key(self) -> Key:
        injection, placement = self.injection, self.placement
        stream, forward = Stream(injection.seed), injection._forward
        if forward.running:
            return stream.site(placement.site, placement.slot).at(forward.step, self.calls)
        # Its module is used without the model, which alone knows the step.
        if not injection._strays:
            warnings.warn(messages.without_root(placement.site), RuntimeWarning, stacklevel=2)
        injection._strays += 1
        site = stream.site(f"{placement.site} without its model", placement.slot)
        return site.at(injection._strays - 1)

    def _rows(self, x: Any, axis: int | None) -> Any:
        forward = self.injection._forward
        if axis is None or not forward.running or (forward.ids is None and not forward.first):
            return None
        extent = x.shape[axis]
        expected = forward.batch if forward.ids is None else len(forward.ids)
        if extent != expected:
            raise InvalidValue(messages.other_extent(self.placement.site, extent, expected))
        if forward.ids is not None:
            return forward.ids
        return range(forward.first, forward.first + extent)


def handles(model: Any) -> tuple[Injection, ...]:
    """Return the handles of the noise that a model has, also of one that was copied or loaded.

    Examples
    --------
    >>> import copy
    >>> import noisegate as ng, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8))
    >>> noise = ng.inject(model, {"0:out": 0.5}, seed=13)
    >>> ng.handles(copy.deepcopy(model))
    (<noise at 1 sites, seed 13, step 0>,)
    """
    return tuple(face_of_model(model).handles(model))


@checks.known_keywords("inject")
def inject(
    model: Any,
    rules: Mapping[str, Any],
    seed: int | None = None,
    *,
    sample_axis: int | Mapping[str, int | None] | None = 0,
) -> Injection:
    """Put noise into a model by name, without touching its code.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Its ``state_dict()`` stays key for key what it was.
    rules : mapping of str to float, Schedule, Kind, or a list of them
        Pattern ``path:port`` to noise; a number p, or a schedule of it, means ``Dropout(p)``.
        The path is a module's, the port its `in` or its `out`; ``:in`` and ``:out`` are the
        model's own, and so are ``in:out`` and ``out:out`` unless a module is called `in` or
        `out`. Patterns are shell globs in which ``*`` crosses dots. Every rule that matches
        acts, with its own mask. A list acts one after the other. Where nested modules pass on
        the same tensor, a rule acts once, innermost, and the report says so.
    seed : int, optional
        In [0, 2⁶⁴). None draws one from torch's CPU generator.
    sample_axis : int, None, or mapping of rule to int or None
        The axis of the samples, for all rules or for some: 1 for time-major tensors.

    Returns
    -------
    Injection
        With `sites`, `report()`, `step`, `at()`, `rows`, `off()`, `on()`, `state()` and
        `remove()`.

    Raises
    ------
    UnmatchedRule
        If a rule matches nothing; the message names the nearest sites.
    InvalidType, InvalidValue
        If the model, a pattern, a noise or the seed is unusable. The model is then untouched.

    Notes
    -----
    A site is active while its own module trains. At step n the noise of a site is that of the
    key ``Stream(seed).site(site).at(n)``, for the whole batch along the sample axis. A module that
    is used without the model has fresh noise, and warns.

    Examples
    --------
    >>> import noisegate as ng, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> noise = ng.inject(model, {"1:out": 0.5, "in:out": ng.GaussianNoise(0.1)}, seed=13)
    >>> print(noise.report())
    site   noise                     slot  rule
    1:out  Dropout(p=0.5)            0     1:out
    :in    GaussianNoise(sigma=0.1)  0     in:out
    note: 'in:out' means ':in', the model's own input.
    >>> noise.remove()
    """
    return Injection(model, rules, seed, sample_axis)
