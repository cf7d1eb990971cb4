"""Fifteen noises in four forms, side by side in one model, for tests of compiled code."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import noisegate as ng
from _own_kinds import ShakeDrop, SignFlip

Functions = Callable[..., tuple[Tensor, ...]]

KINDS: dict[str, ng.Kind] = {
    "Dropout": ng.Dropout(0.4),
    "GaussianNoise": ng.GaussianNoise(0.3),
    "GaussianDropout": ng.GaussianDropout(0.3),
    "UniformNoise": ng.UniformNoise(0.3),
    "ImpulseNoise": ng.ImpulseNoise(0.4, -1.0, 1.0),
    "AlphaDropout": ng.AlphaDropout(0.3),
    "DropBlock": ng.DropBlock(0.3, block_size=2, axes=-1),
    "ConcreteDropout": ng.ConcreteDropout(0.3),
    "NeftuneNoise": ng.NeftuneNoise(2),
    "QuantizationNoise": ng.QuantizationNoise(0.5, 3),
    "SpanMask": ng.SpanMask(0.8, 3),
    "tokens": ng.PatchDropout(0.6, prefix=0),
    "ShakeDrop": ShakeDrop(0.6),
    "SignFlip": SignFlip(0.4),
    "shared_axes": ng.Dropout(0.4, shared_axes=1),
}
# Masks, and selects with a scale that the host knows: their bits are the same everywhere.
EXACT = {"Dropout", "ImpulseNoise", "DropBlock", "SignFlip", "shared_axes", "SpanMask", "tokens"}
FORMS = ("call", "layer", "injection", "existing")
STREAM = ng.Stream(13)


class Place(nn.Module):
    """A function of a product, and noise on it."""

    def __init__(self, noise: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.inner = nn.Identity()
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        return self.noise(self.inner((x * self.scale).tanh()))


class Called(nn.Module):
    """A kind that is called with a key; the rate of concrete dropout is a parameter."""

    def __init__(self, name: str, kind: ng.Kind) -> None:
        super().__init__()
        self.kind, self.site = kind, STREAM.site(name)
        self.idle = kind.at_rate(kind.BOUNDS[0])
        self.step = 0
        self.live = nn.Parameter(torch.tensor(0.3)) if name == "ConcreteDropout" else None

    def forward(self, x: Tensor) -> Tensor:
        key = self.site.at(self.step)
        if not self.training:
            return self.idle(x, key)
        return self.kind(x, key) if self.live is None else self.kind(x, key, p=self.live)


def _make_noise(name: str, form: str) -> nn.Module:
    kind, words = KINDS[name], {"seed": 13, "site": name} if form == "layer" else {}
    if form == "call":
        return Called(name, kind)
    if form == "injection":
        return nn.Identity()
    if form == "existing" and name in ("Dropout", "AlphaDropout"):
        return getattr(nn, name)(kind.rate)
    if name == "ConcreteDropout":
        return ng.torch.ConcreteDropout(kind.rate, **words)
    return ng.torch.layer(kind, **words)


class Bank(nn.Module):
    """Noises side by side, each on an input of its own; `step` is the step of them all."""

    def __init__(self, form: str, names: Sequence[str] = tuple(KINDS)) -> None:
        super().__init__()
        self.form = form
        self.places = nn.ModuleDict({name: Place(_make_noise(name, form)) for name in names})
        self.handle: Any = None
        if form == "injection":
            rules = {f"places.{name}.inner:out": KINDS[name] for name in names}
            self.handle = ng.inject(self, rules, seed=13)
        elif form == "existing":
            self.handle = ng.inject(self, existing=True, seed=13)

    def forward(self, *xs: Tensor) -> tuple[Tensor, ...]:
        return tuple(place(x) for place, x in zip(self.places.values(), xs, strict=True))

    def set_step(self, step: int) -> None:
        if self.handle is not None:
            self.handle.step = step
            return
        for place in self.places.values():
            place.noise.step = step


def make_inputs(count: int = 3, names: Sequence[str] = tuple(KINDS), maps: int = 0) -> Any:
    """Return one input of each noise, of `count` samples; with a mapped axis in front or not."""
    generator = torch.Generator().manual_seed(5)
    shape = (maps, count, 2, 3) if maps else (count, 2, 3)
    return tuple(torch.randn(shape, generator=generator) for _ in names)
