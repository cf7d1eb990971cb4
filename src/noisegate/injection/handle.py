"""The handle of noise in a model."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np

from noisegate.core import checks, messages, patterns
from noisegate.core.backends import face_of_model
from noisegate.core.errors import InvalidValue, UnmatchedRule
from noisegate.core.keys import SCHEME, SEED_BITS
from noisegate.core.plan import Placement, Plan
from noisegate.core.sites import Call

from .report import Report
from .site import SiteNoise, mask_of
from .steps import Steps


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
    rows : sequence of int, mapping of rule to sequence of int, or None
        Ids of the samples of the next forwards, in [0, 2⁶⁴); None counts from 0. By rule, or by a
        pattern of sites, they are for sites that see other samples: windows, experts, beams.
    """

    def __init__(
        self,
        model: Any,
        rules: Mapping[str, Any],
        seed: int | None = None,
        sample_axis: Any = 0,
        existing: bool = False,
        example: Any = None,
        unreached: str = "raise",
        always: bool = False,
        shared: bool = False,
    ) -> None:
        checks.flag("inject", "existing", existing)
        checks.one_of("raise", "keep")("inject", "unreached", unreached)
        self.host = face_of_model(model).Host(model)
        drawn = self.host.draw_seed() if seed is None else seed
        self.seed = checks.whole("inject", "seed", drawn, SEED_BITS)
        if existing and not always and (taken := self.host.taken_over()):
            raise InvalidValue(messages.taken_over(taken[0]))
        known, keep = self.host.sites(), unreached == "keep"
        self.plan = Plan(rules, known, self._taken, sample_axis, existing, keep)
        self.always, self.strays, self.silent = always, 0, 0
        self.made: dict[int, tuple[Any, dict[str, str]]] = {}
        self.passed_on: dict[tuple[str, str], str] = {}
        self.steps = Steps(shared)
        self._tokens = () if known.takes_tokens else known.tokens
        self._checked, self._within = False, 0
        self._warned: set[str] = set()
        self._looked: set[str] = set(known.own)
        self.noises: list[SiteNoise] = []
        self._detach: list[Callable[[], None]] = []
        self.host.register(self)
        try:
            self._put_in(example)
        except BaseException:
            self.remove()
            raise

    def _put_in(self, example: Any) -> None:
        for placement in self.plan.placements:
            self._attach(placement)
        if self.plan.looks:
            self._detach.append(self.host.listen(self))
        # Last of all, so that the model's own output is still part of its forward.
        self._detach.append(self.host.on_forward(self._begin, self._end))
        if example is not None:
            self.look(example)

    def look(self, example: Any) -> None:
        """Find the noises that functions make, by one run in training that leaves no trace."""
        others = [handle for handle in self.host.handles() if handle is not self]
        with ExitStack() as silent:
            for handle in (self, *others):
                silent.enter_context(handle.off())
            self.host.dry_run(example)
        self.plan.check_all_matched()
        self._checked = True
        for noise in self.noises:
            noise.trained = noise.reached

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that have noise, in the order of the rules."""
        return self.plan.sites

    @property
    def step(self) -> int:
        """The step that the next training forward uses."""
        return self.steps.next

    @step.setter
    def step(self, value: int) -> None:
        self.steps.next = value

    @property
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | None:
        """The ids of the samples of the next forwards, of all sites or of those of some rules."""
        return self.steps.rows

    @rows.setter
    def rows(self, value: Any) -> None:
        self.steps.rows = value

    def at(self, step: int, rows: Any = None) -> AbstractContextManager[None]:
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
        return self.steps.at(step, rows)

    def off(self) -> AbstractContextManager[None]:
        """Silence the noise until `on`, or for a block: ``with noise.off():``.

        It is then as if the noise were not there; the step does not advance either, and
        dropouts of the model's own are its own again.
        """
        before = self.silent
        self.silent += 1

        @contextmanager
        def silence() -> Iterator[None]:
            try:
                yield
            finally:
                self.silent = before

        return silence()

    def on(self) -> None:
        """Let the noise act again, however often it was silenced."""
        self.silent = 0

    def report(self) -> Report:
        """Return a table of what was put where, by which rule, as text that rich shows too.

        After a forward it has the shape that each noise last saw, how often it acted, and the
        share that its mask removed: the mask is rebuilt from its key, nothing was counted.
        """
        columns = ["site", "noise", "slot", "rule"]
        rows = [[p.site, repr(p.kind), str(p.slot), p.rule] for p in self.plan.placements]
        if any(noise.last is not None for noise in self.noises):
            columns += ["shape", "calls", "removed"]
            by_name = {noise.placement.name: noise for noise in self.noises}
            for row, placement in zip(rows, self.plan.placements, strict=True):
                row += by_name[placement.name].measured()
        notes = [messages.passed_on(*k, v) for k, v in self.passed_on.items()]
        return Report(columns, rows, [*self.plan.notes, *notes])

    def mask(
        self, site: str, step: int | None = None, rows: Any = None, call: int = 0
    ) -> np.ndarray:
        """Return where the noise of a site keeps an element, at any step: True is kept.

        Nothing is run: the mask is rebuilt from its key, in the shape that the site last saw.

        Parameters
        ----------
        site : str
            One of `sites`. Where several noises remove there, an element is kept that all keep.
        step : int, optional
            In [0, 2³²); by default that of the last forward.
        rows : slice or sequence of int, optional
            Which samples: ids in [0, 2⁶⁴), or a slice of those that the site last saw.
        call : int
            Which use of the site within one forward.

        Raises
        ------
        InvalidValue
            If the site has no noise that removes, or has seen nothing yet.
        """
        if site not in self.sites:
            raise InvalidValue(messages.no_such_site("mask", site, self.sites))
        noises = [noise for noise in self.noises if noise.placement.site == site]
        return mask_of(noises, step, rows, call)

    def set_rate(self, pattern: str, rate: Any) -> None:
        """Give the noises of a rule, or of the sites that a pattern names, another rate.

        Parameters
        ----------
        pattern : str
            A rule of this injection as it was written, or a pattern of sites.
        rate : float or Schedule
            The number that the kinds' call may replace: p, sigma or width.
        """
        noises = [n for n in self.noises if n.placement.rule == pattern]
        if not noises:
            named = patterns.matches(patterns.checked(pattern), self.sites)
            noises = [n for n in self.noises if n.placement.site in named]
        if not noises:
            raise UnmatchedRule(messages.no_such_site("set_rate", pattern, self.sites))
        changed = [(n, n.placement.kind.at_rate(rate)) for n in noises]
        for noise, kind in changed:
            noise.placement = self.plan.replace(noise.placement, kind=kind, own=False)

    def suggest(self, trial: Any, pattern: str, low: float, high: float, **words: Any) -> float:
        """Set a rate from an Optuna trial, as its parameter of the pattern's name; return it.

        Parameters
        ----------
        trial : optuna.trial.Trial
            Or anything with ``suggest_float(name, low, high)``.
        pattern : str
            As in `set_rate`.
        low, high : float
            Bounds of the rate, both included.
        **words
            Passed on to ``suggest_float``: `log`, `step`.

        Examples
        --------
        >>> import noisegate as ng, torch
        >>> class Middle:
        ...     def suggest_float(self, name, low, high):
        ...         return (low + high) / 2
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8))
        >>> noise = ng.inject(model, {"0:out": 0.5}, seed=13)
        >>> noise.suggest(Middle(), "0:out", 0, 0.6)
        0.3
        """
        rate = float(trial.suggest_float(pattern, low, high, **words))
        self.set_rate(pattern, rate)
        return rate

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as a dict that JSON can hold."""
        noises = [
            {"site": p.site, "slot": p.slot, "noise": p.kind.config()} for p in self.plan.placements
        ]
        return {"scheme": SCHEME, "seed": self.seed, "step": self.step, "noises": noises}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the noise must be the one that it was taken of.

        Raises
        ------
        InvalidValue
            If scheme, seed, sites or kinds differ: the message says which.
        """
        mine, given = self.state(), dict(state)
        if self.plan.looks and not self._checked:
            # What functions do has not shown yet.
            given["noises"] = [n for n in given.get("noises", []) if n in mine["noises"]]
        for name in ("scheme", "seed", "noises"):
            if given.get(name) != mine[name]:
                raise InvalidValue(messages.other_state(name, state.get(name), mine[name]))
        self.step = given["step"]

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
        return {**self.__dict__, "made": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copied model's noise, which counts on its own."""
        self.__dict__.update(state)
        self.host.register(self)

    def snapshot(self) -> Any:
        """Return what the next noise depends on."""
        calls = [noise.calls for noise in self.noises]
        return self.steps.snapshot(), self.silent, self.strays, calls

    def restore(self, state: Any) -> None:
        """Return to what a snapshot says."""
        steps, self.silent, self.strays, calls = state
        self.steps.restore(steps)
        # Noises that were found after the snapshot had no calls then.
        missing = [0] * (len(self.noises) - len(calls))
        for noise, count in zip(self.noises, [*calls, *missing], strict=True):
            noise.calls = count

    def found(self, site: str, call: Call) -> None:
        """Put noise where a function makes noise of the model's own, at its first call."""
        if site not in self._looked:
            self._looked.add(site)
            for placement in self.plan.found(site, call):
                self._attach(placement)

    def unreached(self, site: str, words: str) -> None:
        """Refuse or note a noise of the model's own that cannot be taken over."""
        self.plan.unreached(site, words)

    def random(self, path: str, words: str) -> None:
        """Note that a module draws random numbers of its own, for no dropout that is known."""
        self.plan.note(messages.own_random(path, words))

    def _taken(self) -> set[tuple[str, str, int]]:
        """Return the slots that other noises of the seed hold."""
        others = [h for h in self.host.handles() if h is not self and h.seed == self.seed]
        return {placement.name for other in others for placement in other.plan.placements}

    def _attach(self, placement: Placement) -> None:
        noise = SiteNoise(self, placement)
        self.noises.append(noise)
        self._detach.append(self.host.attach(placement.site, noise))

    def _begin(self, training: bool, batch: int | None, only_tokens: bool) -> None:
        """Take the next step, or the next part of a pinned one."""
        if self.silent:
            return
        if self.steps.forward.running and self.host.running() > 1:
            self._within += 1  # the model calls itself, within one forward
            return
        self._within = 0
        for noise in self.noises:
            noise.calls, noise.reached = 0, False
        self.made.clear()
        if only_tokens and self._tokens:
            self._move_input(self._tokens)
        self.steps.begin(training or self.always, batch)

    def _end(self, succeeded: bool) -> None:
        if self._within:
            self._within -= 1
            return
        forward = self.steps.end()
        if not (succeeded and forward.running and forward.counted):
            return
        if not self._checked:
            try:
                self.plan.check_all_matched()
            except InvalidValue:
                self.steps.uncount(forward)
                raise
            self._checked = True
        reached = {noise.placement.rule for noise in self.noises if noise.reached}
        nowhere = {noise.placement.rule for noise in self.noises} - reached - self._warned
        if nowhere and (reached or not self.always):  # a prediction raises where nothing acts
            self._warned |= nowhere
            warnings.warn(messages.acted_nowhere(sorted(nowhere)), RuntimeWarning, stacklevel=2)

    def _move_input(self, tokens: Sequence[str]) -> None:
        """Move the noise of the model's input to the output of its embedding."""
        for noise in [n for n in self.noises if n.placement.site == ":in"]:
            # Its hook stays, since torch has collected those of this call already.
            noise.retired = True
            self.noises.remove(noise)
            self.plan.note(messages.tokens(noise.placement.rule, tokens))
            for placement in self.plan.move(noise.placement, tokens):
                self._attach(placement)
