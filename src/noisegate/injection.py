"""Noise put into a model that somebody else wrote, by name, and taken out without a trace."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from noisegate.core import checks
from noisegate.core.backends import face_of_model
from noisegate.core.keys import SEED_BITS, STEP_BITS, Stream
from noisegate.core.plan import Placement, make_plan

# (seed, (site, kind, slot)) of every noise that a model holds now.
_TAKEN: WeakKeyDictionary[Any, set[tuple[int, tuple[str, str, int]]]] = WeakKeyDictionary()


class Injection:
    """Noise in a model, as `inject` returns it.

    Attributes
    ----------
    seed : int
        The seed of the noise, in [0, 2⁶⁴).
    sites : tuple of str
        The sites that have noise, in the order of the rules.
    step : int
        The step that the next training forward uses: 0 at first. It advances when that forward
        has begun, even if it fails; a resume sets it. Evaluation does not advance it.
    """

    def __init__(self, model: Any, rules: Mapping[str, Any], seed: int | None) -> None:
        face = face_of_model(model)
        self._refuse_backward = face.refuse_backward
        self.seed = checks.whole(
            "inject", "seed", face.draw_seed() if seed is None else seed, SEED_BITS
        )
        self._taken = _TAKEN.setdefault(model, set())
        taken = {name for other, name in self._taken if other == self.seed}
        self._plan = make_plan(rules, face.sites(model), taken)
        self._next = self._now = 0
        self._silent = 0
        self._noises = [_SiteNoise(self, placement) for placement in self._plan.placements]
        self._register = face.register
        self._register(self)
        self._detach: list[Callable[[], None]] = [face.on_forward(model, self._begin)]
        for noise in self._noises:
            self._detach.append(face.attach(model, noise.placement.site, noise))
            self._taken.add((self.seed, noise.placement.name))

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
        self._next = self._now = checks.whole("inject", "step", value, STEP_BITS)

    def report(self) -> str:
        """Return a table of what was put where, by which rule, in plain text."""
        return self._plan.report()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Run a block as if the noise were not there; the step does not advance either."""
        self._silent += 1
        try:
            yield
        finally:
            self._silent -= 1

    def remove(self) -> None:
        """Take the noise out of the model; nothing of it stays, and its slots are free again."""
        for detach in self._detach:
            detach()
        self._detach.clear()
        self._taken -= {(self.seed, noise.placement.name) for noise in self._noises}

    def __repr__(self) -> str:
        """Return the seed, the step and the number of sites."""
        return f"<noise at {len(self.sites)} sites, seed {self.seed}, step {self.step}>"

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copied model's noise, which counts on its own."""
        self.__dict__.update(state)
        self._register(self)

    def snapshot(self) -> Any:
        """Return what the next noise depends on."""
        return self._now, self._next, self._silent, [noise.calls for noise in self._noises]

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says."""
        self._now, self._next, self._silent, calls = state
        for noise, count in zip(self._noises, calls, strict=True):
            noise.calls = count

    def _begin(self, training: bool) -> None:
        if self._silent:
            return
        for noise in self._noises:
            noise.calls = 0
        self._now = self._next
        if training:
            self._next += 1


class _SiteNoise:
    """The function that injection puts at a site."""

    def __init__(self, injection: Injection, placement: Placement) -> None:
        self.injection, self.placement = injection, placement
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        injection, placement = self.injection, self.placement
        if injection._silent:
            return x
        injection._refuse_backward(f"inject ('{placement.site}')")
        site = Stream(injection.seed).site(placement.site, placement.slot)
        key = site.at(injection._now, self.calls)
        self.calls += 1
        # Rank 1 is a batch of single numbers here, as everywhere in a model.
        return placement.kind(x, key, sample_axis=0 if x.ndim else None)


@checks.known_keywords("inject")
def inject(model: Any, rules: Mapping[str, Any], seed: int | None = None) -> Injection:
    """Put noise into a model by name, without touching its code.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. Its ``state_dict()`` stays key for key what it was.
    rules : mapping of str to float, Schedule or Kind
        Pattern ``path:port`` to noise; a number p, or a schedule of it, means ``Dropout(p)``.
        The path is a module's, the port its `in` or its `out`; ``:in`` and ``:out`` are the
        model's own, and so are ``in:out`` and ``out:out`` unless a module is called `in` or
        `out`. Patterns are shell globs in which ``*`` crosses dots. Every rule that matches
        acts, with its own mask.
    seed : int, optional
        In [0, 2⁶⁴). None draws one from torch's CPU generator.

    Returns
    -------
    Injection
        With `sites`, `report()`, `step`, `off()` and `remove()`.

    Raises
    ------
    UnmatchedRule
        If a rule matches nothing; the message names the nearest sites.
    InvalidType, InvalidValue
        If the model, a pattern, a noise or the seed is unusable. The model is then untouched.

    Notes
    -----
    A site is active while its own module trains. At step n the noise of a site is that of the
    key ``Stream(seed).site(site).at(n)``, for the whole batch along axis 0.

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
    return Injection(model, rules, seed)
