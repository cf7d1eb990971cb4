"""Noise words of estimators: read into settings, and put into a network for a session."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from noisegate.core import checks, kinds
from noisegate.core.errors import InvalidType, prefix_errors
from noisegate.core.kind import Kind
from noisegate.core.old_words import OldWords
from noisegate.core.patterns import parse_port
from noisegate.core.plan import Plan
from noisegate.core.rules import SHORTHANDS
from noisegate.core.schedule import Schedule
from noisegate.core.words import got
from noisegate.injection import Injection
from noisegate.nets.layer import constrain_weights, sum_penalties
from noisegate.nets.layers.dense import DenseLayer
from noisegate.nets.outputs import Places, Recording
from noisegate.nets.regularizers import Regularizer
from noisegate.nets.regularizers.output_noise import NoiseRegularizer
from noisegate.nets.regularizers.registry import as_list
from noisegate.nets.regularizers.terms import Layers

# The keywords for noise of `fit`, `predict` and the others.
WORDS = (*SHORTHANDS, "rules", "regularizers")

# The kinds that act after dropout at the same place, as `input_noise` does after `input_dropout`.
NOISE_KINDS = (
    *(kinds.GaussianNoise, kinds.ImpulseNoise, kinds.NeftuneNoise),
    *(kinds.QuantizationNoise, kinds.ShotNoise, kinds.UniformNoise),
)

# It changes no output that dropout changes too, so both are put in, and reported, together.
_ON_WEIGHTS = "weight_noise"

# Suffix of the names of clean outputs; rules; and a seed of their own: a regularizer's `rng`.
Stage = tuple[str, dict[str, Any], int | None]


@dataclass
class NoiseSettings:
    """What is put into a network: rules that act first, rules that act after, and regularizers."""

    first: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    regularizers: list[Regularizer] = field(default_factory=list)
    words: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, words: Mapping[str, Any], old: OldWords) -> "NoiseSettings":
        """Return the settings that keywords give; 0, None and {} give nothing."""
        checks.check_keywords(words, WORDS, old)
        regularizers, more = as_list(words.get("regularizers"), WORDS[:-1])
        settings = cls(regularizers=regularizers, words=words)
        for word, value in (*words.items(), *more.items()):
            if word == "regularizers" or _is_nothing(value):
                continue
            if word == "rules":
                settings._add_rules(value)
            else:
                first = word.endswith("dropout") or word == _ON_WEIGHTS
                (settings.first if first else settings.after)[word] = value
        if _ON_WEIGHTS in settings.first:  # after all dropout, some of which may be on weights
            settings.first[_ON_WEIGHTS] = settings.first.pop(_ON_WEIGHTS)
        return settings

    def _add_rules(self, rules: Any) -> None:
        if not isinstance(rules, Mapping):
            raise InvalidType(
                f"`rules` must be a dict of pattern to noise; {got(rules)}. For one number at all "
                f"hidden outputs write hidden_dropout={rules!r}."
            )
        for pattern, value in rules.items():
            if _is_nothing(value):
                continue
            kinds = _list_kinds(value)
            # Noise at a list's end acts after all dropout; within a list the user's order holds.
            count = len(kinds)
            while count and isinstance(kinds[count - 1], NOISE_KINDS):
                count -= 1
            for stage, part in ((self.first, kinds[:count]), (self.after, kinds[count:])):
                if part:
                    stage[pattern] = part

    @property
    def empty(self) -> bool:
        """Whether nothing is put in."""
        return not (self.first or self.after or self.active)

    @property
    def acts(self) -> bool:
        """Whether something changes an output."""
        return bool(self.first or self.after or self.changing)

    @property
    def active(self) -> list[Regularizer]:
        """The regularizers, without noises of weight 0."""
        return [r for r in self.regularizers if not isinstance(r, NoiseRegularizer) or r.weight]

    @property
    def changing(self) -> list[Regularizer]:
        """The regularizers that change an output."""
        return [r for r in self.active if isinstance(r, NoiseRegularizer) or r.modifies]

    def at_step(self, step: int) -> "NoiseSettings":
        """Return the same settings with every schedule replaced by its rate at a step."""
        first, after = (_take_rates(rules, step) for rules in (self.first, self.after))
        return NoiseSettings(first, after, self.regularizers, self.words)

    def list_stages(self, places: Places) -> list[Stage | Regularizer]:
        """Return what acts, in order: rules, and regularizers that modify the graph."""
        stages: list[Stage | Regularizer] = []
        for suffix, rules in (("-predrop", self.first), ("-prenoise", self.after)):
            if rules:
                stages.append((suffix, rules, None))
        for regularizer in self.active:
            if isinstance(regularizer, NoiseRegularizer) and not regularizer.modifies:
                names = places.find_outputs(regularizer.pattern)
                regularizer.matched = tuple(names)
                rules = {places.sites[name]: regularizer.kind for name in names}
                stages.append((regularizer.SUFFIX, rules, regularizer.seed))
            elif regularizer.modifies:
                stages.append(regularizer)
        return stages

    def merge_rules(self) -> dict[str, Any]:
        """Return all rules for one injection; at each pattern in their order."""
        merged: dict[str, list[Any]] = {}
        for rules in (self.first, self.after):
            for pattern, value in rules.items():
                merged.setdefault(pattern, []).extend(_list_kinds(value))
        return dict(merged)


def _list_kinds(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _take_rates(rules: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Return rules with the rates of a step, without those whose rate is then 0."""
    at_step = {
        pattern: [k for v in _list_kinds(value) if (k := _take_rate(v, step)) is not None]
        for pattern, value in rules.items()
    }
    return {pattern: kinds for pattern, kinds in at_step.items() if kinds}


def _take_rate(value: Any, step: int) -> Any:
    """Return a number or kind with its rate at a step; None where that is 0."""
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
    """Noise and regularizers in a network, for a training or a prediction.

    Parameters
    ----------
    model : Module
        The network.
    settings : NoiseSettings
        What is put in.
    seed : int
        Seed of the noise, except that of regularizers.
    always : bool
        Whether noise acts in evaluation too.
    record : bool
        Whether to record all named outputs, and what they were before their noise.
    existing : tensor, optional
        A few rows of inputs, by which the network's own dropouts are found. They then act in
        evaluation too.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: NoiseSettings,
        seed: int,
        always: bool = False,
        record: bool = False,
        existing: Tensor | None = None,
    ) -> None:
        self.model, self.settings = model, settings
        self.losses = [r for r in settings.active if r.has_loss]
        self.modifying = [r for r in settings.active if r.modifies]
        dense = [module for module in model.modules() if isinstance(module, DenseLayer)]
        self.penalized = any(layer.penalties for layer in dense)
        self.constrained = any(layer.constraints for layer in dense)
        self.handles: list[Injection] = []
        self._undo = ExitStack()
        self.recording: Recording | None = None
        self.layers = Layers(model)
        self.places: Places | None = None
        if settings.empty and not record and existing is None:
            return
        try:
            self._attach_noise(seed, always, record)
            if existing is not None:
                self._hold(Injection(model, {}, seed, 0, True, existing, always=True))
        except BaseException:
            self.close()
            raise

    def _attach_noise(self, seed: int, always: bool, record: bool) -> None:
        self.places = places = Places(self.model)
        if record or self.losses or self.modifying:
            self.recording = Recording(places)
            self._undo.callback(self.recording.stop)
        if any(r.needs_slopes for r in self.losses):
            for site in places.host.sites().roles.get("input", ()):
                self._undo.callback(places.attach(places.names.get(site, site), _as_leaf))
        for stage in self.settings.list_stages(places):
            if isinstance(stage, Regularizer):
                stage.matched = tuple(places.find_outputs(stage.pattern))
                for name in stage.matched:
                    modify = self._make_modifier(stage, name)
                    self._undo.callback(places.attach(name, modify, always))
                continue
            suffix, rules, own_seed = stage
            if record:
                self._record_clean(places, suffix, rules)
            stage_seed = seed if own_seed is None else own_seed
            self._hold(Injection(self.model, rules, stage_seed, always=always))
        if self.recording is not None:
            self.recording.record(places.sites)
            self.recording.record(places.last)

    def _record_clean(self, places: Places, suffix: str, rules: Mapping[str, Any]) -> None:
        """Record what rules will change. Hooks run in order, so this comes before the noise."""
        assert self.recording is not None
        known = places.host.sites()
        with prefix_errors("inject"):
            found = Plan(rules, known, set).sites
        # Noise inside of a layer changes no output that could be recorded before it.
        sites = [site for site in found if parse_port(site).outside]
        self.recording.record({f"{places.names.get(site, site)}{suffix}": site for site in sites})

    def _hold(self, handle: Injection) -> None:
        self.handles.append(handle)
        self._undo.callback(handle.remove)

    def _make_modifier(
        self, regularizer: Regularizer, name: str
    ) -> Callable[[Tensor], Tensor | None]:
        def modify(x: Tensor) -> Tensor:
            outputs = {name: x}
            regularizer.modify_graph(outputs)
            changed = outputs.pop(name)
            if self.recording is not None:
                self.recording.values.update(outputs)
            return changed

        return modify

    def changes(self, sites: Sequence[str]) -> bool:
        """Return whether one of some sites is changed."""
        changed = {site for handle in self.handles for site in handle.sites}
        if self.places is not None:
            names = (name for regularizer in self.modifying for name in regularizer.matched)
            changed |= {self.places.sites[name] for name in names}
        return bool(changed.intersection(sites))

    def total_terms(self) -> Any:
        """Return what regularizers and penalties of layers add to the loss of the last forward."""
        total: Any = 0.0
        outputs = {} if self.recording is None else self.recording.values
        for regularizer in self.losses:
            total = total + regularizer.weight * regularizer.loss(self.layers, outputs)
        return total + sum_penalties(self.model) if self.penalized else total

    def constrain(self) -> None:
        """Apply the constraints of layers to their weights."""
        constrain_weights(self.model)

    @property
    def steps(self) -> list[int]:
        """The next step of each injection."""
        return [handle.step for handle in self.handles]

    def go_on(self, steps: Sequence[int]) -> None:
        """Continue at the steps of an earlier session; if its noise was another, at its last."""
        same = len(steps) == len(self.handles)
        for i, handle in enumerate(self.handles):
            handle.step = steps[i] if same else max(steps, default=0)

    @contextmanager
    def at(self, step: int, rows: range | None = None) -> Iterator[None]:
        """Make the forward of a block part of one step; its rows are `rows`, or count from 0."""
        with ExitStack() as block:
            for handle in self.handles:
                block.enter_context(handle.at(step, rows))
            yield

    def log(self) -> list[str]:
        """Return the report of each injection, as text."""
        return [str(handle.report()) for handle in self.handles]

    def close(self) -> None:
        """Take everything out of the network."""
        self._undo.close()
        self.handles.clear()

    def __enter__(self) -> "Session":
        """Return the session; the end of the block takes everything out."""
        return self

    def __exit__(self, *error: object) -> None:
        """Take everything out."""
        self.close()


def _as_leaf(x: Tensor) -> Tensor:
    """Return a tensor by which gradients can be taken."""
    return x.detach().requires_grad_(torch.is_grad_enabled())
