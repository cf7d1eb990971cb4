"""`Injection`: the handle of the noise in a model, with its public methods."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import numpy as np

from noisegate.core import patterns
from noisegate.core.depth import set_rates
from noisegate.core.errors import InvalidValue, UnmatchedRule, prefix_errors
from noisegate.core.html import paragraphs
from noisegate.core.keys import SCHEME, Stream
from noisegate.core.kind import Kind
from noisegate.core.plan import Placement
from noisegate.core.rank_rows import RankRows
from noisegate.core.rules import EXISTING
from noisegate.core.words import list_names

from .model_noise import ModelNoise
from .noise_states import describe_noise, find_rates, list_differing, list_given
from .notices import describe_ranks
from .report import Report, make_report
from .running_forward import WORDS
from .site import SiteNoise


class Injection(ModelNoise):
    """Noise in a model, as returned by `inject`; also a context manager that removes it.

    Attributes
    ----------
    seed : int
        The seed of the noise, in [0, 2⁶⁴).
    sites : tuple of str
        The sites that have noise, in the order of the rules.
    """

    # By the name of a placement, the rates of a state that are not those of the rules.
    _rates: Mapping[tuple[str, str, int], Any] = MappingProxyType({})
    # For training loops: how often one silences it, and whether it is there for one alone.
    silences_of_loop, of_loop = 0, False

    @property
    def step(self) -> int:
        """The step that the next training forward uses: 0 at first.

        It advances when that forward begins, even if it fails. Evaluation does not advance it.
        Set it to resume.
        """
        return self.steps.next

    @step.setter
    def step(self, value: int) -> None:
        self.check_there("step")
        self.steps.set_next(value)

    @property
    def rows(self) -> Sequence[int] | Mapping[str, Sequence[int]] | RankRows | None:
        """The ids of the samples of the next forwards, in [0, 2⁶⁴); None counts from 0.

        A mapping gives ids by rule, or by a pattern of sites, to sites that see other samples than
        the model: windows, experts, beams.

        In a process group, what the samples of this rank are: the policy of a `RankRows`, as in
        ``noise.rows = "interleaved"``, or a `RankRows`. None makes ranks replicas.
        """
        return self.steps.rows

    @rows.setter
    def rows(self, value: Any) -> None:
        self.check_there("rows")
        self._check_rows(value)
        self.steps.rows = value

    def at(self, step: int, rows: Any = None) -> AbstractContextManager[None]:
        """Make every training forward of a block part of one step; `step` stays where it is.

        Samples are counted on from one forward to the next, along the sample axis of the model's
        input: two micro-batches of 16 have the noise of one batch of 32. Parts of the model that
        are called without it have the noise of the step too. A block belongs to one thread.

        Parameters
        ----------
        step : int
            In [0, 2³²).
        rows : sequence of int, or mapping of rule to sequence of int, optional
            Ids of all the samples of the block, in [0, 2⁶⁴), or by rule as `rows` has them. By
            default those of `rows`, set before the block or in it, else 0, 1, 2 ….

        Raises
        ------
        InvalidValue
            At a forward that has more samples than ids are left, or at the end of the block if
            its forwards have used some ids and left others over.
        """
        self.check_there("at")
        self._check_rows(rows)
        return self.steps.at(step, rows)

    def report(self) -> Report:
        """Return a table of the noises, their sites and rules, as text that rich shows too.

        After a forward it has the shape that each noise last saw, how often it acted, and the
        share that its mask removed. The mask is computed from its key; the forward counts nothing.
        """
        passed_on = [
            f"'{site}' passes on the tensor of '{inner}', where '{rule}' has acted; it acts once."
            for (rule, site), inner in self.passed_on.items()
        ]
        gone = ["the noise was removed from the model."] if self.removed else []
        ranks = self.steps.find_ranks()
        dealt = [] if ranks is None else [describe_ranks(ranks, self.steps.rows is None)]
        notes = [*dealt, *self.plan.notes, *self.draws.describe(self.plan.keyed), *passed_on, *gone]
        return make_report(self.plan.placements, self.noises, notes)

    def mask(
        self, site: str, step: int | None = None, rows: Any = None, call: int = 0
    ) -> np.ndarray:
        """Return which elements the noise of a site keeps, at any step: True is kept.

        The model is not run: the mask is computed from its key, in the shape the site last saw.

        Parameters
        ----------
        site : str
            One of `sites`. If it has several noises, an element is kept if all of them keep it.
        step : int, optional
            In [0, 2³²); by default the step of the last forward.
        rows : slice or sequence of int, optional
            Which samples: ids in [0, 2⁶⁴), or a slice of those that the site last saw.
        call : int
            Which use of the site within one forward.

        Raises
        ------
        InvalidValue
            If the site has no noise that removes elements, or has seen no tensor yet.
        """
        if site not in self.sites:
            raise InvalidValue(f"mask: {self._suggest_sites(site)}")
        noises = [noise for noise in self.noises if noise.placement.site == site]
        return _compute_mask(noises, step, rows, call)

    def rates(self) -> dict[str, float]:
        """Return, by site, the share of elements that the last mask there has removed.

        Sites that have not acted yet, or whose noise removes nothing, are left out. The masks are
        computed from their keys, in the shapes that the sites last saw.
        """
        masks: dict[str, list[np.ndarray]] = {}
        for noise in self.noises:
            last = noise.last
            if last is not None and last.kind.removes:
                masks.setdefault(noise.placement.site, []).append(last.mask())
        return {s: float(1 - np.logical_and.reduce(m).mean()) for s, m in masks.items()}

    def set_rate(self, pattern: str, rate: Any) -> None:
        """Set the rate of the noises of a rule, or of the sites that a pattern names.

        Parameters
        ----------
        pattern : str
            A rule of this injection as it was written, or a pattern of sites.
        rate : float, Schedule or ByDepth
            The new value of the kind's rate: p, sigma or width. `schedule.by_depth` gives each of
            the sites its own.
        """
        self.check_there("set_rate")
        noises = [n for n in self.noises if n.placement.rule == pattern]
        if not noises:
            named = self._match_sites(pattern)
            noises = [n for n in self.noises if n.placement.site in named]
        if not noises:
            raise UnmatchedRule(f"set_rate: {self._suggest_sites(pattern)}")
        # All kinds are made before the first is set, so that an invalid rate changes nothing.
        placed = [noise.placement for noise in noises]
        kinds = set_rates(rate, [one.kind for one in placed], [one.site for one in placed])
        for noise, kind in zip(noises, kinds, strict=True):
            self._set_kind(noise, kind)

    def _set_kind(self, noise: SiteNoise, kind: Kind) -> None:
        placed = noise.placement
        changes = {"kind": kind, "own": False, "given": placed.given or placed.kind}
        noise.set_placement(self.plan.replace(placed, **changes))

    def suggest(self, trial: Any, pattern: str, low: float, high: float, **words: Any) -> float:
        """Set a rate from an Optuna trial, as its parameter of the pattern's name; return it.

        Parameters
        ----------
        trial : optuna.trial.Trial
            Or any object with ``suggest_float(name, low, high)``.
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
        """Return the state that a resume needs, as a dict that JSON can store."""
        noises = [describe_noise(placement) for placement in self.plan.placements]
        state = {"scheme": SCHEME, "seed": self.seed, "step": self.step, "noises": noises}
        declared = self.steps.rows if isinstance(self.steps.rows, RankRows) else None
        ranks = self.steps.find_ranks() or declared
        if ranks is not None:
            # Without the rank, since another number of them can resume.
            state["rows"] = {
                "policy": ranks.policy,
                "declared": declared is not None,
                "world": ranks.world or 1,
                "largest": self.steps.graphs.largest,
            }
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state of the same noise; rates that were set by `set_rate` are set again.

        Raises
        ------
        InvalidValue
            If scheme, seed, sites, kinds, or what the samples of a rank are differ; the message
            says which.
        """
        mine, given = self.state(), dict(state)
        entries = given.get("noises", [])
        mine["noises"], given["noises"] = map(list_given, (mine["noises"], entries))
        if self.plan.looks and not self._checked:
            # Sites of functions are not known before the first forward.
            given["noises"] = [n for n in given["noises"] if n in mine["noises"]]
        for name in ("scheme", "seed", "noises"):
            if given.get(name) != mine[name]:
                remedy = ""
                if name == "noises":
                    where = list_names(list_differing(mine[name], given[name]), "'")
                    remedy = (
                        f" They differ at {where}. Give the same rules, and set other rates after "
                        "that by `set_rate`."
                    )
                raise InvalidValue(
                    f"load_state: the state's `{name}` is another; got {given.get(name)!r}, and "
                    f"this noise has {mine[name]!r}.{remedy}"
                )
        if given.get("rows") is not None:
            self._load_rows(**given["rows"])
        self.step = given["step"]
        self._rates = find_rates(entries)
        for noise in self.noises:
            self._take_rate(noise)

    def _take_rate(self, noise: SiteNoise) -> None:
        """Set the rate that a state has of a noise, if it is not that of the rules."""
        placed = noise.placement
        rate = self._rates.get(placed.name)
        if rate is not None:
            self._set_kind(noise, placed.kind.at_rate(rate))
        elif placed.given is not None:
            self._set_kind(noise, placed.given)

    def _attach(self, placement: Placement) -> None:
        """Put a noise at its site, which may have shown in a forward after a state was loaded."""
        super()._attach(placement)
        if placement.name in self._rates:
            self._take_rate(self.noises[-1])

    def _load_rows(
        self, policy: str, largest: int, world: int | None = None, declared: bool = True
    ) -> None:
        """Take what the samples of a rank are from a state, unless something else is declared."""
        mine = self.steps.rows
        if declared and isinstance(mine, RankRows) and mine.policy != policy:
            raise InvalidValue(
                f"load_state: the state's `rows` are {policy!r}, and this noise's {mine.policy!r}. "
                "Declare the same, or take them out of the state to go on with other rows: "
                "state.pop('rows')."
            )
        if mine is None and declared:
            self.steps.rows = policy
        ranks = self.steps.find_ranks()
        # Another number of ranks has batches of another size.
        if ranks is not None and world in (None, ranks.world):
            self.steps.graphs.note_largest(largest)

    def _check_rows(self, rows: Any, complete: bool = False) -> None:
        """Raise if ids by rule name no noise; `complete` says that all sites are known."""
        waits = self.plan.looks and not (self._checked or complete)
        rules = {rule.text for rule in self.plan.rules}
        for name in rows if isinstance(rows, Mapping) else ():
            if name in rules or (name == EXISTING and self.plan.existing):
                continue
            sites = [] if name in WORDS else self._match_sites(name)
            if not sites and (name in WORDS or not (waits and patterns.parse_port(name).own)):
                raise UnmatchedRule(f"rows: {self._suggest_sites(name)}")

    def _check_plan(self, complete: bool) -> None:
        """Check the plan, and ids by rule that were given before all sites were known."""
        super()._check_plan(complete)
        if complete:
            self._check_rows(self.steps.rows, complete)

    def _match_sites(self, pattern: str) -> list[str]:
        """Return the sites with noise that a pattern names, or raise if it is malformed."""
        with prefix_errors("inject"):
            return patterns.matches(patterns.check_pattern(pattern), self.sites)

    def _suggest_sites(self, name: object) -> str:
        """Return the sentence for a site without noise, with the nearest sites that have some."""
        near = get_close_matches(str(name), self.sites, n=3, cutoff=0.0)
        nearest = list_names(near, "'")
        return f"'{name}' has no noise. The nearest that have are {nearest}."

    # Accelerate and Lightning look for torch's names in the objects that they save.
    state_dict, load_state_dict = state, load_state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a copy, which is in no training loop and has none of its noise."""
        super().__setstate__(state)
        self.silent = max(0, self.silent - self.silences_of_loop)
        self.silences_of_loop = 0
        if self.of_loop:
            self.silent, self.failed = 1, True

    def __enter__(self) -> "Injection":
        """Return the handle; the end of the block removes the noise."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the noise."""
        self.remove()

    def __dir__(self) -> Iterable[str]:
        """Return the public names, and Python's own."""
        # The other names of the base class are for this room alone.
        public = {*vars(Injection), "off", "on", "remove", "seed", "sites"}
        public -= {"silences_of_loop", "of_loop"}
        names = super().__dir__()
        return [n for n in names if n.startswith("__") or (n in public and n[0] != "_")]

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the handle's text above the report."""
        return paragraphs([repr(self)]) + self.report()._repr_html_()

    def __repr__(self) -> str:
        """Return the seed, the step and the number of sites."""
        count = len(self.sites)
        what = "removed noise" if self.removed else "noise"
        sites = f"{count} site{'s' * (count != 1)}"
        return f"<{what} at {sites}, seed {self.seed}, step {self.step}>"


def _compute_mask(
    noises: Sequence[SiteNoise], step: int | None, rows: Any, call: int
) -> np.ndarray:
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
