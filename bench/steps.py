"""Training steps of small networks with noise and without, and noise beside such steps."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

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

# Layers, and the rate of a dropout between them.
Plan = Sequence[nn.Module | float]


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
    plan = _mlp(*shape) if str(size).startswith("MLP") else _cnn(*shape)
    injected = _network(plan)
    ng.inject(injected, _sites(plan), seed=1)
    return {
        "no noise": _step(_network(plan), shape),
        "ng.torch layers": _step(_network(plan, ng.torch.Dropout), shape),
        "ng.inject": _step(injected, shape),
        "nn.Dropout": _step(_network(plan, nn.Dropout), shape),
        "x * 1.0": _step(_network(plan, Once), shape),
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


def _mlp(rows: int, width: int) -> Plan:
    hidden = nn.Linear(width, width), nn.ReLU(), 0.5
    return *hidden, *deepcopy(hidden), nn.Linear(width, CLASSES)


def _cnn(rows: int, channels: int, side: int, _: int) -> Plan:
    def block(before: int, after: int) -> Plan:
        first, second = (
            nn.Conv2d(before, after, 3, padding=1),
            nn.Conv2d(after, after, 3, padding=1),
        )
        return first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), 0.25

    features = 64 * (side // 4) ** 2
    dense = nn.Flatten(), nn.Linear(features, 256), nn.ReLU(), 0.5, nn.Linear(256, CLASSES)
    return *block(channels, 32), *block(32, 64), *dense


def _network(plan: Plan, layer: Callable[[float], nn.Module] | None = None) -> nn.Module:
    """Return a network of copies, with a layer at each rate."""
    made = (layer and layer(m) if isinstance(m, float) else deepcopy(m) for m in plan)
    return nn.Sequential(*(module for module in made if module is not None)).train()


def _sites(plan: Plan) -> dict[str, float]:
    """Return the rates by the modules that they follow in the network without layers of noise."""
    sites, last = {}, -1
    for module in plan:
        if isinstance(module, float):
            sites[f"{last}:out"] = module
        else:
            last += 1
    return sites


def _step(model: nn.Module, shape: tuple[int, ...]) -> Call:
    x, target = torch.randn(shape), torch.randint(CLASSES, shape[:1])
    # Weights hardly move: a network that has learned everything computes with denormals.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)

    def call() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()

    return call
