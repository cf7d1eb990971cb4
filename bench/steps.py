"""Training steps of small networks with noise and without, and noise beside such steps."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from contenders import Call, Contenders, Size, inputs, shape_of
from timing import Samples, time_in_loop
from torch import Tensor, nn

import noisegate as ng

CLASSES = 10
# Networks for a run that only shows that everything works.
TINY = ("MLP 4x16", "CNN 4x3x8x8")
# The training step that runs between single calls of noise.
BESIDE = "MLP 64x512"

# Layers, the rate of a dropout between them, and plans whose input is added to their output.
Plan = Sequence[Any]


class Once(nn.Module):
    """The cheapest operation that can stand in the place of a dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0


def training_step(size: Size) -> Contenders:
    """Return steps (forward, loss, backward, SGD) of a network: "MLP 64x512", "CNN 64x3x32x32".

    All begin with the same weights and drop out at the same places. Injected noise is at the
    outputs of the modules that are followed by a layer in the other networks.
    """
    torch.manual_seed(1)
    shape = shape_of(size)
    plan = mlp(*shape) if str(size).startswith("MLP") else cnn(*shape)
    injected = network(plan)
    ng.inject(injected, sites(plan), seed=1)
    return {
        "no noise": _step(network(plan), shape),
        "ng.torch layers": _step(network(plan, ng.torch.Dropout), shape),
        "ng.inject": _step(injected, shape),
        "nn.Dropout": _step(network(plan, nn.Dropout), shape),
        "x * 1.0": _step(network(plan, Once), shape),
    }


def beside(size: Size) -> Contenders:
    """Return single calls, for the goals on their slowest."""
    t = inputs(size)[0]
    return {"ng.torch": lambda: ng.torch.dropout(t, 0.5), "x * 1.0": lambda: t * 1.0}


def beside_steps(
    contenders: Mapping[str, Call], seconds: float, rounds: tuple[int, int]
) -> Samples:
    """Return the seconds of single calls after each step of a training."""
    return time_in_loop(contenders, training_step(BESIDE)["no noise"], seconds, rounds)


def mlp(
    rows: int, width: int, depth: int = 2, activation: Callable[[], nn.Module] = nn.ReLU
) -> Plan:
    """Return an MLP of hidden layers, each with an activation and dropout."""
    hidden = nn.Linear(width, width), activation(), 0.5
    return *(deepcopy(part) for part in hidden * depth), nn.Linear(width, CLASSES)


def cnn(
    rows: int,
    channels: int,
    side: int,
    _: int,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> Plan:
    """Return two blocks of two convolutions, and a dense part."""

    def block(before: int, after: int) -> Plan:
        first, second = (
            nn.Conv2d(before, after, 3, padding=1),
            nn.Conv2d(after, after, 3, padding=1),
        )
        return first, activation(), second, activation(), nn.MaxPool2d(2), 0.25

    features = 64 * (side // 4) ** 2
    dense = nn.Flatten(), nn.Linear(features, 256), activation(), 0.5, nn.Linear(256, CLASSES)
    return *block(channels, 32), *block(32, 64), *dense


def encoder(
    rows: int, tokens: int, width: int, activation: Callable[[], nn.Module] = nn.GELU
) -> Plan:
    """Return two blocks of a transformer that normalises first, and a dense layer."""

    def block() -> Plan:
        attention = nn.LayerNorm(width), Attention(width), 0.1
        wide = nn.Linear(width, 4 * width), activation(), 0.1
        return attention, (nn.LayerNorm(width), *wide, nn.Linear(4 * width, width), 0.1)

    return *block(), *block(), nn.LayerNorm(width), nn.Flatten(), nn.Linear(tokens * width, CLASSES)


class Attention(nn.Module):
    """Attention of four heads, without dropout of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.inside(x).view(*x.shape[:2], 3, 4, -1).permute(2, 0, 3, 1, 4)
        together = nn.functional.scaled_dot_product_attention(*heads)
        return self.outside(together.transpose(1, 2).flatten(2))


class Residual(nn.Sequential):
    """Modules in a row, whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def network(plan: Plan, layer: Callable[[float], nn.Module] | None = None) -> nn.Sequential:
    """Return a network of copies, with a layer at each rate."""
    return nn.Sequential(*_modules(plan, layer)).train()


def _modules(plan: Plan, layer: Callable[[float], nn.Module] | None) -> list[nn.Module]:
    found: list[nn.Module] = []
    for part in plan:
        if isinstance(part, tuple):
            found.append(Residual(*_modules(part, layer)))
        elif not isinstance(part, float):
            found.append(deepcopy(part))
        elif layer is not None:
            found.append(layer(part))
    return found


def sites(plan: Plan, path: str = "") -> dict[str, float]:
    """Return the rates by the modules that they follow in the network without layers of noise."""
    found: dict[str, float] = {}
    last = -1
    for part in plan:
        if isinstance(part, float):
            found[f"{path}{last}:out"] = part
            continue
        last += 1
        if isinstance(part, tuple):
            found |= sites(part, f"{path}{last}.")
    return found


def _step(model: nn.Module, shape: tuple[int, ...]) -> Call:
    x, target = torch.randn(shape), torch.randint(CLASSES, shape[:1])
    # Weights hardly move: a network that has learned everything computes with denormals.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)

    def call() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    return call
