"""The words for noise that estimators take, and their way into a network by `inject`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.core import checks
from noisegate.core.errors import InvalidType, prefix_errors
from noisegate.core.kind import Kind
from noisegate.core.kinds import GaussianNoise
from noisegate.core.rules import SHORTHANDS
from noisegate.core.schedule import Schedule
from noisegate.injection import Injection
from noisegate.nets import messages
from noisegate.nets.outputs import Places, Recording
from noisegate.nets.regularizers import Regularizer
from noisegate.nets.regularizers.given import as_list
from noisegate.nets.regularizers.noise import NoiseRegularizer
from noisegate.nets.regularizers.terms import Layers

# Keywords of `fit`, `predict` and the others.
WORDS = (*SHORTHANDS, "dropout", "noise", "regularizers")


# Names of the clean outputs end so; rules; and a seed of their own: of a regularizer, its `rng`.
Stage = tuple[str, dict[str, Any], int | None]


@dataclass
class Noises:
    """What is put into a network: rules for dropout and for noise, and regularizers."""

    dropout: dict[str, Any] = field(default_factory=dict)
    noise: dict[str, Any] = field(default_factory=dict)
    regularizers: list[Regularizer] = field(default_factory=list)

    @classmethod
    def of(cls, who: str, given: Mapping[str, Any]) -> "Noises":
        """Return what keywords say; 0, None and {} say nothing."""
        with prefix_errors(who):
            checks.keywords(given, WORDS)
            regularizers, more = as_list(given.get("regularizers"), WORDS[:-1])
        found = cls(regularizers=regularizers)
        for words in (given, more):
            for word, value in words.items():
                if word != "regularizers":
                    found._take(who, word, value)
        return found

    def _take(self, who: str, word: str, value: Any) -> None:
        if word in SHORTHANDS:
            if not _is_nothing(value):
                rules = self.dropout if word.endswith("dropout") else self.noise
                rules[word] = value
            return
        if _is_nothing(value):
            return
        if not isinstance(value, Mapping):
            raise InvalidType(messages.rules_needed(who, word, value))
        for pattern, rate in value.items():
            if _is_nothing(rate):
                continue
            if word == "noise":
                # A pattern may have dropout too, and a number means sigma here.
                number = checks.is_number(rate) or isinstance(rate, Schedule)
                self.noise[pattern] = GaussianNoise(rate) if number else rate
            else:
                self.dropout[pattern] = rate

    @property
    def empty(self) -> bool:
        """Whether nothing is put in."""
        return not (self.dropout or self.noise or self.active)

    @property
    def acts(self) -> bool:
        """Whether something changes an output."""
        return bool(self.dropout or self.noise or self.changing)

    @property
    def active(self) -> list[Regularizer]:
        """The regularizers, without noises of weight 0."""
        return [r for r in self.regularizers if not isinstance(r, NoiseRegularizer) or r.weight]

    @property
    def changing(self) -> list[Regularizer]:
        """The regularizers that change an output."""
        return [r for r in self.active if isinstance(r, NoiseRegularizer) or r.modifies]

    def at(self, step: int) -> "Noises":
        """Return the same noises with every schedule's rate at a step for its rate."""
        dropout, noise = (_without_nothing(part, step) for part in (self.dropout, self.noise))
        return Noises(dropout, noise, self.regularizers)

    def stages(self, places: Places) -> list[Stage | Regularizer]:
        """Return what acts one after the other: rules, and regularizers that modify the graph."""
        found: list[Stage | Regularizer] = []
        if self.dropout:
            found.append(("-predrop", self.dropout, None))
        if self.noise:
            found.append(("-prenoise", self.noise, None))
        for regularizer in self.active:
            if isinstance(regularizer, NoiseRegularizer) and not regularizer.modifies:
                names = places.matching(regularizer.pattern)
                regularizer.matched = tuple(names)
                rules = {places.sites[name]: regularizer.kind for name in names}
                found.append((regularizer.SUFFIX, rules, regularizer.seed))
            elif regularizer.modifies:
                found.append(regularizer)
        return found

    def rules(self) -> dict[str, Any]:
        """Return what keywords put in, as rules of one injection, in the same order."""
        merged: dict[str, list[Any]] = {}
        for part in (self.dropout, self.noise):
            for pattern, value in part.items():
                merged.setdefault(pattern, []).extend(_several(value))
        return dict(merged)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _without_nothing(rules: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Return rules at the rates of a step, without those whose rate is 0 then."""
    found = {
        pattern: [rate for rate in (_rate_at(v, step) for v in _several(value)) if rate is not None]
        for pattern, value in rules.items()
    }
    return {pattern: rates for pattern, rates in found.items() if rates}


def _rate_at(value: Any, step: int) -> Any:
    """Return a number or kind with the rate that it has at a step; None for a rate of 0."""
    schedule = value.rate if isinstance(value, Kind) else value
    if not isinstance(schedule, Schedule):
        return value
    rate = schedule.at(step)
    if not rate:
        return None
    return value.at_rate(rate) if isinstance(value, Kind) else rate


def _is_nothing(value: Any) -> bool:
    if value is None or (checks.is_number(value) and value == 0):
        return True
    return isinstance(value, Mapping | list | tuple) and not value


class Session:
    """Noise and regularizers in a network, from a training's start to its end.

    Parameters
    ----------
    model : Module
        The network.
    noises : Noises
        What is put in.
    seed : int
        Of the noise that the keywords name.
    always : bool
        Whether noise acts in evaluation too.
    record : bool
        Whether all named outputs are recorded, with the clean ones.
    existing : tensor, optional
        Inputs of a few rows, by which the network's own dropouts are found: they act then, in
        evaluation too.
    """

    def __init__(
        self,
        model: nn.Module,
        noises: Noises,
        seed: int,
        always: bool = False,
        record: bool = False,
        existing: Tensor | None = None,
    ) -> None:
        self.model, self.noises = model, noises
        self.losses = [r for r in noises.active if r.has_loss]
        self.modifying = [r for r in noises.active if r.modifies]
        self.handles: list[Injection] = []
        self._undo = ExitStack()
        self.recording: Recording | None = None
        self.layers = Layers(model)
        self.places: Places | None = None
        if noises.empty and not record and existing is None:
            return
        try:
            self._put_in(seed, always, record)
            if existing is not None:
                self._hold(Injection(model, {}, seed, 0, True, existing, always=True))
        except BaseException:
            self.close()
            raise

    def _put_in(self, seed: int, always: bool, record: bool) -> None:
        self.places = places = Places(self.model)
        if record or self.losses or self.modifying:
            self.recording = Recording(places)
            self._undo.callback(self.recording.stop)
        if any(r.needs_slopes for r in self.losses):
            for name in self._inputs(places):
                self._undo.callback(places.attach(name, _leaf))
        for stage in self.noises.stages(places):
            if isinstance(stage, Regularizer):
                stage.matched = tuple(places.matching(stage.pattern))
                for name in stage.matched:
                    modify = self._modifier(stage, name)
                    self._undo.callback(places.attach(name, modify, always))
            else:
                suffix, rules, own = stage
                self._inject(suffix, rules, seed if own is None else own, always, record)
        if self.recording is not None:
            self.recording.record(places.sites)
            self.recording.record(places.last)

    def _inject(
        self, suffix: str, rules: Mapping[str, Any], seed: int, always: bool, record: bool
    ) -> None:
        assert self.places is not None
        if record and self.recording is not None:
            # The clean values first: hooks run in the order in which they were put in.
            with Injection(self.model, rules, seed) as planned:
                names = self.places.names
                clean = {f"{names.get(site, site)}{suffix}": site for site in planned.sites}
            self.recording.record(clean)
        self._hold(Injection(self.model, rules, seed, always=always))

    def _hold(self, handle: Injection) -> None:
        self.handles.append(handle)
        self._undo.callback(handle.remove)

    def _inputs(self, places: Places) -> list[str]:
        sites = places.host.sites().roles.get("input", ())
        return [places.names.get(site, site) for site in sites]

    def _modifier(self, regularizer: Regularizer, name: str) -> Callable[[Tensor], Tensor | None]:
        def modify(x: Tensor) -> Tensor:
            outputs = {name: x}
            regularizer.modify_graph(outputs)
            changed = outputs.pop(name)
            if self.recording is not None:
                self.recording.values.update(outputs)
            return changed

        return modify

    def noisy(self, sites: Sequence[str]) -> bool:
        """Return whether one of some sites is changed."""
        placed = {site for handle in self.handles for site in handle.sites}
        assert self.places is not None or not placed
        for regularizer in self.modifying:
            placed |= {self.places.sites[name] for name in regularizer.matched}  # type: ignore[union-attr]
        return bool(placed.intersection(sites))

    def terms(self) -> Any:
        """Return what the regularizers add to the loss of the last forward."""
        total: Any = 0.0
        outputs = {} if self.recording is None else self.recording.values
        for regularizer in self.losses:
            total = total + regularizer.weight * regularizer.loss(self.layers, outputs)
        return total

    @property
    def steps(self) -> list[int]:
        """The step that each injection is at."""
        return [handle.step for handle in self.handles]

    def go_on(self, steps: Sequence[int]) -> None:
        """Go on from the steps of a session before, of other noises from its last."""
        same = len(steps) == len(self.handles)
        for i, handle in enumerate(self.handles):
            handle.step = steps[i] if same else max(steps, default=0)

    @contextmanager
    def at(self, step: int, rows: range | None = None) -> Iterator[None]:
        """Make the forward of a block one step, of some rows; by default those from 0."""
        with ExitStack() as block:
            for handle in self.handles:
                block.enter_context(handle.at(step, rows))
            yield

    def log(self) -> list[str]:
        """Return the report of each injection, as text."""
        return [str(handle.report()) for handle in self.handles]

    def close(self) -> None:
        """Take everything out: nothing of it stays in the network."""
        self._undo.close()
        self.handles.clear()

    def __enter__(self) -> "Session":
        """Return the session; the end of the block takes everything out."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take everything out."""
        self.close()


def _leaf(x: Tensor) -> Tensor:
    """Return the tensor as one that slopes are taken by."""
    return x.detach().requires_grad_(torch.is_grad_enabled())
